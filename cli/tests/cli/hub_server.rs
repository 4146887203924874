//! A server that speaks the protocol of the Hugging Face Hub on this machine, with the failures that a test asks for.

use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread;
use std::time::Duration;

use sha2::{Digest, Sha256};

/// Commit of the branch `main`.
pub const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";
/// Repository that the server has.
pub const REPO: &str = "org/name";

/// Failure of the next answers with a file's bytes.
#[derive(Clone, Copy)]
pub enum Fault {
    /// A code instead of the bytes.
    Code(u16),
    /// So many bytes of the answer, then the connection ends.
    CutAfter(usize),
    /// So many bytes of the answer, then silence.
    SilentAfter(usize),
    /// All bytes, although a part was asked for.
    Whole,
    /// One bit of the first byte is another.
    Wrong,
}

#[derive(Default)]
struct State {
    files: Vec<(String, Vec<u8>)>,
    token: Option<String>,
    faults: VecDeque<Fault>,
    /// Code of the answer to a request for the list of files.
    listing_code: Option<u16>,
    /// Lines of requests, with the range that was asked for.
    requests: Vec<String>,
    /// Number of bytes sent of files.
    n_sent: usize,
}

/// The server; it ends with the process.
pub struct Server {
    address: String,
    state: Arc<Mutex<State>>,
}

/// SHA-256 in hexadecimal.
pub fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap()
}

impl Server {
    /// Server with these files in its repository.
    pub fn new(files: &[(&str, &[u8])]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let files = files.iter().map(|(name, bytes)| (name.to_string(), bytes.to_vec())).collect();
        let state = Arc::new(Mutex::new(State { files, ..State::default() }));
        let (shared, own) = (state.clone(), address.clone());
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (state, own) = (shared.clone(), own.clone());
                // A client that goes away is no failure of the server.
                thread::spawn(move || answer(stream, &own, &state));
            }
        });
        Self { address, state }
    }

    pub fn address(&self) -> &str {
        &self.address
    }

    /// Failures of the next answers with bytes, in this order.
    pub fn fail(&self, faults: &[Fault]) {
        lock(&self.state).faults.extend(faults);
    }

    /// Answers to requests without this token are 401.
    pub fn gate(&self, token: &str) {
        lock(&self.state).token = Some(token.into());
    }

    /// Answers to requests for the list have this code.
    pub fn fail_listing(&self, code: u16) {
        lock(&self.state).listing_code = Some(code);
    }

    /// Requests since the last call.
    pub fn requests(&self) -> Vec<String> {
        std::mem::take(&mut lock(&self.state).requests)
    }

    /// Bytes of files that were sent since the last call.
    pub fn n_sent(&self) -> usize {
        std::mem::take(&mut lock(&self.state).n_sent)
    }
}

/// Request without a body.
struct Request {
    method: String,
    path: String,
    /// First byte of a range.
    from: Option<usize>,
    token: Option<String>,
}

fn read(stream: &TcpStream) -> Option<Request> {
    let mut lines = BufReader::new(stream).lines();
    let first = lines.next()?.ok()?;
    let mut words = first.split(' ').map(String::from);
    let mut request = Request { method: words.next()?, path: words.next()?, from: None, token: None };
    for line in lines.map_while(Result::ok).take_while(|line| !line.is_empty()) {
        let (name, value) = line.split_once(": ")?;
        match name.to_ascii_lowercase().as_str() {
            "range" => request.from = value.strip_prefix("bytes=")?.strip_suffix('-')?.parse().ok(),
            "authorization" => request.token = value.strip_prefix("Bearer ").map(String::from),
            _ => {}
        }
    }
    Some(request)
}

