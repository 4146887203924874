//! `POST /v1/completions`: texts that continue a prompt.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::response::Response;
use nearfield_host::prompt::Prompt;

use super::answer::{Answer, Form};
use super::texts::{self, MAX_LOGPROBS, Settings};
use crate::app::{App, blocking};
use crate::body::{Body, Input, Inputs};
use crate::error::{ApiError, Result};
use crate::models::{self, Loaded};

/// Names of the field for the length of a text.
const MAX_TOKENS: &[&str] = &["max_tokens", "max_completion_tokens", "n_predict"];

/// Continues prompts.
///
/// # Errors
/// [`ApiError`].
pub async fn complete(State(app): State<Arc<App>>, request: Request) -> Result<Response> {
    let body = app.body(request).await?;
    let name = body.get::<String>("model")?;
    let model = models::find(app.models, name.as_deref(), Loaded::is_decoder, "continues texts")?;
    let mut settings = Settings::of(&body, &app, MAX_TOKENS)?;
    settings.n_logprobs = n_logprobs(&body)?;
    let echo = body.get("echo")?.unwrap_or(false);
    if echo && settings.n_logprobs.is_some() {
        return Err(ApiError::unsupported(
            "echo",
            "log-probabilities of the prompt are not computed: echo or logprobs",
        ));
    }
    if body.get::<usize>("best_of")?.is_some_and(|best| best > settings.n) {
        return Err(ApiError::unsupported("best_of", "best_of has to be n: no text is left out"));
    }
    let (is_streamed, wants_usage) = stream(&body)?;
    let Inputs(inputs) = body.get("prompt")?.unwrap_or_else(|| Inputs(vec![Input::Text(String::new())]));
    let suffix = body.get::<String>("suffix")?.filter(|suffix| !suffix.is_empty());
    let prompts = blocking(move || {
        inputs.iter().map(|input| prompt(model, input, suffix.as_deref())).collect::<Result<Vec<_>>>()
    })
    .await?;
    let shown = |prompt: &Prompt| String::from_utf8_lossy(&prompt.shown).into_owned();
    let shown: Vec<String> = if echo { prompts.iter().map(shown).collect() } else { vec![] };
    let begun = texts::begin(&app, model, prompts, &settings, "prompt").await?;
    let answer = Answer::new(&app, Form::Text, model, &settings, &begun).with_echo(shown);
    if is_streamed { Ok(answer.streamed(begun, wants_usage)) } else { answer.whole(begun).await }
}

/// Prompt of an input. Tokens are taken as they are.
fn prompt(model: &Loaded, input: &Input, suffix: Option<&str>) -> Result<Prompt> {
    match (input, suffix) {
        (Input::Text(text), None) => model.prompt(text, "prompt"),
        (Input::Text(text), Some(suffix)) => with_hole(model, text, suffix),
        (Input::Tokens(tokens), None) => Ok(model.prompt_of(tokens)),
        (Input::Tokens(_), Some(_)) => Err(ApiError::unsupported("suffix", "a suffix needs a prompt of text")),
    }
}

/// Prompt of a text with a hole before `suffix`.
///
/// # Errors
/// 400 for a model that was not made to fill in text.
pub fn with_hole(model: &Loaded, prefix: &str, suffix: &str) -> Result<Prompt> {
    if !model.can_fill_in {
        let message = format!("{} was not made to fill in text: it has no tokens for that", model.id);
        return Err(ApiError::unsupported("suffix", message));
    }
    Ok(Prompt::with_hole(model.file, model.tokenizer, prefix.as_bytes(), suffix.as_bytes())?)
}

/// Two fields of a request: true if the answer comes piece by piece, and true if it then ends with the usage.
///
/// # Errors
/// 400 with the name of a field that is wrong.
pub fn stream(body: &Body) -> Result<(bool, bool)> {
    let options = body.object("stream_options")?;
    let wants_usage = options.map(|options| options.get("include_usage")).transpose()?.flatten().unwrap_or(false);
    Ok((body.get("stream")?.unwrap_or(false), wants_usage))
}

/// Number of likeliest tokens told with each token, of `logprobs`.
fn n_logprobs(body: &Body) -> Result<Option<usize>> {
    // Some clients send the boolean of chats.
    let found = match body.value("logprobs").and_then(serde_json::Value::as_bool) {
        Some(wants) => wants.then_some(0),
        None => body.get("logprobs")?,
    };
    match found {
        Some(n) if n > MAX_LOGPROBS => {
            Err(ApiError::field("logprobs", format_args!("logprobs has to be at most {MAX_LOGPROBS}, it is {n}")))
        }
        found => Ok(found),
    }
}
