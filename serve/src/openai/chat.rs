//! `POST /v1/chat/completions`: answers to the messages of a conversation.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::response::Response;
use nearfield_host::chat::{Message, Role};
use nearfield_host::prompt::Prompt;
use serde_json::Value;

use super::answer::{Answer, Form};
use super::completions::stream;
use super::texts::{self, MAX_LOGPROBS, Settings};
use crate::app::{App, blocking};
use crate::body::{Body, Field};
use crate::error::{ApiError, Result};
use crate::models::{self, Loaded};

/// Names of the field for the length of an answer.
const MAX_TOKENS: &[&str] = &["max_completion_tokens", "max_tokens", "n_predict"];

/// Answers the last of some messages.
///
/// # Errors
/// [`ApiError`].
pub async fn answer(State(app): State<Arc<App>>, request: Request) -> Result<Response> {
    let body = app.body(request).await?;
    let name = body.get::<String>("model")?;
    let model = find(&app, name.as_deref())?;
    let mut settings = Settings::of(&body, &app, MAX_TOKENS)?;
    settings.n_logprobs = n_logprobs(&body)?;
    refuse_tools(&body)?;
    let (is_streamed, wants_usage) = stream(&body)?;
    let messages: Vec<OwnedMessage> = messages(&body)?;
    let prompt = blocking(move || prompt(model, &messages)).await?;
    let begun = texts::begin(&app, model, vec![prompt], &settings, "messages").await?;
    let answer = Answer::new(&app, Form::Chat, model, &settings, &begun);
    if is_streamed { Ok(answer.streamed(begun, wants_usage)) } else { answer.whole(begun).await }
}

/// Model called `name`, or without a name the first that can converse.
fn find(app: &App, name: Option<&str>) -> Result<&'static Loaded> {
    models::find(app.models, name, |model| model.formatter().is_ok(), "is known to converse").map_err(|error| {
        let mut called = app.models.iter().filter(|model| name.is_none_or(|name| model.is_called(name)));
        match called.find_map(|model| model.formatter().err()) {
            Some(reason) => ApiError { message: format!("{}: {reason}", error.message), ..error },
            None => error,
        }
    })
}

/// Message of a request.
#[derive(Debug, PartialEq, Eq)]
struct OwnedMessage {
    role: Role,
    content: String,
}

impl OwnedMessage {
    fn borrow(&self) -> Message<'_> {
        Message { role: self.role, content: self.content.as_bytes() }
    }
}

/// Content of a message: a string, or parts of text.
struct Content(String);

impl Field for Content {
    const EXPECTED: &'static str = "a string, or an array of parts of the type text";

    fn of(value: &Value) -> Option<Self> {
        match value {
            Value::String(text) => Some(Self(text.clone())),
            Value::Array(parts) => Some(Self(parts.iter().map(text_of).collect::<Option<String>>()?)),
            _ => None,
        }
    }
}

/// Text of a part of a message; `None` for a part of another type.
fn text_of(part: &Value) -> Option<&str> {
    match part.get("type").and_then(Value::as_str) {
        Some("text") => part.get("text")?.as_str(),
        _ => None,
    }
}

/// Messages of a request. The error of a wrong one names its place.
fn messages(body: &Body) -> Result<Vec<OwnedMessage>> {
    let messages: Vec<serde_json::Map<String, Value>> = body.need("messages")?;
    if messages.is_empty() {
        return Err(ApiError::field("messages", "messages has to have at least one message"));
    }
    (0..).zip(messages).map(|(i, message)| one(i, Body::of(message))).collect()
}

fn one(i: usize, message: Body) -> Result<OwnedMessage> {
    let place = |error: ApiError| {
        let param = format!("messages[{i}].{}", error.param.unwrap_or_default());
        ApiError { message: format!("messages[{i}]: {}", error.message), param: Some(param), ..error }
    };
    let role: String = message.need("role").map_err(place)?;
    let role = Role::of_name(&role).ok_or_else(|| {
        place(ApiError::field(
            "role",
            format_args!("role has to be system, developer, user, assistant or tool, it is {role:?}"),
        ))
    })?;
    // An assistant that only called a function said nothing.
    let content = match message.get::<Content>("content").map_err(place)? {
        Some(Content(content)) => content,
        None if role == Role::Assistant => String::new(),
        None => message.need::<Content>("content").map_err(place)?.0,
    };
    Ok(OwnedMessage { role, content })
}

/// Prompt of messages, in the format that the model was trained with.
fn prompt(model: &'static Loaded, messages: &[OwnedMessage]) -> Result<Prompt> {
    let error = |message: &dyn std::fmt::Display| ApiError::field("messages", message);
    let messages: Vec<Message<'_>> = messages.iter().map(OwnedMessage::borrow).collect();
    model.formatter().map_err(|reason| error(&reason))?.prompt(&messages).map_err(|reason| error(&reason))
}

/// Number of likeliest tokens told with each token, of `logprobs` and `top_logprobs`.
fn n_logprobs(body: &Body) -> Result<Option<usize>> {
    let n = body.get::<usize>("top_logprobs")?;
    if let Some(n) = n.filter(|&n| n > MAX_LOGPROBS) {
        let message = format!("top_logprobs has to be at most {MAX_LOGPROBS}, it is {n}");
        return Err(ApiError::field("top_logprobs", message));
    }
    Ok(body.get::<bool>("logprobs")?.unwrap_or(false).then(|| n.unwrap_or(0)))
}

/// Error of a request with functions to call, which no model here was made for.
fn refuse_tools(body: &Body) -> Result<()> {
    for name in ["tools", "functions"] {
        if body.value(name).and_then(Value::as_array).is_some_and(|tools| !tools.is_empty()) {
            return Err(ApiError::unsupported(name, format_args!("{name}: the models here call no functions")));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> Result<Vec<(Role, String)>> {
        let messages = messages(&Body::parse(text.to_owned())?)?;
        Ok(messages.into_iter().map(|message| (message.role, message.content)).collect())
    }

    #[test]
    fn contents_are_texts_or_parts_of_text() {
        let found = of(r#"{"messages": [
            {"role": "developer", "content": "s"},
            {"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]},
            {"role": "assistant", "content": null}
        ]}"#);
        let want = [(Role::System, "s".into()), (Role::User, "ab".into()), (Role::Assistant, String::new())];
        assert_eq!(found.unwrap(), want);
    }

    #[test]
    fn a_wrong_message_is_named_by_its_place() {
        let wrong = |text: &str| {
            let error = of(text).unwrap_err();
            (error.param.unwrap(), error.message)
        };
        assert_eq!(wrong("{}").0, "messages");
        assert_eq!(wrong(r#"{"messages": []}"#).0, "messages");
        assert_eq!(
            wrong(r#"{"messages": [{"role": "user", "content": "a"}, {"role": "king"}]}"#).0,
            "messages[1].role"
        );
        assert_eq!(wrong(r#"{"messages": [{"role": "user"}]}"#).0, "messages[0].content");
        let image = r#"{"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {}}]}]}"#;
        let want = "messages[0]: content has to be a string, or an array of parts of the type text, it is an array of other values";
        assert_eq!(wrong(image), ("messages[0].content".into(), want.into()));
    }
}
