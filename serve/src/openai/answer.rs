//! Answers of texts: whole, or piece by piece.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::json::Json;
use axum::body::Bytes;
use axum::response::{IntoResponse, Response};
use futures_core::Stream;
use nearfield::End;
use nearfield::tokenizer::Tokenizer;
use nearfield_host::logprobs::Candidate;
use serde_json::{Value, json};
use tokio::time::{Instant, Sleep, sleep};

use super::texts::{Begun, Settings, answer_id};
use crate::app::App;
use crate::engine::job::{Ended, Event, Failure, Keys, News, Token, Work};
use crate::error::{ApiError, Result};
use crate::models::Loaded;
use crate::sse;

/// Silence after which a comment keeps the connection alive.
const SILENCE: Duration = Duration::from_secs(15);

/// Form of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// Of `/v1/completions`.
    Text,
    /// Of `/v1/chat/completions`.
    Chat,
}

/// Answer to a request for texts.
pub struct Answer {
    form: Form,
    id: String,
    created: u64,
    model: &'static Loaded,
    /// Texts before those that are generated, for requests that want an echo: one for each prompt.
    echo: Vec<String>,
    /// Number of texts of each prompt.
    n: usize,
    /// Number of likeliest tokens told with each token.
    n_logprobs: Option<usize>,
    wants_keys: bool,
    /// True if a stream ends with the usage.
    wants_usage: bool,
    /// Seed of each text.
    seeds: Vec<u64>,
    choices: Vec<Choice>,
}

/// Text of an answer.
#[derive(Default)]
struct Choice {
    text: String,
    finish: Option<&'static str>,
    /// Log-probabilities of the tokens so far, in the form of the answer.
    logprobs: Vec<Value>,
    /// Characters of the tokens so far.
    n_characters: usize,
    keys: Vec<Value>,
    work: Work,
}

