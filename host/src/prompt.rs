//! What the model reads before it writes: a text, a text with a hole, or a conversation.

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

/// A beginning.
pub struct Prompt {
    /// What is shown of it.
    pub shown: Vec<u8>,
    /// What the model reads.
    pub tokens: Vec<u32>,
    /// What ends the text, beside the token that ends all texts.
    pub stops: Stops,
    /// What is shown behind the text that the model writes.
    pub after: Vec<u8>,
}

impl Prompt {
    /// A text that goes on.
    pub fn of_text(tokenizer: &Tokenizer<'_, '_>, text: &[u8], monitor: &Monitor) -> Result<Self> {
        let mut notes = Notes::default();
        let mut tokens = notes.encode(tokenizer, text, options(tokenizer))?;
        notes.tell(monitor);
        if tokens.is_empty() {
            let vocab = tokenizer.vocab();
            tokens.push(
                vocab.bos.or(vocab.eos).context("the prompt is empty, and the model has no token to begin with")?,
            );
        }
        Ok(Self { shown: text.to_vec(), tokens, stops: Stops::default(), after: vec![] })
    }

    /// What follows on a stored text: its last token, which is yet to be run, and `text`.
    pub fn behind(prefix: &Prefix<'_>, tokenizer: &Tokenizer<'_, '_>, text: &[u8], monitor: &Monitor) -> Result<Self> {
        let mut tokens: Vec<u32> = prefix.text().last_tokens.last().copied().into_iter().collect();
        let mut notes = Notes::default();
        tokens.extend(notes.encode(
            tokenizer,
            text,
            EncodeOptions { add_bos: false, continues: true, ..options(tokenizer) },
        )?);
        notes.tell(monitor);
        ensure!(!tokens.is_empty(), "the stored text has no token to go on with, and no prompt follows");
        Ok(Self { shown: text.to_vec(), tokens, stops: Stops::default(), after: vec![] })
    }

    /// A text with a hole before `suffix`, as models of code read it: prefix, suffix, middle (Bavarian et al. 2022, arXiv
    /// 2207.14255, "PSM"). Marks such as `<fim_suffix>` are text where they stand in either part.
    pub fn with_hole(file: &ModelFile, tokenizer: &Tokenizer<'_, '_>, prefix: &[u8], suffix: &[u8]) -> Result<Self> {
        let [before, behind, hole] = fim_tokens(file, tokenizer)?;
        let marks = marks::found_in_texts(&file.gguf()?, tokenizer, Chat::all_tokens());
        let tokenizer = &tokenizer.reading_as_text(&marks);
        let (plain, mut notes) = (EncodeOptions::default(), Notes::default());
        // What stands behind the hole begins no text.
        let behind_hole = EncodeOptions { continues: true, ..plain };
        let mut tokens = text::encode(tokenizer, b"", options(tokenizer))?;
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

/// What the model wants of a text that is to go on.
pub fn options(tokenizer: &Tokenizer<'_, '_>) -> EncodeOptions {
    EncodeOptions { add_eos: false, ..tokenizer.options() }
}

/// The tokens before prefix, suffix and middle: their keys in the file, the former names of these keys, and how published
/// models spell the tokens.
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
