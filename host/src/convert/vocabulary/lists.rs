//! Vocabularies in the files from before `tokenizer.json`: lists of tokens and of merges.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use super::{Algorithm, Bert, Kind, Token, Vocabulary};
use crate::convert::config::{Config, read_json};
use crate::error::{Context, Result, bail, ensure};

/// Pre-tokenizer of BERT, by one of its names in llama.cpp.
pub const BERT: &str = "jina-v2-en";

/// Reads `vocab.json`, ids by text, and `merges.txt`, one merge a line; a first line that begins with `#` is skipped.
pub fn byte_level(vocab: &Path, merges: &Path, pre: &str) -> Result<Vocabulary> {
    let mut vocabulary = Vocabulary::new(Algorithm::Merges, pre);
    let Value::Object(ids) = read_json(vocab)? else { bail!("{} is not a JSON object", vocab.display()) };
    set_ids(&mut vocabulary, &ids).with_context(|| vocab.display().to_string())?;
    let text = fs::read_to_string(merges).with_context(|| format!("cannot read {}", merges.display()))?;
    for (i, line) in text.lines().enumerate().filter(|(i, line)| !(line.is_empty() || *i == 0 && line.starts_with('#')))
    {
        let is_pair = line.split(' ').count() == 2 && line.split(' ').all(|part| !part.is_empty());
        ensure!(is_pair, "{}, line {}: {line:?} is not two texts with a space between them", merges.display(), i + 1);
        vocabulary.merges.push(line.into());
    }
    Ok(vocabulary)
}

/// Reads `vocab.txt`, a piece in each line.
pub fn word_piece(vocab: &Path, directory: &Path) -> Result<Vocabulary> {
    let settings = Config::read_if_there(&directory.join("tokenizer_config.json"))?;
    settings.only("tokenize_chinese_chars", &[json!(true)])?;
    let lowercase = settings.flag("do_lower_case", true)?;
    let mut vocabulary = Vocabulary::new(Algorithm::WordPiece, BERT);
    let text = fs::read_to_string(vocab).with_context(|| format!("cannot read {}", vocab.display()))?;
    let token = |line: &str| Token { text: line.trim_end().into(), kind: Kind::Normal, score: 0.0 };
    vocabulary.tokens = text.lines().map(token).collect();
    vocabulary.bert = Some(Bert { lowercase, strip_accents: settings.flag("strip_accents", lowercase)? });
    mark_bert_tokens(&mut vocabulary);
    // A text is `[CLS]`, its pieces, `[SEP]`.
    (vocabulary.special.add_bos, vocabulary.special.add_eos) = (true, true);
    Ok(vocabulary)
}

/// Marks the tokens that BERT's tokenizers know by name, whether or not their files list them.
pub fn mark_bert_tokens(vocabulary: &mut Vocabulary) {
    let names = [("cls", "[CLS]"), ("sep", "[SEP]"), ("unk", "[UNK]"), ("pad", "[PAD]"), ("mask", "[MASK]")];
    for (name, text) in names {
        let id = vocabulary.ids().get(text).copied();
        if let Some(id) = id {
            vocabulary.special.offer(name, id);
            vocabulary.tokens[id].kind = Kind::Control;
        }
    }
}

/// Sets the tokens of an object of ids by text.
pub fn set_ids(vocabulary: &mut Vocabulary, ids: &serde_json::Map<String, Value>) -> Result<()> {
    for (text, id) in ids {
        let id = token_id(id).with_context(|| format!("the id of {text:?} is {id}, not one of a token"))?;
        vocabulary.set(id, Token { text: text.clone(), kind: Kind::Normal, score: 0.0 });
    }
    Ok(())
}

/// Id of a token, below 2^24. No published vocabulary has a tenth of this limit, which keeps memory bounded.
pub fn token_id(value: &Value) -> Option<usize> {
    value.as_u64().filter(|&id| id < 1 << 24).map(|id| id as usize)
}
