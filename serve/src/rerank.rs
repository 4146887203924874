//! `POST /v1/rerank`, as Jina's and Cohere's clients send it, and `POST /rerank` as those of text-embeddings-inference do.

use std::sync::Arc;

use axum::extract::{Request, State};
use serde_json::{Map, Value, json};

use crate::app::App;
use crate::body::{Body, Field, Texts};
use crate::documents::{self, scores};
use crate::error::Result;
use crate::json::Json;
use crate::models;

/// Documents of a request: texts, or objects with a text.
struct RankedTexts(Vec<String>);

impl Field for RankedTexts {
    const EXPECTED: &'static str = "an array of strings, or of objects with a string called text";

    fn of(value: &Value) -> Option<Self> {
        let text = |value: &Value| String::of(value).or_else(|| String::of(value.get("text")?));
        value.as_array()?.iter().map(text).collect::<Option<_>>().map(Self)
    }
}

/// Ranks documents, the best first: `{"query", "documents", "top_n", "return_documents"}`, or the body of
/// text-embeddings-inference: `{"query", "texts", "raw_scores", "return_text", "truncate"}`.
///
/// # Errors
/// [`ApiError`](crate::error::ApiError).
pub async fn rerank(State(app): State<Arc<App>>, request: Request) -> Result<Json> {
    let body = app.body(request).await?;
    if body.value("texts").is_some() && body.value("documents").is_none() {
        of_tei(&app, &body).await
    } else {
        of_jina(&app, &body).await
    }
}

async fn of_jina(app: &Arc<App>, body: &Body) -> Result<Json> {
    let (model, name) = (body.get::<String>("model")?, "ranks documents");
    let model = models::find(app.models, model.as_deref(), scores, name)?;
    let RankedTexts(texts) = body.need("documents")?;
    let top_n = body.first::<usize>(&["top_n", "top_k"])?.unwrap_or(texts.len());
    let returns = body.get("return_documents")?.unwrap_or(false);
    let pairs = documents::pairs(model, body.need("query")?, texts.clone(), false, "documents").await?;
    let n_tokens: usize = pairs.iter().map(|(tokens, _)| tokens.len()).sum();
    let found = documents::run(app, model, pairs, true).await?;
    let results: Vec<Value> = ranked(&found)
        .into_iter()
        .take(top_n)
        .map(|(index, score)| {
            let mut result = json!({"index": index, "relevance_score": sigmoid(score)});
            if returns {
                result["document"] = json!({"text": texts.get(index)});
            }
            result
        })
        .collect();
    let usage = json!({"prompt_tokens": n_tokens, "total_tokens": n_tokens});
    Ok(Json(json!({"object": "list", "model": model.id, "results": results, "usage": usage})))
}

async fn of_tei(app: &Arc<App>, body: &Body) -> Result<Json> {
    let model = body.get::<String>("model")?;
    let model = models::find(app.models, model.as_deref(), scores, "ranks documents")?;
    let Texts(texts) = body.need("texts")?;
    let is_raw = body.get("raw_scores")?.unwrap_or(false);
    let (returns, truncate) = (body.get("return_text")?.unwrap_or(false), body.get("truncate")?.unwrap_or(false));
    let pairs = documents::pairs(model, body.need("query")?, texts.clone(), truncate, "texts").await?;
    let found = documents::run(app, model, pairs, true).await?;
    let result = |(index, score): (usize, f32)| {
        let mut result = Map::new();
        result.insert("index".into(), index.into());
        result.insert("score".into(), if is_raw { json!(score) } else { json!(sigmoid(score)) });
        if returns {
            result.insert("text".into(), json!(texts.get(index)));
        }
        Value::Object(result)
    };
    Ok(Json(ranked(&found).into_iter().map(result).collect()))
}

/// Numbers of the documents with their scores, the best first.
fn ranked(scores: &[Vec<f32>]) -> Vec<(usize, f32)> {
    let mut ranked: Vec<(usize, f32)> =
        scores.iter().map(|score| score.first().copied().unwrap_or_default()).enumerate().collect();
    ranked.sort_by(|a, b| b.1.total_cmp(&a.1));
    ranked
}

/// Probability of a score, as `nearfield rerank --sigmoid` tells it.
fn sigmoid(score: f32) -> f32 {
    (1.0 / (1.0 + (-f64::from(score)).exp())) as f32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_best_comes_first_and_equals_keep_their_order() {
        let scores = [0.5, 2.0, -1.0, 2.0].map(|score| vec![score]);
        assert_eq!(ranked(&scores), [(1, 2.0), (3, 2.0), (0, 0.5), (2, -1.0)]);
        assert_eq!([sigmoid(0.0), sigmoid(f32::INFINITY), sigmoid(f32::NEG_INFINITY)], [0.5, 1.0, 0.0]);
    }

    #[test]
    fn documents_are_texts_or_objects_with_one() {
        let texts = |text: &str| RankedTexts::of(&serde_json::from_str(text).unwrap()).map(|found| found.0);
        assert_eq!(texts(r#"["a", {"text": "b"}]"#), Some(vec!["a".into(), "b".into()]));
        assert_eq!(texts(r#"["a", {"body": "b"}]"#), None);
    }
}