fn answer(mut stream: TcpStream, address: &str, state: &Mutex<State>) -> Option<()> {
    let request = read(&stream)?;
    let range = request.from.map_or(String::new(), |from| format!(" from {from}"));
    lock(state).requests.push(format!("{} {}{range}", request.method, request.path));
    let mut send = |code: u16, headers: &[String], body: &[u8]| {
        let headers: String = headers.iter().map(|header| format!("{header}\r\n")).collect();
        let length = match headers.contains("Content-Length") {
            true => String::new(),
            false => format!("Content-Length: {}\r\n", body.len()),
        };
        let head = format!("HTTP/1.1 {code} Status\r\nConnection: close\r\n{headers}{length}\r\n");
        stream.write_all(head.as_bytes()).ok()?;
        stream.write_all(if request.method == "HEAD" { &[] } else { body }).ok()
    };
    if let Some(name) = request.path.strip_prefix("/storage/") {
        assert_eq!(request.token, None, "the token is for the Hub alone");
        let bytes = lock(state).files.iter().find(|(of, _)| of == name)?.1.clone();
        let fault = lock(state).faults.pop_front();
        return storage(&request, fault, bytes, state, &mut send);
    }
    let token = lock(state).token.clone();
    let code = lock(state).listing_code;
    if token.is_some() && request.token != token {
        return send(401, &["X-Error-Code: GatedRepo".into()], b"{\"error\": \"gated\"}");
    }
    if request.path.split('?').next() == Some(&format!("/api/models/{REPO}/revision/main")) {
        if let Some(code) = code {
            return send(code, &[], b"{}");
        }
        let state = lock(state);
        let file = |(name, bytes): &(String, Vec<u8>)| serde_json::json!({"rfilename": name, "size": bytes.len()});
        let files: Vec<_> = state.files.iter().map(file).collect();
        let body = serde_json::json!({"id": REPO, "sha": COMMIT, "siblings": files}).to_string();
        return send(200, &["Content-Type: application/json".into()], body.as_bytes());
    }
    if let Some(name) = request.path.strip_prefix(&format!("/{REPO}/resolve/{COMMIT}/")) {
        let state = lock(state);
        let Some((_, bytes)) = state.files.iter().find(|(of, _)| of == name) else {
            return send(404, &["X-Error-Code: EntryNotFound".into()], b"");
        };
        let headers = [
            format!("X-Repo-Commit: {COMMIT}"),
            "ETag: \"of-the-pointer\"".into(),
            format!("X-Linked-Etag: \"{}\"", sha256(bytes)),
            format!("X-Linked-Size: {}", bytes.len()),
            // Another name of this machine: the storage is another host.
            format!("Location: {}/storage/{name}", address.replace("127.0.0.1", "localhost")),
        ];
        return send(302, &headers, b"");
    }
    send(404, &["X-Error-Code: RepoNotFound".into()], b"{\"error\": \"Repository not found\"}")
}

fn storage(
    request: &Request,
    fault: Option<Fault>,
    mut bytes: Vec<u8>,
    state: &Mutex<State>,
    send: &mut impl FnMut(u16, &[String], &[u8]) -> Option<()>,
) -> Option<()> {
    let size = bytes.len();
    let from = request.from.filter(|_| !matches!(fault, Some(Fault::Whole)));
    if from.is_some_and(|from| from >= size) {
        return send(416, &[], b"");
    }
    if let Some(Fault::Wrong) = fault {
        bytes[0] ^= 1;
    }
    let body = &bytes[from.unwrap_or(0)..];
    let (code, mut headers) = match from {
        None => (200, Vec::new()),
        Some(from) => (206, vec![format!("Content-Range: bytes {from}-{}/{size}", size - 1)]),
    };
    headers.push(format!("Content-Length: {}", body.len()));
    let n = match fault {
        Some(Fault::Code(code)) => return send(code, &[], b""),
        Some(Fault::CutAfter(n) | Fault::SilentAfter(n)) => n.min(body.len()),
        Some(Fault::Whole | Fault::Wrong) | None => body.len(),
    };
    lock(state).n_sent += n;
    send(code, &headers, &body[..n])?;
    if let Some(Fault::SilentAfter(_)) = fault {
        thread::sleep(Duration::from_secs(120));
    }
    Some(())
}
