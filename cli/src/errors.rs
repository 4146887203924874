//! Errors of the library, extended by the flags that solve them.

use std::fmt;

use anyhow::{Error, anyhow};
use nearfield::{DocumentError, KvTypes, PlanError, PrefixError, RunError, SessionError, Shape};
use nearfield_host as host;
use nearfield_host::error::QuestionTooLong;
use nearfield_host::model_file::ModelFile;

use crate::args::draft;

/// Adds the first weight that is not finite to an error about numbers that are not finite; leaves other errors as they are.
pub fn explain(file: &ModelFile, error: Error) -> Error {
    let of_host = error.downcast_ref().is_some_and(host::Error::is_not_finite);
    let of_library = matches!(error.downcast_ref(), Some(RunError::NotFinite { .. }))
        || matches!(error.downcast_ref(), Some(DocumentError::NotFinite));
    if of_host || of_library { error.context(file.not_finite()) } else { error }
}

/// Adds to an error of a session the flag that lets it begin.
pub fn of_session(error: Error) -> Error {
    let Some(host::Error::Session(cause)) = error.downcast_ref().map(host::Error::cause) else { return error };
    let flag = match cause {
        SessionError::Prefix(PrefixError::KvTypes { snapshot: KvTypes { keys, values }, .. }) => {
            if keys == values {
                format!("--kv {keys} goes on")
            } else {
                format!("--kv {keys},{values} goes on")
            }
        }
        SessionError::Prefix(PrefixError::HorizonEps { snapshot, .. }) => format!("--horizon-eps {snapshot:e} goes on"),
        SessionError::Prefix(PrefixError::AlibiBf16 { snapshot: true }) => "--alibi-bf16 goes on".into(),
        SessionError::Prefix(PrefixError::AlibiBf16 { snapshot: false }) => "without --alibi-bf16 it goes on".into(),
        SessionError::Prefix(PrefixError::Ring { .. }) => {
            "a shorter --ring goes on, or one stored with a longer".into()
        }
        SessionError::Prefix(PrefixError::Sinks { has, .. }) => format!("--sinks {has} goes on"),
        SessionError::Plan(PlanError::Prefix { .. }) => "--ctx N makes room".into(),
        _ => return error,
    };
    anyhow!("{cause}: {flag}")
}

/// Adds to an error of a draft model what `--draft` takes.
pub fn of_draft(error: Error) -> Error {
    match error.downcast_ref() {
        Some(host::Error::NoDraft(_)) => anyhow!("{error:#}: --draft takes {}", draft::TAKES),
        _ => error,
    }
}

/// Advice where a context is too short.
pub fn more_room(shape: &Shape, n_ctx: usize) -> &'static str {
    match shape.n_positions {
        Some(n_positions) if n_positions <= n_ctx => "the model has learned no more positions",
        _ => "--ctx N makes room for more",
    }
}

/// Converts an error of generating, with advice where the prompt is too long.
pub fn of_prompt(error: host::Error, shape: &Shape) -> Error {
    match error.cause() {
        host::Error::PromptTooLong(long) => anyhow!("{error}: {}", more_room(shape, long.n_ctx)),
        _ => error.into(),
    }
}

/// Converts an error of a conversation, with advice where the question is too long.
pub fn of_question(error: host::Error, shape: &Shape) -> Error {
    match error {
        host::Error::QuestionTooLong(long) => TooLong { long, more: more_room(shape, long.n_ctx) }.into(),
        error => error.into(),
    }
}

/// Error of a question that is too long, with advice.
#[derive(Debug)]
struct TooLong {
    long: QuestionTooLong,
    more: &'static str,
}

impl fmt::Display for TooLong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.long, self.more)
    }
}

impl std::error::Error for TooLong {}

/// True if a question cannot be asked, or its answer cannot be held to the grammar; the conversation is then unchanged.
pub fn is_of_question(error: &Error) -> bool {
    let is_refused =
        |error: &host::Error| matches!(error.cause(), host::Error::Chat(_) | host::Error::Run(RunError::Grammar(_)));
    error.is::<TooLong>() || error.downcast_ref::<host::Error>().is_some_and(is_refused)
}
