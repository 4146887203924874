//! [`nearfield`] over HTTP, for clients of OpenAI's API.
//!
//! ```text
//!   connections ─► guard ─► routes ─► openai/ ─► queue ─► engine (a thread for each model) ─► events ─► openai/answer
//! ```
//!
//! | module | task |
//! |---|---|
//! | `connections` | accepts connections, with limits on their number and time; ends in order |
//! | `guard` | keys, and pages of other origins |
//! | `routes`, `openai`, `rerank`, `infill`, `tokenize`, `health`, `page` | routes and their handlers |
//! | `documents` | texts for encoders |
//! | `body`, `error`, `sse` | bodies of requests, errors, streams |
//! | `models` | loaded models |
//! | `queue`, `engine` | jobs, and the threads that do them |
//! | `metrics` | counts |
//!
//! Each text has the bits that `nearfield run` gives with the same seed and settings, whatever runs beside it.

mod app;
mod body;
mod connections;
mod documents;
mod engine;
mod error;
mod guard;
mod health;
mod infill;
mod json;
mod metrics;
mod models;
mod openai;
mod page;
mod queue;
mod rerank;
mod routes;
mod sse;
mod tokenize;

use std::net::{SocketAddr, TcpListener, ToSocketAddrs};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use nearfield_host::engine::Engine;
use nearfield_host::{Error, Monitor, Result};

pub use app::{Config, Limits};
pub use models::Settings;

/// Threads that talk to clients; the models have threads of their own.
const N_THREADS: usize = 2;

/// Loads models and serves them until the monitor asks for an end; then finishes the requests that run.
///
/// - `paths`: files of the models; the built-in model if there are none
/// - `host`, `port`: address to listen on; port 0 for any that is free
/// - `ready`: called with the address once requests are taken
///
/// # Errors
/// When a model cannot be loaded, or the address cannot be used.
pub fn serve(
    paths: Vec<PathBuf>,
    engine: Engine,
    config: Config,
    (host, port): (&str, u16),
    monitor: &Monitor,
    ready: impl FnOnce(SocketAddr),
) -> Result<()> {
    // An address that cannot be used is an error before any model is read.
    let listener = listen(host, port)?;
    let address = listener.local_addr()?;
    let stop = Arc::new(AtomicBool::new(false));
    let engine: &'static Engine = Box::leak(Box::new(engine));
    let paths: Vec<Option<PathBuf>> = if paths.is_empty() { vec![None] } else { paths.into_iter().map(Some).collect() };
    let load = |path| models::Loaded::new(path, engine, &config.models, &stop, monitor);
    let mut loaded = paths.into_iter().map(load).collect::<Result<Vec<_>>>()?;
    models::tell_apart(&mut loaded);
    let app = Arc::new(app::App::new(loaded.leak(), config, address));
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(N_THREADS)
        .max_blocking_threads(N_THREADS)
        .thread_name("server")
        .enable_io()
        .enable_time()
        .build()?;
    runtime.block_on(async {
        let listener = tokio::net::TcpListener::from_std(listener)?;
        ready(address);
        let routes = routes::routes(app.clone());
        connections::serve(listener, app, routes, &stop, || monitor.is_cancelled()).await;
        Ok::<_, Error>(())
    })?;
    // Work that does not end is left behind.
    runtime.shutdown_background();
    Ok(())
}

fn listen(host: &str, port: u16) -> Result<TcpListener> {
    let error = |error: std::io::Error| Error::from(error).context(format!("cannot listen on {host}, port {port}"));
    let addresses: Vec<SocketAddr> = (host, port).to_socket_addrs().map_err(error)?.collect();
    let listener = TcpListener::bind(&addresses[..]).map_err(error)?;
    listener.set_nonblocking(true).map_err(error)?;
    Ok(listener)
}
