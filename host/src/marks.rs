//! Tokens that mark the parts of a text: beginnings and ends, turns of a conversation, holes. Text of a user is text, even
//! where it spells one of them.

use nearfield::gguf::{Gguf, Value};
use nearfield::tokenizer::{TokenType, Tokenizer};

/// Keys of the tokens around holes and files, with former names.
const KEYS: [&str; 9] = [
    "tokenizer.ggml.fim_pre_token_id",
    "tokenizer.ggml.fim_suf_token_id",
    "tokenizer.ggml.fim_mid_token_id",
    "tokenizer.ggml.fim_pad_token_id",
    "tokenizer.ggml.fim_rep_token_id",
    "tokenizer.ggml.fim_sep_token_id",
    "tokenizer.ggml.prefix_token_id",
    "tokenizer.ggml.suffix_token_id",
    "tokenizer.ggml.middle_token_id",
];

/// Spellings of these tokens in published models.
const NAMES: [&str; 12] = [
    "<fim_prefix>",
    "<fim_suffix>",
    "<fim_middle>",
    "<fim_pad>",
    "<fim-prefix>",
    "<fim-suffix>",
    "<fim-middle>",
    "<fim-pad>",
    "<|fim_prefix|>",
    "<|fim_suffix|>",
    "<|fim_middle|>",
    "<|fim_pad|>",
];

/// User-defined tokens of a vocabulary that a text of a user must not become: those that begin or end a text, those around
/// holes, and those of `names`, such as the marks of conversations. Control tokens are left out, since no text of a user
/// becomes one; so are normal tokens, since one of them may stand for a line feed.
pub fn found_in_texts(
    gguf: &Gguf<'_>,
    tokenizer: &Tokenizer<'_, '_>,
    names: impl Iterator<Item = &'static str>,
) -> Vec<u32> {
    let vocab = tokenizer.vocab();
    let ends = vocab
        .ends
        .unwrap_or_default()
        .chunks_exact(4)
        .map(|id| id.iter().rev().fold(0, |id, &byte| id << 8 | u32::from(byte)));
    let of_vocab = [vocab.bos, vocab.eos, vocab.eot, vocab.eom].into_iter().flatten().chain(ends);
    let of_file = KEYS.iter().filter_map(|key| u32::try_from(gguf.get(key).and_then(Value::as_u64)?).ok());
    let by_name = NAMES.into_iter().chain(names).filter_map(|name| tokenizer.find(name));
    let all = of_vocab.chain(of_file).chain(by_name);
    let mut marks: Vec<u32> = all.filter(|&id| tokenizer.token_type(id) == Ok(TokenType::UserDefined)).collect();
    marks.sort_unstable();
    marks.dedup();
    marks
}
