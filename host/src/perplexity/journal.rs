//! File of the windows that are done, one a line, so that an interrupted measurement can continue.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{ErrorKind, Write};
use std::path::Path;

use super::score::Score;
use crate::error::{Context, Result, ensure};

/// Scores by context length and number of the window.
pub struct Journal {
    done: HashMap<(usize, usize), Score>,
    file: Option<File>,
}

impl Journal {
    /// Opens the journal at `path`, with the scores in it; without a path, no file is written. `heading` names all that a score
    /// depends on.
    ///
    /// # Errors
    /// When the file cannot be read or written, is no journal, or has another heading.
    pub fn open(path: Option<&Path>, heading: &str) -> Result<Self> {
        let Some(path) = path else { return Ok(Self { done: HashMap::new(), file: None }) };
        Self::of_file(path, heading).with_context(|| path.display().to_string())
    }

    fn of_file(path: &Path, heading: &str) -> Result<Self> {
        let old = match fs::read_to_string(path) {
            Ok(old) => old,
            Err(error) if error.kind() == ErrorKind::NotFound => String::new(),
            Err(error) => return Err(error.into()),
        };
        // A line without an end was cut off and does not count.
        let whole = old.rfind('\n').map_or(0, |end| end + 1);
        let mut lines = old[..whole].lines();
        let mut done = HashMap::new();
        match lines.next() {
            None => ensure!(old.is_empty(), "is no record of a measurement"),
            Some(found) => ensure!(found == heading, "is the record of another model, text or setting"),
        }
        for line in lines {
            let (key, score) = parse(line).with_context(|| format!("has a damaged line: {line}"))?;
            done.insert(key, score);
        }
        let mut file = File::options().append(true).create(true).open(path)?;
        file.set_len(whole as u64)?;
        if whole == 0 {
            writeln!(file, "{heading}")?;
        }
        Ok(Self { done, file: Some(file) })
    }

    /// Score of a window that was run before.
    pub fn find(&self, n_ctx: usize, window: usize) -> Option<Score> {
        self.done.get(&(n_ctx, window)).copied()
    }

    /// Adds the score of a window.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn add(&mut self, n_ctx: usize, window: usize, score: &Score) -> Result<()> {
        let Score { nll, nll_squared, n_tokens, n_bytes } = score;
        if let Some(file) = &mut self.file {
            // A line is written at once, so that one that is cut off has no end.
            let line = format!("{n_ctx} {window} {nll:?} {nll_squared:?} {n_tokens} {n_bytes}\n");
            file.write_all(line.as_bytes()).context("cannot note what is done")?;
        }
        Ok(())
    }
}

fn parse(line: &str) -> Option<((usize, usize), Score)> {
    let mut words = line.split(' ');
    let key = (words.next()?.parse().ok()?, words.next()?.parse().ok()?);
    let (nll, nll_squared) = (words.next()?.parse().ok()?, words.next()?.parse().ok()?);
    let score = Score { nll, nll_squared, n_tokens: words.next()?.parse().ok()?, n_bytes: words.next()?.parse().ok()? };
    words.next().is_none().then_some((key, score))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SCORE: Score = Score { nll: 1.0 / 3.0, nll_squared: 1e-30, n_tokens: 7, n_bytes: 21 };

    #[test]
    fn what_was_done_is_found_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("record");
        let mut journal = Journal::of_file(&path, "one").unwrap();
        assert_eq!(journal.find(512, 3), None);
        journal.add(512, 3, &SCORE).unwrap();
        drop(journal);
        let journal = Journal::of_file(&path, "one").unwrap();
        assert_eq!([journal.find(512, 3), journal.find(512, 4), journal.find(256, 3)], [Some(SCORE), None, None]);
        let error = Journal::of_file(&path, "two").err().unwrap();
        assert_eq!(error.to_string(), "is the record of another model, text or setting");
    }

    #[test]
    fn a_line_that_was_cut_off_is_written_anew() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("record");
        Journal::of_file(&path, "one").unwrap().add(8, 0, &SCORE).unwrap();
        let whole = fs::read_to_string(&path).unwrap();
        fs::write(&path, format!("{whole}8 1 0.25")).unwrap();
        let mut journal = Journal::of_file(&path, "one").unwrap();
        assert_eq!([journal.find(8, 0), journal.find(8, 1)], [Some(SCORE), None]);
        journal.add(8, 1, &SCORE).unwrap();
        assert_eq!(Journal::of_file(&path, "one").unwrap().find(8, 1), Some(SCORE));
        fs::write(&path, format!("{whole}8 x\n")).unwrap();
        assert!(Journal::of_file(&path, "one").err().unwrap().to_string().contains("damaged line: 8 x"));
        fs::write(&path, "my notes").unwrap();
        assert!(Journal::of_file(&path, "one").is_err());
        assert_eq!(fs::read_to_string(&path).unwrap(), "my notes");
    }
}
