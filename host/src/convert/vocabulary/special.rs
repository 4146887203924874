//! Special tokens: the ids of the beginning, the end and others.
//!
//! Many files name them. For ids the first of these counts: `tokenizer_config.json`, `special_tokens_map.json` (by text),
//! `generation_config.json`, `config.json` (by number), the vocabulary's own file. Tokens that end a text are collected from
//! all.

use std::path::Path;

use nearfield::gguf::{Value as Meta, ValueType};
use serde_json::Value;

use super::chat_template::ChatTemplates;
use super::lists::token_id;
use super::{Algorithm, Kind, Vocabulary};
use crate::convert::config::Config;
use crate::error::Result;
use crate::gguf_out::GgufOut;
use crate::monitor::Monitor;

/// Names in Hugging Face's files (`bos_token`, `bos_token_id`) and GGUF's keys. The spelling of the fourth is GGUF's own.
pub const NAMES: [(&str, &str); 9] = [
    ("bos", "tokenizer.ggml.bos_token_id"),
    ("eos", "tokenizer.ggml.eos_token_id"),
    ("unk", "tokenizer.ggml.unknown_token_id"),
    ("sep", "tokenizer.ggml.seperator_token_id"),
    ("pad", "tokenizer.ggml.padding_token_id"),
    ("cls", "tokenizer.ggml.cls_token_id"),
    ("mask", "tokenizer.ggml.mask_token_id"),
    ("eot", "tokenizer.ggml.eot_token_id"),
    ("eom", "tokenizer.ggml.eom_token_id"),
];

/// Names of [`NAMES`] that end a text.
const ENDS: [&str; 3] = ["eos", "eot", "eom"];

/// Tokens around a hole to fill in: their texts in the vocabularies of Refact, StarCoder and Replit, and GGUF's keys.
const INFILL: [(&str, &str); 4] = [
    ("<fim_prefix>", "tokenizer.ggml.fim_pre_token_id"),
    ("<fim_suffix>", "tokenizer.ggml.fim_suf_token_id"),
    ("<fim_middle>", "tokenizer.ggml.fim_mid_token_id"),
    ("<fim_pad>", "tokenizer.ggml.fim_pad_token_id"),
];

/// Special tokens of a vocabulary.
#[derive(Clone, Debug, Default)]
pub struct Special {
    /// Id of each of [`NAMES`].
    ids: [Option<usize>; NAMES.len()],
    infill: [Option<usize>; 4],
    /// True if a text begins with `bos`.
    pub add_bos: bool,
    pub add_eos: bool,
    /// Tokens that the tokenizer's own file puts at the beginning and the end of a text.
    around: [Option<usize>; 2],
    /// True if that file defines both ends of a text, even as empty: `tokenizer.json`.
    pub knows_ends: bool,
    /// All tokens that end a text.
    ends: Vec<usize>,
    templates: ChatTemplates,
}

impl Special {
    /// Sets an id that is not known yet.
    pub fn offer(&mut self, name: &str, id: usize) {
        let place = NAMES.iter().position(|(known, _)| *known == name).and_then(|i| self.ids.get_mut(i));
        if let Some(place) = place {
            place.get_or_insert(id);
        }
    }

    /// Sets an id, known or not.
    fn set(&mut self, name: &str, id: usize) {
        let place = NAMES.iter().position(|(known, _)| *known == name).and_then(|i| self.ids.get_mut(i));
        if let Some(place) = place {
            *place = Some(id);
        }
    }

    /// Makes every text begin with this token.
    pub fn begin_with(&mut self, id: usize) {
        self.set("bos", id);
        (self.add_bos, self.around[0]) = (true, Some(id));
    }

    /// Makes every text end with this token.
    pub fn end_with(&mut self, id: usize) {
        self.set("eos", id);
        (self.add_eos, self.around[1]) = (true, Some(id));
    }

    /// Id of a name.
    pub fn id(&self, name: &str) -> Option<usize> {
        let i = NAMES.iter().position(|(known, _)| *known == name)?;
        self.ids.get(i).copied().flatten()
    }

    /// Sets all tokens that end a text. llama.cpp reads no list, but ends a text at `eot` and `eom`, too: the second and the
    /// third token get these names if they are free.
    fn set_ends(&mut self, ends: Vec<usize>) {
        for name in ENDS {
            let known = ENDS.map(|name| self.id(name));
            if let Some(&id) = ends.iter().find(|&&id| !known.contains(&Some(id))) {
                self.offer(name, id);
            }
        }
        self.ends = ends;
    }

    /// Puts the special tokens into a file's metadata.
    pub fn write(&self, out: &mut GgufOut) {
        let names = NAMES.iter().zip(self.ids).chain(INFILL.iter().zip(self.infill));
        for ((_, key), id) in names {
            if let Some(id) = id {
                out.meta(key, Meta::U32(id as u32));
            }
        }
        out.meta("tokenizer.ggml.add_bos_token", Meta::Bool(self.add_bos));
        out.meta("tokenizer.ggml.add_eos_token", Meta::Bool(self.add_eos));
        // Without this key a reader ends an encoder's text with the separator.
        if !self.add_eos && ["sep", "cls", "mask"].iter().any(|name| self.id(name).is_some()) {
            out.meta("tokenizer.ggml.add_sep_token", Meta::Bool(false));
        }
        if self.ends.len() > 1 {
            // `eos_token_ids` is a key of ours.
            let ends = self.ends.iter().map(|&id| Meta::U32(id as u32));
            out.meta_array("tokenizer.ggml.eos_token_ids", ValueType::U32, ends);
        }
        self.templates.write(out);
    }
}

