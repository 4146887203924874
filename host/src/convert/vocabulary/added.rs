//! Tokens added to a vocabulary, and the rules by which they are found: `AddedToken` of Hugging Face's `tokenizers`.
//!
//! `tokenizer.json` has them with its vocabulary, `added_tokens.json` beside it, and `added_tokens_decoder` in
//! `tokenizer_config.json` overrides their rules. Tokens that have a name there or in `special_tokens_map.json`, and those in
//! `additional_special_tokens`, are added if they are missing, as `transformers` does.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use nearfield::gguf::{Value as Meta, ValueType};
use nearfield::tokenizer::{BertOptions, nfc};
use serde_json::Value;

use super::lists::token_id;
use super::special::{NAMES, text_of};
use super::{Algorithm, Kind, Token, Vocabulary};
use crate::convert::config::{Config, read_json};
use crate::error::{Context, Result};
use crate::gguf_out::GgufOut;
use crate::monitor::Monitor;

/// Score of a token that was added to a sentencepiece model. It is found before the text is cut; the model's own user-defined
/// pieces are cut with all others. llama.cpp's converter gives the same score.
const ADDED_SCORE: f32 = -1000.0;

/// Rules by which a token is found, besides its text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Flags {
    /// The token takes the white space before it.
    pub lstrip: bool,
    /// The token takes the white space behind it.
    pub rstrip: bool,
    /// No letter or digit may stand next to it.
    pub single_word: bool,
    /// The token is found in normalized text.
    pub normalized: bool,
}

impl Flags {
    /// Rules of an `AddedToken`; defaults where the token is a string alone.
    pub fn of(token: &Value, is_special: bool) -> Self {
        let flag = |key: &str, default: bool| token.get(key).and_then(Value::as_bool).unwrap_or(default);
        Self {
            lstrip: flag("lstrip", false),
            rstrip: flag("rstrip", false),
            single_word: flag("single_word", false),
            normalized: flag("normalized", !is_special),
        }
    }
}

/// Tokens that were added, by id.
#[derive(Clone, Debug, Default)]
pub struct AddedTokens(BTreeMap<usize, Flags>);

impl AddedTokens {
    /// Puts the rules into a file's metadata, in keys of ours: a list of ids for each rule. Only control and user-defined
    /// tokens are looked for in a text.
    pub fn write(&self, tokens: &[Token], out: &mut GgufOut) {
        let is_found =
            |id: &usize| tokens.get(*id).is_some_and(|token| matches!(token.kind, Kind::Control | Kind::UserDefined));
        let mut list = |name: &str, has: fn(&Flags) -> bool| {
            let ids = self.0.iter().filter(|(id, flags)| has(flags) && is_found(id));
            let ids: Vec<Meta<'_>> = ids.map(|(&id, _)| Meta::U32(id as u32)).collect();
            if !ids.is_empty() {
                out.meta_array(&format!("tokenizer.ggml.added_tokens.{name}"), ValueType::U32, ids);
            }
        };
        list("lstrip", |flags| flags.lstrip);
        list("rstrip", |flags| flags.rstrip);
        list("single_word", |flags| flags.single_word);
        list("normalized", |flags| flags.normalized);
    }
}

/// Adds the tokens named by the files beside the vocabulary, for a model of `n_vocab` rows.
pub fn add_tokens(directory: &Path, vocabulary: &mut Vocabulary, n_vocab: usize, monitor: &Monitor) -> Result<()> {
    let settings = Config::read_if_there(&directory.join("tokenizer_config.json"))?;
    let map = Config::read_if_there(&directory.join("special_tokens_map.json"))?;
    let path = directory.join("added_tokens.json");
    if path.is_file()
        && let Value::Object(added) = read_json(&path)?
    {
        for (text, id) in &added {
            let id = token_id(id).with_context(|| format!("{}: the id of {text:?} is {id}", path.display()))?;
            let flags = vocabulary.added.0.get(&id).copied();
            let special = named(&settings, &map).into_iter().chain(additional(&settings, &map));
            let is_special = special.filter_map(text_of).any(|special| special == text);
            add(vocabulary, id, text, false, flags.unwrap_or(Flags::of(&Value::Null, is_special)), monitor);
        }
    }
    if let Some(Value::Object(added)) = settings.value("added_tokens_decoder") {
        for (id, token) in added {
            let text = token.get("content").and_then(Value::as_str);
            let number = id.parse::<u64>().ok().and_then(|id| token_id(&id.into()));
            let (Some(text), Some(number)) = (text, number) else {
                return Err(
                    settings.refuse(format_args!("`added_tokens_decoder` has {id:?}: {token}, not a token and its id"))
                );
            };
            let is_special = token.get("special") == Some(&Value::Bool(true));
            add(vocabulary, number, text, is_special, Flags::of(token, is_special), monitor);
        }
    }
    add_special(vocabulary, named(&settings, &map), n_vocab, |kind| kind == Kind::UserDefined, monitor);
    let left_out = add_special(vocabulary, additional(&settings, &map), n_vocab, |_| false, monitor);
    for text in left_out {
        monitor.note(format_args!(
            "the special token {text:?} is left out: the vocabulary has no such token, and the model no row for it"
        ));
    }
    Ok(())
}

