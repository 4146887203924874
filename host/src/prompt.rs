//! Prompts: a text, a text with a hole, or a conversation.

use nearfield::Prefix;
use nearfield::gguf::Value;
use nearfield::tokenizer::{EncodeOptions, Tokenizer};

use crate::chat::Chat;
use crate::error::{Context, Result, bail, ensure};
use crate::marks;
use crate::model_file::ModelFile;
use crate::monitor::Monitor;
use crate::stops::Stops;
use crate::text::{self, Notes};

/// Prompt of a text.
pub struct Prompt {
    /// Bytes that are shown before the generated text.
    pub shown: Vec<u8>,
    /// Tokens that the model reads.
    pub tokens: Vec<u32>,
    /// Tokens and words that end the text, besides the end-of-text token.
    pub stops: Stops,
    /// Bytes that are shown after the generated text.
    pub after: Vec<u8>,
}

impl Prompt {
    /// Makes a prompt of a text that the model continues.
    pub fn of_text(tokenizer: &Tokenizer<'_, '_>, text: &[u8], monitor: &Monitor) -> Result<Self> {
        let mut notes = Notes::default();
        let mut tokens = notes.encode(tokenizer, text, tokenizer.prompt_options())?;
        notes.tell(monitor);
        if tokens.is_empty() {
            let vocab = tokenizer.vocab();
            tokens.push(
                vocab.bos.or(vocab.eos).context("the prompt is empty, and the model has no token to begin with")?,
            );
        }
        Ok(Self { shown: text.to_vec(), tokens, stops: Stops::default(), after: vec![] })
    }

    /// Makes a prompt that continues a prefix: its last token, which is not run yet, and `text`.
    pub fn behind(prefix: &Prefix<'_>, tokenizer: &Tokenizer<'_, '_>, text: &[u8], monitor: &Monitor) -> Result<Self> {
        let mut tokens: Vec<u32> = prefix.text().last_tokens.last().copied().into_iter().collect();
        let mut notes = Notes::default();
        tokens.extend(notes.encode(
            tokenizer,
            text,
            EncodeOptions { add_bos: false, continues: true, ..tokenizer.prompt_options() },
        )?);
        notes.tell(monitor);
        ensure!(!tokens.is_empty(), "the snapshot has no token to go on with, and no prompt follows");
        Ok(Self { shown: text.to_vec(), tokens, stops: Stops::default(), after: vec![] })
    }

    /// Makes a prompt of a text with a hole before `suffix`, as models of code read it: prefix, suffix, middle (Bavarian et al.
    /// 2022, arXiv 2207.14255, "PSM"). Marks such as `<fim_suffix>` are text where they stand in either part.
    pub fn with_hole(file: &ModelFile, tokenizer: &Tokenizer<'_, '_>, prefix: &[u8], suffix: &[u8]) -> Result<Self> {
        let [before, behind, hole] = fim_tokens(file, tokenizer)?;
        let marks = marks::found_in_texts(&file.gguf()?, tokenizer, Chat::all_tokens());
        let tokenizer = &tokenizer.reading_as_text(&marks);
        let (plain, mut notes) = (EncodeOptions::default(), Notes::default());
        // Text behind the hole is not the beginning of a text.
        let behind_hole = EncodeOptions { continues: true, ..plain };
        let mut tokens = text::encode(tokenizer, b"", tokenizer.prompt_options())?;
        tokens.push(before);
        tokens.extend(notes.encode(tokenizer, prefix, plain)?);
        tokens.push(behind);
        tokens.extend(notes.encode(tokenizer, suffix, behind_hole)?);
        notes.tell(file.monitor());
        tokens.push(hole);
        let stops = Stops { tokens: vec![before, behind, hole], texts: vec![] };
        Ok(Self { shown: prefix.to_vec(), tokens, stops, after: suffix.to_vec() })
    }
}

/// Tokens before prefix, suffix and middle: their keys in the file, the former names of these keys, and the tokens' spellings
/// in published models.
const FIM: [(&str, [&str; 2], [&str; 3]); 3] = [
    (
        "prefix",
        ["tokenizer.ggml.fim_pre_token_id", "tokenizer.ggml.prefix_token_id"],
        ["<fim_prefix>", "<fim-prefix>", "<|fim_prefix|>"],
    ),
    (
        "suffix",
        ["tokenizer.ggml.fim_suf_token_id", "tokenizer.ggml.suffix_token_id"],
        ["<fim_suffix>", "<fim-suffix>", "<|fim_suffix|>"],
    ),
    (
        "middle",
        ["tokenizer.ggml.fim_mid_token_id", "tokenizer.ggml.middle_token_id"],
        ["<fim_middle>", "<fim-middle>", "<|fim_middle|>"],
    ),
];

fn fim_tokens(file: &ModelFile, tokenizer: &Tokenizer<'_, '_>) -> Result<[u32; 3]> {
    let gguf = file.gguf()?;
    let mut tokens = [0; 3];
    for (token, (name, keys, texts)) in tokens.iter_mut().zip(FIM) {
        let by_key = keys.iter().find_map(|key| gguf.get(key).and_then(Value::as_u64));
        let by_text = || texts.iter().find_map(|text| tokenizer.find(text));
        *token = match by_key.map(u32::try_from) {
            Some(Ok(id)) if (id as usize) < tokenizer.n_tokens() => id,
            Some(_) => bail!("{}: a {name} token that is not in the vocabulary", keys[0]),
            None => by_text().with_context(|| {
                format!(
                    "--suffix: the model was not made to fill in text: it has no {name} token ({} or {})",
                    keys[0], texts[0]
                )
            })?,
        };
    }
    Ok(tokens)
}
