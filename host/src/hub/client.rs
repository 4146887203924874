//! Requests to the Hub. Sources: huggingface.co/docs/hub/api, and huggingface_hub, `file_download.py` and `utils/_http.py`.

use std::thread;
use std::time::Duration;

use serde_json::Value;
use ureq::config::RedirectAuthHeaders;
use ureq::http::{HeaderMap, Response};
use ureq::typestate::WithoutBody;
use ureq::{Agent, Body, RequestBuilder};

use super::error::HubError;
use super::name::is_file_name;

/// Address of the Hub.
pub const ENDPOINT: &str = "https://huggingface.co";
/// Time for a connection, and for the head of an answer.
const PATIENCE: Duration = Duration::from_secs(20);
/// Time for the body of a list of files.
const LISTING_TIME: Duration = Duration::from_secs(60);
/// Times before a request is sent again.
const WAITS: [Duration; 2] = [Duration::from_millis(500), Duration::from_secs(1)];
/// Bytes of a list of files at most.
const MAX_LISTING: u64 = 64 << 20;
/// Redirections that are followed at most.
const MAX_REDIRECTS: usize = 5;

/// Files of a repository at its branch `main`.
#[derive(Clone, Debug)]
pub struct Listing {
    /// Hash of the commit.
    pub commit: String,
    /// Files in the server's order.
    pub files: Vec<ListedFile>,
}

/// File of a listing.
#[derive(Clone, Debug)]
pub struct ListedFile {
    /// Path in the repository, with `/` between folders.
    pub name: String,
    /// Bytes, if the server tells.
    pub size: Option<u64>,
}

/// File at one commit.
#[derive(Clone, Debug)]
pub struct RemoteFile {
    /// Path in the repository.
    pub name: String,
    /// Address of the bytes.
    pub url: String,
    /// Name of the blob; of large files, the SHA-256 of the bytes in hexadecimal.
    pub etag: String,
    /// Bytes.
    pub size: u64,
}

impl RemoteFile {
    /// SHA-256 that the bytes have to have, if the server names it.
    pub fn sha256(&self) -> Option<&str> {
        (self.etag.len() == 64 && is_hex(&self.etag)).then_some(self.etag.as_str())
    }
}

