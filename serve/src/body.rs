//! Bodies of requests: reading, and fields by name with errors that say what was expected and what was found.

use std::error::Error as _;
use std::time::Duration;

use axum::body::{Bytes, to_bytes};
use axum::extract::Request;
use axum::http::StatusCode;
use axum::http::header::CONTENT_LENGTH;
use http_body_util::LengthLimitError;
use nearfield_host::grammar::Json;
use serde_json::{Map, Value};

use crate::error::{ApiError, Result};

/// Longest piece of a wrong value that an error shows.
const SHOWN: usize = 60;

/// Reads the body of a request, of at most `n_most` bytes, within a time.
///
/// # Errors
/// 413 for a longer body, 408 for a slower one, 400 for one that breaks off.
pub async fn read(request: Request, n_most: usize, time: Duration) -> Result<Bytes> {
    let too_large = || {
        ApiError::new(StatusCode::PAYLOAD_TOO_LARGE, format_args!("the body is longer than {n_most} bytes"))
            .with_code("request_too_large")
    };
    let announced = request.headers().get(CONTENT_LENGTH).and_then(|n| n.to_str().ok()?.parse::<u64>().ok());
    if announced.is_some_and(|n| n > n_most as u64) {
        return Err(too_large());
    }
    match tokio::time::timeout(time, to_bytes(request.into_body(), n_most)).await {
        Ok(Ok(bytes)) => Ok(bytes),
        Ok(Err(error)) if error.source().is_some_and(|source| source.is::<LengthLimitError>()) => Err(too_large()),
        Ok(Err(error)) => Err(ApiError::bad(format_args!("the body cannot be read: {error}"))),
        Err(_) => Err(ApiError::new(StatusCode::REQUEST_TIMEOUT, "the body took too long to come")),
    }
}

/// JSON object of a request.
#[derive(Debug)]
pub struct Body {
    fields: Map<String, Value>,
    /// The text that it was read from; none of an object within another.
    text: Bytes,
}

/// Value that a field may have.
pub trait Field: Sized {
    /// Description for errors, such as "a number".
    const EXPECTED: &'static str;

    /// The value; `None` if it is of another type.
    fn of(value: &Value) -> Option<Self>;
}

macro_rules! field {
    ($ty:ty, $expected:literal, $of:expr) => {
        impl Field for $ty {
            const EXPECTED: &'static str = $expected;

            fn of(value: &Value) -> Option<Self> {
                let of: fn(&Value) -> Option<Self> = $of;
                of(value)
            }
        }
    };
}

field!(bool, "true or false", Value::as_bool);
field!(String, "a string", |value| value.as_str().map(Into::into));
field!(f32, "a number", |value| Some(value.as_f64()? as f32).filter(|number| number.is_finite()));
field!(u64, "an integer of at least 0", Value::as_u64);
field!(i64, "an integer", Value::as_i64);
field!(usize, "an integer of at least 0", |value| usize::try_from(value.as_u64()?).ok());
field!(u32, "a token", |value| u32::try_from(value.as_u64()?).ok());
field!(Map<String, Value>, "an object", |value| value.as_object().cloned());

impl<T: Field> Field for Vec<T> {
    const EXPECTED: &'static str = "an array";

    fn of(value: &Value) -> Option<Self> {
        value.as_array()?.iter().map(T::of).collect()
    }
}

/// A string, or an array of strings: texts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Texts(pub Vec<String>);

impl Field for Texts {
    const EXPECTED: &'static str = "a string or an array of strings";

    fn of(value: &Value) -> Option<Self> {
        match value {
            Value::String(text) => Some(Self(vec![text.clone()])),
            value => Vec::of(value).map(Self),
        }
    }
}

/// Text, or the tokens of one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Input {
    /// A text.
    Text(String),
    /// Tokens of a whole text.
    Tokens(Vec<u32>),
}

/// One input or several, in any of the forms that OpenAI's API takes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inputs(pub Vec<Input>);

impl Field for Inputs {
    const EXPECTED: &'static str = "a string, an array of strings, an array of tokens or an array of arrays of tokens";

    fn of(value: &Value) -> Option<Self> {
        let tokens = |value: &Value| Vec::of(value).map(Input::Tokens);
        Some(Self(match value {
            Value::String(text) => vec![Input::Text(text.clone())],
            Value::Array(values) => match values.first()? {
                Value::String(_) => {
                    values.iter().map(|text| String::of(text).map(Input::Text)).collect::<Option<_>>()?
                }
                Value::Array(_) => values.iter().map(tokens).collect::<Option<_>>()?,
                _ => vec![tokens(value)?],
            },
            _ => return None,
        }))
    }
}

impl Body {
    /// Object of a JSON text.
    ///
    /// # Errors
    /// 400 if the text is no JSON, or no object.
    pub fn parse(text: impl Into<Bytes>) -> Result<Self> {
        let text = text.into();
        match serde_json::from_slice(&text) {
            Ok(Value::Object(fields)) => Ok(Self { fields, text }),
            Ok(value) => Err(ApiError::bad(format_args!("the body has to be a JSON object, it is {}", shown(&value)))),
            Err(error) => Err(ApiError::bad(format_args!("the body is no JSON: {error}")).with_code("invalid_json")),
        }
    }

    /// Object with these fields.
    pub fn of(fields: Map<String, Value>) -> Self {
        Self { fields, text: Bytes::new() }
    }

