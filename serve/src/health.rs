//! `GET /health` and `GET /metrics`.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::json::Json;
use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use serde_json::json;

use crate::app::App;
use crate::error::{ApiError, Result};
use crate::metrics;
use crate::queue::Refused;

/// Says that the server takes requests: models are loaded before it listens.
///
/// # Errors
/// 503 once it shuts down.
pub async fn health(State(app): State<Arc<App>>) -> Result<Json> {
    if app.is_stopping.load(Ordering::Relaxed) {
        return Err(ApiError::refused(Refused::Closed, 1));
    }
    Ok(Json(json!({"status": "ok"})))
}

/// Counts in Prometheus' text format.
pub async fn counts(State(app): State<Arc<App>>) -> Response {
    let models = app.models.iter().map(|model| (&*model.id, &*model.metrics, model.n_waiting()));
    ([(CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], metrics::page(&app.metrics, models)).into_response()
}
