//! Snapshot files: the keys and values of a text, which another session begins with.

use std::path::Path;

use memmap2::Mmap;
use nearfield::{ModelId, Prefix, PrefixError, Session, SnapshotHeader, TextState};

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
        Prefix::from_bytes(&self.bytes, model).map_err(|error| match (error, made_with(&self.bytes)) {
            (PrefixError::Model { .. }, Some(name)) if !name.is_empty() => {
                Error::from(error).context(format!("{}, made with {name}", self.name))
            }
            _ => Error::from(error).context(self.name.clone()),
        })
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

/// Writes a session's snapshot to a file, which is there whole or not at all.
///
/// # Errors
/// When the file cannot be written; without `force` also when there is one of that name.
pub fn save(
    path: &Path,
    force: bool,
    session: &mut Session<'_, '_, '_>,
    model: ModelId,
    text: &TextState<'_>,
) -> Result<Saved> {
    let snapshot = session.snapshot(model, text)?;
    let n_bytes = snapshot.n_bytes() as u64;
    OutputFile::create_new(path, n_bytes, force)?
        .write(|out| Ok::<_, Error>(snapshot.write(|bytes| out.write_all(bytes))?))?;
    Ok(Saved { name: path.display().to_string(), n_tokens: session.pos(), n_bytes })
}
