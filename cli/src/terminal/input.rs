//! Lines of standard input and of files.

use std::io::BufRead;

use anyhow::{Context, Result};

use crate::terminal::interrupt::while_waiting;

/// UTF-8 byte order mark, which some programs put before a file; no part of its text.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// Text without a byte order mark before it.
pub fn without_mark(text: &[u8]) -> &[u8] {
    text.strip_prefix(BYTE_ORDER_MARK).unwrap_or(text)
}

/// Text without the line feed, or carriage return and line feed, that ends it.
pub fn without_end(line: &[u8]) -> &[u8] {
    match line.strip_suffix(b"\n") {
        Some(line) => line.strip_suffix(b"\r").unwrap_or(line),
        None => line,
    }
}

/// Splits a text into lines, without their line ends and without a byte order mark before the first.
pub fn lines(text: &[u8]) -> Vec<Vec<u8>> {
    without_mark(text).split_inclusive(|&byte| byte == b'\n').map(|line| without_end(line).to_vec()).collect()
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
        let text = if is_first { without_mark(&line) } else { &line };
        Ok(Some(without_end(text).to_vec()))
    }
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
