//! Conversation that is held, and the file that it comes from.

use std::path::PathBuf;

use anyhow::{Context, Result};
use nearfield::{ModelId, Prefix};
use nearfield_host::chat::{Conversation, SavedChat};
use nearfield_host::generate::TextModel;
use nearfield_host::snapshot_file::SnapshotFile;

/// Conversation, with the snapshot that a session of it begins with.
pub struct Held<'t> {
    pub conversation: Conversation<'t>,
    pub source: Option<Source>,
    /// File that the conversation was loaded from, or saved to last: it may be replaced.
    pub path: Option<PathBuf>,
}

/// File of a conversation.
pub struct Source {
    file: SnapshotFile,
    pub saved: SavedChat,
}

impl<'t> Held<'t> {
    /// Conversation that begins.
    pub fn new(conversation: Conversation<'t>) -> Self {
        Self { conversation, source: None, path: None }
    }

    /// Conversation in a file.
    ///
    /// # Errors
    /// When the file has no conversation, or that of another model.
    pub fn open(model: &'t TextModel<'t>, path: PathBuf, stop: &[String]) -> Result<Self> {
        let name = path.display().to_string();
        let file = SnapshotFile::open(&path)?;
        // A file that is no snapshot, or another model's, says so first.
        file.prefix(id(model)?)?;
        let saved = file.chat()?.with_context(|| {
            format!("{name}: a snapshot of a text, not of a chat: --load-kv without --chat goes on")
        })?;
        let conversation = Conversation::restore(model, &saved, stop).with_context(|| name)?;
        Ok(Self { conversation, source: Some(Source { file, saved }), path: Some(path) })
    }
}

impl Source {
    /// Snapshot that a session begins with.
    pub fn prefix(&self, model: &TextModel<'_>) -> Result<Prefix<'_>> {
        Ok(self.file.prefix(id(model)?)?)
    }
}

fn id(model: &TextModel<'_>) -> Result<ModelId> {
    model.model_id.context("a model is read before a snapshot is")
}