fn is_hex(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

/// Connection to a server.
#[derive(Debug)]
pub struct Client {
    agent: Agent,
    endpoint: String,
    token: Option<String>,
}

impl Client {
    /// Client of the server at `endpoint`, with a token to be sent to it.
    pub fn new(endpoint: &str, token: Option<String>) -> Result<Self, HubError> {
        if !["https://", "http://"].iter().any(|scheme| endpoint.starts_with(scheme)) {
            return Err(HubError::Endpoint(endpoint.into()));
        }
        let config = Agent::config_builder()
            .http_status_as_error(false)
            .redirect_auth_headers(RedirectAuthHeaders::SameHost)
            .timeout_connect(Some(PATIENCE))
            .timeout_recv_response(Some(PATIENCE))
            .user_agent(concat!("nearfield/", env!("CARGO_PKG_VERSION")));
        Ok(Self { agent: config.build().into(), endpoint: endpoint.trim_end_matches('/').into(), token })
    }

    /// Files of a repository at its branch `main`.
    pub fn listing(&self, repo: &str) -> Result<Listing, HubError> {
        let url = format!("{}/api/models/{repo}/revision/main?blobs=true", self.endpoint);
        let request = || self.agent.get(&url).config().timeout_recv_body(Some(LISTING_TIME)).build();
        let answer = self.checked(self.send_again(request)?, repo, &url)?;
        let body = answer.into_body().into_with_config().limit(MAX_LISTING).read_to_vec();
        let body = body.map_err(|error| self.no_answer(error))?;
        listing(&body).ok_or(HubError::Answer { url })
    }

    /// Size and blob of a file at a commit.
    pub fn file(&self, repo: &str, commit: &str, name: &str) -> Result<RemoteFile, HubError> {
        let url = format!("{}/{repo}/resolve/{commit}/{}", self.endpoint, encoded(name));
        let mut at = url.clone();
        for _ in 0..MAX_REDIRECTS {
            // The Hub's own answer names the blob; the storage that it redirects to does not.
            let head = || self.agent.head(&at).config().max_redirects(0).build().header("Accept-Encoding", "identity");
            let answer = self.send_again(head)?;
            let location = text(answer.headers(), "location").filter(|_| answer.status().is_redirection());
            match location.filter(|location| location.starts_with('/')) {
                // A repository that was renamed.
                Some(location) => at = format!("{}{location}", origin(&self.endpoint)),
                None if answer.status().is_redirection() => return remote(name, url, answer.headers()),
                None => return remote(name, url.clone(), self.checked(answer, repo, &url)?.headers()),
            }
        }
        Err(HubError::Answer { url })
    }

    /// Bytes of a file from byte `start` on. The answer may have all of them nevertheless.
    pub fn bytes(&self, file: &RemoteFile, start: u64) -> Result<Response<Body>, HubError> {
        let mut request = self.agent.get(&file.url).header("Accept-Encoding", "identity");
        if start > 0 {
            request = request.header("Range", format!("bytes={start}-"));
        }
        self.send(request)
    }

    fn send(&self, request: RequestBuilder<WithoutBody>) -> Result<Response<Body>, HubError> {
        let request = match &self.token {
            Some(token) => request.header("Authorization", format!("Bearer {token}")),
            None => request,
        };
        request.call().map_err(|error| self.no_answer(error))
    }

    /// Sends a request again while the server is busy or fails, a few times.
    fn send_again(&self, request: impl Fn() -> RequestBuilder<WithoutBody>) -> Result<Response<Body>, HubError> {
        for wait in WAITS {
            let answer = self.send(request())?;
            if !is_passing(answer.status().as_u16()) {
                return Ok(answer);
            }
            thread::sleep(wait);
        }
        self.send(request())
    }

    fn no_answer(&self, error: ureq::Error) -> HubError {
        HubError::NoAnswer { server: self.endpoint.clone(), cause: error.to_string() }
    }

    /// The answer, if its status is success.
    fn checked(&self, answer: Response<Body>, repo: &str, url: &str) -> Result<Response<Body>, HubError> {
        let (code, with_token) = (answer.status().as_u16(), self.token.is_some());
        let reason = text(answer.headers(), "x-error-code");
        let is_gated = reason == Some("GatedRepo");
        let page = || format!("{}/{repo}", self.endpoint);
        match code {
            200..300 => Ok(answer),
            401 | 403 if is_gated || code == 403 => Err(HubError::Gated { url: page(), with_token }),
            404 if matches!(reason, Some("EntryNotFound" | "RevisionNotFound")) => {
                Err(HubError::Status { url: url.into(), code })
            }
            // Without a token the Hub answers 401 for a repository that is not there.
            401 | 404 => Err(HubError::NoRepo { url: page(), with_token }),
            _ => Err(HubError::Status { url: url.into(), code }),
        }
    }
}

/// Scheme and host of an address.
fn origin(address: &str) -> &str {
    let host = address.find("://").map_or(0, |at| at + 3);
    let end = address.get(host..).and_then(|rest| rest.find('/')).map_or(address.len(), |at| host + at);
    address.get(..end).unwrap_or(address)
}

/// True for the code of a failure that may be over at the next request.
pub fn is_passing(code: u16) -> bool {
    matches!(code, 408 | 429 | 500..)
}

/// Header as text.
pub fn text<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    headers.get(name)?.to_str().ok()
}

