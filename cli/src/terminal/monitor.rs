//! Monitor that shows the library's tasks on the terminal: notes as lines, progress as bars, Ctrl-C as cancellation.

use std::sync::{LazyLock, Mutex, MutexGuard};

use nearfield_host::Monitor;
use nearfield_host::monitor::{Note, Observer, Task, Unit};

use super::bar::Progress;
use super::interrupt;

/// Bar of the running task.
#[derive(Default)]
struct Terminal(Mutex<Option<Progress>>);

impl Terminal {
    fn bar(&self) -> MutexGuard<'_, Option<Progress>> {
        self.0.lock().unwrap_or_else(|broken| broken.into_inner())
    }
}

impl Observer for Terminal {
    fn note(&self, note: &Note) {
        let flag = match note {
            Note::NamedToken(_) => ": --special reads the token",
            _ => "",
        };
        super::note(format_args!("{note}{flag}"));
    }

    fn begin(&self, task: Task) {
        *self.bar() = Some(match task.unit {
            Unit::Bytes => Progress::of_bytes(task.what, task.total),
            Unit::Tokens => Progress::of_tokens(task.what, task.total),
            Unit::Positions => Progress::of_positions(task.what, task.total),
            Unit::Texts => Progress::of_texts(task.what, task.total),
            Unit::Steps => {
                let mut bar = Progress::of_steps(task.total);
                bar.stage(task.what.into());
                bar
            }
        });
    }

    fn reached(&self, done: u64) {
        if let Some(bar) = &mut *self.bar() {
            bar.reached(done);
        }
    }

    fn end(&self) {
        *self.bar() = None;
    }

    fn is_cancelled(&self) -> bool {
        interrupt::arrived()
    }
}

/// Monitor that the library's tasks report to.
pub fn monitor() -> &'static Monitor {
    static MONITOR: LazyLock<Monitor> = LazyLock::new(|| Monitor::new(Terminal::default()));
    &MONITOR
}
