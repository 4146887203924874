//! Texts of a request: jobs for the thread of a model, and their events.

use std::sync::Arc;
use std::time::{Duration, Instant};

use nearfield_host::prompt::Prompt;
use nearfield_host::sampler::SamplerOptions;
use nearfield_host::stops::Stops;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

use super::form::Form;
use super::sampling;
use crate::app::{App, blocking};
use crate::body::{Body, Texts};
use crate::engine::job::{Event, Job};
use crate::error::{ApiError, Result};
use crate::models::{Loaded, Worker};

/// Most texts of a request.
pub const MAX_TEXTS: usize = 64;
/// Most stop words of a request.
const MAX_STOPS: usize = 16;
/// Most bytes of a stop word: each character of a text is compared with all beginnings of all words.
const MAX_STOP_BYTES: usize = 256;
/// Most tokens whose log probabilities are told with each token.
pub const MAX_LOGPROBS: usize = 20;

/// Settings of the texts of a request.
#[derive(Debug)]
pub struct Settings {
    /// Settings of sampling; the seed of the first text, which those that follow count up from.
    pub sampler: SamplerOptions,
    /// Form that each text is held to.
    pub form: Option<Form>,
    /// Tokens to generate at most; `None` for as many as the context holds.
    pub max_tokens: Option<usize>,
    /// Words before which a text stops.
    pub stop: Vec<String>,
    /// Number of texts of each prompt.
    pub n: usize,
    /// Number of likeliest tokens told with each token.
    pub n_logprobs: Option<usize>,
    /// True if each token comes with the keys that its query visited.
    pub wants_keys: bool,
    /// Time after which generation ends.
    pub time: Option<Duration>,
}

impl Settings {
    /// Settings of a request; `max_tokens` are names of the field for the length.
    ///
    /// # Errors
    /// 400 with the name of a field that is wrong.
    pub fn of(body: &Body, app: &App, max_tokens: &[&str]) -> Result<Self> {
        let form = Form::of(body)?;
        let sampler = sampling::sampler(body, &app.config.sampler)?;
        let max_tokens = match body.first::<i64>(max_tokens)? {
            None => app.config.max_tokens,
            // -1 and -2 stand for as many as the context holds, as in llama.cpp.
            Some(n) => usize::try_from(n).ok(),
        };
        let Texts(stop) = body.get("stop")?.unwrap_or_default();
        if stop.len() > MAX_STOPS {
            return Err(ApiError::field(
                "stop",
                format_args!("{} stop words: at most {MAX_STOPS} are taken", stop.len()),
            ));
        }
        if let Some(long) = stop.iter().find(|word| word.len() > MAX_STOP_BYTES) {
            let message = format!("a stop word of {} bytes: it may have {MAX_STOP_BYTES}", long.len());
            return Err(ApiError::field("stop", message));
        }
        let stop = stop.into_iter().filter(|word| !word.is_empty()).collect();
        let n = body.get("n")?.unwrap_or(1);
        if !(1..=MAX_TEXTS).contains(&n) {
            return Err(ApiError::field("n", format_args!("n has to lie between 1 and {MAX_TEXTS}, it is {n}")));
        }
        let wants_keys = body.get("visited_keys")?.unwrap_or(false);
        Ok(Self { sampler, form, max_tokens, stop, n, n_logprobs: None, wants_keys, time: None })
    }
}

/// Texts that were begun for a request.
#[derive(Debug)]
pub struct Begun {
    /// Number of texts.
    pub n: usize,
    /// Events of all of them.
    pub events: UnboundedReceiver<Event>,
    /// Seed of each text, by its number.
    pub seeds: Vec<u64>,
}

/// Gives the texts of all prompts to the thread of a model: `n` of each prompt in turn.
///
/// # Errors
/// 400 for a prompt that is longer than the context, tokens that the model does not have and a form that is no grammar, 503 if
/// the queue is full.
pub async fn begin(
    app: &App,
    model: &'static Loaded,
    prompts: Vec<Prompt>,
    settings: &Settings,
    param: &str,
) -> Result<Begun> {
    let Worker::Decoder(queue) = &model.worker else {
        return Err(ApiError::field("model", format_args!("{} continues no texts", model.id)));
    };
    let n_texts = prompts.len() * settings.n;
    if n_texts > MAX_TEXTS {
        let message = format!("{n_texts} texts in one request: at most {MAX_TEXTS} are taken");
        return Err(ApiError::field(if settings.n > 1 { "n" } else { param }, message));
    }
    let n_vocab = model.model.shape().n_vocab;
    for prompt in &prompts {
        if model.n_prefix() + prompt.tokens.len() > model.n_ctx {
            return Err(ApiError::too_long(param, model.n_prefix() + prompt.tokens.len(), model.n_ctx));
        }
        if prompt.tokens.is_empty() {
            return Err(ApiError::field(param, "a prompt of no tokens"));
        }
        if let Some(token) = prompt.tokens.iter().find(|&&token| token as usize >= n_vocab) {
            let message = format!("token {token} is not below the vocabulary's size {n_vocab}");
            return Err(ApiError::field(param, message));
        }
    }
    let grammar = match settings.form.clone() {
        None => None,
        Some(form) => Some(blocking(move || form.compile(model.grammars)).await?),
    };
    let options = settings.sampler.clone();
    let sampler = blocking(move || sampling::prepare(model, &options)).await?;
    let (sender, events) = unbounded_channel();
    let deadline = Instant::now() + app.config.limits.request;
    let (mut jobs, mut seeds) = (Vec::with_capacity(n_texts), Vec::with_capacity(n_texts));
    for prompt in prompts {
        let shows_prompt = !prompt.shown.is_empty();
        let mut stops: Stops = prompt.stops;
        stops.add(model.tokenizer, &settings.stop);
        for i in 0..settings.n {
            // The seeds of a prompt's texts follow each other.
            let seed = settings.sampler.config.seed.wrapping_add(i as u64);
            jobs.push(Job {
                index: jobs.len(),
                prompt: prompt.tokens.clone(),
                shows_prompt,
                stops: stops.clone(),
                max_tokens: settings.max_tokens,
                grammar: grammar.clone(),
                sampler: Arc::clone(&sampler),
                seed,
                n_logprobs: settings.n_logprobs,
                wants_keys: settings.wants_keys,
                time: settings.time,
                deadline,
                events: sender.clone(),
            });
            seeds.push(seed);
        }
    }
    queue.push(jobs).map_err(|refused| ApiError::refused(refused, model.retry_after(app.config.models.n_slots)))?;
    Ok(Begun { n: n_texts, events, seeds })
}

/// Number that no other answer of this process has, for the names of answers.
pub fn answer_id(app: &Arc<App>, kind: &str) -> String {
    let n = app.next_answer();
    format!("{kind}-{:x}{n:08x}", app.began)
}
