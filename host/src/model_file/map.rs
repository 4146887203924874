//! Mapped files.

use std::fs::{self, File};
use std::path::Path;

use memmap2::{Mmap, MmapOptions};

use super::kind;
use crate::error::{Result, bail, ensure};
use crate::output_file;

/// Maps a file that no output may replace.
pub fn map_input(path: &Path) -> Result<Mmap> {
    let bytes = map(path)?;
    output_file::protect(path);
    Ok(bytes)
}

/// Maps a file, which must not be empty.
pub fn map(path: &Path) -> Result<Mmap> {
    // The kind is looked up before the file is opened: opening a pipe would wait for a writer.
    let metadata = fs::metadata(path)?;
    if metadata.is_dir() {
        bail!("{}", kind::folder(path).unwrap_or_else(|| "a folder, not a file".into()));
    }
    ensure!(metadata.is_file(), "not a file");
    ensure!(metadata.len() > 0, "the file is empty");
    let file = File::open(path)?;
    // SAFETY: Rust has no rules for memory that another process changes, and no program that maps files can rule that out. The
    // map is private and read only, so no write of ours reaches the file. A program that writes to the file may change the
    // bytes; every read is bounds-checked and any bytes are valid weights, so the result is an error or wrong text. If the file
    // is cut short meanwhile, a read past its new end stops this process (SIGBUS). A model that is replaced in the usual way,
    // by a new file under its name, changes nothing.
    Ok(unsafe { MmapOptions::new().map_copy_read_only(&file) }?)
}