    /// Value of a field; `None` if it is missing or null.
    ///
    /// # Errors
    /// 400 with the name of the field, if the value is of another type.
    pub fn get<T: Field>(&self, name: &str) -> Result<Option<T>> {
        match self.value(name) {
            None => Ok(None),
            Some(value) => T::of(value).map(Some).ok_or_else(|| {
                let message = format!("{name} has to be {}, it is {}", T::EXPECTED, shown(value));
                ApiError { code: Some("invalid_type"), ..ApiError::field(name, message) }
            }),
        }
    }

    /// Value of a field that has to be there.
    ///
    /// # Errors
    /// 400 with the name of the field, if it is missing or of another type.
    pub fn need<T: Field>(&self, name: &str) -> Result<T> {
        self.get(name)?.ok_or_else(|| {
            let message = format!("{name} is missing: it has to be {}", T::EXPECTED);
            ApiError { code: Some("missing_required_parameter"), ..ApiError::field(name, message) }
        })
    }

    /// Value of the first of several fields with the same meaning that is there.
    ///
    /// # Errors
    /// Errors of [`get`](Self::get).
    pub fn first<T: Field>(&self, names: &[&str]) -> Result<Option<T>> {
        names.iter().find_map(|name| self.get(name).transpose()).transpose()
    }

    /// Value of any type; `None` if it is missing or null.
    pub fn value(&self, name: &str) -> Option<&Value> {
        self.fields.get(name).filter(|value| !value.is_null())
    }

    /// Value of a field whose objects keep the order of their members; `None` if it is missing or null.
    ///
    /// # Errors
    /// None: the text was read before.
    pub fn ordered(&self, name: &str) -> Result<Option<Json>> {
        if self.value(name).is_none() {
            return Ok(None);
        }
        let text = str::from_utf8(&self.text).unwrap_or_default();
        let object =
            Json::parse(text).map_err(|error| ApiError::bad(format_args!("the body is no JSON: {error:#}")))?;
        Ok(object.get(name).cloned())
    }

    /// Object in a field, for errors with the names of both; `None` if it is missing or null.
    ///
    /// # Errors
    /// 400 if the field is no object.
    pub fn object(&self, name: &str) -> Result<Option<Body>> {
        Ok(self.get(name)?.map(Self::of))
    }
}

/// Type of a value, and its beginning, for errors.
fn shown(value: &Value) -> String {
    let kind = match value {
        Value::Null => return "null".into(),
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "the number",
        Value::String(_) => "the string",
        Value::Array(_) => return "an array of other values".into(),
        Value::Object(_) => return "an object".into(),
    };
    let text = value.to_string();
    match text.char_indices().nth(SHOWN) {
        None => format!("{kind} {text}"),
        Some((end, _)) => format!("{kind} {}...", &text[..end]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn body(text: &str) -> Body {
        Body::parse(text.to_owned()).unwrap()
    }

    #[test]
    fn a_wrong_type_names_the_field_and_what_was_found() {
        let body = body(r#"{"n": "3", "temperature": null, "top_p": 1, "stream": 0, "seed": -1, "stop": [1]}"#);
        let message = |error: ApiError| (error.message, error.param.unwrap());
        let found = message(body.get::<usize>("n").unwrap_err());
        assert_eq!(found, ("n has to be an integer of at least 0, it is the string \"3\"".into(), "n".into()));
        assert_eq!((body.get::<f32>("temperature"), body.get::<f32>("top_p")), (Ok(None), Ok(Some(1.0))));
        assert_eq!(
            message(body.get::<bool>("stream").unwrap_err()).0,
            "stream has to be true or false, it is the number 0"
        );
        assert_eq!(message(body.get::<u64>("seed").unwrap_err()).1, "seed");
        let found = message(body.get::<Texts>("stop").unwrap_err()).0;
        assert_eq!(found, "stop has to be a string or an array of strings, it is an array of other values");
        assert_eq!(message(body.need::<String>("model").unwrap_err()).0, "model is missing: it has to be a string");
        assert_eq!(body.first::<i64>(&["none", "seed"]), Ok(Some(-1)));
    }

    #[test]
    fn inputs_are_texts_or_tokens() {
        let inputs =
            |text: &str| body(&format!("{{\"input\": {text}}}")).get::<Inputs>("input").map(|found| found.unwrap().0);
        let text = |text: &str| Input::Text(text.into());
        assert_eq!(inputs("\"a\"").unwrap(), [text("a")]);
        assert_eq!(inputs("[\"a\", \"b\"]").unwrap(), [text("a"), text("b")]);
        assert_eq!(inputs("[1, 2]").unwrap(), [Input::Tokens(vec![1, 2])]);
        assert_eq!(inputs("[[1], [2, 3]]").unwrap(), [Input::Tokens(vec![1]), Input::Tokens(vec![2, 3])]);
        for wrong in ["3", "[]", "[1, \"a\"]", "[-1]", "[[1], 2]", "{}"] {
            assert!(inputs(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn what_is_no_object_is_told() {
        let message = |text: &str| Body::parse(text.to_owned()).unwrap_err().message;
        assert_eq!(message("[1]"), "the body has to be a JSON object, it is an array of other values");
        assert!(message("{\"a\": }").starts_with("the body is no JSON: expected value at line 1 column 7"));
        assert!(message(&"[".repeat(100_000)).contains("recursion limit exceeded"));
    }
}
