//! Models of the server: loaded once, for the life of the process.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{SystemTime, UNIX_EPOCH};

use nearfield::tokenizer::{Detokenizer, Tokenizer};
use nearfield::{EncoderConfig, Model, Pooling, Prefix, SessionConfig};
use nearfield_host::chat::{Chat, Formatter};
use nearfield_host::engine::Engine;
use nearfield_host::error::Result;
use nearfield_host::grammar::SortedTokens;
use nearfield_host::memory::allocate;
use nearfield_host::model_file::{ModelFile, Repack};
use nearfield_host::prompt::Prompt;
use nearfield_host::snapshot_file::SnapshotFile;
use nearfield_host::stops::Stops;
use nearfield_host::{Monitor, text};

use crate::engine::encoder::{self, Documents};
use crate::engine::grammars::Grammars;
use crate::engine::job::Job;
use crate::engine::{self, Setup};
use crate::error::ApiError;
use crate::metrics::Metrics;
use crate::queue::Queue;

/// Name of the built-in model.
const BUILT_IN: &str = "stories";

/// Loaded model.
pub struct Loaded {
    /// Name in requests: that of its file, without `.gguf`.
    pub id: String,
    /// Other names by which requests may call it: those of its file.
    names: [String; 2],
    /// Seconds from 1970 on at which it was loaded.
    pub created: u64,
    /// File of the model.
    pub file: &'static ModelFile,
    /// Tables and weights.
    pub model: &'static Model<'static>,
    /// Tokenizer.
    pub tokenizer: &'static Tokenizer<'static, 'static>,
    /// Tokens of the longest text.
    pub n_ctx: usize,
    /// True if the model was made to fill in text: it has tokens around holes.
    pub can_fill_in: bool,
    /// Format of conversations, or the reason why the model has none here.
    formatter: std::result::Result<Formatter<'static>, String>,
    /// Snapshot that each text continues.
    prefix: Option<Prefix<'static>>,
    /// Forms that texts are held to.
    pub grammars: &'static Grammars,
    /// Thread that runs it.
    pub worker: Worker,
    /// Counts of that thread.
    pub metrics: Arc<Metrics>,
}

/// Thread of a model, as requests reach it.
pub enum Worker {
    /// The model continues texts.
    Decoder(Arc<Queue<Job>>),
    /// The model makes vectors, or scores, of documents.
    Encoder {
        /// Queue of the thread.
        queue: Arc<Queue<Documents>>,
        /// Rule that makes a vector of a document; `None` for a model of scores.
        pooling: Option<Pooling>,
    },
}

/// Settings that all models share.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Settings of each text; the number of positions is a wish that learned positions may shorten.
    pub session: SessionConfig,
    /// Settings of each document; likewise.
    pub encoder: EncoderConfig,
    /// Number of texts that run together.
    pub n_slots: usize,
    /// Number of jobs that wait at most.
    pub n_queue: usize,
    /// Condition for interleaving weights.
    pub repack: Repack,
    /// File of a snapshot that each text continues, made with the model.
    pub prefix: Option<PathBuf>,
    /// Format of conversations; [`Chat::Auto`] for that of each model.
    pub chat: Chat,
}

