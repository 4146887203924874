//! Unigrams in `tokenizer.json`: pieces with scores, and the steps that replace sentencepiece's normalizer.
//!
//! The steps are read as settings of sentencepiece, which Hugging Face's `tokenizers` follows with a few exceptions:
//! [`Spaces::differences`].

use base64::prelude::{BASE64_STANDARD as BASE64, Engine};
use serde_json::Value;

use super::steps::steps;
use super::{Algorithm, Kind, Normalizer, Token, Vocabulary};
use crate::convert::config::Config;
use crate::error::{Context, Error, Result, bail, ensure};
use crate::monitor::Monitor;

/// Reads the vocabulary of a file `json` whose `model` is given.
pub fn parse(json: &Value, model: &Config, monitor: &Monitor) -> Result<Vocabulary> {
    let mut vocabulary = Vocabulary::new(Algorithm::Unigram, "default");
    let Some(Value::Array(pieces)) = model.value("vocab") else {
        bail!("its model has no `vocab` of pieces and scores")
    };
    let falls_back = model.flag("byte_fallback", false)?;
    for (id, piece) in pieces.iter().enumerate() {
        let text = piece.get(0).and_then(Value::as_str);
        let (Some(text), Some(score)) = (text, piece.get(1).and_then(Value::as_f64)) else {
            bail!("piece {id} is {piece}, not a text and a score");
        };
        let kind = if falls_back && is_byte(text) { Kind::Byte } else { Kind::Normal };
        vocabulary.tokens.push(Token { text: text.into(), kind, score: score as f32 });
    }
    vocabulary.unknown = model.optional_count(&["unk_id"])?;
    if let Some(id) = vocabulary.unknown {
        let n = vocabulary.tokens.len();
        vocabulary.tokens.get_mut(id).with_context(|| format!("`unk_id` is {id}, of {n} pieces"))?.kind = Kind::Unknown;
        vocabulary.special.offer("unk", id);
    }
    ensure!(vocabulary.unknown.is_some() || falls_back, "its model has no `unk_id`");
    let spaces = Spaces::read(json)?;
    let has_words = vocabulary.tokens.iter().any(|token| token.text.chars().skip(1).any(|c| c == SPACE));
    let differences = spaces.differences(has_words).join(", ");
    monitor.note(format_args!(
        "the unigrams are read as sentencepiece's: {differences} may get other ids than in Hugging Face's tokenizers"
    ));
    vocabulary.normalizer = Some(Normalizer {
        add_space_prefix: spaces.prefix != Prefix::Never,
        remove_extra_whitespaces: spaces.joins(),
        charsmap: spaces.charsmap,
    });
    Ok(vocabulary)
}

/// True for a byte token such as `<0x0A>`.
fn is_byte(text: &str) -> bool {
    let digits = text.strip_prefix("<0x").and_then(|rest| rest.strip_suffix('>'));
    digits.is_some_and(|digits| digits.len() == 2 && u8::from_str_radix(digits, 16).is_ok())
}

/// Letter that stands for a space in pieces.
const SPACE: char = '\u{2581}';

/// Places where a space is put before a text that begins with none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Prefix {
    /// Before a text and behind added tokens.
    Always,
    First,
    Never,
}

/// Treatment of spaces: the steps of `normalizer` and `pre_tokenizer`.
#[derive(Debug)]
struct Spaces {
    charsmap: Vec<u8>,
    /// `Replace` joins several spaces to one.
    replaces_runs: bool,
    /// `Strip` removes white space at the beginning and the end.
    strips: [bool; 2],
    /// `WhitespaceSplit` cuts at white space and removes it.
    has_words: bool,
    /// `Metaspace` puts a space before a text.
    prefix: Prefix,
    splits: bool,
}

impl Spaces {
    fn read(json: &Value) -> Result<Self> {
        let mut found = Self {
            charsmap: Vec::new(),
            replaces_runs: false,
            strips: [false; 2],
            has_words: false,
            prefix: Prefix::Never,
            splits: false,
        };
        for step in steps(json.get("normalizer"), "normalizers") {
            found.read_normalizer(step)?;
        }
        let steps = steps(json.get("pre_tokenizer"), "pretokenizers");
        let types: Vec<_> = steps.iter().map(|step| step.get("type").and_then(Value::as_str)).collect();
        let metaspace = match (&types[..], &steps[..]) {
            ([Some("Metaspace")], [step]) | ([Some("WhitespaceSplit"), Some("Metaspace")], [_, step]) => *step,
            _ => bail!("its `pre_tokenizer` is none of sentencepiece's: `Metaspace`, or `WhitespaceSplit` before it"),
        };
        found.has_words = types.len() > 1;
        found.read_metaspace(metaspace)?;
        let is_read = !found.has_words || found.prefix == Prefix::Always;
        ensure!(is_read, "its `pre_tokenizer` puts no space before each word, which GGUF has no word for");
        Ok(found)
    }