/// Reads the answer of `/api/models/REPO/revision/main`.
fn listing(body: &[u8]) -> Option<Listing> {
    let json: Value = serde_json::from_slice(body).ok()?;
    let commit = json["sha"].as_str().filter(|commit| is_hex(commit))?.to_owned();
    let file = |file: &Value| {
        // Names that would lead out of the cache are left out.
        let name = file["rfilename"].as_str().filter(|name| is_file_name(name))?.to_owned();
        Some(ListedFile { name, size: file["size"].as_u64() })
    };
    Some(Listing { commit, files: json["siblings"].as_array()?.iter().filter_map(file).collect() })
}

/// Size and blob by the headers of the Hub's answer.
fn remote(name: &str, url: String, headers: &HeaderMap) -> Result<RemoteFile, HubError> {
    let etag = text(headers, "x-linked-etag").or_else(|| text(headers, "etag"));
    let etag = etag.map(|etag| etag.trim_start_matches("W/").trim_matches('"'));
    let is_name = |etag: &&str| {
        !etag.is_empty() && etag.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
    };
    let size = text(headers, "x-linked-size").or_else(|| text(headers, "content-length"));
    match (etag.filter(is_name), size.and_then(|size| size.parse().ok())) {
        (None, _) => Err(HubError::Header { url, name: "ETag" }),
        (_, None) => Err(HubError::Header { url, name: "Content-Length" }),
        (Some(etag), Some(size)) => Ok(RemoteFile { name: name.into(), url, etag: etag.into(), size }),
    }
}

/// Path with the letters that an address cannot have as `%` and two digits. Source: RFC 3986, section 2.
fn encoded(path: &str) -> String {
    let byte = |byte: u8| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'/' => char::from(byte).to_string(),
        _ => format!("%{byte:02X}"),
    };
    path.bytes().map(byte).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listing_has_names_and_sizes() {
        let body = br#"{"sha": "0a1b", "siblings": [{"rfilename": "m.gguf", "size": 12}, {"rfilename": "../x"}, {"rfilename": "\\u001b[2J.gguf"}, {"rfilename": "d/y"}]}"#;
        let found = listing(body).unwrap();
        let files: Vec<_> = found.files.iter().map(|file| (file.name.as_str(), file.size)).collect();
        assert_eq!((found.commit.as_str(), files), ("0a1b", vec![("m.gguf", Some(12)), ("d/y", None)]));
        for body in ["", "{}", r#"{"sha": "../..", "siblings": []}"#, r#"{"sha": "0a1b"}"#] {
            assert!(listing(body.as_bytes()).is_none(), "{body}");
        }
    }

    #[test]
    fn headers_name_the_blob_and_its_size() {
        let remote = |headers: &[(&'static str, &str)]| {
            let headers = headers.iter().map(|(name, value)| ((*name).parse().unwrap(), value.parse().unwrap()));
            let found = remote("m", "url".into(), &headers.collect());
            found.map(|file| (file.etag, file.size)).map_err(|error| error.to_string())
        };
        let linked = [("etag", "\"x\""), ("x-linked-etag", "\"ab\""), ("x-linked-size", "7"), ("content-length", "1")];
        assert_eq!(remote(&linked), Ok(("ab".into(), 7)));
        assert_eq!(remote(&[("etag", "W/\"ab\""), ("content-length", "1")]), Ok(("ab".into(), 1)));
        let without = |name: &str| Err(format!("url answers without a usable header {name}"));
        assert_eq!(remote(&[("content-length", "1")]), without("ETag"));
        assert_eq!(remote(&[("etag", "\"../x\""), ("content-length", "1")]), without("ETag"));
        assert_eq!(remote(&[("etag", "ab")]), without("Content-Length"));
    }

    #[test]
    fn a_redirect_without_a_host_stays_at_the_host() {
        let addresses = ["https://a.b", "https://a.b/mirror", "http://[::1]:80/x/y"];
        assert_eq!(addresses.map(origin), ["https://a.b", "https://a.b", "http://[::1]:80"]);
    }

    #[test]
    fn addresses_have_no_other_letters() {
        assert_eq!(encoded("d e/\u{e9}?#.gguf"), "d%20e/%C3%A9%3F%23.gguf");
    }
}
