//! Measurement of a text, window by window.

use nearfield::{Arena, MemoryPlan, Model, Session, SessionConfig};

use super::journal::Journal;
use super::score::Score;
use super::text::Text;
use super::windows::Window;
use crate::engine::{Engine, N_BATCH};
use crate::error::Result;
use crate::memory::allocate;
use crate::monitor::Monitor;

/// Text that is measured, with the model.
pub struct Evaluation<'s> {
    /// Model that predicts the text.
    pub model: &'s Model<'s>,
    /// Kernels and threads.
    pub engine: &'s Engine,
    /// Tokens of the text.
    pub text: &'s Text,
    /// Configuration of the sessions; the number of positions is set for each length.
    pub session: SessionConfig,
    /// Monitor, which can cancel between the parts of a window.
    pub monitor: &'s Monitor,
}

impl Evaluation<'_> {
    /// Score of the text at one context length, in tokens, over `windows`; `each` gets each window and the score so far.
    ///
    /// # Errors
    /// When no session of the length can be configured, when the model computes a value that is not finite, and when the
    /// journal cannot be written.
    pub fn at_length(
        &self,
        n_ctx: usize,
        windows: &[Window],
        journal: &mut Journal,
        mut each: impl FnMut(&Window, &Score),
    ) -> Result<Score> {
        let config = self.config(n_ctx);
        let plan = MemoryPlan::new(self.model.shape(), &config)?;
        let mut lines = allocate(plan.session())?;
        let Engine { kernels, .. } = *self.engine;
        let mut session =
            Session::new(self.model, config, kernels, self.engine.executor(), &mut Arena::new(&mut lines))?;
        let mut sum = Score::default();
        for (i, window) in windows.iter().enumerate() {
            let score = match journal.find(n_ctx, i) {
                Some(score) => score,
                None => {
                    let score = self.window(&mut session, window)?;
                    journal.add(n_ctx, i, &score)?;
                    score
                }
            };
            sum.add(&score);
            each(window, &sum);
        }
        Ok(sum)
    }

    fn config(&self, n_ctx: usize) -> SessionConfig {
        let n_sinks = self.session.n_sinks.min(n_ctx);
        // The vocabulary's matrix is read once for so many tokens, and one.
        SessionConfig { n_ctx, n_batch: N_BATCH, n_sinks, n_draft: SessionConfig::MAX_DRAFT, ..self.session }
    }

    /// Score of a window, which runs from an empty context.
    fn window(&self, session: &mut Session<'_, '_, '_>, window: &Window) -> Result<Score> {
        session.reset();
        let mut tokens = self.text.tokens[window.tokens()].to_vec();
        if let (Some(bos), Some(first)) = (self.text.bos, tokens.first_mut()) {
            *first = bos;
        }
        let mut score = Score::default();
        let mut at = window.first;
        for part in tokens.chunks(N_BATCH) {
            self.monitor.check()?;
            // No logits are needed until the next token counts.
            let n_silent = window.scored.start.saturating_sub(at + 1).min(part.len());
            let (silent, heard) = part.split_at(n_silent);
            if !silent.is_empty() {
                session.run(silent)?;
                at += silent.len();
            }
            if heard.is_empty() {
                continue;
            }
            session.prefill_each(heard, |logits| {
                at += 1;
                if window.scored.contains(&at) {
                    score.count(logits, self.text.tokens[at], self.text.n_bytes[at]);
                }
            })?;
        }
        Ok(score)
    }
}
