//! Models of the Hugging Face Hub, fetched by name into the cache that other tools share.
//!
//! - `name`: what a person writes: `ORG/NAME`, `ORG/NAME:Q4_0`, `ORG/NAME:FILE.gguf`
//! - `choice`: the file that a name means
//! - `client`: requests and their answers
//! - `cache`: folders, blobs and links as `huggingface_hub` lays them out
//! - `download`: files that arrive whole or are gone on with
//! - `fetch`: all of them together
//! - `error`: failures in words
//!
//! Without the feature `hub` only the names and errors are there.
//!
//! A file is asked for each time; where no answer comes, the copy in the cache is used.
//!
//! The crate `hf-hub` is not used: its transfers compare no checksums, cannot be cancelled, take no locks that `huggingface_hub`
//! knows, and append a whole answer to a part. What remains, the layout of the cache, is a few lines of `cache`, and would bring code
//! under MPL-2.0.

#[cfg(feature = "hub")]
mod cache;
#[cfg(feature = "hub")]
mod choice;
#[cfg(feature = "hub")]
mod client;
#[cfg(feature = "hub")]
mod download;
mod error;
#[cfg(feature = "hub")]
mod fetch;
mod name;

pub use error::HubError;
#[cfg(feature = "hub")]
pub use fetch::Hub;
pub use name::{HubName, NoHubName, Wanted};
