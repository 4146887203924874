//! Git LFS pointers: a few lines of text in place of a large file that was not fetched.
//!
//! Source: git-lfs, `docs/spec.md`.

use crate::error::{Result, bail};

/// Beginnings of all pointers, the present ones and those from before there was a version.
const BEGINNINGS: [&[u8]; 2] =
    [b"version https://git-lfs.github.com/spec/", b"version https://hawser.github.com/spec/"];

/// Checks that bytes of a file are no pointer.
///
/// # Errors
/// For a pointer; the message says how to fetch the file.
pub fn check(file: &[u8]) -> Result<()> {
    if BEGINNINGS.iter().any(|beginning| file.starts_with(beginning)) {
        bail!("a Git LFS pointer, not the file itself: `git lfs pull` fetches that");
    }
    Ok(())
}
