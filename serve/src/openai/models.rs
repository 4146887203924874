//! `GET /v1/models` and `/v1/models/{id}`.

use std::sync::Arc;

use crate::json::Json;
use axum::extract::{Path, State};
use serde_json::{Value, json};

use crate::app::App;
use crate::error::Result;
use crate::models::{self, Loaded, Worker};

/// All models.
pub async fn list(State(app): State<Arc<App>>) -> Json {
    let models: Vec<Value> = app.models.iter().map(model).collect();
    Json(json!({"object": "list", "data": models}))
}

/// Model of that name.
///
/// # Errors
/// 404 without one.
pub async fn one(State(app): State<Arc<App>>, Path(id): Path<String>) -> Result<Json> {
    Ok(Json(model(models::find(app.models, Some(&id), |_| true, "")?)))
}

/// Model in OpenAI's form, with its shape in `meta`.
fn model(model: &Loaded) -> Value {
    let shape = model.model.shape();
    let task = match &model.worker {
        Worker::Decoder(_) => "generate",
        Worker::Encoder { pooling: Some(_), .. } => "embed",
        Worker::Encoder { pooling: None, .. } => "rerank",
    };
    json!({
        "id": model.id,
        "object": "model",
        "created": model.created,
        "owned_by": "nearfield",
        "meta": {
            "task": task,
            "architecture": shape.arch.name,
            "size": model.file.n_bytes(),
            "n_ctx": model.n_ctx,
            "n_vocab": model.tokenizer.n_tokens(),
            "n_embd": shape.n_embd,
            "n_layer": shape.n_layer,
            "n_head": shape.n_head,
            "chat": model.formatter().is_ok(),
            "infill": model.can_fill_in,
        },
    })
}
