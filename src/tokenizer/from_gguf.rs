//! Reads the vocabulary from a GGUF file's metadata.

use core::fmt;
use core::iter;

use super::{
    AddedTokens, BertOptions, CharacterOptions, Kind, PreTokenizer, SpaceOptions, StringArray, Tokenizer, Vocab,
};
use crate::architecture::Architecture;
use crate::gguf::{Array, Gguf, Value, ValueType};

/// Error of a file that has no usable vocabulary.
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
        /// The type that was expected.
        want: &'static str,
        /// The type in the file.
        found: &'static str,
    },
    /// `tokenizer.ggml.model` is not known, or not one that the called function reads.
    Model {
        /// Value of the key (cut off when long).
        found: heapless::String<32>,
        /// Models that can be read.
        want: &'static str,
    },
    /// `tokenizer.ggml.pre` is not known.
    Pre {
        /// Value of the key (cut off when long).
        found: heapless::String<32>,
    },
    /// The vocabulary needs texts in NFC, which its pre-tokenizer is not combined with.
    Nfc,
    /// The vocabulary needs a feature of this crate that is not built in.
    NotBuilt {
        /// Name of the feature.
        feature: &'static str,
    },
}

impl fmt::Display for VocabError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing { key } => write!(f, "the file has no tokenizer: {key} is missing"),
            Self::Type { key, want, found } => write!(f, "{key} is of type {found}, not {want}"),
            Self::Model { found, want } => write!(f, "tokenizer.ggml.model is \"{found}\": {want} can be read"),
            Self::Nfc => write!(
                f,
                "the tokenizer wants its texts in NFC ({NFC}): that with GPT-2's way to cut texts can be read"
            ),
            Self::NotBuilt { feature } => {
                write!(f, "the tokenizer is of a kind that is not built in: see the feature {feature}")
            }
            Self::Pre { found } => write!(f, "tokenizer.ggml.pre \"{found}\": {}", super::UnknownPreTokenizer),
        }
    }
}

impl core::error::Error for VocabError {}

impl<'f> Vocab<'f> {
    /// Reads the vocabulary, of any [kind](Kind) that is built in, from the metadata.
    ///
    /// Files from before `tokenizer.ggml.pre` existed lack it, and a converter that did not know a tokenizer wrote `default`.
    /// Such files get the pre-tokenizer of the architecture's published models: BLOOM's for `bloom`, StarCoder's for `refact`
    /// and `starcoder`, Falcon's for `falcon`, and GPT-2's for all others that run here. For an unknown architecture, a missing
    /// name means GPT-2's, and `default` is an error.
    ///
    /// # Errors
    /// [`VocabError`] names the key at fault, or the feature that the kind needs.
    pub fn from_gguf(gguf: &Gguf<'f>) -> Result<Self, VocabError> {
        // Code and tables of a kind are reached by these calls alone.
        let vocab = match Self::kind_feature(gguf)? {
            "byte_level" if cfg!(feature = "byte_level") => Self::byte_level_from_gguf(gguf),
            "nfc" if cfg!(feature = "nfc") => match Self::byte_level_from_gguf(gguf)? {
                vocab @ Self { pre: PreTokenizer::Gpt2, .. } => Ok(Self { kind: Kind::BYTE_LEVEL_BPE_NFC, ..vocab }),
                _ => Err(VocabError::Nfc),
            },
            "character_bpe" if cfg!(feature = "character_bpe") => Self::character_bpe_from_gguf(gguf),
            "sentencepiece" if cfg!(feature = "sentencepiece") => {
                Self::sentencepiece_from_gguf(gguf, Kind::SENTENCEPIECE_BPE)
            }
            "unigram" if cfg!(feature = "unigram") => Self::sentencepiece_from_gguf(gguf, Kind::UNIGRAM),
            "wordpiece" if cfg!(feature = "wordpiece") => Self::wordpiece_from_gguf(gguf),
            feature => Err(VocabError::NotBuilt { feature }),
        }?;
        let mut added = added_tokens(gguf)?;
        if let Some(ids) = single_word(gguf)? {
            if !cfg!(feature = "single_word") {
                return Err(VocabError::NotBuilt { feature: "single_word" });
            }
            added = added.with_single_word(ids);
        }
        Ok(Self { index: vocab.index_in(gguf), added, ..vocab })
    }

