//! `POST /infill` and `POST /completion`, as clients of llama.cpp's server send them, such as llama.vim.
//!
//! Reference: <https://github.com/ggml-org/llama.cpp/tree/master/tools/server>.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use nearfield::End;
use nearfield_host::prompt::Prompt;
use serde_json::{Value, json};

use crate::app::{App, blocking};
use crate::body::{Body, Field};
use crate::engine::job::News;
use crate::error::Result;
use crate::json::Json;
use crate::models::{self, Loaded};
use crate::openai::answer::{ended_early, timings};
use crate::openai::completions::with_hole;
use crate::openai::texts::{self, Settings};

/// Piece of another file that is put before the text.
struct Extra {
    name: Option<String>,
    text: String,
}

impl Field for Extra {
    const EXPECTED: &'static str = "an object with a string called text";

    fn of(value: &Value) -> Option<Self> {
        Some(Self { name: value.get("filename").and_then(String::of), text: String::of(value.get("text")?)? })
    }
}

/// Fills in the text between `input_prefix`, with `prompt` behind it, and `input_suffix`. Pieces of other files in `input_extra`
/// come first.
///
/// # Errors
/// [`ApiError`](crate::error::ApiError).
pub async fn infill(State(app): State<Arc<App>>, request: Request) -> Result<Response> {
    let body = app.body(request).await?;
    let model = find(&app, &body, |model| model.can_fill_in, "fills in text")?;
    let prefix: String = body.need("input_prefix")?;
    let suffix: String = body.need("input_suffix")?;
    let before: String = body.get("prompt")?.unwrap_or_default();
    let extra: Vec<Extra> = body.get("input_extra")?.unwrap_or_default();
    let settings = settings(&body, &app)?;
    let prompt = blocking(move || with_hole(model, &(context(&extra) + &prefix + &before), &suffix)).await?;
    answer(&app, &body, model, prompt, settings, "input_prefix").await
}

/// Text of pieces of other files, each behind its name.
fn context(extra: &[Extra]) -> String {
    let piece = |piece: &Extra| match &piece.name {
        Some(name) => format!("{name}\n{}\n", piece.text),
        None => format!("{}\n", piece.text),
    };
    extra.iter().map(piece).collect()
}

/// Continues `prompt`.
///
/// # Errors
/// [`ApiError`](crate::error::ApiError).
pub async fn complete(State(app): State<Arc<App>>, request: Request) -> Result<Response> {
    let body = app.body(request).await?;
    let model = find(&app, &body, Loaded::is_decoder, "continues texts")?;
    let prompt: String = body.need("prompt")?;
    let settings = settings(&body, &app)?;
    let prompt = blocking(move || model.prompt(&prompt, "prompt")).await?;
    answer(&app, &body, model, prompt, settings, "prompt").await
}

fn find(app: &App, body: &Body, fits: fn(&Loaded) -> bool, what_fits: &str) -> Result<&'static Loaded> {
    models::find(app.models, body.get::<String>("model")?.as_deref(), fits, what_fits)
}

fn settings(body: &Body, app: &App) -> Result<Settings> {
    let mut settings = Settings::of(body, app, &["n_predict", "max_tokens"])?;
    settings.n = 1;
    let time = body.get::<u64>("t_max_predict_ms")?.filter(|&time| time > 0);
    settings.time = time.map(Duration::from_millis);
    Ok(settings)
}

async fn answer(
    app: &Arc<App>,
    body: &Body,
    model: &'static Loaded,
    prompt: Prompt,
    settings: Settings,
    param: &str,
) -> Result<Response> {
    let is_streamed = body.get("stream")?.unwrap_or(false);
    let fields: Vec<String> = body.get("response_fields")?.unwrap_or_default();
    let mut begun = texts::begin(app, model, vec![prompt], &settings, param).await?;
    if is_streamed {
        return Ok(stream::response(begun));
    }
    let (mut content, mut tokens) = (String::new(), Vec::new());
    loop {
        match begun.events.recv().await.ok_or_else(ended_early)?.news {
            News::Token(token) => {
                content.push_str(&token.text);
                tokens.push(token.id);
            }
            News::Ended(ended) => {
                content.push_str(&ended.text);
                let mut last = last(ended.end, &ended.work, begun.seeds.first());
                last["content"] = content.into();
                last["tokens"] = tokens.into();
                last["model"] = model.id.clone().into();
                return Ok(Json(only(last, &fields)).into_response());
            }
            News::Failed(failure) => return Err(failure.into()),
        }
    }
}

/// Fields of the end of a text.
fn last(end: End, work: &crate::engine::job::Work, seed: Option<&u64>) -> Value {
    let stop_type = match end {
        End::Token | End::Grammar => "eos",
        End::Word => "word",
        End::Length | End::ContextFull => "limit",
    };
    json!({
        "content": "",
        "stop": true,
        "stop_type": stop_type,
        "truncated": end == End::ContextFull,
        "tokens_cached": work.n_prompt + work.n_tokens,
        "tokens_evaluated": work.n_prompt,
        "tokens_predicted": work.n_tokens,
        "seed": seed,
        "timings": timings(work),
    })
}

/// The fields of an answer at these paths, such as `timings/predicted_n`, under the paths as names; all fields without a path.
fn only(answer: Value, paths: &[String]) -> Value {
    if paths.is_empty() {
        return answer;
    }
    let at =
        |path: &String| Some((path.clone(), path.split('/').try_fold(&answer, |value, name| value.get(name))?.clone()));
    Value::Object(paths.iter().filter_map(at).collect())
}

mod stream {
    //! Answers that come piece by piece, each an event with `content` and `stop`.

    use std::pin::Pin;
    use std::task::{Context, Poll};

    use axum::body::Bytes;
    use axum::response::Response;
    use futures_core::Stream;
    use serde_json::json;

    use crate::engine::job::News;
    use crate::error::ApiError;
    use crate::openai::answer::ended_early;
    use crate::openai::texts::Begun;
    use crate::sse;

    pub(super) fn response(begun: Begun) -> Response {
        sse::response(Pieces { begun, is_over: false })
    }

    struct Pieces {
        begun: Begun,
        is_over: bool,
    }

    impl Stream for Pieces {
        type Item = Bytes;

        fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Bytes>> {
            if self.is_over {
                return Poll::Ready(None);
            }
            self.begun.events.poll_recv(context).map(|event| {
                let value = match event.map(|event| event.news) {
                    Some(News::Token(token)) => json!({"content": token.text, "tokens": [token.id], "stop": false}),
                    Some(News::Ended(ended)) => {
                        self.is_over = true;
                        let mut last = super::last(ended.end, &ended.work, self.begun.seeds.first());
                        last["content"] = ended.text.into();
                        last
                    }
                    Some(News::Failed(failure)) => {
                        self.is_over = true;
                        ApiError::from(failure).body()
                    }
                    None => {
                        self.is_over = true;
                        ended_early().body()
                    }
                };
                Some(sse::event(&value))
            })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_of_other_files_stand_behind_their_names() {
        let extra = |name: Option<&str>, text: &str| Extra { name: name.map(Into::into), text: text.into() };
        assert_eq!(context(&[extra(Some("a.c"), "int a;"), extra(None, "b")]), "a.c\nint a;\nb\n");
    }
}
