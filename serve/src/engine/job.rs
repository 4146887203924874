//! Jobs of a model's thread, and the events that it answers with.

use std::fmt::Display;
use std::sync::Arc;
use std::time::{Duration, Instant};

use nearfield::End;
use nearfield_host::logprobs::Logprobs;
use nearfield_host::sampler::PreparedSampler;
use nearfield_host::stops::Stops;
use tokio::sync::mpsc::UnboundedSender;

use super::grammars::HeldGrammar;

/// Text to generate.
#[derive(Debug)]
pub struct Job {
    /// Number of the text among those of its request, which its events carry.
    pub index: usize,
    /// Tokens that the model reads.
    pub prompt: Vec<u32>,
    /// True if a text stands between the snapshot, if there is one, and what is generated. Otherwise a character may be spread over
    /// both.
    pub shows_prompt: bool,
    /// Tokens and words that end the text, besides the end-of-text token.
    pub stops: Stops,
    /// Grammar that the text is held to.
    pub grammar: Option<HeldGrammar>,
    /// Tokens to generate at most; `None` for as many as the context holds.
    pub max_tokens: Option<usize>,
    /// Settings of sampling.
    pub sampler: Arc<PreparedSampler>,
    /// Seed of the random numbers.
    pub seed: u64,
    /// Number of likeliest tokens told with each token; `None` for no probabilities.
    pub n_logprobs: Option<usize>,
    /// True if each token comes with the keys that its query visited.
    pub wants_keys: bool,
    /// Time after which generation ends as if the text had its length; counted from the end of the prompt.
    pub time: Option<Duration>,
    /// Moment at which the job fails if it has not ended.
    pub deadline: Instant,
    /// Receiver of the events. Once it is gone, so is the job.
    pub events: UnboundedSender<Event>,
}

impl Job {
    /// Tells that the model or the server is broken.
    pub fn fail(&self, error: &dyn Display) {
        // Nobody may be waiting any more.
        let _ = self.events.send(Event { index: self.index, news: News::Failed(Failure::Broken(error.to_string())) });
    }
}

/// Event of the text with this number.
#[derive(Debug)]
pub struct Event {
    /// Number of the text among those of its request.
    pub index: usize,
    /// News of the text.
    pub news: News,
}

/// News of a text.
#[derive(Debug)]
pub enum News {
    /// A token was generated.
    Token(Token),
    /// The text ended.
    Ended(Ended),
    /// The text cannot go on.
    Failed(Failure),
}

/// Generated token.
#[derive(Debug)]
pub struct Token {
    /// The token.
    pub id: u32,
    /// Text that is sure to be shown, now that the token is known: none while a stop word may have begun.
    pub text: String,
    /// Log-probabilities, if they were asked for.
    pub logprobs: Option<Logprobs>,
    /// Keys that the query visited from whose logits the token was drawn, if they were asked for.
    pub keys: Option<Keys>,
}

/// Keys that a query visited.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Keys {
    /// Position of the query: it could see this many keys and its own.
    pub pos: usize,
    /// Number of newest keys that each head visited: `[n_layer, n_head]`.
    pub visited: Vec<u64>,
}

/// End of a text.
#[derive(Debug)]
pub struct Ended {
    /// Text that was held back.
    pub text: String,
    /// Reason why the text ended.
    pub end: End,
    /// Work that the text took.
    pub work: Work,
}

/// Work that a text took.
#[derive(Clone, Copy, Debug, Default)]
pub struct Work {
    /// Tokens of the prompt.
    pub n_prompt: usize,
    /// Tokens of the prompt that a slot had read before.
    pub n_reused: usize,
    /// Tokens that were generated.
    pub n_tokens: usize,
    /// Time from the first pass of the prompt to its last.
    pub prompt: Duration,
    /// Time from there to the end.
    pub generate: Duration,
}

/// Reason why a text cannot go on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// The time for the request is over.
    TimedOut,
    /// The server shuts down.
    Stopped,
    /// The form of the request cannot be followed, with a message.
    Form(String),
    /// The model or the server is broken, with a message.
    Broken(String),
}