    fn read_normalizer(&mut self, step: &Value) -> Result<()> {
        let flag = |key: &str| step.get(key).and_then(Value::as_bool).unwrap_or(false);
        match step.get("type").and_then(Value::as_str) {
            Some("Precompiled") => {
                let text = step.get("precompiled_charsmap").and_then(Value::as_str);
                let text = text.context("`precompiled_charsmap` is not a text")?;
                let bytes = BASE64.decode(text).map_err(Error::invalid);
                self.charsmap = bytes.context("`precompiled_charsmap` is not base64")?;
            }
            Some("Replace")
                if step["pattern"]["Regex"] == " {2,}" && (step["content"] == " " || step["content"] == "\u{2581}") =>
            {
                self.replaces_runs = true;
            }
            Some("Strip") => {
                let [start, end] = self.strips;
                self.strips = [start || flag("strip_left"), end || flag("strip_right")];
            }
            _ => bail!("the `normalizer` has the step {step}, which GGUF has no word for"),
        }
        Ok(())
    }

    /// Reads a `Metaspace`, in the layouts from before and since `prepend_scheme` and `split`.
    fn read_metaspace(&mut self, step: &Value) -> Result<()> {
        let replacement = step.get("replacement").and_then(Value::as_str);
        ensure!(replacement.is_none_or(|text| text == "\u{2581}"), "its `Metaspace` does not spell a space `\u{2581}`");
        let scheme = step.get("prepend_scheme").and_then(Value::as_str);
        self.prefix = match scheme {
            Some("always") => Prefix::Always,
            Some("first") => Prefix::First,
            Some("never") => Prefix::Never,
            None if step.get("add_prefix_space") == Some(&Value::Bool(false)) => Prefix::Never,
            None => Prefix::Always,
            Some(other) => bail!("its `Metaspace` has the `prepend_scheme` {other:?}, which is not known"),
        };
        self.splits = step.get("split").and_then(Value::as_bool).unwrap_or(true);
        Ok(())
    }

    /// True if several spaces become one; sentencepiece then also removes spaces at both ends.
    fn joins(&self) -> bool {
        self.replaces_runs || self.has_words
    }

    /// Texts that sentencepiece treats in another way. `has_words`: some piece has a space that is not in front.
    fn differences(&self, has_words: bool) -> Vec<&'static str> {
        let [strips_start, strips_end] = self.strips;
        let has_prefix = self.prefix != Prefix::Never;
        // An existing space counts as the prefix.
        let same_start = if has_prefix { self.joins() } else { self.replaces_runs == strips_start };
        let same_end = self.joins() == (strips_end || self.has_words);
        let drops_white_space = self.has_words || strips_start || strips_end;
        let all = [
            (true, "pieces that are equally likely"),
            (has_prefix || self.joins(), "the letter \u{2581}"),
            (!same_start, "spaces that a text begins with"),
            (!same_end, "spaces that a text ends with"),
            (drops_white_space && self.charsmap.is_empty(), "white space other than spaces"),
            (has_prefix, "what stands behind an added token"),
            (self.splits && has_words, "pieces of several words"),
        ];
        all.into_iter().filter(|(differs, _)| *differs).map(|(_, what)| what).collect()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn tokenizer(normalizer: Value, pre_tokenizer: Value) -> Value {
        json!({
            "normalizer": normalizer,
            "pre_tokenizer": pre_tokenizer,
            "model": {"type": "Unigram", "unk_id": 0, "byte_fallback": true,
                "vocab": [["<unk>", 0.0], ["<0x0A>", -3.0], ["\u{2581}a", -1.5]]},
        })
    }

    fn read(json: &Value) -> Result<Vocabulary> {
        parse(json, &Config::of("model", json["model"].as_object().unwrap()), &Monitor::silent())
    }

    fn metaspace(scheme: &str) -> Value {
        json!({"type": "Metaspace", "replacement": "\u{2581}", "prepend_scheme": scheme, "split": false})
    }

