//! HTTP client of the tests: a request, and an answer as it came.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::time::Duration;

use serde_json::Value;

/// Answer to a request.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: BTreeMap<String, String>,
    pub body: String,
}

impl Answer {
    /// Body as JSON.
    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.body))
    }

    /// Values of the events of a stream, which `[DONE]` ends.
    #[track_caller]
    pub fn events(&self) -> Vec<Value> {
        assert_eq!(self.headers["content-type"], "text/event-stream");
        let (events, end) = self.body.split_at(self.body.len().saturating_sub("data: [DONE]\n\n".len()));
        assert_eq!(end, "data: [DONE]\n\n");
        let value = |event: &str| serde_json::from_str(event.strip_prefix("data: ").unwrap()).unwrap();
        events.split_terminator("\n\n").filter(|event| !event.starts_with(':')).map(value).collect()
    }

    /// Status, and parameter and code of an error in OpenAI's form.
    #[track_caller]
    pub fn error(&self) -> (u16, Option<String>, Option<String>) {
        let json = self.json();
        let error = json["error"].as_object().unwrap_or_else(|| panic!("no error: {}", self.body));
        assert!(error["message"].as_str().is_some_and(|message| !message.is_empty()));
        let kind = if self.status >= 500 { "server_error" } else { "invalid_request_error" };
        assert_eq!(error["type"], kind);
        let word = |name: &str| error[name].as_str().map(Into::into);
        (self.status, word("param"), word("code"))
    }
}

/// Sends a request with these headers, and reads its answer. The connection is closed behind it.
pub fn request(address: &str, method: &str, path: &str, headers: &str, body: &[u8]) -> Answer {
    let mut stream = connect(address);
    let head = format!("{method} {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n{headers}");
    let head = if body.is_empty() { head } else { format!("{head}Content-Length: {}\r\n", body.len()) };
    stream.write_all(format!("{head}\r\n").as_bytes()).unwrap();
    // A server that has refused the body may have closed the connection.
    let _ = stream.write_all(body);
    answer(&mut BufReader::new(stream)).unwrap()
}

/// Connection to the server; reading waits a minute at most.
pub fn connect(address: &str) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    stream
}

/// Reads an answer; `None` if the connection ends before its head.
pub fn answer(stream: &mut impl BufRead) -> Option<Answer> {
    let mut line = String::new();
    stream.read_line(&mut line).ok()?;
    let status = line.split(' ').nth(1)?.parse().unwrap();
    let mut headers = BTreeMap::new();
    loop {
        let mut line = String::new();
        stream.read_line(&mut line).unwrap();
        match line.trim_end().split_once(": ") {
            None => break,
            Some((name, value)) => headers.insert(name.to_lowercase(), value.to_string()),
        };
    }
    let mut body = Vec::new();
    if headers.get("transfer-encoding").is_some_and(|encoding| encoding == "chunked") {
        while let Some(chunk) = chunk(stream) {
            body.extend(chunk);
        }
    } else {
        let n = headers.get("content-length").map_or(0, |n| n.parse().unwrap());
        body.resize(n, 0);
        stream.read_exact(&mut body).unwrap();
    }
    Some(Answer { status, headers, body: String::from_utf8(body).unwrap() })
}

/// Reads a chunk; `None` for the last, which is empty.
pub fn chunk(stream: &mut impl BufRead) -> Option<Vec<u8>> {
    let mut line = String::new();
    stream.read_line(&mut line).unwrap();
    let mut chunk = vec![0; usize::from_str_radix(line.trim_end(), 16).unwrap()];
    stream.read_exact(&mut chunk).unwrap();
    stream.read_line(&mut line).unwrap();
    Some(chunk).filter(|chunk| !chunk.is_empty())
}