    /// Features of this crate that [`from_gguf`](Self::from_gguf) needs for a file.
    ///
    /// # Errors
    /// [`VocabError`] if no feature reads the vocabulary.
    pub fn features(gguf: &Gguf<'_>) -> Result<impl Iterator<Item = &'static str>, VocabError> {
        let single_word = single_word(gguf)?.map(|_| "single_word");
        Ok(iter::once(Self::kind_feature(gguf)?).chain(single_word))
    }

    /// Feature that reads vocabularies of the file's kind.
    fn kind_feature(gguf: &Gguf<'_>) -> Result<&'static str, VocabError> {
        Ok(match model(gguf)? {
            b"whitespace" => "character_bpe",
            b"gpt2" if matches!(string(gguf, PRE)?, Some(b"dnabert-2" | b"whitespace" | b"jina-v2-zh")) => {
                "character_bpe"
            }
            b"gpt2" if wants_nfc(gguf)? => "nfc",
            b"gpt2" => "byte_level",
            b"llama" => "sentencepiece",
            b"t5" => "unigram",
            b"bert" => "wordpiece",
            other => {
                return Err(VocabError::Model {
                    found: cut_off(other),
                    want: "\"gpt2\" (byte-level BPE), \"llama\" (SentencePiece BPE), \"t5\" (unigram), \"bert\" (WordPiece) or \"whitespace\" (BPE over characters)",
                });
            }
        })
    }

    /// The key of an array of bytes that ends with the tokenizer's [index](super::Tokenizer::index). The array begins with
    /// zeros, as many as put the index at a multiple of a line, so that it can be used where it lies. A reader may ignore the
    /// key.
    pub const INDEX_KEY: &'static str = "nearfield.tokenizer.index";

    /// Last bytes of the array under [`INDEX_KEY`](Self::INDEX_KEY), as many as the index of this vocabulary has; `None` if the
    /// file has no such array or fewer bytes.
    fn index_in(&self, gguf: &Gguf<'f>) -> Option<&'f [u8]> {
        let Some(Value::Array(Array { ty: ValueType::U8, body, .. })) = gguf.get(Self::INDEX_KEY) else { return None };
        let need = Tokenizer::prepared_bytes(self.tokens.len(), self.merges.len())?;
        body.get(body.len().checked_sub(need)?..)
    }

    fn byte_level_from_gguf(gguf: &Gguf<'f>) -> Result<Self, VocabError> {
        let pre = match string(gguf, PRE)?.filter(|name| !is_default(gguf, name)) {
            Some(name) => core::str::from_utf8(name)
                .ok()
                .and_then(|name| PreTokenizer::from_name(name).ok())
                .ok_or_else(|| VocabError::Pre { found: cut_off(name) })?,
            None => match gguf.get("general.architecture") {
                Some(Value::String(b"bloom")) => PreTokenizer::Bloom,
                Some(Value::String(b"refact" | b"starcoder")) => PreTokenizer::Starcoder,
                Some(Value::String(b"falcon")) => PreTokenizer::Falcon,
                _ => PreTokenizer::Gpt2,
            },
        };
        let vocab = Self::byte_level(strings(gguf, "tokenizer.ggml.tokens")?, strings(gguf, MERGES)?, pre);
        Ok(Self { unk: token_id(gguf, UNKNOWN_BYTE)?, ..vocab.with_special_tokens(gguf, false)? })
    }

    /// Reads BPE over characters. llama.cpp's converter writes `whitespace` for the pre-tokenizer `Whitespace`, and leaves out
    /// `lowercase` if it is false. Older files have the name of the published model (`jina-v2-zh`), which lowercases.
    fn character_bpe_from_gguf(gguf: &Gguf<'f>) -> Result<Self, VocabError> {
        let (model, pre) = (model(gguf)?, string(gguf, PRE)?);
        let characters = CharacterOptions {
            lowercase: bool(gguf, LOWERCASE)?.unwrap_or(pre == Some(b"jina-v2-zh")),
            cuts_signs: model == b"whitespace" || pre != Some(b"dnabert-2"),
        };
        let vocab = Self::new(gguf, Kind::CHARACTER_BPE)?.with_special_tokens(gguf, false)?;
        // A file with `fuse_unknown` names the model's own unknown token under `UNKNOWN_BYTE`, or has none.
        let unk = match token_id(gguf, UNKNOWN_BYTE)? {
            None if bool(gguf, FUSE_UNKNOWN)?.is_none() => vocab.unk,
            named => named,
        };
        Ok(Self { merges: strings(gguf, MERGES)?, characters, unk, ..vocab })
    }

    fn sentencepiece_from_gguf(gguf: &Gguf<'f>, kind: Kind) -> Result<Self, VocabError> {
        let is_bpe = kind == Kind::SENTENCEPIECE_BPE;
        let spaces = SpaceOptions {
            add_prefix: bool(gguf, "tokenizer.ggml.add_space_prefix")?.unwrap_or(true),
            remove_extra: bool(gguf, "tokenizer.ggml.remove_extra_whitespaces")?.unwrap_or(false),
            charsmap: match gguf.get(CHARSMAP) {
                Some(Value::Array(Array { ty: ValueType::U8 | ValueType::I8, body, .. })) => {
                    (!body.is_empty()).then_some(body)
                }
                Some(other) => return Err(wrong_type(CHARSMAP, "array of bytes", other)),
                None => None,
            },
        };
        let scores = match gguf.get(SCORES) {
            Some(Value::Array(Array { ty: ValueType::F32, body, .. })) => Some(body),
            Some(other) => return Err(wrong_type(SCORES, "array of f32", other)),
            None => return Err(VocabError::Missing { key: SCORES }),
        };
        let vocab = Self::new(gguf, kind)?.with_special_tokens(gguf, false)?;
        // Defaults of llama.cpp for keys that a file lacks.
        Ok(Self {
            spaces,
            scores,
            unk: vocab.unk.or(Some(if is_bpe { 0 } else { 2 })).filter(|&id| (id as usize) < vocab.tokens.len()),
            bos: vocab.bos.or(is_bpe.then_some(1)).filter(|&id| (id as usize) < vocab.tokens.len()),
            eos: vocab.eos.or(Some(if is_bpe { 2 } else { 1 })).filter(|&id| (id as usize) < vocab.tokens.len()),
            add_bos: bool(gguf, ADD_BOS)?.unwrap_or(is_bpe || vocab.add_bos),
            add_eos: vocab.add_eos || !is_bpe && bool(gguf, ADD_EOS)?.is_none(),
            ..vocab
        })
    }

    fn wordpiece_from_gguf(gguf: &Gguf<'f>) -> Result<Self, VocabError> {
        let lowercase = bool(gguf, LOWERCASE)?.unwrap_or(true);
        let strip_accents = bool(gguf, "tokenizer.ggml.normalizer.strip_accents")?.unwrap_or(lowercase);
        let vocab = Self::new(gguf, Kind::WORDPIECE)?.with_special_tokens(gguf, true)?;
        // Defaults of llama.cpp for keys that a file lacks: the ids of BERT's own vocabulary.
        let or = |id: Option<u32>, default| id.or(Some(default)).filter(|&id| (id as usize) < vocab.tokens.len());
        Ok(Self {
            bert: BertOptions { lowercase, strip_accents },
            bos: or(vocab.bos, 101),
            sep: or(vocab.sep, 102),
            unk: or(vocab.unk, 100),
            ..vocab
        })
    }

    /// Reads the tokens, without merges.
    fn new(gguf: &Gguf<'f>, kind: Kind) -> Result<Self, VocabError> {
        let tokens = strings(gguf, "tokenizer.ggml.tokens")?;
        Ok(Self { kind, ..Self::byte_level(tokens, StringArray::EMPTY, PreTokenizer::Gpt2) })
    }

    /// Reads the ids of tokens with a meaning, and the flags that say which of them stand around a text.
    ///
    /// Encoders and WordPiece have a token at each end of a text: Hugging Face's tokenizers put them there whatever the other
    /// files of a model say. The tokens' names are BERT's (`cls`, `sep`) or the usual ones (`bos`, `eos`). For the last token
    /// llama.cpp's converter writes `add_eos_token`, and `add_sep_token` only if two texts have more than one token between
    /// them; older converters write neither. So either flag turns the last token on, and only both together turn it off.
    fn with_special_tokens(self, gguf: &Gguf<'f>, is_wordpiece: bool) -> Result<Self, VocabError> {
        let has_two_ends = is_wordpiece || is_encoder(gguf);
        let [bos, cls, eos, sep, unk] = token_ids(gguf)?;
        let (add_eos, add_sep) = (bool(gguf, ADD_EOS)?, bool(gguf, ADD_SEP)?);
        // WordPiece ends with `sep`. Other kinds end with `eos` if the file turns that on and `sep` off.
        let ends_with_eos = !is_wordpiece && add_eos == Some(true) && add_sep == Some(false);
        Ok(Self {
            token_types: four_bytes_each(gguf, "tokenizer.ggml.token_type")?,
            bos: if has_two_ends { cls.or(bos) } else { bos.or(cls) },
            eos,
            eot: token_id(gguf, "tokenizer.ggml.eot_token_id")?,
            eom: token_id(gguf, "tokenizer.ggml.eom_token_id")?,
            ends: four_bytes_each(gguf, "tokenizer.ggml.eos_token_ids")?,
            sep: if ends_with_eos { eos.or(sep) } else { sep },
            unk,
            fuse_unk: bool(gguf, FUSE_UNKNOWN)?.unwrap_or(false),
            add_bos: bool(gguf, ADD_BOS)?.unwrap_or(has_two_ends),
            add_eos: add_eos.unwrap_or(has_two_ends) || add_sep.unwrap_or(has_two_ends),
            ..self
        })
    }
}

const PRE: &str = "tokenizer.ggml.pre";
const LOWERCASE: &str = "tokenizer.ggml.normalizer.lowercase";
/// Key of ours: other converters leave the normalizer out.
const NFC: &str = "tokenizer.ggml.normalizer.nfc";
/// Keys of ours: `unk_token` of the BPE in a `tokenizer.json`, which is not the unknown token of a model's other files, and
/// `fuse_unk`.
const UNKNOWN_BYTE: &str = "tokenizer.ggml.unknown_byte_token_id";
const FUSE_UNKNOWN: &str = "tokenizer.ggml.fuse_unknown";
/// Keys of ours: rules by which added tokens are found (`AddedToken` of Hugging Face).
const LSTRIP: &str = "tokenizer.ggml.added_tokens.lstrip";
const RSTRIP: &str = "tokenizer.ggml.added_tokens.rstrip";
const SINGLE_WORD: &str = "tokenizer.ggml.added_tokens.single_word";
const NORMALIZED: &str = "tokenizer.ggml.added_tokens.normalized";
const MERGES: &str = "tokenizer.ggml.merges";
const SCORES: &str = "tokenizer.ggml.scores";
const CHARSMAP: &str = "tokenizer.ggml.precompiled_charsmap";
const ADD_BOS: &str = "tokenizer.ggml.add_bos_token";
const ADD_EOS: &str = "tokenizer.ggml.add_eos_token";
const ADD_SEP: &str = "tokenizer.ggml.add_sep_token";

/// Reads `tokenizer.ggml.model`.
fn model<'f>(gguf: &Gguf<'f>) -> Result<&'f [u8], VocabError> {
    const KEY: &str = "tokenizer.ggml.model";
    string(gguf, KEY)?.ok_or(VocabError::Missing { key: KEY })
}

/// True if the name in `tokenizer.ggml.pre` is `default` and the architecture is known, which then determines the
/// pre-tokenizer.
fn is_default(gguf: &Gguf<'_>, name: &[u8]) -> bool {
    let is_known = |arch: Value<'_>| matches!(arch, Value::String(arch) if Architecture::find(arch).is_some());
    name == b"default" && gguf.get("general.architecture").is_some_and(is_known)
}

/// True if the architecture is that of an encoder.
fn is_encoder(gguf: &Gguf<'_>) -> bool {
    match gguf.get("general.architecture") {
        Some(Value::String(name)) => Architecture::find(name).is_some_and(Architecture::is_encoder),
        _ => false,
    }
}

/// True if byte-level BPE needs texts in NFC. Without the key, the pre-tokenizer's name decides: MPT and OLMo use GPT-NeoX's
/// tokenizer, which has that normalizer.
fn wants_nfc(gguf: &Gguf<'_>) -> Result<bool, VocabError> {
    Ok(match bool(gguf, NFC)? {
        Some(nfc) => nfc,
        None => {
            let is_mpt = || matches!(gguf.get("general.architecture"), Some(Value::String(b"mpt")));
            let pre = string(gguf, PRE)?;
            let means_nfc = matches!(pre, Some(b"mpt" | b"olmo")) || pre == Some(b"default") && is_mpt();
            model(gguf)? == b"gpt2" && means_nfc
        }
    })
}

/// Ids of the tokens that are found only as whole words, if there are any.
fn single_word<'f>(gguf: &Gguf<'f>) -> Result<Option<&'f [u8]>, VocabError> {
    Ok(four_bytes_each(gguf, SINGLE_WORD)?.filter(|ids| !ids.is_empty()))
}