    #[test]
    fn unigrams_have_scores_and_a_normalizer() {
        let steps = json!([
            {"type": "Precompiled", "precompiled_charsmap": "Zm9v"},
            {"type": "Replace", "pattern": {"Regex": " {2,}"}, "content": " "},
        ]);
        let mut json = tokenizer(json!({"type": "Sequence", "normalizers": steps}), metaspace("always"));
        let found = read(&json).unwrap();
        assert_eq!(found.algorithm, Algorithm::Unigram);
        let kinds: Vec<Kind> = found.tokens.iter().map(|token| token.kind).collect();
        assert_eq!(kinds, [Kind::Unknown, Kind::Byte, Kind::Normal]);
        assert_eq!((found.tokens[2].score, found.unknown), (-1.5, Some(0)));
        let want = Normalizer { add_space_prefix: true, remove_extra_whitespaces: true, charsmap: b"foo".into() };
        assert_eq!(found.normalizer, Some(want));
        json["model"]["unk_id"] = Value::Null;
        assert_eq!(read(&json).unwrap().unknown, None);
        json["model"]["byte_fallback"] = json!(false);
        assert_eq!(read(&json).unwrap_err().to_string(), "its model has no `unk_id`");
        json["model"]["byte_fallback"] = json!(true);
        json["normalizer"]["normalizers"][0]["precompiled_charsmap"] = json!("Z m9");
        let why = format!("{:#}", read(&json).unwrap_err());
        assert!(why.starts_with("`precompiled_charsmap` is not base64: "), "{why}");
    }

    #[test]
    fn both_layouts_of_metaspace_are_read() {
        let old = |add: Value| json!({"type": "Metaspace", "replacement": "\u{2581}", "add_prefix_space": add});
        for (pre, prefix, splits) in [
            (metaspace("always"), Prefix::Always, false),
            (metaspace("first"), Prefix::First, false),
            (metaspace("never"), Prefix::Never, false),
            (old(json!(true)), Prefix::Always, true),
            (old(json!(false)), Prefix::Never, true),
            (json!({"type": "Metaspace"}), Prefix::Always, true),
        ] {
            let found = Spaces::read(&tokenizer(Value::Null, pre)).unwrap();
            assert_eq!((found.prefix, found.splits), (prefix, splits));
        }
    }

    #[test]
    fn steps_that_sentencepiece_has_not_are_refused() {
        let sequence = |steps: Value| json!({"type": "Sequence", "pretokenizers": steps});
        let words = json!({"type": "WhitespaceSplit"});
        for pre in [
            Value::Null,
            words.clone(),
            json!({"type": "Whitespace"}),
            sequence(json!([metaspace("always"), {"type": "Digits", "individual_digits": true}])),
            sequence(json!([words, metaspace("first")])),
            metaspace("sometimes"),
            json!({"type": "Metaspace", "replacement": "_"}),
        ] {
            assert!(read(&tokenizer(Value::Null, pre.clone())).is_err(), "{pre}");
        }
        let replace = |content: &str| json!({"type": "Replace", "pattern": {"Regex": " {2,}"}, "content": content});
        for step in [json!({"type": "NFKC"}), json!({"type": "Lowercase"}), replace("x")] {
            assert!(read(&tokenizer(step.clone(), metaspace("always"))).is_err(), "{step}");
        }
        assert!(read(&tokenizer(replace("\u{2581}"), metaspace("always"))).is_ok());
    }

    #[test]
    fn what_differs_from_hugging_face_is_named() {
        let strip = |start, end| json!({"type": "Strip", "strip_left": start, "strip_right": end});
        let replace = || json!({"type": "Replace", "pattern": {"Regex": " {2,}"}, "content": " "});
        let steps = |steps: Value| json!({"type": "Sequence", "normalizers": steps});
        let charsmap = || json!({"type": "Precompiled", "precompiled_charsmap": "Zm9v"});
        const TIES: &str = "pieces that are equally likely";
        const LETTER: &str = "the letter \u{2581}";
        const ADDED: &str = "what stands behind an added token";
        let (start, end) = ("spaces that a text begins with", "spaces that a text ends with");
        for (normalizer, scheme, want) in [
            (Value::Null, "never", vec![TIES]),
            (Value::Null, "always", vec![TIES, LETTER, start, ADDED]),
            (steps(json!([strip(false, true), charsmap(), replace()])), "always", vec![TIES, LETTER, ADDED]),
            (steps(json!([charsmap(), replace()])), "always", vec![TIES, LETTER, end, ADDED]),
            (steps(json!([strip(true, true), charsmap(), replace()])), "never", vec![TIES, LETTER]),
            (strip(true, true), "never", vec![TIES, start, end, "white space other than spaces"]),
        ] {
            let found = Spaces::read(&tokenizer(normalizer.clone(), metaspace(scheme))).unwrap();
            assert_eq!(found.differences(false), want, "{normalizer} {scheme}");
        }
        let pre = json!({"type": "Metaspace", "prepend_scheme": "never"});
        let found = Spaces::read(&tokenizer(Value::Null, pre)).unwrap();
        assert_eq!(found.differences(true), [TIES, "pieces of several words"]);
    }
}
