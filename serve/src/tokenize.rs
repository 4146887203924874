//! `POST /tokenize` and `/detokenize`, with the bodies of llama.cpp's server: `{"content"}` and `{"tokens"}`.

use std::sync::Arc;

use axum::extract::{Request, State};
use nearfield::tokenizer::{Detokenizer, EncodeOptions};
use nearfield_host::text;
use serde_json::{Value, json};

use crate::app::{App, blocking};
use crate::error::{ApiError, Result};
use crate::json::Json;
use crate::models::{self, Loaded};

/// Most tokens of a text to detokenize.
const MAX_TOKENS: usize = 1 << 20;

/// Tokens of a text. As `nearfield tokenize`, it adds the tokens that the model puts before and after a text unless `add_special`
/// is false, and reads names of control tokens as letters unless `parse_special` is true.
///
/// # Errors
/// [`ApiError`].
pub async fn tokenize(State(app): State<Arc<App>>, request: Request) -> Result<Json> {
    let body = app.body(request).await?;
    let model = models::find(app.models, body.get::<String>("model")?.as_deref(), |_| true, "has a tokenizer")?;
    let content: String = match body.first(&["content", "prompt"])? {
        Some(content) => content,
        None => body.need("content")?,
    };
    let add_special = body.get("add_special")?.unwrap_or(true);
    let parse_special = body.get("parse_special")?.unwrap_or(false);
    let with_pieces = body.get("with_pieces")?.unwrap_or(false);
    blocking(move || {
        let tokenizer = model.tokenizer;
        let options = if add_special { tokenizer.options() } else { EncodeOptions::default() };
        let options = EncodeOptions { parse_special, ..options };
        let tokens = text::encode(tokenizer, content.as_bytes(), options)
            .map_err(|error| ApiError::field("content", format_args!("{error:#}")))?;
        let count = tokens.len();
        let tokens: Vec<Value> =
            tokens.into_iter().map(|id| if with_pieces { piece(model, id) } else { id.into() }).collect();
        Ok(Json(json!({"tokens": tokens, "count": count, "max_model_len": model.n_ctx})))
    })
    .await
}

/// Token with its text, or its bytes where they are no whole characters.
fn piece(model: &Loaded, id: u32) -> Value {
    let bytes: Vec<u8> = model.tokenizer.bytes(id).map(Iterator::collect).unwrap_or_default();
    match String::from_utf8(bytes) {
        Ok(text) => json!({"id": id, "piece": text}),
        Err(error) => json!({"id": id, "piece": error.into_bytes()}),
    }
}

/// Text of tokens, without control tokens unless `special` is true.
///
/// # Errors
/// [`ApiError`].
pub async fn detokenize(State(app): State<Arc<App>>, request: Request) -> Result<Json> {
    let body = app.body(request).await?;
    let model = models::find(app.models, body.get::<String>("model")?.as_deref(), |_| true, "has a tokenizer")?;
    let tokens: Vec<u32> = body.need("tokens")?;
    if tokens.len() > MAX_TOKENS {
        return Err(ApiError::field("tokens", format_args!("{} tokens: at most {MAX_TOKENS} are taken", tokens.len())));
    }
    let special = body.get("special")?.unwrap_or(false);
    blocking(move || {
        let (mut detokenizer, mut text) = (Detokenizer::of_whole_text(special), String::new());
        for token in tokens {
            detokenizer.push(model.tokenizer, token, &mut text).map_err(|error| ApiError::field("tokens", error))?;
        }
        detokenizer.finish(&mut text).map_err(|error| ApiError::field("tokens", error))?;
        Ok(Json(json!({"content": text, "prompt": text})))
    })
    .await
}
