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
/// 503 once it shuts down, 500 if the thread of a model has ended.
pub async fn health(State(app): State<Arc<App>>) -> Result<Json> {
    if app.is_stopping.load(Ordering::Relaxed) {
        return Err(ApiError::refused(Refused::Closed, 1));
    }
    if let Some(model) = app.models.iter().find(|model| model.is_closed()) {
        return Err(ApiError::broken(format_args!("the thread of {} has ended: a bug of nearfield", model.id)));
    }
    Ok(Json(json!({"status": "ok"})))
}

/// Counts in Prometheus' text format.
pub async fn counts(State(app): State<Arc<App>>) -> Response {
    let models = app.models.iter().map(|model| (&*model.id, &*model.metrics, model.n_waiting()));
    ([(CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], metrics::page(&app.metrics, models)).into_response()
}