/// Special tokens with names, such as `bos_token`.
fn named<'v>(settings: &'v Config, map: &'v Config) -> Vec<&'v Value> {
    let of_name = |(name, _): &(&str, &str)| {
        let key = format!("{name}_token");
        [settings, map].into_iter().find_map(|file| file.value(&key))
    };
    NAMES.iter().filter_map(of_name).collect()
}

/// Special tokens without names: lists, or objects of `transformers` 4.47 and later with names of their own.
fn additional<'v>(settings: &'v Config, map: &'v Config) -> Vec<&'v Value> {
    let keys = ["additional_special_tokens", "extra_special_tokens"];
    let values = [settings, map].into_iter().flat_map(|file| keys.into_iter().filter_map(|key| file.value(key)));
    values
        .flat_map(|tokens| match tokens {
            Value::Array(tokens) => tokens.iter().collect(),
            Value::Object(tokens) => tokens.values().collect(),
            _ => Vec::new(),
        })
        .collect()
}

/// Makes tokens special by their texts, except those of a kind that `stays`. A text without an id gets the next one, while the
/// model has rows; returns the texts for which no row is left.
fn add_special(
    vocabulary: &mut Vocabulary,
    tokens: Vec<&Value>,
    n_vocab: usize,
    stays: fn(Kind) -> bool,
    monitor: &Monitor,
) -> Vec<String> {
    let texts = || tokens.iter().filter_map(|token| Some((text_of(token).filter(|text| !text.is_empty())?, *token)));
    let known = vocabulary.ids();
    let mut ids: HashMap<String, usize> =
        texts().filter_map(|(text, _)| Some((text.to_owned(), *known.get(text)?))).collect();
    let mut left_out = Vec::new();
    for (text, token) in texts() {
        let next = vocabulary.tokens.len();
        let Some(id) = ids.get(text).copied().or((next < n_vocab).then_some(next)) else {
            left_out.push(text.to_owned());
            continue;
        };
        ids.insert(text.to_owned(), id);
        if vocabulary.tokens.get(id).is_none_or(|token| !stays(token.kind)) {
            let flags = vocabulary.added.0.get(&id).copied();
            add(vocabulary, id, text, true, flags.unwrap_or(Flags::of(token, true)), monitor);
        }
    }
    left_out
}

/// Adds a token that is found in a text before all others. In a prompt, control tokens are not looked for.
pub fn add(vocabulary: &mut Vocabulary, id: usize, text: &str, is_control: bool, flags: Flags, monitor: &Monitor) {
    let had = |kind: Kind| vocabulary.tokens.get(id).is_some_and(|token| token.kind == kind && token.text == text);
    if vocabulary.algorithm == Algorithm::WordPiece && flags.single_word && had(Kind::Normal) {
        monitor.note(format_args!(
            "the added token {text:?} is a piece of words, too: a GGUF file cannot say both, and words that begin with it differ"
        ));
    }
    vocabulary.added.0.insert(id, flags);
    // The unknown token stays unknown, even if the list of added tokens has it: sentencepiece never finds it in a text.
    // User-defined pieces of the model stay as they are, too.
    if had(Kind::Unknown) || had(Kind::UserDefined) && !is_control {
        return;
    }
    let kind = if is_control || had(Kind::Control) { Kind::Control } else { Kind::UserDefined };
    let score = match vocabulary.algorithm {
        Algorithm::SentencePieceBpe | Algorithm::Unigram => ADDED_SCORE,
        Algorithm::Merges | Algorithm::WordPiece => 0.0,
    };
    vocabulary.set(id, Token { text: text.into(), kind, score });
}

/// Normalizes the texts of tokens that are found in normalized text.
pub fn normalize(vocabulary: &mut Vocabulary, monitor: &Monitor) {
    let normalized = |text: &str| -> String {
        match (vocabulary.algorithm, vocabulary.bert) {
            (Algorithm::WordPiece, Some(bert)) => {
                let (lowercase, strip_accents) = (bert.lowercase, bert.strip_accents);
                BertOptions { lowercase, strip_accents }.normalized(text).collect()
            }
            (Algorithm::Merges, _) if vocabulary.nfc => nfc(text).collect(),
            (Algorithm::Merges, _) if vocabulary.lowercase => text.chars().flat_map(char::to_lowercase).collect(),
            _ => text.into(),
        }
    };
    let has_rules = vocabulary.normalizer.as_ref().is_some_and(|normalizer| !normalizer.charsmap.is_empty());
    let ids = vocabulary.added.0.iter().filter(|(_, flags)| flags.normalized).map(|(&id, _)| id);
    let mut changed = Vec::new();
    for id in ids {
        let Some(Token { text, kind: Kind::Control | Kind::UserDefined, .. }) = vocabulary.tokens.get(id) else {
            continue;
        };
        let spelled = normalized(text);
        if has_rules {
            monitor.note(format_args!("the added token {text:?} is found in texts as they are, not normalized"));
        } else if spelled.is_empty() {
            monitor
                .note(format_args!("the added token {text:?} is found nowhere: nothing of it is left when normalized"));
        } else if spelled != *text {
            monitor.note(format_args!(
                "the added token {text:?} is spelled {spelled:?} in the file, as it stands in normalized texts"
            ));
            changed.push((id, spelled));
        }
    }
    for (id, spelled) in changed {
        if let Some(token) = vocabulary.tokens.get_mut(id) {
            token.text = spelled;
        }
    }
}
