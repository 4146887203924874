//! The vocabulary's place in a GGUF file's metadata.

use core::fmt;

use super::{PreTokenizer, StringArray, Vocab};
use crate::gguf::{Array, Gguf, Value, ValueType};

/// Why a file has no vocabulary that can be used.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum VocabError {
    /// A key is missing.
    Missing {
        /// The key.
        key: &'static str,
    },
    /// A value is of the wrong type.
    Type {
        /// The key.
        key: &'static str,
        /// What it should be.
        want: &'static str,
        /// The type in the file.
        found: &'static str,
    },
    /// `tokenizer.ggml.model` is not `gpt2`, GGUF's name of byte-level BPE.
    Model {
        /// Its value (cut off when long).
        found: heapless::String<32>,
    },
    /// `tokenizer.ggml.pre` is none that is known.
    Pre {
        /// Its value (cut off when long).
        found: heapless::String<32>,
    },
}

impl fmt::Display for VocabError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing { key } => write!(f, "the file has no tokenizer: {key} is missing"),
            Self::Type { key, want, found } => write!(f, "{key} is of type {found}, not {want}"),
            Self::Model { found } => {
                write!(f, "tokenizer.ggml.model is \"{found}\": \"gpt2\", byte-level BPE, can be read")
            }
            Self::Pre { found } => write!(f, "tokenizer.ggml.pre \"{found}\": {}", super::UnknownPreTokenizer),
        }
    }
}

impl core::error::Error for VocabError {}

impl<'f> Vocab<'f> {
    /// The vocabulary that the metadata holds.
    ///
    /// Files from before `tokenizer.ggml.pre` existed lack it: then the family's own pre-tokenizer is meant, which is BLOOM's
    /// for `bloom`, StarCoder's for `refact` and GPT-2's for all others.
    ///
    /// # Errors
    /// [`VocabError`] names the key at fault.
    pub fn from_gguf(gguf: &Gguf<'f>) -> Result<Self, VocabError> {
        match gguf.get("tokenizer.ggml.model") {
            Some(Value::String(b"gpt2")) => {}
            Some(Value::String(other)) => return Err(VocabError::Model { found: cut_off(other) }),
            Some(other) => return Err(wrong_type("tokenizer.ggml.model", "string", other)),
            None => return Err(VocabError::Missing { key: "tokenizer.ggml.model" }),
        }
        let pre = match gguf.get("tokenizer.ggml.pre") {
            Some(Value::String(name)) => core::str::from_utf8(name)
                .ok()
                .and_then(|name| PreTokenizer::from_name(name).ok())
                .ok_or_else(|| VocabError::Pre { found: cut_off(name) })?,
            Some(other) => return Err(wrong_type("tokenizer.ggml.pre", "string", other)),
            None => match gguf.get("general.architecture") {
                Some(Value::String(b"bloom")) => PreTokenizer::Bloom,
                Some(Value::String(b"refact" | b"starcoder")) => PreTokenizer::Starcoder,
                _ => PreTokenizer::Gpt2,
            },
        };
        Ok(Self {
            tokens: strings(gguf, "tokenizer.ggml.tokens")?,
            merges: strings(gguf, "tokenizer.ggml.merges")?,
            token_types: token_types(gguf)?,
            pre,
            bos: token_id(gguf, "tokenizer.ggml.bos_token_id")?,
            eos: token_id(gguf, "tokenizer.ggml.eos_token_id")?,
            add_bos: matches!(gguf.get("tokenizer.ggml.add_bos_token"), Some(Value::Bool(true))),
        })
    }
}

fn strings<'f>(gguf: &Gguf<'f>, key: &'static str) -> Result<StringArray<'f>, VocabError> {
    match gguf.get(key) {
        Some(Value::Array(Array { ty: ValueType::String, len, body })) => {
            // `Gguf::parse` walked over every string, so they all lie in the body.
            StringArray::split(len, body).map(|(strings, _)| strings).ok_or(VocabError::Missing { key })
        }
        Some(other) => Err(wrong_type(key, "array of strings", other)),
        None => Err(VocabError::Missing { key }),
    }
}

