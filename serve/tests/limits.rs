//! Limits on connections: slow clients are cut off, and cost the others nothing.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::channel;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use nearfield::{EncoderConfig, SessionConfig};
use nearfield_host::Monitor;
use nearfield_host::chat::Chat;
use nearfield_host::engine::Engine;
use nearfield_host::model_file::Repack;
use nearfield_host::monitor::Observer;
use nearfield_host::sampler::SamplerOptions;
use nearfield_serve::{Config, Limits, Settings, serve};

/// Time of the limits that a test waits for.
const SHORT: Duration = Duration::from_millis(300);
/// Time that no test should take.
const LONG: Duration = Duration::from_secs(60);

#[derive(Clone, Default)]
struct Ends(Arc<AtomicBool>);

impl Observer for Ends {
    fn is_cancelled(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// Server with the built-in model, which ends with the test.
struct Server {
    address: SocketAddr,
    ends: Ends,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    fn start(limits: Limits) -> Self {
        let config = Config {
            models: Settings {
                session: SessionConfig { n_ctx: 1 << 17, n_batch: 256, ..SessionConfig::DEFAULT },
                encoder: EncoderConfig::DEFAULT,
                n_slots: 1,
                n_queue: 4,
                repack: Repack::Auto,
                prefix: None,
                chat: Chat::Auto,
            },
            sampler: SamplerOptions::default(),
            max_tokens: Some(8),
            api_keys: vec![],
            cors: None,
            limits,
        };
        let (ends, (tell, told)) = (Ends::default(), channel());
        let monitor = Monitor::new(ends.clone());
        let thread = thread::spawn(move || {
            let engine = Engine::new(None, Some(1)).unwrap();
            serve(vec![], engine, config, ("127.0.0.1", 0), &monitor, |address| tell.send(address).unwrap()).unwrap();
        });
        Self { address: told.recv().unwrap(), ends, thread: Some(thread) }
    }

    fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(LONG)).unwrap();
        stream
    }

    /// Answer to a request on a connection of its own.
    fn ask(&self, request: &str) -> String {
        let mut stream = self.connect();
        stream.write_all(request.as_bytes()).unwrap();
        rest(&mut stream)
    }

    fn is_healthy(&self) -> bool {
        self.ask("GET /health HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").contains("{\"status\":\"ok\"}")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.ends.0.store(true, Ordering::Relaxed);
        self.thread.take().unwrap().join().unwrap();
    }
}

/// All that comes until the connection ends.
fn rest(stream: &mut TcpStream) -> String {
    let mut text = Vec::new();
    // A connection that is reset has ended, too.
    let _ = stream.read_to_end(&mut text);
    String::from_utf8_lossy(&text).into_owned()
}

#[test]
fn a_head_that_does_not_come_ends_the_connection() {
    let server = Server::start(Limits { head: SHORT, ..Limits::default() });
    for begun in ["", "GET", "GET /health HTTP/1.1\r\nHost: "] {
        let began = Instant::now();
        let mut stream = server.connect();
        stream.write_all(begun.as_bytes()).unwrap();
        let answer = rest(&mut stream);
        assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 408"), "{answer}");
        assert!(began.elapsed() < LONG / 4, "{begun:?}");
    }
    assert!(server.is_healthy());
}

#[test]
fn a_connection_without_requests_ends() {
    let server = Server::start(Limits { head: SHORT, ..Limits::default() });
    let mut stream = server.connect();
    stream.write_all(b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
    let began = Instant::now();
    assert!(rest(&mut stream).contains("200 OK"));
    assert!(began.elapsed() < LONG / 4);
}

#[test]
fn a_slow_body_is_told() {
    let server = Server::start(Limits { body: SHORT, ..Limits::default() });
    let answer = server.ask("POST /v1/completions HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{\"prompt\"");
    assert!(answer.starts_with("HTTP/1.1 408") && answer.contains("took too long"), "{answer}");
}

#[test]
fn a_client_that_takes_nothing_frees_its_slot() {
    let server = Server::start(Limits { write: SHORT, ..Limits::default() });
    // A stream that fills the buffers of both sides: each event repeats 20 logarithms.
    let body = r#"{"prompt": "Once", "max_tokens": -1, "stream": true, "logprobs": 20, "visited_keys": true, "temperature": 2, "top_k": 0, "n": 64}"#;
    let mut stream = server.connect();
    let head = format!("POST /v1/completions HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n", body.len());
    stream.write_all((head + body).as_bytes()).unwrap();
    let began = Instant::now();
    loop {
        let body = r#"{"prompt": "Once", "max_tokens": 2}"#;
        let head = "POST /v1/completions HTTP/1.1\r\nHost: x\r\nConnection: close\r\n";
        let answer = server.ask(&format!("{head}Content-Length: {}\r\n\r\n{body}", body.len()));
        if answer.contains("200 OK") {
            break;
        }
        assert!(answer.contains("queue_full") && began.elapsed() < LONG, "{answer}");
        thread::sleep(Duration::from_millis(20));
    }
    drop(stream);
}

#[test]
fn more_connections_than_there_may_be_wait() {
    let server = Server::start(Limits { connections: 2, head: SHORT, ..Limits::default() });
    let idle: Vec<TcpStream> = (0..6).map(|_| server.connect()).collect();
    // The idle ones are cut off, and then the turn is its own.
    assert!(server.is_healthy());
    drop(idle);
}

#[test]
fn what_is_no_http_gets_an_answer() {
    let server = Server::start(Limits::default());
    for nonsense in ["\r\n\r\n\r\nhello\r\n\r\n", "GET / HTTP/9.9\r\n\r\n", "\u{16}\u{3}\u{1}\u{2}\u{0}\u{1}\r\n\r\n"] {
        let answer = server.ask(nonsense);
        assert!(answer.starts_with("HTTP/1.1 400"), "{nonsense:?}: {answer}");
    }
    let huge = format!("GET /health HTTP/1.1\r\nHost: x\r\nX: {}\r\n\r\n", "x".repeat(1 << 20));
    let mut stream = server.connect();
    let _ = stream.write_all(huge.as_bytes());
    let answer = rest(&mut stream);
    assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 431"), "{answer}");
    assert!(server.is_healthy());
}
