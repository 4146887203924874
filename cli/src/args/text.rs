//! Texts that commands read: from an argument, a file, a pipe or the terminal.
//!
//! `-` names standard input, in place of a text as in place of a file.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{BufRead, ErrorKind, IsTerminal, Read, stdin};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use nearfield_host::output_file;
use nearfield_host::text::Input;

use crate::terminal::input::{lines, without_end, without_mark};
use crate::terminal::interrupt::while_waiting;
use crate::terminal::note;

/// Largest text in bytes. A context has at most 16,777,216 tokens, so no longer text can be run.
const MAX_BYTES: u64 = 1 << 30;
/// Time without a byte on standard input after which a note says what the command waits for.
const PATIENCE: Duration = Duration::from_secs(3);
/// Name of standard input, in place of a text or a file.
const INPUT: &str = "-";

/// Source of a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// Bytes of an argument.
    Argument(Vec<u8>),
    /// Path of a file.
    File(PathBuf),
    /// Standard input.
    Input,
}

impl Source {
    /// Source that an argument with a text stands for.
    pub fn of_text(argument: &OsStr) -> Self {
        if argument == INPUT { Self::Input } else { Self::Argument(argument.as_encoded_bytes().to_vec()) }
    }

    /// Source that an argument with the name of a file stands for.
    pub fn of_file(path: &Path) -> Self {
        if path.as_os_str() == INPUT { Self::Input } else { Self::File(path.to_owned()) }
    }

    /// Name for messages.
    pub fn name(&self) -> String {
        match self {
            Self::Argument(_) => "the argument".into(),
            Self::File(path) => path.display().to_string(),
            Self::Input => "standard input".into(),
        }
    }

    /// Bytes of the text, unchanged. Standard input can be read once.
    pub fn read(&self) -> Result<Vec<u8>> {
        match self {
            Self::Argument(bytes) => Ok(bytes.clone()),
            Self::File(path) => {
                output_file::protect(path);
                let file = File::open(path).with_context(|| format!("cannot read {}", path.display()))?;
                read_all(file, &self.name())
            }
            Self::Input => read_input(),
        }
    }

    /// Bytes of a prompt. A file or standard input loses a byte order mark before it and one line end behind it, which editors and
    /// `echo` add and llama.cpp removes, too; an argument stays as it is.
    pub fn read_prompt(&self) -> Result<Vec<u8>> {
        let bytes = self.read()?;
        Ok(if matches!(self, Self::Argument(_)) { bytes } else { unframed(&bytes) })
    }

    /// Lines of a file or a pipe, without their line ends; an argument is one text, whatever is in it.
    pub fn read_lines(&self) -> Result<Vec<Vec<u8>>> {
        let bytes = self.read()?;
        Ok(if matches!(self, Self::Argument(_)) { vec![bytes] } else { lines(&bytes) })
    }

    /// Text with its name, for measurements.
    pub fn input(&self) -> Result<Input> {
        Ok(Input { name: self.name(), bytes: self.read()? })
    }
}

/// Prompt on standard input, if that is no terminal: where no prompt is named, the command does not wait for a person. `None` if
/// there is not a single byte, as with /dev/null.
pub fn piped_prompt() -> Result<Option<Vec<u8>>> {
    if stdin().is_terminal() {
        return Ok(None);
    }
    let bytes = read_input()?;
    Ok((!bytes.is_empty()).then(|| unframed(&bytes)))
}

/// Texts of arguments and the lines of a file; without both, the lines of standard input.
pub fn texts(words: &[OsString], file: Option<&Path>) -> Result<Vec<Vec<u8>>> {
    let of_words = words.iter().map(|word| Source::of_text(word));
    let mut sources: Vec<Source> = of_words.chain(file.map(Source::of_file)).collect();
    if sources.is_empty() {
        sources.push(Source::Input);
    }
    let texts: Result<Vec<_>> = sources.iter().map(Source::read_lines).collect();
    Ok(texts?.concat())
}

/// Text without a byte order mark before it and one line end behind it.
fn unframed(text: &[u8]) -> Vec<u8> {
    without_end(without_mark(text)).to_vec()
}

/// All bytes of standard input. Ctrl-C while it waits ends the process.
fn read_input() -> Result<Vec<u8>> {
    static TAKEN: AtomicBool = AtomicBool::new(false);
    ensure!(!TAKEN.swap(true, Ordering::Relaxed), "standard input is named twice: it can be read once");
    let input = stdin().lock();
    while_waiting(|| {
        let input = if input.is_terminal() {
            note("the text, from standard input; Ctrl-D at the beginning of a line ends it:");
            input
        } else {
            wait_for_first(input)?
        };
        read_all(input, "standard input")
    })
}

/// Returns once there is a byte, or the end. A pipe that nobody writes to looks like a command that hangs, so a note tells.
fn wait_for_first<R: BufRead>(mut input: R) -> Result<R> {
    let (arrived, waits) = channel::<()>();
    thread::spawn(move || {
        if waits.recv_timeout(PATIENCE) == Err(RecvTimeoutError::Timeout) {
            note("waiting for the text on standard input, which is a pipe; -p TEXT gives it as an argument");
        }
    });
    loop {
        match input.fill_buf() {
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            result => break result.map(drop),
        }
    }
    .context("cannot read standard input")?;
    drop(arrived);
    Ok(input)
}

/// All bytes of a reader, at most [`MAX_BYTES`].
fn read_all(reader: impl Read, name: &str) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let read = reader.take(MAX_BYTES + 1).read_to_end(&mut bytes);
    read.with_context(|| format!("cannot read {name}"))?;
    ensure!(bytes.len() as u64 <= MAX_BYTES, "{name} has more than 1 GiB: no context holds a text as long");
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hyphen_is_standard_input() {
        assert_eq!([Source::of_text("-".as_ref()), Source::of_file("-".as_ref())], [Source::Input, Source::Input]);
        assert_eq!(Source::of_text("--".as_ref()), Source::Argument(b"--".to_vec()));
        assert_eq!(Source::of_file("./-".as_ref()), Source::File("./-".into()));
    }

    #[test]
    fn a_prompt_of_a_file_loses_one_line_end() {
        let cases: [(&[u8], &[u8]); 8] = [
            (b"a\n", b"a"),
            (b"a\n\n", b"a\n"),
            (b"a\r\n", b"a"),
            (b"a\r", b"a\r"),
            (b"\n", b""),
            (b"", b""),
            (b"\xef\xbb\xbfa b\xff", b"a b\xff"),
            (b"a\n\xef\xbb\xbf\n", b"a\n\xef\xbb\xbf"),
        ];
        for (text, want) in cases {
            assert_eq!(unframed(text), want);
        }
        let argument = Source::of_text("a\n".as_ref());
        assert_eq!([argument.read().unwrap(), argument.read_prompt().unwrap()], [b"a\n"; 2]);
        assert_eq!(argument.read_lines().unwrap(), [b"a\n"]);
    }

    #[test]
    fn no_text_is_read_without_end() {
        let error = read_all(std::io::repeat(b'a'), "a pipe").unwrap_err();
        assert_eq!(error.to_string(), "a pipe has more than 1 GiB: no context holds a text as long");
    }
}
