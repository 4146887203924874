//! Errors of requests, in the form of OpenAI's API.

use std::fmt;

use axum::http::header::{RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use crate::engine::job::Failure;
use crate::json::Json;
use crate::queue::Refused;

/// Error of a request: `{"error": {"message", "type", "param", "code"}}` with a status.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiError {
    /// Status of the answer.
    pub status: StatusCode,
    /// Sentence for a person.
    pub message: String,
    /// Field of the request that is wrong.
    pub param: Option<String>,
    /// Word for programs.
    pub code: Option<&'static str>,
    /// Seconds after which another try makes sense.
    pub retry_after: Option<u64>,
}

/// Result of a request.
pub type Result<T, E = ApiError> = std::result::Result<T, E>;

impl ApiError {
    /// Error with this status and message.
    pub fn new(status: StatusCode, message: impl fmt::Display) -> Self {
        Self { status, message: message.to_string(), param: None, code: None, retry_after: None }
    }

    /// Error of a request that is wrong, 400.
    pub fn bad(message: impl fmt::Display) -> Self {
        Self::new(StatusCode::BAD_REQUEST, message)
    }

    /// Error of a field with a wrong value, 400.
    pub fn field(param: impl fmt::Display, message: impl fmt::Display) -> Self {
        Self { param: Some(param.to_string()), ..Self::bad(message) }
    }

    /// Error of a field that the model or the server cannot serve, 400.
    pub fn unsupported(param: &str, message: impl fmt::Display) -> Self {
        Self { code: Some("unsupported_parameter"), ..Self::field(param, message) }
    }

    /// Error of a text that is longer than the context, 400.
    pub fn too_long(param: &str, n_tokens: usize, n_ctx: usize) -> Self {
        let message = format!("the text has {n_tokens} tokens, and the model's context has room for {n_ctx}");
        Self { code: Some("context_length_exceeded"), ..Self::field(param, message) }
    }

    /// Error of the server or its model, 500.
    pub fn broken(message: impl fmt::Display) -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, message)
    }

    /// Error with a word for programs.
    #[must_use]
    pub fn with_code(self, code: &'static str) -> Self {
        Self { code: Some(code), ..self }
    }

    /// Error of a job that cannot wait; another try makes sense after `seconds`.
    pub fn refused(refused: Refused, seconds: u64) -> Self {
        let (message, code) = match refused {
            Refused::Full => ("too many requests are waiting: try again later", "queue_full"),
            Refused::Closed => ("the server is shutting down", "shutting_down"),
        };
        let error = Self::new(StatusCode::SERVICE_UNAVAILABLE, message).with_code(code);
        Self { retry_after: Some(seconds), ..error }
    }

    /// Body of the answer.
    pub fn body(&self) -> Value {
        let kind = if self.status.is_server_error() { "server_error" } else { "invalid_request_error" };
        json!({"error": {"message": self.message, "type": kind, "param": self.param, "code": self.code}})
    }
}

impl From<Failure> for ApiError {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::TimedOut => {
                Self::new(StatusCode::GATEWAY_TIMEOUT, "the time for the request is over").with_code("timeout")
            }
            Failure::Form(message) => Self::bad(message).with_code("invalid_grammar"),
            Failure::Stopped => Self::refused(Refused::Closed, 1),
            Failure::Broken(message) => Self::broken(message),
        }
    }
}

impl From<nearfield_host::Error> for ApiError {
    fn from(error: nearfield_host::Error) -> Self {
        Self::broken(format_args!("{error:#}"))
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let mut response = (self.status, Json(self.body())).into_response();
        let headers = response.headers_mut();
        if let Some(seconds) = self.retry_after {
            headers.insert(RETRY_AFTER, seconds.into());
        }
        if self.status == StatusCode::UNAUTHORIZED {
            headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_have_openais_form() {
        let error = ApiError::too_long("prompt", 5000, 4096);
        let want = json!({"error": {
            "message": "the text has 5000 tokens, and the model's context has room for 4096",
            "type": "invalid_request_error",
            "param": "prompt",
            "code": "context_length_exceeded",
        }});
        assert_eq!((error.status, error.body()), (StatusCode::BAD_REQUEST, want));
        let response = ApiError::refused(Refused::Full, 7).into_response();
        assert_eq!((response.status().as_u16(), &response.headers()[RETRY_AFTER]), (503, &HeaderValue::from(7)));
    }
}
