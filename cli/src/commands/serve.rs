//! `nearfield serve`: answers requests over HTTP.

use std::fs;
use std::io::Write;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use clap::Args;
use nearfield::EncoderConfig;
use nearfield_host::chat::Chat;
use nearfield_host::engine::N_BATCH;
use nearfield_serve::{Config, Limits, Settings};

use crate::args::hub::HubListArgs;
use crate::args::length::Length;
use crate::args::sampler::SamplerArgs;
use crate::args::{SessionArgs, environment, one_of};
use crate::terminal::{StandardOutput, monitor};

/// Positions of a text, unless the model has learned fewer.
const N_CTX: usize = 4096;

#[derive(Args, Debug)]
pub struct ServeArgs {
    /// Model files [env: NEARFIELD_MODEL] [default: the built-in model]
    #[arg(value_name = "MODEL.gguf")]
    pub models: Vec<PathBuf>,

    /// Model file; may be given more than once
    #[arg(short, long = "model", value_name = "FILE")]
    pub model: Vec<PathBuf>,

    #[command(flatten)]
    pub hub: HubListArgs,

    /// Address to listen on: this machine alone, or 0.0.0.0 for all networks
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1")]
    pub host: String,

    /// Port to listen on; 0 for any that is free
    #[arg(long, value_name = "PORT", default_value_t = 8080)]
    pub port: u16,

    /// Texts that run together; each has its own keys and values
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u16).range(1..=256))]
    pub slots: u16,

    /// Requests that wait for a slot; more are refused with 503
    #[arg(long, value_name = "N", default_value_t = 128)]
    pub queue: usize,

    /// Context size: positions for prompt and generated text together [default: 4096, or as many as the model has learned]
    #[arg(short, long, value_name = "N", default_value_t = N_CTX, hide_default_value = true)]
    pub ctx: usize,

    /// Tokens to generate where a request names no number; -2: until the text ends or the context is full
    #[arg(short, value_name = "N", default_value = "256", allow_negative_numbers = true)]
    pub n: Length,

    /// Continue a snapshot with each prompt, without processing its text again, such as instructions before all questions
    #[arg(long, value_name = "FILE")]
    pub load_kv: Option<PathBuf>,

    /// Format of chats
    #[arg(long, value_name = "FORMAT", default_value = "auto", value_parser = one_of(Chat::ALL))]
    pub chat: Chat,

    #[command(flatten)]
    pub sampler: SamplerArgs,

    /// File of keys, one per line, of which each request has to bring one (Authorization: Bearer KEY)
    #[arg(long, value_name = "FILE")]
    pub api_key: Option<PathBuf>,

    /// Origin whose pages may use the server besides its own page, such as https://example.com, or * for all
    #[arg(long, value_name = "ORIGIN", value_parser = origin)]
    pub cors: Option<String>,

    /// Bytes of the longest body of a request
    #[arg(long, value_name = "BYTES", default_value_t = Limits::default().body_bytes)]
    pub max_body: usize,

    /// Connections at a time; more wait to be accepted
    #[arg(long, value_name = "N", default_value_t = Limits::default().connections)]
    pub max_connections: usize,

    /// Seconds for a request, with those that it waits
    #[arg(long, value_name = "SECONDS", default_value_t = Limits::default().request.as_secs())]
    pub timeout: u64,

    /// Seconds that running requests have to end after Ctrl-C or SIGTERM
    #[arg(long, value_name = "SECONDS", default_value_t = Limits::default().grace.as_secs())]
    pub grace: u64,

    #[command(flatten)]
    pub session: SessionArgs,
}

/// Serves models until a signal asks for an end.
pub fn serve(args: &ServeArgs) -> Result<()> {
    ensure!(args.n != Length::Endless, "-n -1: an answer has an end; -n -2 leaves it to the model");
    ensure!(args.sampler.seed.is_none(), "--seed: each request brings its own seed");
    let engine = args.session.machine.engine()?;
    let config = args.config()?;
    let mut paths: Vec<PathBuf> = args.model.iter().chain(&args.models).cloned().chain(args.hub.paths()?).collect();
    if paths.is_empty() {
        paths.extend(environment::model());
    }
    let ready = |address: SocketAddr| {
        let mut out = StandardOutput::lock();
        // A closed standard output is no reason to end.
        let _ = writeln!(out, "listening on http://{address}").and_then(|()| out.flush());
    };
    Ok(nearfield_serve::serve(paths, engine, config, (&args.host, args.port), monitor(), ready)?)
}

impl ServeArgs {
    fn config(&self) -> Result<Config> {
        let sampler = self.sampler.options();
        sampler.check()?;
        let session = self.session.config(self.ctx, N_BATCH);
        Ok(Config {
            models: Settings {
                session,
                encoder: EncoderConfig {
                    n_ctx: self.ctx,
                    n_batch: N_BATCH,
                    horizon_eps: session.horizon_eps,
                    ..EncoderConfig::DEFAULT
                },
                n_slots: usize::from(self.slots),
                n_queue: self.queue,
                repack: self.session.machine.repack,
                prefix: self.load_kv.clone(),
                chat: self.chat,
            },
            sampler,
            max_tokens: match self.n {
                Length::Tokens(n) => Some(n),
                Length::Open | Length::Endless => None,
            },
            api_keys: self.api_key.as_deref().map(keys).transpose()?.unwrap_or_default(),
            cors: self.cors.clone(),
            limits: Limits {
                body_bytes: self.max_body,
                connections: self.max_connections.max(1),
                request: Duration::from_secs(self.timeout),
                grace: Duration::from_secs(self.grace),
                ..Limits::default()
            },
        })
    }
}

/// Keys in a file, one per line. Lines that are empty or begin with `#` are left out.
fn keys(path: &Path) -> Result<Vec<String>> {
    let name = path.display();
    let text = fs::read_to_string(path).with_context(|| format!("cannot read {name}"))?;
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    let keys: Vec<String> = lines.map(Into::into).collect();
    ensure!(!keys.is_empty(), "{name}: no key in it, so that no request would be answered");
    Ok(keys)
}

/// Origin of pages, as browsers write it: without a slash at its end.
fn origin(text: &str) -> Result<String, &'static str> {
    let origin = text.strip_suffix('/').unwrap_or(text);
    let host = origin.split_once("://").filter(|(scheme, _)| !scheme.is_empty()).map(|(_, host)| host);
    let is_origin = host.is_some_and(|host| !host.is_empty() && !host.contains(['/', '?', '#', '@']));
    if is_origin || text == "*" {
        Ok(origin.into())
    } else {
        Err("an origin such as https://example.com, or * for all")
    }
}
