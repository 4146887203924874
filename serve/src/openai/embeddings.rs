//! `POST /v1/embeddings`, and `POST /embed` of text-embeddings-inference.

use std::sync::Arc;

use axum::extract::{Request, State};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::app::App;
use crate::body::{Inputs, Texts};
use crate::documents::{self, embeds};
use crate::error::{ApiError, Result};
use crate::json::Json;
use crate::models;

/// Vectors of texts. With `dimensions`, each is cut and scaled to length 1 again.
///
/// # Errors
/// [`ApiError`].
pub async fn embeddings(State(app): State<Arc<App>>, request: Request) -> Result<Json> {
    let body = app.body(request).await?;
    let name = body.get::<String>("model")?;
    let model = models::find(app.models, name.as_deref(), embeds, "makes embeddings")?;
    let width = model.model.shape().n_embd;
    let Inputs(inputs) = body.need("input")?;
    let dimensions = body.get::<usize>("dimensions")?.unwrap_or(width);
    if !(1..=width).contains(&dimensions) {
        let message = format!("dimensions has to lie between 1 and {width}, it is {dimensions}");
        return Err(ApiError::field("dimensions", message));
    }
    let is_base64 = match body.get::<String>("encoding_format")?.as_deref() {
        None | Some("float") => false,
        Some("base64") => true,
        Some(other) => {
            let message = format!("encoding_format has to be float or base64, it is {other:?}");
            return Err(ApiError::field("encoding_format", message));
        }
    };
    let documents = documents::tokens(model, inputs, false, "input").await?;
    let n_tokens: usize = documents.iter().map(|(tokens, _)| tokens.len()).sum();
    let vectors = documents::run(&app, model, documents, true).await?;
    let vector = |vector: Vec<f32>| -> Value {
        let vector = cut(vector, dimensions);
        if is_base64 {
            let bytes: Vec<u8> = vector.iter().flat_map(|number| number.to_le_bytes()).collect();
            STANDARD.encode(bytes).into()
        } else {
            vector.into()
        }
    };
    let data: Vec<Value> = (0..)
        .zip(vectors)
        .map(|(index, found): (usize, _)| json!({"object": "embedding", "index": index, "embedding": vector(found)}))
        .collect();
    let usage = json!({"prompt_tokens": n_tokens, "total_tokens": n_tokens});
    Ok(Json(json!({"object": "list", "data": data, "model": model.id, "usage": usage})))
}

/// The first `n` numbers of a vector, of length 1 if some are left out.
fn cut(mut vector: Vec<f32>, n: usize) -> Vec<f32> {
    if n < vector.len() {
        vector.truncate(n);
        let length = vector.iter().map(|&x| f64::from(x) * f64::from(x)).sum::<f64>().sqrt();
        if length > 0.0 {
            vector.iter_mut().for_each(|x| *x = (f64::from(*x) / length) as f32);
        }
    }
    vector
}

/// Vectors of texts as text-embeddings-inference takes and gives them: `{"inputs", "normalize", "truncate"}`, an array of arrays.
///
/// # Errors
/// [`ApiError`].
pub async fn embed(State(app): State<Arc<App>>, request: Request) -> Result<Json> {
    let body = app.body(request).await?;
    let model = models::find(app.models, body.get::<String>("model")?.as_deref(), embeds, "makes embeddings")?;
    let Texts(inputs) = body.need("inputs")?;
    let inputs = inputs.into_iter().map(crate::body::Input::Text).collect();
    let (normalize, truncate) = (body.get("normalize")?.unwrap_or(true), body.get("truncate")?.unwrap_or(false));
    let documents = documents::tokens(model, inputs, truncate, "inputs").await?;
    Ok(Json(json!(documents::run(&app, model, documents, normalize).await?)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cut_vector_has_length_one() {
        assert_eq!(cut(vec![3.0, 4.0, 12.0], 2), [0.6, 0.8]);
        assert_eq!(cut(vec![3.0, 4.0], 2), [3.0, 4.0], "nothing is cut");
        assert_eq!(cut(vec![0.0, 1.0], 1), [0.0]);
    }
}
