//! Drafts: guesses of the tokens that follow, which are checked in one pass over the weights.
//!
//! A guess never changes a text: the sampler draws each token from the logits that it would have had without a draft, with the
//! same random numbers, and a guess that differs from the token drawn is taken back
//! ([`Session::decode_ahead`](crate::Session::decode_ahead)). This holds for sampled texts, too, since logits do not depend on
//! how tokens are cut into passes.

mod error;
mod lookup;
mod model;
mod pace;
mod vocab;

use core::fmt::Debug;

pub use error::DraftError;
pub use lookup::Lookup;
pub use model::DraftModel;

/// Guesses the tokens that follow a text.
pub trait Drafter: Debug {
    /// Notes the next token of the text, of the prompt as of the text that is generated.
    fn accept(&mut self, token: u32);

    /// Writes guesses of the next tokens to `guesses`, in order; returns their number, 0 for none.
    fn draft(&mut self, guesses: &mut [u32]) -> usize;

    /// Notes how many of the guesses of the last draft that were run came true.
    fn outcome(&mut self, n_run: usize, n_true: usize) {
        let _ = (n_run, n_true);
    }
}
