//! Progress bar for work that takes longer than a second.

use std::borrow::Cow;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

use super::is_quiet;
use super::left::{Estimator, Growth};

/// Time before a bar appears.
const PATIENCE: Duration = Duration::from_secs(1);

/// Progress bar that appears only when the work takes long and standard error is a terminal.
pub struct Progress {
    what: Cow<'static, str>,
    template: &'static str,
    total: u64,
    done: u64,
    start: Instant,
    left: Option<Estimator>,
    bar: Option<ProgressBar>,
}

impl Progress {
    /// Counts bytes.
    pub fn of_bytes(what: &'static str, total: u64) -> Self {
        Self::new(what, "{msg} {wide_bar} {bytes} of {total_bytes}, {prefix}", total).with_left(Growth::Steady)
    }

    /// Counts tokens.
    pub fn of_tokens(what: &'static str, total: u64) -> Self {
        Self::new(what, "{msg} {wide_bar} {pos} of {len} tokens, {prefix}", total).with_left(Growth::Steady)
    }

    /// Counts tokens of one text, which cost the more, the deeper they stand.
    pub fn of_positions(what: &'static str, total: u64) -> Self {
        Self::new(what, "{msg} {wide_bar} {pos} of {len} tokens, {prefix}", total).with_left(Growth::Linear)
    }

    /// Counts texts.
    pub fn of_texts(what: &'static str, total: u64) -> Self {
        Self::new(what, "{msg} {wide_bar} {pos} of {len} texts, {prefix}", total).with_left(Growth::Steady)
    }

    /// Counts steps of any kind, whose time grows.
    pub fn of_steps(total: u64) -> Self {
        Self::new("", "{msg} {wide_bar} {pos} of {len} steps, {elapsed}", total)
    }

    fn new(what: &'static str, template: &'static str, total: u64) -> Self {
        Self { what: what.into(), template, total, done: 0, start: Instant::now(), left: None, bar: None }
    }

    /// Shows the time left.
    fn with_left(mut self, growth: Growth) -> Self {
        self.left = Some(Estimator::new(self.total, growth));
        self
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
        let elapsed = self.start.elapsed();
        if let Some(left) = &mut self.left {
            left.reached(n, elapsed);
        }
        if self.bar.is_none() && elapsed > PATIENCE && !is_quiet() {
            let style = ProgressStyle::with_template(self.template).expect("the templates above are well formed");
            let bar = ProgressBar::new(self.total).with_style(style).with_message(self.what.clone());
            self.bar = Some(bar.with_elapsed(elapsed));
        }
        if let Some(bar) = &self.bar {
            if let Some(left) = &self.left {
                let told =
                    left.left().map_or_else(|| format!("{} s so far", elapsed.as_secs()), |left| left.to_string());
                bar.set_prefix(told);
            }
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