fn token_types<'f>(gguf: &Gguf<'f>) -> Result<Option<&'f [u8]>, VocabError> {
    const KEY: &str = "tokenizer.ggml.token_type";
    match gguf.get(KEY) {
        Some(Value::Array(Array { ty: ValueType::I32 | ValueType::U32, body, .. })) => Ok(Some(body)),
        Some(other) => Err(wrong_type(KEY, "array of i32", other)),
        None => Ok(None),
    }
}

fn token_id(gguf: &Gguf<'_>, key: &'static str) -> Result<Option<u32>, VocabError> {
    match gguf.get(key) {
        Some(value) => match value.as_u64().and_then(|id| u32::try_from(id).ok()) {
            Some(id) => Ok(Some(id)),
            None => Err(wrong_type(key, "token id", value)),
        },
        None => Ok(None),
    }
}

fn wrong_type(key: &'static str, want: &'static str, found: Value<'_>) -> VocabError {
    VocabError::Type { key, want, found: found.ty().name() }
}

/// Text for a message, as far as it fits.
fn cut_off(bytes: &[u8]) -> heapless::String<32> {
    let mut text = heapless::String::new();
    for c in bytes.escape_ascii().map(char::from) {
        if text.push(c).is_err() {
            break;
        }
    }
    text
}

#[cfg(test)]
mod tests {
    extern crate std;

    use std::string::ToString;
    use std::vec::Vec;

    use super::*;

    /// A GGUF file of strings and, for the vocabulary, two empty arrays of strings.
    fn file(strings: &[(&str, &str)]) -> Vec<u8> {
        let string = |s: &str| [&(s.len() as u64).to_le_bytes()[..], s.as_bytes()].concat();
        let mut file = b"GGUF\x03\0\0\0".to_vec();
        file.extend(0u64.to_le_bytes());
        file.extend((strings.len() as u64 + 2).to_le_bytes());
        for (key, value) in strings {
            file.extend([string(key), 8u32.to_le_bytes().to_vec(), string(value)].concat());
        }
        for key in ["tokenizer.ggml.tokens", "tokenizer.ggml.merges"] {
            file.extend([string(key), [9u32, 8, 0, 0].map(u32::to_le_bytes).concat()].concat());
        }
        file
    }

    #[test]
    fn a_file_without_a_pre_tokenizer_gets_that_of_its_family() {
        for (architecture, wanted) in [
            ("bloom", PreTokenizer::Bloom),
            ("refact", PreTokenizer::Starcoder),
            ("mpt", PreTokenizer::Gpt2),
            ("jais", PreTokenizer::Gpt2),
        ] {
            let file = file(&[("general.architecture", architecture), ("tokenizer.ggml.model", "gpt2")]);
            assert_eq!(Vocab::from_gguf(&Gguf::parse(&file).unwrap()).unwrap().pre, wanted, "{architecture}");
        }
    }

    #[test]
    fn errors_name_the_key_and_what_was_found() {
        for (strings, wanted) in [
            (&[("a", "b")][..], "the file has no tokenizer: tokenizer.ggml.model is missing"),
            (
                &[("tokenizer.ggml.model", "llama")],
                "tokenizer.ggml.model is \"llama\": \"gpt2\", byte-level BPE, can be read",
            ),
            (
                &[("tokenizer.ggml.model", "gpt2"), ("tokenizer.ggml.pre", "falcon")],
                "tokenizer.ggml.pre \"falcon\": not a known pre-tokenizer",
            ),
        ] {
            let file = file(strings);
            let error = Vocab::from_gguf(&Gguf::parse(&file).unwrap()).unwrap_err().to_string();
            assert!(error.starts_with(wanted), "{error}");
        }
    }
}
