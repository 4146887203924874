//! Snapshot files: the keys and values of a text, which another session begins with.

use std::path::Path;

use memmap2::Mmap;
use nearfield::{ModelId, Prefix, PrefixError, Session, SnapshotHeader, TextState};

use crate::chat::SavedChat;
use crate::error::{Context, Error, Result};
use crate::lfs_pointer;
use crate::model_file::map;
use crate::output_file::OutputFile;

/// Snapshot file, mapped.
#[derive(Debug)]
pub struct SnapshotFile {
    name: String,
    bytes: Mmap,
}

impl SnapshotFile {
    /// Maps the file at `path`.
    ///
    /// # Errors
    /// When the file cannot be opened.
    pub fn open(path: &Path) -> Result<Self> {
        let name = path.display().to_string();
        let bytes = map(path).with_context(|| format!("cannot open {name}"))?;
        lfs_pointer::check(&bytes).with_context(|| name.clone())?;
        Ok(Self { name, bytes })
    }

    /// Prefix in the file, which has to be this model's.
    ///
    /// # Errors
    /// When the file is no snapshot, or another model's.
    pub fn prefix(&self, model: ModelId) -> Result<Prefix<'_>> {
        let (snapshot, _) = parts(&self.bytes);
        Prefix::from_bytes(snapshot, model).map_err(|error| match (error, made_with(snapshot)) {
            (PrefixError::Model { .. }, Some(name)) if !name.is_empty() => {
                Error::from(error).context(format!("{}, made with {name}", self.name))
            }
            _ => Error::from(error).context(self.name.clone()),
        })
    }

    /// Conversation that the snapshot is of; `None` if it is of a text.
    ///
    /// # Errors
    /// When the conversation is damaged.
    pub fn chat(&self) -> Result<Option<SavedChat>> {
        let (_, chat) = parts(&self.bytes);
        chat.map(|chat| SavedChat::from_bytes(chat).context(&self.name)).transpose()
    }
}

/// Snapshot in a file, and the conversation that may follow it.
pub fn parts(file: &[u8]) -> (&[u8], Option<&[u8]>) {
    let n_bytes = SnapshotHeader::read(file).ok().and_then(|header| usize::try_from(header.n_bytes).ok());
    match n_bytes.and_then(|n_bytes| file.split_at_checked(n_bytes)) {
        Some((snapshot, chat)) if SavedChat::begins(chat) => (snapshot, Some(chat)),
        _ => (file, None),
    }
}

/// Name of the model that a whole snapshot was made with.
fn made_with(bytes: &[u8]) -> Option<&str> {
    let header = SnapshotHeader::read(bytes).ok()?;
    Some(Prefix::from_bytes(bytes, header.model).ok()?.text().model_name)
}

/// Snapshot that was written.
#[derive(Clone, Debug)]
pub struct Saved {
    /// Name of the file.
    pub name: String,
    /// Number of tokens whose keys and values it has.
    pub n_tokens: usize,
    /// Size of the file in bytes.
    pub n_bytes: u64,
}

/// Writes a session's snapshot to a file, which is there whole or not at all, and behind it the conversation that it is of.
///
/// # Errors
/// When the file cannot be written; without `force` also when there is one of that name.
pub fn save(
    path: &Path,
    force: bool,
    session: &mut Session<'_, '_, '_>,
    model: ModelId,
    text: &TextState<'_>,
    chat: Option<&SavedChat>,
) -> Result<Saved> {
    let snapshot = session.snapshot(model, text)?;
    let chat = chat.map(SavedChat::to_bytes).unwrap_or_default();
    let n_bytes = snapshot.n_bytes() as u64 + chat.len() as u64;
    OutputFile::create_new(path, n_bytes, force)?.write(|out| {
        snapshot.write(|bytes| out.write_all(bytes))?;
        Ok::<_, Error>(out.write_all(&chat)?)
    })?;
    Ok(Saved { name: path.display().to_string(), n_tokens: session.pos(), n_bytes })
}
