//! Table of the routes.

use std::sync::Arc;

use axum::http::{Method, StatusCode, Uri};
use axum::routing::{get, post};
use axum::{Router, middleware};

use crate::app::App;
use crate::error::ApiError;
use crate::openai::{chat, completions, embeddings, models};
use crate::{guard, health, infill, page, rerank, tokenize};

/// Routes of the server.
pub fn routes(app: Arc<App>) -> Router {
    Router::new()
        .route("/health", get(health::health))
        .route("/metrics", get(health::counts))
        .route("/v1/models", get(models::list))
        .route("/v1/models/{*id}", get(models::one))
        .route("/v1/completions", post(completions::complete))
        .route("/v1/chat/completions", post(chat::answer))
        .route("/v1/embeddings", post(embeddings::embeddings))
        .route("/embed", post(embeddings::embed))
        .route("/v1/rerank", post(rerank::rerank))
        .route("/rerank", post(rerank::rerank))
        .route("/infill", post(infill::infill))
        .route("/completion", post(infill::complete))
        .route("/tokenize", post(tokenize::tokenize))
        .route("/detokenize", post(tokenize::detokenize))
        .merge(page::routes())
        .fallback(unknown)
        .method_not_allowed_fallback(wrong_method)
        .layer(middleware::from_fn_with_state(app.clone(), guard::guard))
        .with_state(app)
}

async fn unknown(uri: Uri) -> ApiError {
    ApiError::new(StatusCode::NOT_FOUND, format_args!("no route {}: docs/serve.md lists them", uri.path()))
        .with_code("unknown_route")
}

async fn wrong_method(method: Method, uri: Uri) -> ApiError {
    ApiError::new(StatusCode::METHOD_NOT_ALLOWED, format_args!("{} does not take {method}", uri.path()))
        .with_code("method_not_allowed")
}