impl Answer {
    /// Answer of texts that begin.
    pub fn new(app: &Arc<App>, form: Form, model: &'static Loaded, settings: &Settings, begun: &Begun) -> Self {
        let kind = match form {
            Form::Text => "cmpl",
            Form::Chat => "chatcmpl",
        };
        Self {
            form,
            id: answer_id(app, kind),
            created: SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs()),
            model,
            echo: Vec::new(),
            n: settings.n,
            n_logprobs: settings.n_logprobs,
            wants_keys: settings.wants_keys,
            wants_usage: false,
            seeds: begun.seeds.clone(),
            choices: (0..begun.n).map(|_| Choice::default()).collect(),
        }
    }

    /// Puts the text of its prompt before each text.
    #[must_use]
    pub fn with_echo(self, echo: Vec<String>) -> Self {
        Self { echo, ..self }
    }

    /// Whole answer, once all texts have ended.
    ///
    /// # Errors
    /// When a text cannot go on.
    pub async fn whole(mut self, mut begun: Begun) -> Result<Response> {
        let mut n_left = begun.n;
        while n_left > 0 {
            let event = begun.events.recv().await.ok_or_else(ended_early)?;
            n_left -= usize::from(matches!(event.news, News::Ended(_)));
            self.take(event)?;
        }
        for (index, choice) in self.choices.iter_mut().enumerate() {
            if let Some(echo) = self.echo.get(index / self.n) {
                choice.text.insert_str(0, echo);
            }
        }
        let choices: Vec<Value> = (0..begun.n).map(|index| self.choice(index)).collect();
        let mut answer = self.around(choices);
        answer["usage"] = self.usage();
        answer["timings"] = self.timings();
        Ok(Json(answer).into_response())
    }

    /// Answer that comes piece by piece; with the usage at its end if `wants_usage` is true.
    pub fn streamed(self, begun: Begun, wants_usage: bool) -> Response {
        let mut ready = VecDeque::new();
        for index in 0..begun.n {
            let first = match (self.form, self.echo.get(index / self.n)) {
                (Form::Chat, _) => {
                    json!({"index": index, "delta": {"role": "assistant", "content": ""}, "logprobs": null, "finish_reason": null})
                }
                (Form::Text, Some(echo)) => {
                    json!({"index": index, "text": echo, "logprobs": null, "finish_reason": null})
                }
                (Form::Text, None) => continue,
            };
            ready.push_back(sse::event(&self.around(vec![first])));
        }
        let n_left = begun.n;
        let answer = Self { wants_usage, ..self };
        sse::response(Pieces { answer, begun, ready, n_left, is_over: false, silence: Box::pin(sleep(SILENCE)) })
    }

    /// Adds an event to the text that it belongs to.
    fn take(&mut self, event: Event) -> Result<()> {
        match event.news {
            News::Token(token) => {
                let logprobs = self.logprobs(event.index, &token);
                let keys = token.keys.as_ref().map(|keys| self.keys(token.id, keys));
                if let Some(choice) = self.choices.get_mut(event.index) {
                    choice.text.push_str(&token.text);
                    choice.logprobs.extend(logprobs);
                    choice.keys.extend(keys);
                }
                Ok(())
            }
            News::Ended(Ended { text, end, work }) => {
                if let Some(choice) = self.choices.get_mut(event.index) {
                    choice.text.push_str(&text);
                    (choice.finish, choice.work) = (Some(finish_reason(end)), work);
                }
                Ok(())
            }
            News::Failed(failure) => Err(failure.into()),
        }
    }

    /// Events of a stream for an event of a text.
    fn pieces(&mut self, event: Event, ready: &mut VecDeque<Bytes>) -> Result<()> {
        let index = event.index;
        let is_end = matches!(event.news, News::Ended(_));
        self.take(event)?;
        let Some(choice) = self.choices.get_mut(index) else { return Ok(()) };
        let (text, logprobs) = (std::mem::take(&mut choice.text), std::mem::take(&mut choice.logprobs));
        let (keys, finish) = (std::mem::take(&mut choice.keys), choice.finish);
        if !text.is_empty() || !logprobs.is_empty() || !keys.is_empty() {
            let logprobs = self.all_logprobs(logprobs);
            let mut piece = match self.form {
                Form::Text => json!({"index": index, "text": text, "logprobs": logprobs, "finish_reason": null}),
                Form::Chat => {
                    json!({"index": index, "delta": {"content": text}, "logprobs": logprobs, "finish_reason": null})
                }
            };
            if self.wants_keys {
                piece["visited_keys"] = keys.into();
            }
            ready.push_back(sse::event(&self.around(vec![piece])));
        }
        if is_end {
            let seed = self.seeds.get(index);
            let last = match self.form {
                Form::Text => {
                    json!({"index": index, "text": "", "logprobs": null, "finish_reason": finish, "seed": seed})
                }
                Form::Chat => {
                    json!({"index": index, "delta": {}, "logprobs": null, "finish_reason": finish, "seed": seed})
                }
            };
            let mut last = self.around(vec![last]);
            last["timings"] = self.choices.get(index).map(|choice| timings(&choice.work)).unwrap_or_default();
            ready.push_back(sse::event(&last));
        }
        Ok(())
    }

    /// Events at the end of a stream.
    fn end(&self, ready: &mut VecDeque<Bytes>) {
        if self.wants_usage {
            let mut last = self.around(vec![]);
            last["usage"] = self.usage();
            ready.push_back(sse::event(&last));
        }
        ready.push_back(sse::done());
    }

    /// Object around choices.
    fn around(&self, choices: Vec<Value>) -> Value {
        let is_piece = choices.iter().all(|choice| choice.get("message").is_none());
        let object = match self.form {
            Form::Text => "text_completion",
            Form::Chat if is_piece => "chat.completion.chunk",
            Form::Chat => "chat.completion",
        };
        json!({
            "id": self.id,
            "object": object,
            "created": self.created,
            "model": self.model.id,
            "system_fingerprint": concat!("nearfield-", env!("CARGO_PKG_VERSION")),
            "choices": choices,
        })
    }

    /// Whole text, in the form of the answer.
    fn choice(&mut self, index: usize) -> Value {
        let seed = self.seeds.get(index).copied();
        let Some(choice) = self.choices.get_mut(index) else { return Value::Null };
        let (text, logprobs) = (std::mem::take(&mut choice.text), std::mem::take(&mut choice.logprobs));
        let (keys, finish) = (std::mem::take(&mut choice.keys), choice.finish);
        let logprobs = self.all_logprobs(logprobs);
        let mut value = match self.form {
            Form::Text => {
                json!({"index": index, "text": text, "logprobs": logprobs, "finish_reason": finish, "seed": seed})
            }
            Form::Chat => json!({
                "index": index,
                "message": {"role": "assistant", "content": text, "refusal": null},
                "logprobs": logprobs,
                "finish_reason": finish,
                "seed": seed,
            }),
        };
        if self.wants_keys {
            value["visited_keys"] = keys.into();
        }
        value
    }

    /// Log-probabilities of a token: `[text, number, top, offset]` for texts, an object for chats.
    fn logprobs(&mut self, index: usize, token: &Token) -> Option<Value> {
        let logprobs = token.logprobs.as_ref()?;
        let tokenizer = self.model.tokenizer;
        let text = text_of(tokenizer, token.id);
        match self.form {
            Form::Text => {
                let top: serde_json::Map<String, Value> =
                    logprobs.top.iter().map(|of| (text_of(tokenizer, of.token), of.logprob.into())).collect();
                let choice = self.choices.get_mut(index)?;
                let offset = choice.n_characters;
                choice.n_characters += text.chars().count();
                let echo = self.echo.get(index / self.n).map_or(0, |echo| echo.chars().count());
                Some(json!([text, logprobs.drawn.logprob, top, offset + echo]))
            }
            Form::Chat => {
                let one = |of: &Candidate| json!({"token": text_of(tokenizer, of.token), "logprob": of.logprob, "bytes": bytes_of(tokenizer, of.token)});
                let top: Vec<Value> = logprobs.top.iter().map(one).collect();
                let mut value = one(&logprobs.drawn);
                value["top_logprobs"] = top.into();
                Some(value)
            }
        }
    }

    /// Log-probabilities of several tokens, in the form of the answer; null if none were asked for.
    fn all_logprobs(&self, tokens: Vec<Value>) -> Value {
        if self.n_logprobs.is_none() {
            return Value::Null;
        }
        match self.form {
            Form::Chat => json!({"content": tokens, "refusal": null}),
            Form::Text => {
                let column = |i: usize| -> Vec<Value> { tokens.iter().map(|token| token[i].clone()).collect() };
                json!({"tokens": column(0), "token_logprobs": column(1), "top_logprobs": column(2), "text_offset": column(3)})
            }
        }
    }

    /// Keys that the query of a token visited, layer by layer.
    fn keys(&self, token: u32, keys: &Keys) -> Value {
        let layers: Vec<&[u64]> = keys.visited.chunks(self.model.model.shape().n_head.max(1)).collect();
        json!({"token": token, "text": text_of(self.model.tokenizer, token), "pos": keys.pos, "visited": layers})
    }

    fn usage(&self) -> Value {
        let prompts = || self.choices.iter().step_by(self.n).map(|choice| choice.work);
        let n_prompt: usize = prompts().map(|work| work.n_prompt).sum();
        let n_reused: usize = prompts().map(|work| work.n_reused).sum();
        let n_tokens: usize = self.choices.iter().map(|choice| choice.work.n_tokens).sum();
        json!({
            "prompt_tokens": n_prompt,
            "completion_tokens": n_tokens,
            "total_tokens": n_prompt + n_tokens,
            "prompt_tokens_details": {"cached_tokens": n_reused},
        })
    }

    /// Timings of the first text.
    fn timings(&self) -> Value {
        self.choices.first().map(|choice| timings(&choice.work)).unwrap_or_default()
    }
}

