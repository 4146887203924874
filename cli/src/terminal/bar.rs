//! Progress bar for work that takes longer than a second.

use std::borrow::Cow;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

use super::is_quiet;

/// Time before a bar appears.
const PATIENCE: Duration = Duration::from_secs(1);

/// Progress bar that appears only when the work takes long and standard error is a terminal.
pub struct Progress {
    what: Cow<'static, str>,
    template: &'static str,
    total: u64,
    done: u64,
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

    /// Counts texts.
    pub fn of_texts(what: &'static str, total: u64) -> Self {
        Self::new(what, "{msg} {wide_bar} {pos} of {len} texts, {eta} left", total)
    }

    /// Counts steps of any kind, whose time grows.
    pub fn of_steps(total: u64) -> Self {
        Self::new("", "{msg} {wide_bar} {pos} of {len} steps, {elapsed}", total)
    }

    fn new(what: &'static str, template: &'static str, total: u64) -> Self {
        Self { what: what.into(), template, total, done: 0, start: Instant::now(), bar: None }
    }

    /// Names the work that follows.
    pub fn stage(&mut self, what: String) {
        self.what = what.into();
        if let Some(bar) = &self.bar {
            bar.set_message(self.what.clone());
        }
    }

    /// Counts one more as done.
    pub fn advance(&mut self) {
        self.reached(self.done + 1);
    }

    /// Sets the number done to `n`.
    pub fn reached(&mut self, n: u64) {
        self.done = n;
        if self.bar.is_none() && self.start.elapsed() > PATIENCE && !is_quiet() {
            let style = ProgressStyle::with_template(self.template).expect("the templates above are well formed");
            let bar = ProgressBar::new(self.total).with_style(style).with_message(self.what.clone());
            // The bar estimates the time left from its position and the time elapsed at this point.
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
