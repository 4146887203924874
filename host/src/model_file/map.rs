//! Files, mapped.

use std::fs::{self, File};
use std::path::Path;

use memmap2::{Mmap, MmapOptions};

use super::kind;
use crate::error::{Result, bail, ensure};
use crate::output_file;

/// The bytes of a file that no output may replace.
pub fn map_input(path: &Path) -> Result<Mmap> {
    let bytes = map(path)?;
    output_file::protect(path);
    Ok(bytes)
}

/// The bytes of a file, which is not empty.
pub fn map(path: &Path) -> Result<Mmap> {
    // Before it is opened: opening a pipe would wait for a writer.
    let metadata = fs::metadata(path)?;
    if metadata.is_dir() {
        bail!("{}", kind::folder(path).unwrap_or_else(|| "a folder, not a file".into()));
    }
    ensure!(metadata.is_file(), "not a file");
    ensure!(metadata.len() > 0, "the file is empty");
    let file = File::open(path)?;
    // SAFETY: strictly, Rust has no word for memory that another process changes, and no program that maps files can rule that
    // out. What it means here: the map is private and read only, so nothing of ours reaches the file. A program that writes to
    // the file may change what we read; every read is bounds-checked and any bytes are valid weights, so that gives an error or
    // wrong text. If the file is cut short meanwhile, reading past its new end stops this process (SIGBUS). A model that is
    // replaced the usual way, by a new file under its name, changes nothing.
    Ok(unsafe { MmapOptions::new().map_copy_read_only(&file) }?)
}