impl Loaded {
    /// Opens and loads a model, and starts its thread.
    ///
    /// # Errors
    /// When the file is no model that can run, or memory is short.
    pub fn new(
        path: Option<PathBuf>,
        engine: &'static Engine,
        settings: &Settings,
        stop: &Arc<AtomicBool>,
        monitor: &Monitor,
    ) -> Result<Self> {
        let names = names(path.as_deref());
        let opened = ModelFile::open(path, monitor)?;
        // The identity is that of the file, so it is computed before its weights may be interleaved.
        let prefix = settings.prefix.as_deref().map(|path| prefix(path, &opened)).transpose()?;
        let file = engine.load(opened, settings.repack)?;
        // A model lives as long as the process: handlers and its thread borrow it.
        let file: &'static ModelFile = Box::leak(Box::new(file));
        let model: &'static Model<'static> = Box::leak(Box::new(file.model()?));
        let vocab = file.vocab_of(model)?;
        let lines = Box::leak(Box::new(allocate(text::index_bytes(&vocab)?)?));
        let tokenizer: &'static _ = Box::leak(Box::new(file.tokenizer(vocab, lines)?));
        let grammars: &'static _ = Box::leak(Box::new(Grammars::new(SortedTokens::new(tokenizer))));
        let metrics = Arc::new(Metrics::default());
        let n_positions = model.shape().n_positions.unwrap_or(usize::MAX);
        let (n_ctx, worker) = if model.shape().arch.is_encoder() {
            let n_ctx = settings.encoder.n_ctx.min(n_positions);
            let queue = Arc::new(Queue::new(settings.n_queue, |job: &Documents| job.is_gone()));
            let pooling = Pooling::of_file(model.gguf(), model.shape().arch.name);
            let config = EncoderConfig { n_ctx, ..settings.encoder };
            encoder::start(encoder::Setup {
                model,
                engine,
                config,
                pooling,
                queue: queue.clone(),
                metrics: metrics.clone(),
                stop: stop.clone(),
            })?;
            (n_ctx, Worker::Encoder { queue, pooling })
        } else {
            let n_ctx = settings.session.n_ctx.min(n_positions);
            let queue = Arc::new(Queue::new(settings.n_queue, |job: &Job| job.events.is_closed()));
            engine::start(Setup {
                model,
                tokenizer,
                engine,
                session: SessionConfig {
                    n_ctx,
                    n_prefix: prefix.map_or(0, |prefix| prefix.n_tokens()),
                    ..settings.session
                },
                prefix,
                grammars,
                n_slots: settings.n_slots,
                queue: queue.clone(),
                metrics: metrics.clone(),
                stop: stop.clone(),
            })
            .map_err(|error| error.context(&file.name))?;
            (n_ctx, Worker::Decoder(queue))
        };
        let created = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs());
        let [id, names @ ..] = names;
        let is_decoder = matches!(worker, Worker::Decoder(_));
        // A conversation, or a hole, begins a text of its own.
        let begins = is_decoder && prefix.is_none();
        let can_fill_in = begins && Prompt::with_hole(file, tokenizer, b"", b"").is_ok();
        let formatter = match (is_decoder, begins) {
            (false, _) => Err("it continues no text".into()),
            (true, false) => Err("each text here continues the snapshot of --load-kv".into()),
            (true, true) => {
                Formatter::new(model.gguf(), tokenizer, settings.chat).map_err(|error| format!("{error:#}"))
            }
        };
        Ok(Self {
            id,
            names,
            created,
            file,
            model,
            tokenizer,
            n_ctx,
            can_fill_in,
            formatter,
            prefix,
            grammars,
            worker,
            metrics,
        })
    }

    /// True if requests may call the model so.
    pub fn is_called(&self, name: &str) -> bool {
        self.id == name || self.names.iter().any(|other| other == name)
    }

    /// Number of jobs that wait.
    pub fn n_waiting(&self) -> usize {
        match &self.worker {
            Worker::Decoder(queue) => queue.len(),
            Worker::Encoder { queue, .. } => queue.len(),
        }
    }

    /// True once the model's thread takes no more jobs.
    pub fn is_closed(&self) -> bool {
        match &self.worker {
            Worker::Decoder(queue) => queue.is_closed(),
            Worker::Encoder { queue, .. } => queue.is_closed(),
        }
    }

    /// Refuses jobs from now on.
    pub fn close(&self) {
        match &self.worker {
            Worker::Decoder(queue) => queue.close(),
            Worker::Encoder { queue, .. } => queue.close(),
        }
    }

    /// True for a model that continues texts.
    pub fn is_decoder(&self) -> bool {
        matches!(self.worker, Worker::Decoder(_))
    }

    /// Format of conversations.
    ///
    /// # Errors
    /// The reason why the model has none here.
    pub fn formatter(&self) -> std::result::Result<&Formatter<'static>, &str> {
        self.formatter.as_ref().map_err(|reason| &**reason)
    }

    /// Number of tokens of the snapshot that each text continues.
    pub fn n_prefix(&self) -> usize {
        self.prefix.map_or(0, |prefix| prefix.n_tokens())
    }

    /// Prompt of a text, behind the snapshot if there is one.
    ///
    /// # Errors
    /// 400 for a text that cannot become tokens.
    pub fn prompt(&self, text: &str, param: &str) -> Result<Prompt, ApiError> {
        let (text, silent) = (text.as_bytes(), Monitor::silent());
        let prompt = match &self.prefix {
            None => Prompt::of_text(self.tokenizer, text, &silent),
            Some(prefix) => Prompt::behind(prefix, self.tokenizer, text, &silent),
        };
        prompt.map_err(|error| ApiError::field(param, format_args!("{error:#}")))
    }

    /// Prompt of tokens, which are taken as they are, behind the snapshot if there is one.
    pub fn prompt_of(&self, tokens: &[u32]) -> Prompt {
        let before = self.prefix.and_then(|prefix| prefix.text().last_tokens.last().copied());
        let shown = self.text(tokens).unwrap_or_default().into_bytes();
        let tokens = before.into_iter().chain(tokens.iter().copied()).collect();
        Prompt { shown, tokens, stops: Stops::default(), after: vec![] }
    }

    /// Text of tokens, without control tokens; `None` for a token that the model lacks.
    pub fn text(&self, tokens: &[u32]) -> Option<String> {
        let (mut detokenizer, mut text) = (Detokenizer::of_whole_text(false), String::new());
        for &token in tokens {
            detokenizer.push(self.tokenizer, token, &mut text).ok()?;
        }
        detokenizer.finish(&mut text).ok()?;
        Some(text)
    }

    /// Seconds after which a full queue may have room: the time of the jobs that wait, at most a minute.
    pub fn retry_after(&self, n_slots: usize) -> u64 {
        let n_rounds = (self.n_waiting() / n_slots.max(1)).max(1) as u32;
        self.metrics.mean_time().saturating_mul(n_rounds).as_secs().clamp(1, 60)
    }
}

