//! `nearfield run --json`: a generated text as one object. Names are those of OpenAI's completions and llama.cpp's timings.

use nearfield_host::generate::{End, Generated, TextModel, Timing};
use nearfield_host::prompt::Prompt;
use serde::Serialize;

use crate::chart::keys::Keys;
use crate::json::{PromptDetails, Text, TextLogprobs, Usage};

/// Generated text with its figures.
#[derive(Serialize)]
pub struct TextObject<'g> {
    /// Name of the model file.
    model: &'g str,
    #[serde(flatten)]
    text: Text,
    finish_reason: &'static str,
    seed: u64,
    tokens: &'g [u32],
    #[serde(skip_serializing_if = "Option::is_none")]
    logprobs: Option<TextLogprobs>,
    usage: Usage,
    timings: Timings,
    hash: Hash,
    /// Bytes of all memory that changes.
    arena_bytes: usize,
    /// Share of the keys held that attention visited.
    keys_visited: f64,
}

/// Time of the prompt and of the text, named as by llama.cpp's server.
#[derive(Serialize)]
struct Timings {
    /// Tokens of the prompt that were run.
    prompt_n: usize,
    prompt_ms: f64,
    prompt_per_second: Option<f64>,
    /// Tokens that were generated.
    predicted_n: usize,
    predicted_ms: f64,
    /// Tokens run in a second; the last one that is generated is not run.
    predicted_per_second: Option<f64>,
}

/// Hashes of `--hash`, the same on every machine.
#[derive(Serialize)]
struct Hash {
    text: String,
    logits: String,
}

impl<'g> TextObject<'g> {
    /// Object of the text that `generated` describes.
    pub fn new(
        model: &'g TextModel<'_>,
        prompt: &Prompt,
        text: &[u8],
        generated: &'g Generated,
        keys: &Keys,
        seed: u64,
    ) -> Self {
        let n_prompt = prompt.tokens.len() + model.prefix.map_or(0, |prefix| prefix.n_tokens());
        Self {
            model: &model.file.name,
            text: Text::new(text),
            finish_reason: match generated.end {
                End::Text => "stop",
                End::Length => "length",
                End::ContextFull { .. } => "context",
                End::Cancelled => "interrupted",
            },
            seed,
            tokens: &generated.tokens,
            logprobs: model.options.n_logprobs.map(|_| TextLogprobs::new(model.tokenizer, &generated.logprobs)),
            usage: Usage {
                prompt_tokens: n_prompt,
                completion_tokens: Some(generated.n_tokens),
                total_tokens: n_prompt + generated.n_tokens,
                prompt_tokens_details: Some(PromptDetails {
                    cached_tokens: n_prompt.saturating_sub(generated.prefill.n),
                }),
            },
            timings: Timings {
                prompt_n: generated.prefill.n,
                prompt_ms: milliseconds(generated.prefill),
                prompt_per_second: per_second(generated.prefill),
                predicted_n: generated.n_tokens,
                predicted_ms: milliseconds(generated.decode),
                predicted_per_second: per_second(generated.decode),
            },
            hash: Hash {
                text: format!("{:016x}", generated.hashes.text.get()),
                logits: format!("{:016x}", generated.hashes.logits.get()),
            },
            arena_bytes: generated.arena_bytes,
            keys_visited: keys.total_share(),
        }
    }
}

fn milliseconds(timing: Timing) -> f64 {
    timing.time.as_secs_f64() * 1e3
}

/// Tokens in a second; `None` if none was run.
fn per_second(Timing { n, time }: Timing) -> Option<f64> {
    (n > 0).then(|| n as f64 / time.as_secs_f64().max(1e-9))
}
