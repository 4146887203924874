//! Channel between a task and its caller: notes, progress, cancelling.

use std::fmt;
use std::sync::Arc;

use crate::error::Error;

/// Receiver of the notes and the progress of tasks, on any thread; it can cancel them.
pub trait Observer: Send + Sync {
    /// Receives a note that a person should read; the task continues.
    fn note(&self, note: &Note) {
        let _ = note;
    }

    /// Receives the beginning of a task.
    fn begin(&self, task: Task) {
        let _ = task;
    }

    /// Receives progress: `done` units of the task's total.
    fn reached(&self, done: u64) {
        let _ = done;
    }

    /// Receives the end of the task that began last, finished or not.
    fn end(&self) {}

    /// True if tasks should end with [`Error::Cancelled`], which they do within a fraction of a second.
    fn is_cancelled(&self) -> bool {
        false
    }
}

/// Task that may take long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Task {
    /// Name of the work, such as `"loading"`.
    pub what: &'static str,
    /// Unit of the total.
    pub unit: Unit,
    /// Number of units in all.
    pub total: u64,
}

/// Unit of progress.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// Bytes of a file.
    Bytes,
    /// Tokens of any texts.
    Tokens,
    /// Tokens of one text from its beginning on, which cost the more, the deeper they stand.
    Positions,
    /// Whole texts.
    Texts,
    /// Steps of any length.
    Steps,
}

/// Note for a person.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Note {
    /// Number of bytes of a text that have no token and are left out.
    SkippedBytes(usize),
    /// Name of a control token in a text, which is read as letters.
    NamedToken(String),
    /// A text begins with the token that is put before every text.
    BeginsTwice,
    /// Any other sentence.
    Other(String),
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::SkippedBytes(1) => {
                f.write_str("the text has 1 byte that the vocabulary has no token for: it is left out")
            }
            Self::SkippedBytes(n) => {
                write!(f, "the text has {n} bytes that the vocabulary has no tokens for: they are left out")
            }
            Self::NamedToken(name) => write!(f, "the text names the control token {name}, which is read as letters"),
            Self::BeginsTwice => {
                f.write_str("the text begins with the token that is put before every text: it stands there twice")
            }
            Self::Other(text) => f.write_str(text),
        }
    }
}

/// Handle on an [`Observer`], or on none; clones share it.
#[derive(Clone, Default)]
pub struct Monitor(Option<Arc<dyn Observer>>);

impl fmt::Debug for Monitor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() { "Monitor" } else { "Monitor (silent)" })
    }
}

impl Monitor {
    /// Makes a handle on `observer`.
    pub fn new(observer: impl Observer + 'static) -> Self {
        Self(Some(Arc::new(observer)))
    }

    /// Makes a handle without an observer: notes are dropped, and no task is cancelled.
    pub fn silent() -> Self {
        Self(None)
    }

    /// Passes a sentence to the observer.
    pub fn note(&self, text: impl fmt::Display) {
        self.pass(&Note::Other(text.to_string()));
    }

    /// Passes a note to the observer.
    pub fn pass(&self, note: &Note) {
        if let Some(observer) = &self.0 {
            observer.note(note);
        }
    }

    /// Begins a task of `total` units.
    pub fn begin(&self, what: &'static str, unit: Unit, total: u64) -> Progress {
        if let Some(observer) = &self.0 {
            observer.begin(Task { what, unit, total });
        }
        Progress { monitor: self.clone(), done: 0 }
    }

    /// True if tasks should end.
    pub fn is_cancelled(&self) -> bool {
        self.0.as_ref().is_some_and(|observer| observer.is_cancelled())
    }

    /// Checks that the task may continue.
    ///
    /// # Errors
    /// [`Error::Cancelled`] if the observer cancels tasks.
    pub fn check(&self) -> Result<(), Error> {
        if self.is_cancelled() { Err(Error::Cancelled) } else { Ok(()) }
    }
}

/// Progress of a task, which ends when this value is dropped.
#[derive(Debug)]
pub struct Progress {
    monitor: Monitor,
    done: u64,
}

impl Progress {
    /// Reports that `done` units are done in all.
    pub fn reached(&mut self, done: u64) {
        self.done = done;
        if let Some(observer) = &self.monitor.0 {
            observer.reached(done);
        }
    }

    /// Reports one more unit.
    pub fn advance(&mut self) {
        self.reached(self.done + 1);
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some(observer) = &self.monitor.0 {
            observer.end();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Mutex;

    #[derive(Clone, Default)]
    struct Seen(Arc<Mutex<Vec<String>>>);

    impl Observer for Seen {
        fn note(&self, note: &Note) {
            self.0.lock().unwrap().push(note.to_string());
        }

        fn begin(&self, task: Task) {
            self.0.lock().unwrap().push(format!("{} {}", task.what, task.total));
        }

        fn reached(&self, done: u64) {
            self.0.lock().unwrap().push(done.to_string());
        }

        fn end(&self) {
            self.0.lock().unwrap().push("end".into());
        }

        fn is_cancelled(&self) -> bool {
            self.0.lock().unwrap().len() > 4
        }
    }

    #[test]
    fn an_observer_sees_a_task_from_its_begin_to_its_end() {
        let seen = Seen::default();
        let monitor = Monitor::new(seen.clone());
        let mut progress = monitor.begin("work", Unit::Steps, 2);
        progress.advance();
        progress.advance();
        monitor.note("so far");
        assert!(monitor.check().is_ok());
        drop(progress);
        assert!(matches!(monitor.check(), Err(Error::Cancelled)));
        assert_eq!(*seen.0.lock().unwrap(), ["work 2", "1", "2", "so far", "end"]);
        assert!(Monitor::silent().check().is_ok());
    }
}
