//! Documents of a request: their tokens, and the vectors or scores that the thread of a model makes of them.

use std::time::Instant;

use nearfield_host::encode::PairForm;
use nearfield_host::text;
use tokio::sync::oneshot;

use crate::app::{App, blocking};
use crate::body::Input;
use crate::engine::encoder::Documents;
use crate::error::{ApiError, Result};
use crate::models::{Loaded, Worker};
use crate::openai::answer::ended_early;

/// Most documents of a request.
pub const MAX_DOCUMENTS: usize = 2048;

/// True for a model that makes vectors.
pub fn embeds(model: &Loaded) -> bool {
    matches!(model.worker, Worker::Encoder { pooling: Some(_), .. })
}

/// True for a model that makes scores.
pub fn scores(model: &Loaded) -> bool {
    matches!(model.worker, Worker::Encoder { pooling: None, .. })
}

/// Tokens of a document, and the index of the first of the second type.
type Tokens = (Vec<u32>, usize);

/// Tokens of each input, which may be no more than the context has room for; longer ones are cut before the token that ends a text
/// if `truncate` is true.
///
/// # Errors
/// 400 for an input that is empty, too long, or has a token that the model lacks.
pub async fn tokens(
    model: &'static Loaded,
    inputs: Vec<Input>,
    truncate: bool,
    param: &'static str,
) -> Result<Vec<Tokens>> {
    check_number(inputs.len(), param)?;
    blocking(move || {
        let of = |input: &Input| {
            let tokens = match input {
                Input::Tokens(tokens) => tokens.clone(),
                Input::Text(input) => text::encode(model.tokenizer, input.as_bytes(), model.tokenizer.options())
                    .map_err(|error| ApiError::field(param, format_args!("{error:#}")))?,
            };
            let second = tokens.len();
            checked(model, (tokens, second), truncate, param)
        };
        inputs.iter().map(of).collect()
    })
    .await
}

/// Tokens of each pair of `query` and a text.
///
/// # Errors
/// 400 for a pair that is empty or too long, and for a model that makes no scores.
pub async fn pairs(
    model: &'static Loaded,
    query: String,
    texts: Vec<String>,
    truncate: bool,
    param: &'static str,
) -> Result<Vec<Tokens>> {
    check_number(texts.len(), param)?;
    blocking(move || {
        let error = |error: nearfield_host::Error| ApiError::field(param, format_args!("{error:#}"));
        let form = PairForm::of(model.file, model.model).map_err(error)?;
        let mut notes = text::Notes::default();
        let query = form.beginning(model.tokenizer, query.as_bytes(), &mut notes).map_err(error)?;
        let mut pair = |text: &String| {
            let pair = form.pair(model.tokenizer, &query, text.as_bytes(), &mut notes).map_err(error)?;
            checked(model, pair, truncate, param)
        };
        texts.iter().map(&mut pair).collect()
    })
    .await
}

fn check_number(n: usize, param: &str) -> Result<()> {
    if n > MAX_DOCUMENTS {
        return Err(ApiError::field(param, format_args!("{n} texts: at most {MAX_DOCUMENTS} are taken")));
    }
    Ok(())
}

fn checked(model: &Loaded, (mut tokens, second): Tokens, truncate: bool, param: &str) -> Result<Tokens> {
    let (n_ctx, n_vocab) = (model.n_ctx, model.model.shape().n_vocab);
    if let Some(token) = tokens.iter().find(|&&token| token as usize >= n_vocab) {
        let message = format!("token {token} is not below the vocabulary's size {n_vocab}");
        return Err(ApiError::field(param, message));
    }
    if tokens.is_empty() {
        return Err(ApiError::field(param, "a text of no tokens"));
    }
    if tokens.len() > n_ctx {
        if !truncate {
            return Err(ApiError::too_long(param, tokens.len(), n_ctx));
        }
        let end = tokens.last().copied().filter(|&token| model.tokenizer.vocab().is_end(token));
        tokens.truncate(n_ctx - usize::from(end.is_some()));
        tokens.extend(end);
    }
    let second = second.min(tokens.len());
    Ok((tokens, second))
}

/// Vectors of documents, or vectors of their score alone, in their order.
///
/// # Errors
/// 503 if the queue is full, 504 if it takes too long, 500 for a broken model.
pub async fn run(app: &App, model: &Loaded, documents: Vec<Tokens>, normalize: bool) -> Result<Vec<Vec<f32>>> {
    let Worker::Encoder { queue, .. } = &model.worker else {
        return Err(ApiError::field("model", format_args!("{} encodes no documents", model.id)));
    };
    if documents.is_empty() {
        return Ok(vec![]);
    }
    let (done, result) = oneshot::channel();
    let deadline = Instant::now() + app.config.limits.request;
    let job = Documents { documents, normalize, deadline, done };
    queue.push(vec![job]).map_err(|refused| ApiError::refused(refused, model.retry_after(1)))?;
    Ok(result.await.map_err(|_| ended_early())??)
}
