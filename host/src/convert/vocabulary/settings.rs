//! Notes on classes of `transformers` that do more than `tokenizer.json`, by `tokenizer_config.json`, where a GGUF file cannot
//! express it.

use std::path::Path;

use super::{Algorithm, Bert, Vocabulary};
use crate::convert::config::Config;
use crate::error::Result;
use crate::monitor::Monitor;

/// Classes that take `tokenizer.json` as it is.
const PLAIN: [&str; 4] = ["PreTrainedTokenizerFast", "TokenizersBackend", "BloomTokenizerFast", "BloomTokenizer"];

/// Notes the directory's settings that are not in the vocabulary.
pub fn tell(directory: &Path, vocabulary: &Vocabulary, monitor: &Monitor) -> Result<()> {
    let settings = Config::read_if_there(&directory.join("tokenizer_config.json"))?;
    differences(&settings, vocabulary)?.into_iter().for_each(|note| monitor.note(note));
    Ok(())
}

fn differences(settings: &Config, vocabulary: &Vocabulary) -> Result<Vec<String>> {
    let mut found = Vec::new();
    let class = settings.text("tokenizer_class")?.unwrap_or_default();
    let merges_bytes = vocabulary.algorithm == Algorithm::Merges && !vocabulary.merges_characters();
    if merges_bytes && !PLAIN.contains(&class) && settings.flag("add_prefix_space", false)? {
        found.push("tokenizer_config.json says `add_prefix_space`: true, and texts get no space before them".into());
    }
    if let Some(bert) = vocabulary.bert
        && class.contains("BertTokenizer")
    {
        let lowercase = settings.flag("do_lower_case", true)?;
        let said = Bert { lowercase, strip_accents: settings.flag("strip_accents", lowercase)? };
        if said != bert {
            found.push(format!(
                "tokenizer_config.json's {class} makes letters small: {}, strips accents: {}, and the tokenizer's own file \
                 says {} and {}, which counts",
                said.lowercase, said.strip_accents, bert.lowercase, bert.strip_accents
            ));
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn n_differences(settings: Value, vocabulary: &Vocabulary) -> usize {
        let settings = Config::of("tokenizer_config.json", settings.as_object().unwrap());
        differences(&settings, vocabulary).unwrap().len()
    }

    #[test]
    fn a_space_before_texts_is_missed_where_the_class_puts_it() {
        let bytes = Vocabulary::new(Algorithm::Merges, "gpt-2");
        let words = Vocabulary::new(Algorithm::Merges, "whitespace");
        let settings = |class: &str, space: bool| json!({"tokenizer_class": class, "add_prefix_space": space});
        assert_eq!(n_differences(settings("GPT2Tokenizer", true), &bytes), 1);
        assert_eq!(n_differences(settings("GPT2Tokenizer", false), &bytes), 0);
        assert_eq!(n_differences(settings("PreTrainedTokenizerFast", true), &bytes), 0);
        assert_eq!(n_differences(settings("RobertaTokenizer", true), &words), 0);
    }

    #[test]
    fn berts_class_has_letters_of_its_own() {
        let with = |lowercase, strip_accents| Vocabulary {
            bert: Some(Bert { lowercase, strip_accents }),
            ..Vocabulary::new(Algorithm::WordPiece, "jina-v2-en")
        };
        let (uncased, cased) = (with(true, true), with(false, false));
        let class = json!({"tokenizer_class": "BertTokenizer"});
        assert_eq!([n_differences(class.clone(), &uncased), n_differences(class, &cased)], [0, 1]);
        let class = json!({"tokenizer_class": "BertTokenizerFast", "do_lower_case": false});
        assert_eq!([n_differences(class.clone(), &uncased), n_differences(class, &cased)], [1, 0]);
        assert_eq!(n_differences(json!({"tokenizer_class": "PreTrainedTokenizerFast"}), &cased), 0);
        assert_eq!(n_differences(json!({}), &cased), 0);
    }
}