fn string<'f>(gguf: &Gguf<'f>, key: &'static str) -> Result<Option<&'f [u8]>, VocabError> {
    match gguf.get(key) {
        Some(Value::String(string)) => Ok(Some(string)),
        Some(other) => Err(wrong_type(key, "string", other)),
        None => Ok(None),
    }
}

fn bool(gguf: &Gguf<'_>, key: &'static str) -> Result<Option<bool>, VocabError> {
    match gguf.get(key) {
        Some(Value::Bool(value)) => Ok(Some(value)),
        Some(other) => Err(wrong_type(key, "bool", other)),
        None => Ok(None),
    }
}

fn strings<'f>(gguf: &Gguf<'f>, key: &'static str) -> Result<StringArray<'f>, VocabError> {
    match gguf.get(key) {
        Some(Value::Array(Array { ty: ValueType::String, len, body })) => {
            // `Gguf::parse` walked over every string, so they all lie in the body.
            Ok(StringArray::walked(len, body))
        }
        Some(other) => Err(wrong_type(key, "array of strings", other)),
        None => Err(VocabError::Missing { key }),
    }
}

/// Bytes of an array of integers of four bytes, signed or not; `None` if the key is missing.
fn four_bytes_each<'f>(gguf: &Gguf<'f>, key: &'static str) -> Result<Option<&'f [u8]>, VocabError> {
    match gguf.get(key) {
        Some(Value::Array(Array { ty: ValueType::I32 | ValueType::U32, body, .. })) => Ok(Some(body)),
        Some(other) => Err(wrong_type(key, "array of i32", other)),
        None => Ok(None),
    }
}