/// Snapshot in a file, which has to be this model's. It stays as long as the process.
fn prefix(path: &Path, file: &ModelFile) -> Result<Prefix<'static>> {
    let snapshot: &'static SnapshotFile = Box::leak(Box::new(SnapshotFile::open(path)?));
    snapshot.prefix(file.id())
}

/// Names of the model at `path`: without `.gguf`, with it, and with its folders.
fn names(path: Option<&Path>) -> [String; 3] {
    let Some(path) = path else { return [BUILT_IN; 3].map(Into::into) };
    let whole = path.display().to_string();
    let file = path.file_name().map_or_else(|| whole.clone(), |name| name.to_string_lossy().into_owned());
    let n = file.len();
    let id = match file.get(n.saturating_sub(5)..) {
        Some(end) if end.eq_ignore_ascii_case(".gguf") && n > 5 => file[..n - 5].to_string(),
        _ => file.clone(),
    };
    [id, file, whole]
}

/// Gives models with the same name different ones: a number is put behind those that come later.
pub fn tell_apart(models: &mut [Loaded]) {
    for i in 1..models.len() {
        let (before, rest) = models.split_at_mut(i);
        let Some(model) = rest.first_mut() else { continue };
        let id = model.id.clone();
        for n in 2.. {
            if before.iter().all(|other| other.id != model.id) {
                break;
            }
            model.id = format!("{id}-{n}");
        }
    }
}

/// Model called `name`, or without a name the first of those that `fits`.
///
/// # Errors
/// 404 without a model of that name, 400 if it does not fit, with the words of `what_fits`.
pub fn find(
    models: &'static [Loaded],
    name: Option<&str>,
    fits: impl Fn(&Loaded) -> bool,
    what_fits: &str,
) -> Result<&'static Loaded, ApiError> {
    let Some(name) = name.filter(|name| !name.is_empty()) else {
        let found = models.iter().find(|model| fits(model));
        return found.ok_or_else(|| {
            let message = format!("no model here {what_fits}: the server has {}", list(models));
            ApiError::field("model", message).with_code("model_not_supported")
        });
    };
    let mut called = models.iter().filter(|model| model.is_called(name)).peekable();
    if called.peek().is_none() {
        let message = format!("no model called {name:?}: the server has {}", list(models));
        let error = ApiError::field("model", message).with_code("model_not_found");
        return Err(ApiError { status: axum::http::StatusCode::NOT_FOUND, ..error });
    }
    called.find(|model| fits(model)).ok_or_else(|| {
        ApiError::field("model", format_args!("{name} is no model that {what_fits}")).with_code("model_not_supported")
    })
}

fn list(models: &[Loaded]) -> String {
    models.iter().map(|model| &*model.id).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_model_has_the_name_of_its_file() {
        assert_eq!(names(None), ["stories"; 3]);
        let path = Path::new("/models/jina-v2.Q8_0.GGUF");
        assert_eq!(names(Some(path)), ["jina-v2.Q8_0", "jina-v2.Q8_0.GGUF", "/models/jina-v2.Q8_0.GGUF"]);
        assert_eq!(names(Some(Path::new("model")))[..2], ["model", "model"]);
        assert_eq!(names(Some(Path::new("é.gguf")))[0], "é");
    }
}
