//! State that all handlers share.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use axum::extract::Request;
use nearfield_host::sampler::SamplerOptions;

use crate::body::{self, Body};
use crate::error::{ApiError, Result};
use crate::metrics::ServerMetrics;
use crate::models::{self, Loaded};

/// Limits on requests: what is slow, huge or too much gets an error.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Bytes of a body.
    pub body_bytes: usize,
    /// Connections at a time; others wait to be accepted.
    pub connections: usize,
    /// Time for the head of a request, and for a connection without requests.
    pub head: Duration,
    /// Time for the body of a request.
    pub body: Duration,
    /// Time in which a client must take some bytes of an answer.
    pub write: Duration,
    /// Time for a request, with the time that it waits.
    pub request: Duration,
    /// Time that running requests have to end once the server shuts down.
    pub grace: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            body_bytes: 4 << 20,
            connections: 512,
            head: Duration::from_secs(30),
            body: Duration::from_secs(60),
            write: Duration::from_secs(30),
            request: Duration::from_secs(600),
            grace: Duration::from_secs(30),
        }
    }
}

/// Settings of the server.
#[derive(Clone, Debug)]
pub struct Config {
    /// Settings of the models.
    pub models: models::Settings,
    /// Settings of sampling where a request has none.
    pub sampler: SamplerOptions,
    /// Tokens of a text where a request has no length; `None` for as many as the context holds.
    pub max_tokens: Option<usize>,
    /// Keys of which a request must bring one; none for no keys.
    pub api_keys: Vec<String>,
    /// Origin whose pages may use the server, or `*` for all, besides its own page.
    pub cors: Option<String>,
    /// Limits on requests.
    pub limits: Limits,
}

/// State that all handlers share.
pub struct App {
    /// Models, which live as long as the process.
    pub models: &'static [Loaded],
    /// Settings.
    pub config: Config,
    /// Address that the server listens on.
    pub address: SocketAddr,
    /// Counts of the server.
    pub metrics: ServerMetrics,
    /// Seconds from 1970 on at which the server began.
    pub began: u64,
    /// True once the server shuts down.
    pub is_stopping: AtomicBool,
    n_answers: AtomicU64,
}

impl App {
    /// State at the beginning.
    pub fn new(models: &'static [Loaded], config: Config, address: SocketAddr) -> Self {
        Self {
            models,
            config,
            address,
            metrics: ServerMetrics::default(),
            began: SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs()),
            is_stopping: AtomicBool::new(false),
            n_answers: AtomicU64::new(0),
        }
    }

    /// Number of the next answer.
    pub fn next_answer(&self) -> u64 {
        self.n_answers.fetch_add(1, Ordering::Relaxed)
    }

    /// JSON object of a request.
    ///
    /// # Errors
    /// When the body is too long, too slow or no JSON object.
    pub async fn body(self: &Arc<Self>, request: Request) -> Result<Body> {
        let limits = &self.config.limits;
        let bytes = body::read(request, limits.body_bytes, limits.body).await?;
        Body::parse(bytes)
    }
}

/// Result of work that takes the time of a long text, such as tokenizing it: other requests go on meanwhile.
///
/// # Errors
/// Errors of `work`.
pub async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(_) => Err(ApiError::broken("the request cannot be worked on: a bug of nearfield")),
    }
}
