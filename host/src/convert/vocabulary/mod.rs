//! Vocabulary of a Hugging Face directory, and its metadata in a GGUF file.
//!
//! Sources, of which the first that exists counts: sentencepiece's own model, `tokenizer.json`, `vocab.json` and `merges.txt`,
//! `vocab.txt`. Beside each of them lie `tokenizer_config.json`, `added_tokens.json` and others, which [`added`] and
//! [`special`] read.

mod added;
mod chat_template;
mod ends;
mod lists;
mod sentencepiece;
mod settings;
mod special;
mod steps;
mod tokenizer_json;
mod unigram;

use std::collections::HashMap;
use std::path::Path;

use nearfield::gguf::{Value, ValueType};

use super::config::Config;
use crate::error::{Result, bail, ensure};
use crate::gguf_out::GgufOut;
use crate::monitor::Monitor;

/// Kind of a token: GGUF's `token_type`, which has sentencepiece's numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Normal = 1,
    Unknown = 2,
    Control = 3,
    UserDefined = 4,
    Unused = 5,
    Byte = 6,
}

impl Kind {
    /// True if no plain text is encoded to a token of this kind.
    pub fn is_no_text(self) -> bool {
        matches!(self, Self::Control | Self::UserDefined | Self::Unknown)
    }
}

/// Token of a vocabulary.
#[derive(Clone, Debug, PartialEq)]
pub struct Token {
    pub text: String,
    pub kind: Kind,
    /// Score of sentencepiece: the likelier, the higher.
    pub score: f32,
}

/// Algorithm that turns texts into tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Algorithm {
    /// Merges by rank: of letters that stand for bytes, or of plain characters between white space.
    Merges,
    /// Merges by score, as sentencepiece's BPE.
    SentencePieceBpe,
    /// Likeliest sequence of pieces.
    Unigram,
    /// Longest pieces of words, from their beginning.
    WordPiece,
}

impl Algorithm {
    /// Value of `tokenizer.ggml.model`, except for [`WHITESPACE`].
    fn name(self) -> &'static str {
        match self {
            Self::Merges => "gpt2",
            Self::SentencePieceBpe => "llama",
            Self::Unigram => "t5",
            Self::WordPiece => "bert",
        }
    }
}

/// Preparation of a text in sentencepiece.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Normalizer {
    pub add_space_prefix: bool,
    pub remove_extra_whitespaces: bool,
    /// Compiled replacements of characters; empty for none.
    pub charsmap: Vec<u8>,
}

/// Preparation of a text in BERT.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bert {
    pub lowercase: bool,
    pub strip_accents: bool,
}

/// Pre-tokenizers whose published tokenizer normalizes texts to NFC.
const MEAN_NFC: [&str; 2] = ["mpt", "olmo"];

/// Pre-tokenizers for merges of plain characters. `whitespace` cuts at white space and around punctuation and is llama.cpp's
/// name, also of `tokenizer.ggml.model`; `dnabert-2` cuts at white space alone and is a name of ours.
const WHITESPACE: &str = "whitespace";
const WHITESPACE_SPLIT: &str = "dnabert-2";

/// Vocabulary, in the order of its ids.
#[derive(Clone, Debug)]
pub struct Vocabulary {
    pub algorithm: Algorithm,
    /// Value of `tokenizer.ggml.pre`.
    pub pre: String,
    /// Tokens by id; an id without a token has one of kind [`Kind::Unused`].
    pub tokens: Vec<Token>,
    /// Merges, first to last: two texts with a space between them.
    pub merges: Vec<String>,
    pub normalizer: Option<Normalizer>,
    pub bert: Option<Bert>,
    /// True if merges see texts in NFC.
    pub nfc: bool,
    /// True if merges of characters see lower case alone.
    pub lowercase: bool,
    /// Unknown token, where the model itself names one: in merges, for bytes and characters without a token.
    pub unknown: Option<usize>,
    /// True if merges join several unknown tokens in a row to one.
    pub fuse_unknown: bool,
    /// Added tokens, with the rules by which they are found.
    pub added: added::AddedTokens,
    /// Special tokens by their names in `tokenizer_config.json`, such as `bos` and `cls`.
    pub special: special::Special,
}

impl Vocabulary {
    /// Reads the vocabulary from the directory of a model with `n_vocab` rows of embeddings; `pre` is the family's own
    /// pre-tokenizer.
    pub fn read(directory: &Path, config: &Config, n_vocab: usize, pre: &str, monitor: &Monitor) -> Result<Self> {
        let mut vocabulary = Self::read_tokens(directory, pre, monitor)?;
        added::add_tokens(directory, &mut vocabulary, n_vocab, monitor)?;
        let n_tokens = vocabulary.tokens.len();
        ensure!(
            n_tokens <= n_vocab,
            "{}: the tokenizer has {n_tokens} tokens, config.json says {n_vocab}",
            directory.display()
        );
        for id in 0..n_vocab {
            vocabulary.make_room(id);
        }
        special::find(directory, config, &mut vocabulary, monitor)?;
        added::normalize(&mut vocabulary, monitor);
        settings::tell(directory, &vocabulary, monitor)?;
        Ok(vocabulary)
    }