/// Reads the rules by which added tokens are found, except `single_word`.
fn added_tokens<'f>(gguf: &Gguf<'f>) -> Result<AddedTokens<'f>, VocabError> {
    let ids = |key| four_bytes_each(gguf, key).map(Option::unwrap_or_default);
    Ok(AddedTokens::NONE.with_lstrip(ids(LSTRIP)?).with_rstrip(ids(RSTRIP)?).with_normalized(ids(NORMALIZED)?))
}

/// Ids of the tokens `bos`, `cls`, `eos`, `sep` and `unk`.
fn token_ids(gguf: &Gguf<'_>) -> Result<[Option<u32>; 5], VocabError> {
    Ok([
        token_id(gguf, "tokenizer.ggml.bos_token_id")?,
        token_id(gguf, "tokenizer.ggml.cls_token_id")?,
        token_id(gguf, "tokenizer.ggml.eos_token_id")?,
        token_id(gguf, "tokenizer.ggml.seperator_token_id")?,
        token_id(gguf, "tokenizer.ggml.unknown_token_id")?,
    ])
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

/// Text for a message, cut off where it does not fit.
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
            ("falcon", PreTokenizer::Falcon),
            ("mpt", PreTokenizer::Gpt2),
            ("jais", PreTokenizer::Gpt2),
        ] {
            let file = file(&[("general.architecture", architecture), ("tokenizer.ggml.model", "gpt2")]);
            assert_eq!(Vocab::from_gguf(&Gguf::parse(&file).unwrap()).unwrap().pre, wanted, "{architecture}");
        }
    }

    /// Value of an entry.
    #[derive(Clone, Copy)]
    enum Made<'m> {
        Text(&'m str),
        Id(u32),
        Flag(bool),
        Ids(&'m [u32]),
        Bytes(&'m [u8]),
    }

    use Made::*;

    /// A GGUF file of `n` empty tokens with scores, without merges, and with these entries.
    fn made(n: usize, entries: &[(&str, Made<'_>)]) -> Vec<u8> {
        let string = |s: &str| [&(s.len() as u64).to_le_bytes()[..], s.as_bytes()].concat();
        let array = |ty: u32, n: usize, body: &[u8]| [&ty.to_le_bytes()[..], &(n as u64).to_le_bytes(), body].concat();
        let value = |value: &Made<'_>| match *value {
            Text(text) => (8, string(text)),
            Id(id) => (4, id.to_le_bytes().to_vec()),
            Flag(flag) => (7, [flag.into()].to_vec()),
            Ids(ids) => (9, array(4, ids.len(), &ids.iter().flat_map(|id| id.to_le_bytes()).collect::<Vec<_>>())),
            Bytes(bytes) => (9, array(0, bytes.len(), bytes)),
        };
        let mut file = b"GGUF\x03\0\0\0".to_vec();
        file.extend([0, entries.len() as u64 + 3].map(u64::to_le_bytes).concat());
        let arrays = [
            ("tokenizer.ggml.tokens", array(8, n, &[0; 8].repeat(n))),
            (MERGES, array(8, 0, &[])),
            (SCORES, array(6, n, &[0; 4].repeat(n))),
        ];
        let entries = entries.iter().map(|(key, of)| (*key, value(of)));
        for (key, (ty, value)) in entries.chain(arrays.map(|(key, value)| (key, (9u32, value)))) {
            file.extend([&string(key)[..], &ty.to_le_bytes(), &value].concat());
        }
        file
    }

    const MODEL: &str = "tokenizer.ggml.model";
    const ARCHITECTURE: &str = "general.architecture";
    const BOS: &str = "tokenizer.ggml.bos_token_id";
    const EOS: &str = "tokenizer.ggml.eos_token_id";
    const SEP: &str = "tokenizer.ggml.seperator_token_id";
    const UNK: &str = "tokenizer.ggml.unknown_token_id";

    /// Hands over the vocabulary of `n` tokens of a model, with these entries.
    fn read<R>(
        n: usize,
        model: &str,
        entries: &[(&str, Made<'_>)],
        use_it: impl FnOnce(Result<Vocab<'_>, VocabError>) -> R,
    ) -> R {
        let file = made(n, &[&[(MODEL, Text(model))], entries].concat());
        use_it(Vocab::from_gguf(&Gguf::parse(&file).unwrap()))
    }

    /// Ids are those of the file, or llama.cpp's defaults where the vocabulary has them.
    #[test]
    fn ids_that_a_file_lacks_are_those_of_llama_cpp() {
        let ids = |n: usize, model: &str, entries: &[(&str, Made<'_>)]| {
            read(n, model, entries, |vocab| vocab.map(|v| [v.unk, v.bos, v.eos, v.sep]).unwrap())
        };
        assert_eq!(ids(5, "llama", &[]), [Some(0), Some(1), Some(2), None]);
        assert_eq!(ids(2, "llama", &[]), [Some(0), Some(1), None, None]);
        assert_eq!(ids(1, "llama", &[]), [Some(0), None, None, None]);
        assert_eq!(ids(0, "llama", &[]), [None; 4]);
        assert_eq!(ids(5, "t5", &[]), [Some(2), None, Some(1), None]);
        assert_eq!(ids(2, "t5", &[]), [None, None, Some(1), None]);
        let named = [(UNK, Id(4)), (BOS, Id(3)), (EOS, Id(0))];
        assert_eq!(ids(5, "llama", &named), [Some(4), Some(3), Some(0), None]);
        assert_eq!(ids(5, "t5", &named), [Some(4), Some(3), Some(0), None]);
        assert_eq!(ids(103, "bert", &[]), [Some(100), Some(101), None, Some(102)]);
        assert_eq!(ids(102, "bert", &[]), [Some(100), Some(101), None, None]);
        assert_eq!(ids(101, "bert", &[]), [Some(100), None, None, None]);
        assert_eq!(ids(100, "bert", &[]), [None; 4]);
        let named = [(UNK, Id(4)), (BOS, Id(3)), (SEP, Id(0))];
        assert_eq!(ids(103, "bert", &named), [Some(4), Some(3), None, Some(0)]);
    }

    #[test]
    fn flags_that_a_file_lacks_are_those_of_llama_cpp() {
        let flags = |model: &str, entries: &[(&str, Made<'_>)]| {
            read(5, model, entries, |vocab| vocab.map(|v| (v.add_bos, v.add_eos)).unwrap())
        };
        let encoder = (ARCHITECTURE, Text("jina-bert-v2"));
        assert_eq!([flags("llama", &[]), flags("t5", &[])], [(true, false), (false, true)]);
        assert_eq!([flags("llama", &[encoder]), flags("t5", &[encoder])], [(true, true); 2]);
        for model in ["llama", "t5"] {
            for (bos, eos) in [(false, false), (false, true), (true, false), (true, true)] {
                assert_eq!(flags(model, &[(ADD_BOS, Flag(bos)), (ADD_EOS, Flag(eos))]), (bos, eos), "{model}");
            }
        }
    }

    /// Where a file has both, `sep` stands behind a text, unless the flags choose `eos`. WordPiece always has `sep`.
    #[test]
    fn flags_choose_between_two_ends() {
        let sep = |model: &str, eos: Option<bool>, sep: Option<bool>| {
            let mut entries = [(EOS, Id(1)), (SEP, Id(2))].to_vec();
            entries.extend(eos.map(|flag| (ADD_EOS, Flag(flag))));
            entries.extend(sep.map(|flag| (ADD_SEP, Flag(flag))));
            read(5, model, &entries, |vocab| vocab.unwrap().sep)
        };
        let flags = [None, Some(false), Some(true)];
        for (eos, with_sep) in flags.into_iter().flat_map(|eos| flags.map(|sep| (eos, sep))) {
            let chosen = if (eos, with_sep) == (Some(true), Some(false)) { 1 } else { 2 };
            assert_eq!(sep("gpt2", eos, with_sep), Some(chosen), "{eos:?} {with_sep:?}");
            assert_eq!(sep("bert", eos, with_sep), Some(2), "{eos:?} {with_sep:?}");
        }
    }

    #[test]
    fn each_key_has_its_field() {
        let entries = [
            ("tokenizer.ggml.token_type", Ids(&[1, 2, 3])),
            ("tokenizer.ggml.eot_token_id", Id(3)),
            ("tokenizer.ggml.eom_token_id", Id(4)),
            ("tokenizer.ggml.eos_token_ids", Ids(&[0, 2])),
            (UNK, Id(0)),
            (UNKNOWN_BYTE, Id(2)),
            (FUSE_UNKNOWN, Flag(true)),
        ];
        read(5, "gpt2", &entries, |vocab| {
            let vocab = vocab.unwrap();
            assert_eq!((vocab.eot, vocab.eom, vocab.unk, vocab.fuse_unk), (Some(3), Some(4), Some(2), true));
            let bytes = |ids: &[u32]| ids.iter().flat_map(|id| id.to_le_bytes()).collect::<Vec<u8>>();
            assert_eq!(vocab.token_types, Some(&*bytes(&[1, 2, 3])));
            assert_eq!(vocab.ends, Some(&*bytes(&[0, 2])));
        });
        let bert = |entries: &[(&str, Made<'_>)]| read(5, "bert", entries, |vocab| vocab.unwrap().bert);
        let both = |flag| BertOptions { lowercase: flag, strip_accents: flag };
        assert_eq!([bert(&[]), bert(&[(LOWERCASE, Flag(false))])], [both(true), both(false)]);
    }

    #[test]
    fn the_unknown_character_is_the_one_of_the_bpe() {
        let unk = |entries: &[(&str, Made<'_>)]| read(5, "whitespace", entries, |vocab| vocab.unwrap().unk);
        let (named, own, fused) = ((UNK, Id(3)), (UNKNOWN_BYTE, Id(2)), (FUSE_UNKNOWN, Flag(false)));
        assert_eq!([unk(&[]), unk(&[named]), unk(&[named, fused])], [None, Some(3), None]);
        assert_eq!([unk(&[own]), unk(&[named, own]), unk(&[named, own, fused])], [Some(2); 3]);
    }

    #[test]
    fn nfc_is_wanted_by_the_key_or_else_the_name() {
        let kind = |entries: &[(&str, Made<'_>)]| read(5, "gpt2", entries, |vocab| vocab.map(|vocab| vocab.kind));
        let pre = |name| (PRE, Text(name));
        let arch = |name| (ARCHITECTURE, Text(name));
        for entries in [
            &[pre("mpt")][..],
            &[pre("olmo")],
            &[pre("default"), arch("mpt")],
            &[pre("gpt-2"), (NFC, Flag(true))],
            &[(NFC, Flag(true))],
        ] {
            assert_eq!(kind(entries), Ok(Kind::BYTE_LEVEL_BPE_NFC));
        }
        for entries in [
            &[][..],
            &[pre("gpt-2")],
            &[arch("mpt")],
            &[pre("default"), arch("jais")],
            &[pre("mpt"), (NFC, Flag(false))],
        ] {
            assert_eq!(kind(entries), Ok(Kind::BYTE_LEVEL_BPE));
        }
        assert_eq!(kind(&[pre("bloom"), (NFC, Flag(true))]), Err(VocabError::Nfc));
    }

    #[test]
    fn an_index_is_the_end_of_its_array() {
        let need = Tokenizer::prepared_bytes(5, 0).unwrap();
        let bytes: Vec<u8> = (0..need + 3).map(|i| (i % 251) as u8).collect();
        for n in [need, need + 3] {
            read(5, "gpt2", &[(Vocab::INDEX_KEY, Bytes(&bytes[..n]))], |vocab| {
                assert_eq!(vocab.unwrap().index, Some(&bytes[n - need..n]));
            });
        }
        read(5, "gpt2", &[(Vocab::INDEX_KEY, Bytes(&bytes[..need - 1]))], |vocab| {
            assert_eq!(vocab.unwrap().index, None);
        });
    }

    #[test]
    fn features_are_those_of_the_kind_and_of_added_tokens() {
        let features = |model: &str, entries: &[(&str, Made<'_>)]| {
            let file = made(5, &[&[(MODEL, Text(model))], entries].concat());
            Vocab::features(&Gguf::parse(&file).unwrap()).map(Iterator::collect::<Vec<_>>)
        };
        assert_eq!(features("gpt2", &[(SINGLE_WORD, Ids(&[]))]), Ok(["byte_level"].to_vec()));
        assert_eq!(features("gpt2", &[(SINGLE_WORD, Ids(&[3]))]), Ok(["byte_level", "single_word"].to_vec()));
        assert_eq!(features("gpt2", &[(PRE, Text("mpt"))]), Ok(["nfc"].to_vec()));
        assert_eq!(features("gpt2", &[(PRE, Text("dnabert-2"))]), Ok(["character_bpe"].to_vec()));
        for (model, feature) in
            [("whitespace", "character_bpe"), ("llama", "sentencepiece"), ("t5", "unigram"), ("bert", "wordpiece")]
        {
            assert_eq!(features(model, &[]), Ok([feature].to_vec()));
        }
        assert!(matches!(features("rwkv", &[]), Err(VocabError::Model { .. })));
    }

    #[test]
    fn rules_of_added_tokens_are_read() {
        let rules = |added: AddedTokens<'_>| {
            let may_stand = added.may_stand(3, None, Some('x'));
            [added.takes_space_before(3), added.takes_space_behind(3), added.is_normalized(3), !may_stand]
        };
        for (i, key) in [LSTRIP, RSTRIP, NORMALIZED, SINGLE_WORD].into_iter().enumerate() {
            let wanted = core::array::from_fn(|rule| rule == i);
            read(5, "gpt2", &[(key, Ids(&[3]))], |vocab| assert_eq!(rules(vocab.unwrap().added), wanted, "{key}"));
        }
    }

    #[test]
    fn a_family_decides_only_where_the_file_names_no_pre_tokenizer() {
        let pre = |pre, architecture| {
            read(5, "gpt2", &[(PRE, Text(pre)), (ARCHITECTURE, Text(architecture))], |vocab| {
                vocab.map(|vocab| vocab.pre).ok()
            })
        };
        assert_eq!(pre("gpt-2", "bloom"), Some(PreTokenizer::Gpt2));
        assert_eq!(pre("falcon", "mpt"), Some(PreTokenizer::Falcon));
        assert_eq!(pre("default", "bloom"), Some(PreTokenizer::Bloom));
        assert_eq!(pre("default", "unknown"), None);
    }

    #[test]
    fn merges_of_characters_go_by_the_model_or_the_cuts() {
        for (model, pre, lowercase, cuts_signs) in [
            ("whitespace", "whitespace", false, true),
            ("gpt2", "whitespace", false, true),
            ("gpt2", "jina-v2-zh", true, true),
            ("gpt2", "dnabert-2", false, false),
        ] {
            let file = file(&[("tokenizer.ggml.model", model), ("tokenizer.ggml.pre", pre)]);
            let vocab = Vocab::from_gguf(&Gguf::parse(&file).unwrap()).unwrap();
            assert_eq!(vocab.kind, Kind::CHARACTER_BPE, "{model} {pre}");
            assert_eq!(vocab.characters, CharacterOptions { lowercase, cuts_signs }, "{model} {pre}");
        }
    }

    #[test]
    fn errors_name_the_key_and_what_was_found() {
        for (strings, wanted) in [
            (&[("a", "b")][..], "the file has no tokenizer: tokenizer.ggml.model is missing"),
            (
                &[("tokenizer.ggml.model", "rwkv")],
                "tokenizer.ggml.model is \"rwkv\": \"gpt2\" (byte-level BPE), \"llama\" (SentencePiece BPE), \"t5\" (unigram), \
                 \"bert\" (WordPiece) or \"whitespace\" (BPE over characters) can be read",
            ),
            (&[("tokenizer.ggml.model", "llama")], "the file has no tokenizer: tokenizer.ggml.scores is missing"),
            (
                &[("tokenizer.ggml.model", "bert"), ("tokenizer.ggml.add_bos_token", "yes")],
                "tokenizer.ggml.add_bos_token is of type string, not bool",
            ),
            (
                &[("tokenizer.ggml.model", "gpt2"), ("tokenizer.ggml.pre", "viking")],
                "tokenizer.ggml.pre \"viking\": not a known pre-tokenizer",
            ),
        ] {
            let file = file(strings);
            let error = Vocab::from_gguf(&Gguf::parse(&file).unwrap()).unwrap_err().to_string();
            assert!(error.starts_with(wanted), "{error}");
        }
    }
}
