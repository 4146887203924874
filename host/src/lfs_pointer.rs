//! Git LFS pointers: a few lines of text that stand in a repository where a large file would, until that is fetched.
//!
//! Source: git-lfs, `docs/spec.md`.

use crate::error::{Result, bail};

/// What every pointer begins with, of today and of before there was a version.
const BEGINNINGS: [&[u8]; 2] =
    [b"version https://git-lfs.github.com/spec/", b"version https://hawser.github.com/spec/"];

/// Refuses the bytes of a pointer where those of the file should be.
///
/// # Errors
/// Says that it is one, and how the file is had.
pub fn check(file: &[u8]) -> Result<()> {
    if BEGINNINGS.iter().any(|beginning| file.starts_with(beginning)) {
        bail!("a Git LFS pointer, not the file itself: `git lfs pull` fetches that");
    }
    Ok(())
}