    fn read_tokens(directory: &Path, pre: &str, monitor: &Monitor) -> Result<Self> {
        let file = |name: &str| Some(directory.join(name)).filter(|path| path.is_file());
        let sentencepiece = ["tokenizer.model", "spiece.model", "sentencepiece.bpe.model"];
        if let Some(path) = sentencepiece.into_iter().find_map(file) {
            return sentencepiece::read(&path);
        }
        if let Some(path) = file("tokenizer.json") {
            return tokenizer_json::read(&path, pre, monitor);
        }
        match (file("vocab.json"), file("merges.txt"), file("vocab.txt")) {
            (Some(vocab), Some(merges), _) => lists::byte_level(&vocab, &merges, pre),
            (.., Some(vocab)) => lists::word_piece(&vocab, directory),
            _ => bail!(
                "{} holds no tokenizer: tokenizer.json, tokenizer.model, vocab.json and merges.txt, or vocab.txt",
                directory.display()
            ),
        }
    }

    /// Empty vocabulary of an algorithm and a pre-tokenizer.
    fn new(algorithm: Algorithm, pre: &str) -> Self {
        Self {
            algorithm,
            pre: pre.into(),
            tokens: Vec::new(),
            merges: Vec::new(),
            normalizer: None,
            bert: None,
            nfc: false,
            lowercase: false,
            unknown: None,
            fuse_unknown: false,
            added: added::AddedTokens::default(),
            special: special::Special::default(),
        }
    }

    /// Sets the token of an id.
    fn set(&mut self, id: usize, token: Token) {
        self.make_room(id);
        if let Some(place) = self.tokens.get_mut(id) {
            *place = token;
        }
    }

    /// Fills ids up to `id` that have no token with unused ones, named as by llama.cpp's converter.
    fn make_room(&mut self, id: usize) {
        for i in self.tokens.len()..=id {
            self.tokens.push(Token { text: format!("[PAD{i}]"), kind: Kind::Unused, score: -1000.0 });
        }
    }

    /// Id of each text; the first, if several tokens have it.
    fn ids(&self) -> HashMap<&str, usize> {
        self.tokens.iter().enumerate().rev().map(|(id, token)| (token.text.as_str(), id)).collect()
    }

    /// True if merges are of the characters of words, not of letters that stand for bytes.
    fn merges_characters(&self) -> bool {
        self.algorithm == Algorithm::Merges && [WHITESPACE, WHITESPACE_SPLIT].contains(&&*self.pre)
    }

    /// Puts the vocabulary into the file's metadata.
    pub fn write(&self, out: &mut GgufOut) {
        let model = if self.pre == WHITESPACE { WHITESPACE } else { self.algorithm.name() };
        out.meta("tokenizer.ggml.model", Value::String(model.as_bytes()));
        out.meta("tokenizer.ggml.pre", Value::String(self.pre.as_bytes()));
        let texts: Vec<String> = self.tokens.iter().map(|token| self.text_in_file(token)).collect();
        let strings = texts.iter().map(|text| Value::String(text.as_bytes()));
        out.meta_array("tokenizer.ggml.tokens", ValueType::String, strings);
        if matches!(self.algorithm, Algorithm::SentencePieceBpe | Algorithm::Unigram) {
            let scores = self.tokens.iter().map(|token| Value::F32(token.score));
            out.meta_array("tokenizer.ggml.scores", ValueType::F32, scores);
        }
        let kinds = self.tokens.iter().map(|token| Value::I32(token.kind as i32));
        out.meta_array("tokenizer.ggml.token_type", ValueType::I32, kinds);
        if self.algorithm == Algorithm::Merges {
            let merges = self.merges.iter().map(|merge| Value::String(merge.as_bytes()));
            out.meta_array("tokenizer.ggml.merges", ValueType::String, merges);
        }
        if let Some(normalizer) = &self.normalizer {
            out.meta("tokenizer.ggml.add_space_prefix", Value::Bool(normalizer.add_space_prefix));
            out.meta("tokenizer.ggml.remove_extra_whitespaces", Value::Bool(normalizer.remove_extra_whitespaces));
            if !normalizer.charsmap.is_empty() {
                let bytes = normalizer.charsmap.iter().map(|&byte| Value::U8(byte));
                out.meta_array("tokenizer.ggml.precompiled_charsmap", ValueType::U8, bytes);
            }
        }
        if let Some(bert) = self.bert {
            out.meta("tokenizer.ggml.normalizer.lowercase", Value::Bool(bert.lowercase));
            out.meta("tokenizer.ggml.normalizer.strip_accents", Value::Bool(bert.strip_accents));
        }
        // Without the key, readers go by the pre-tokenizer's name.
        if self.nfc || self.algorithm == Algorithm::Merges && MEAN_NFC.contains(&&*self.pre) {
            out.meta("tokenizer.ggml.normalizer.nfc", Value::Bool(self.nfc));
        }
        if self.lowercase {
            out.meta("tokenizer.ggml.normalizer.lowercase", Value::Bool(true));
        }
        let is_merged = self.algorithm == Algorithm::Merges;
        if let Some(id) = self.unknown.filter(|_| is_merged) {
            out.meta("tokenizer.ggml.unknown_byte_token_id", Value::U32(id as u32));
        }
        // Merges of characters use another key's unknown token where the file has neither key.
        if is_merged && self.unknown.is_some() || self.merges_characters() {
            out.meta("tokenizer.ggml.fuse_unknown", Value::Bool(self.fuse_unknown));
        }
        self.added.write(&self.tokens, out);
        self.special.write(out);
    }

    /// Text of a token in a file. As in llama.cpp's converter, a word's first piece begins with `▁`, and the `##` of other
    /// pieces is left out.
    fn text_in_file(&self, token: &Token) -> String {
        match (self.algorithm, token.kind) {
            (Algorithm::WordPiece, Kind::Normal | Kind::Unknown) => match token.text.strip_prefix("##") {
                Some(rest) => rest.into(),
                None => format!("\u{2581}{}", token.text),
            },
            _ => token.text.clone(),
        }
    }
}
