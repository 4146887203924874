//! Failures of fetching, in words.

use std::fmt;
use std::path::PathBuf;

use crate::bytes::Bytes;

/// Failure of fetching a model.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum HubError {
    /// No environment variable names a folder for the cache.
    NoHome,
    /// `HF_ENDPOINT` is no address.
    Endpoint(String),
    /// `HF_HUB_OFFLINE` forbids requests.
    Offline,
    /// No answer came from the server.
    NoAnswer {
        /// Address of the server.
        server: String,
        /// Failure of the connection.
        cause: String,
    },
    /// The server answered with an error.
    Status {
        /// Address that was asked for.
        url: String,
        /// Code of the answer.
        code: u16,
    },
    /// The repository is not there, or needs a token to be seen.
    NoRepo {
        /// Address of the repository.
        url: String,
        /// True if a token was sent.
        with_token: bool,
    },
    /// The owner of the repository has to let people in.
    Gated {
        /// Address of the repository.
        url: String,
        /// True if a token was sent.
        with_token: bool,
    },
    /// The repository has no such file.
    NoFile {
        /// Name that was asked for.
        name: String,
        /// Model files of the repository.
        has: Vec<String>,
    },
    /// Several files are what was asked for.
    Several {
        /// Name that was asked for.
        name: String,
        /// Files that fit.
        fit: Vec<String>,
    },
    /// The repository lacks a part of a split file.
    NoPart {
        /// Name of the part.
        name: String,
    },
    /// An answer lacks a header or has one of another form.
    Header {
        /// Address that was asked for.
        url: String,
        /// Name of the header.
        name: &'static str,
    },
    /// An answer is not what the Hub's interface says.
    Answer {
        /// Address that was asked for.
        url: String,
    },
    /// The disk has no room for the file.
    NoRoom {
        /// Folder of the cache.
        folder: PathBuf,
        /// Bytes to fetch.
        need: u64,
        /// Bytes that are free.
        have: u64,
    },
    /// The bytes that came are not those that the Hub names.
    Checksum {
        /// Name of the file.
        file: String,
        /// SHA-256 that the Hub names.
        want: String,
        /// SHA-256 of the bytes.
        found: String,
    },
    /// The transfer broke off again and again; what came is kept.
    BrokenOff {
        /// Name of the file.
        file: String,
        /// Bytes that came.
        have: u64,
        /// Bytes of the file.
        size: u64,
        /// Failure of the last try.
        cause: String,
    },
    /// Another program removed the file from the cache.
    Vanished,
}

/// A list behind a colon, or a sentence for none.
fn list(names: &[String], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    if names.is_empty() { f.write_str("it has no GGUF files") } else { write!(f, "it has {}", names.join(", ")) }
}

impl fmt::Display for HubError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoHome => f.write_str("no folder for models is known: HF_HOME or HOME names one"),
            Self::Endpoint(text) => write!(f, "HF_ENDPOINT is {text:?}: it has to begin with https:// or http://"),
            Self::Offline => f.write_str("HF_HUB_OFFLINE is set"),
            Self::NoAnswer { server, cause } => write!(f, "no answer from {server} ({cause})"),
            Self::Status { url, code } => write!(f, "{url} answers with code {code}"),
            Self::NoRepo { url, with_token: false } => {
                write!(f, "{url}: no such repository; if it is private, HF_TOKEN takes a token that may read it")
            }
            Self::NoRepo { url, with_token: true } => {
                write!(f, "{url}: no such repository, or one that the token in HF_TOKEN may not read")
            }
            Self::Gated { url, with_token: false } => write!(
                f,
                "{url} is gated: accept its conditions there, then put a token of https://huggingface.co/settings/tokens into HF_TOKEN"
            ),
            Self::Gated { url, with_token: true } => {
                write!(f, "{url} is gated, and the owner of the token has no access: ask for it there")
            }
            Self::NoFile { name, has } => {
                write!(f, "{name}: the repository has no such file; ")?;
                list(has, f)
            }
            Self::Several { name, fit } => {
                write!(f, "{name}: several files fit, ORG/NAME:FILE names one: {}", fit.join(", "))
            }
            Self::NoPart { name } => write!(f, "the repository lacks {name}, a part of a split file"),
            Self::Header { url, name } => write!(f, "{url} answers without a usable header {name}"),
            Self::Answer { url } => write!(f, "{url} answers with something else than the Hub does"),
            Self::NoRoom { folder, need, have } => {
                let (folder, need, have) = (folder.display(), Bytes(*need), Bytes(*have));
                write!(f, "{need} to fetch, and {have} are free in {folder}: HF_HUB_CACHE names another folder")
            }
            Self::Checksum { file, want, found } => {
                write!(f, "{file}: the bytes that came have SHA-256 {found}, not {want}: they are discarded")
            }
            Self::BrokenOff { file, have, size, cause } => {
                let (have, size) = (Bytes(*have), Bytes(*size));
                write!(f, "{file}: broken off after {have} of {size} ({cause}); the same command goes on from there")
            }
            Self::Vanished => f.write_str("the file was removed from the cache while it was fetched"),
        }
    }
}

impl std::error::Error for HubError {}
