//! Texts and token ids from arguments, files and standard input.

use std::ffi::OsString;
use std::fs;
use std::io::{BufRead, Read, stdin};
use std::path::Path;

use anyhow::{Context, Result, ensure};
use nearfield_host::output_file;

use crate::terminal::interrupt::while_waiting;

/// Bytes of an argument, unchanged.
pub fn bytes_of(argument: &OsString) -> &[u8] {
    argument.as_encoded_bytes()
}

/// UTF-8 byte order mark, which some programs put before a file; no part of its text.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// Parses token ids separated by commas or white space.
pub fn parse_ids(text: &str) -> Result<Vec<u32>> {
    let words = text.split(|c: char| c == ',' || c.is_whitespace()).filter(|word| !word.is_empty());
    words.map(|word| word.parse().ok().with_context(|| format!("{word:?} is not a token id"))).collect()
}

/// Reads the ids of `--tokens`: in the argument, or in a file if it is `@FILE`.
pub fn read_ids(argument: &str) -> Result<Vec<u32>> {
    let tokens = match argument.strip_prefix('@') {
        None => parse_ids(argument)?,
        Some(path) => {
            output_file::protect(path.as_ref());
            let ids = fs::read(path).with_context(|| format!("cannot read {path}"))?;
            let ids = ids.strip_prefix(BYTE_ORDER_MARK).unwrap_or(&ids);
            parse_ids(&String::from_utf8_lossy(ids)).with_context(|| path.to_owned())?
        }
    };
    ensure!(!tokens.is_empty(), "--tokens names no token");
    Ok(tokens)
}

/// Reads the lines of a file, without their line ends.
pub fn read_lines(path: &Path) -> Result<Vec<Vec<u8>>> {
    output_file::protect(path);
    Ok(lines(&fs::read(path).with_context(|| format!("cannot read {}", path.display()))?))
}

/// Splits a text into lines, without their line ends and without a byte order mark before the first.
pub fn lines(text: &[u8]) -> Vec<Vec<u8>> {
    let text = text.strip_prefix(BYTE_ORDER_MARK).unwrap_or(text);
    text.split_inclusive(|&byte| byte == b'\n').map(|line| without_end(line).to_vec()).collect()
}

/// Removes the line feed, or carriage return and line feed, that ends a line.
fn without_end(line: &[u8]) -> &[u8] {
    match line.strip_suffix(b"\n") {
        Some(line) => line.strip_suffix(b"\r").unwrap_or(line),
        None => line,
    }
}

/// Lines of any bytes from a terminal or a pipe. Callers skip an empty line; only the end of the input ends a conversation.
#[derive(Debug)]
pub struct Lines<R> {
    input: R,
    is_first: bool,
}

impl<R: BufRead> Lines<R> {
    /// Reads the lines of `input`.
    pub fn new(input: R) -> Self {
        Self { input, is_first: true }
    }

    /// Reads the next line without its line end; `None` at the end of the input. Ctrl-C while it waits ends the process.
    pub fn next(&mut self) -> Result<Option<Vec<u8>>> {
        let mut line = Vec::new();
        let n = while_waiting(|| self.input.read_until(b'\n', &mut line)).context("cannot read standard input")?;
        if n == 0 {
            return Ok(None);
        }
        let is_first = std::mem::take(&mut self.is_first);
        let text = line.strip_prefix(BYTE_ORDER_MARK).filter(|_| is_first).unwrap_or(&line);
        Ok(Some(without_end(text).to_vec()))
    }
}

/// Reads all of standard input.
pub fn read_input() -> Result<Vec<u8>> {
    let mut text = Vec::new();
    stdin().lock().read_to_end(&mut text).context("cannot read standard input")?;
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_end_in_a_line_feed_with_or_without_a_carriage_return() {
        let text = b"\xef\xbb\xbfa\r\n\n b\xff\0 \r\r\n\xef\xbb\xbf\nc\r";
        let want: [&[u8]; 5] = [b"a", b"", b" b\xff\0 \r", b"\xef\xbb\xbf", b"c\r"];
        assert_eq!(lines(text), want);
        let mut typed = Lines::new(&text[..]);
        for line in want {
            assert_eq!(typed.next().unwrap().unwrap(), line);
        }
        assert_eq!(typed.next().unwrap(), None);
        assert_eq!(lines(b""), [b""; 0]);
    }
}