/// Finds the special tokens by the files around a vocabulary.
pub fn find(directory: &Path, config: &Config, vocabulary: &mut Vocabulary, monitor: &Monitor) -> Result<()> {
    let read = |name: &str| Config::read_if_there(&directory.join(name));
    let (settings, map) = (read("tokenizer_config.json")?, read("special_tokens_map.json")?);
    let generation = read("generation_config.json")?;
    let mut special = std::mem::take(&mut vocabulary.special);
    let mut named = Vec::new();
    let ids = vocabulary.ids();
    for (name, _) in NAMES {
        let (text, number) = (format!("{name}_token"), format!("{name}_token_id"));
        let by_text = [&settings, &map].into_iter().find_map(|file| text_of(file.value(&text)?));
        let by_text = by_text.and_then(|text| ids.get(text).copied());
        named.extend(by_text);
        let by_number = [&generation, config].into_iter().find_map(|file| number_of(file.value(&number)?));
        let by_number = by_number.filter(|&id| id < vocabulary.tokens.len());
        // Tokens that the tokenizer itself puts around a text stay.
        let is_fixed = match name {
            "bos" => special.add_bos,
            "eos" => special.add_eos,
            // Merges have a key of their own for an unknown token.
            "unk" => vocabulary.unknown.is_some() && vocabulary.algorithm != Algorithm::Merges,
            _ => false,
        };
        match by_text.or(by_number) {
            Some(id) if is_fixed => special.offer(name, id),
            Some(id) => special.set(name, id),
            None => {}
        }
    }
    let is_roberta = settings.text("tokenizer_class")?.is_some_and(|class| class.starts_with("Roberta"));
    if is_roberta && vocabulary.algorithm == Algorithm::Merges && !special.knows_ends {
        // RoBERTa's class puts these two around a text where no file defines the ends.
        special.id("cls").or(special.id("bos")).inspect(|&id| special.begin_with(id));
        special.id("sep").or(special.id("eos")).inspect(|&id| special.end_with(id));
        special.knows_ends = true;
    }
    // `cls` and `sep` are BERT's names for the two ends of a text. Readers of encoders use them where they exist.
    for (end, name, fixed) in [("bos", "cls", special.around[0]), ("eos", "sep", special.around[1])] {
        if let Some(id) = special.id(name) {
            match (fixed, vocabulary.algorithm) {
                (Some(fixed), _) => special.set(name, fixed),
                (None, Algorithm::WordPiece) => special.set(end, id),
                (None, _) => special.offer(end, id),
            }
        }
    }
    special.infill = INFILL.map(|(text, _)| ids.get(text).copied());
    special.add_bos = add_end(&settings, "add_bos_token", special.add_bos, special.knows_ends, monitor)?;
    special.add_eos = add_end(&settings, "add_eos_token", special.add_eos, special.knows_ends, monitor)?;
    special.templates = ChatTemplates::read(directory, &settings)?;
    let named_ends = ENDS.map(|name| special.id(name)).into_iter().flatten();
    let listed = [&generation, config].into_iter().filter_map(|file| file.value("eos_token_id")).flat_map(numbers_of);
    let candidates: Vec<usize> = named_ends.chain(listed).collect();
    vocabulary.special = special;
    for id in named {
        // A token named as an end or a mask is no text, even where no list of added tokens has it.
        let token = &mut vocabulary.tokens[id];
        token.kind = if token.kind == Kind::Normal { Kind::Control } else { token.kind };
    }
    // An end that is a plain token is left over from another vocabulary: generation would stop at ordinary text.
    let ends_text = |id: &usize| vocabulary.tokens.get(*id).is_some_and(|token| token.kind.is_no_text());
    let mut ends = Vec::new();
    for id in candidates.into_iter().filter(ends_text) {
        if !ends.contains(&id) {
            ends.push(id);
        }
    }
    vocabulary.special.set_ends(ends);
    Ok(())
}

/// True if a text has a token at one end: by the tokenizer's own file, else by `tokenizer_config.json`.
fn add_end(settings: &Config, key: &str, is_added: bool, is_known: bool, monitor: &Monitor) -> Result<bool> {
    let said = settings.flag(key, is_added)?;
    if is_known && said != is_added {
        monitor.note(format_args!(
            "tokenizer_config.json says `{key}`: {said}, and what stands around a text in the tokenizer's own file counts"
        ));
        return Ok(is_added);
    }
    Ok(said)
}

/// Text of a token: a string, or `content` of an object.
pub fn text_of(value: &Value) -> Option<&str> {
    value.as_str().or_else(|| value.get("content")?.as_str())
}

/// Ids in a number or a list of numbers.
fn numbers_of(value: &Value) -> Vec<usize> {
    match value.as_array() {
        Some(ids) => ids.iter().filter_map(token_id).collect(),
        None => token_id(value).into_iter().collect(),
    }
}

/// Id in a number, or the first of a list. `None` for a negative number.
fn number_of(value: &Value) -> Option<usize> {
    token_id(value.as_array().and_then(|ids| ids.first()).unwrap_or(value))
}