/// Timings as llama.cpp tells them: milliseconds, and tokens a second.
pub fn timings(work: &Work) -> Value {
    let n_read = work.n_prompt - work.n_reused;
    let (prompt, generate) = (work.prompt.as_secs_f64(), work.generate.as_secs_f64());
    let per_token = |n: usize, time: f64| if n > 0 { time * 1e3 / n as f64 } else { 0.0 };
    let per_second = |n: usize, time: f64| if time > 0.0 { n as f64 / time } else { 0.0 };
    json!({
        "cache_n": work.n_reused,
        "prompt_n": n_read,
        "prompt_ms": prompt * 1e3,
        "prompt_per_token_ms": per_token(n_read, prompt),
        "prompt_per_second": per_second(n_read, prompt),
        "predicted_n": work.n_tokens,
        "predicted_ms": generate * 1e3,
        "predicted_per_token_ms": per_token(work.n_tokens, generate),
        "predicted_per_second": per_second(work.n_tokens, generate),
    })
}

/// Word for the end of a text.
fn finish_reason(end: End) -> &'static str {
    match end {
        End::Token | End::Word | End::Grammar => "stop",
        End::Length | End::ContextFull => "length",
    }
}

/// Error of a model's thread that ended without a word.
pub fn ended_early() -> ApiError {
    Failure::Broken("the model's thread ended".into()).into()
}

/// Text of a token. Bytes that are no whole characters are spelled `bytes:\xe2\x82`, as OpenAI's API does, so that tokens differ.
fn text_of(tokenizer: &Tokenizer<'_, '_>, token: u32) -> String {
    String::from_utf8(bytes_of(tokenizer, token)).unwrap_or_else(|error| {
        error.as_bytes().iter().fold("bytes:".into(), |text, byte| format!("{text}\\x{byte:02x}"))
    })
}

fn bytes_of(tokenizer: &Tokenizer<'_, '_>, token: u32) -> Vec<u8> {
    tokenizer.bytes(token).map(Iterator::collect).unwrap_or_default()
}

/// Stream of the events of an answer.
struct Pieces {
    answer: Answer,
    begun: Begun,
    ready: VecDeque<Bytes>,
    /// Texts that go on.
    n_left: usize,
    is_over: bool,
    silence: Pin<Box<Sleep>>,
}

impl Pieces {
    fn take(&mut self, event: Option<Event>) {
        let is_end = event.as_ref().is_some_and(|event| matches!(event.news, News::Ended(_)));
        let taken = match event {
            Some(event) => self.answer.pieces(event, &mut self.ready),
            None => Err(ended_early()),
        };
        self.n_left -= usize::from(is_end);
        match taken {
            Ok(()) if self.n_left > 0 => {}
            Ok(()) => {
                self.answer.end(&mut self.ready);
                self.is_over = true;
            }
            Err(error) => {
                self.ready.push_back(sse::event(&error.body()));
                self.is_over = true;
            }
        }
    }
}

impl Stream for Pieces {
    type Item = Bytes;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Bytes>> {
        loop {
            if let Some(piece) = self.ready.pop_front() {
                self.silence.as_mut().reset(Instant::now() + SILENCE);
                return Poll::Ready(Some(piece));
            }
            if self.is_over {
                return Poll::Ready(None);
            }
            if let Poll::Ready(event) = self.begun.events.poll_recv(context) {
                self.take(event);
                continue;
            }
            if self.silence.as_mut().poll(context).is_pending() {
                return Poll::Pending;
            }
            self.ready.push_back(sse::comment());
        }
    }
}
