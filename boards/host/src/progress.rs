//! A bar on the terminal for what takes longer than a second.

use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

/// What is shorter needs no bar.
const PATIENCE: Duration = Duration::from_secs(1);

/// Shows itself only when the work takes long and standard error is a terminal.
pub struct Progress {
    what: &'static str,
    template: &'static str,
    total: u64,
    start: Instant,
    bar: Option<ProgressBar>,
}

impl Progress {
    /// Counts bytes.
    pub fn of_bytes(what: &'static str, total: u64) -> Self {
        Self::new(what, "{msg} {wide_bar} {bytes} of {total_bytes}, {eta} left", total)
    }

    /// Counts tokens.
    pub fn of_tokens(what: &'static str, total: u64) -> Self {
        Self::new(what, "{msg} {wide_bar} {pos} of {len} tokens, {eta} left", total)
    }

    fn new(what: &'static str, template: &'static str, total: u64) -> Self {
        Self { what, template, total, start: Instant::now(), bar: None }
    }

    /// So much is done.
    pub fn reached(&mut self, n: u64) {
        if self.bar.is_none() && self.start.elapsed() > PATIENCE {
            let style = ProgressStyle::with_template(self.template).expect("the templates above are well formed");
            let bar = ProgressBar::new(self.total).with_style(style).with_message(self.what);
            // The time that is left is reckoned from here on.
            self.bar = Some(bar.with_position(n).with_elapsed(self.start.elapsed()));
        }
        if let Some(bar) = &self.bar {
            bar.set_position(n);
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}
