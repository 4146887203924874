//! Lists of tokens that steps of a sampler with memory read.

use super::dry_breakers::DryBreakers;
use super::error::SamplerError;

/// Lists of tokens for [`Sampler::with_memory`](super::Sampler::with_memory).
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct SamplerLists<'s> {
    /// Numbers that are added to the logits of tokens; -∞ forbids a token. Those of a token that is given several times add up.
    pub logit_bias: &'s [(u32, f32)],
    /// Tokens that no repetition reaches across, for DRY.
    pub dry_breakers: DryBreakers<'s>,
}

impl SamplerLists<'_> {
    /// Empty lists.
    pub const NONE: SamplerLists<'static> = SamplerLists { logit_bias: &[], dry_breakers: DryBreakers::NONE };

    /// Checks that the biases are numbers and the breakers are in order.
    pub(super) fn check(&self) -> Result<(), SamplerError> {
        if !self.dry_breakers.sequences.is_sorted() {
            return Err(SamplerError::DryBreakers);
        }
        match self.logit_bias.iter().find(|(_, bias)| bias.is_nan()) {
            Some(&(token, _)) => Err(SamplerError::LogitBias { token }),
            None => Ok(()),
        }
    }
}

impl Default for SamplerLists<'_> {
    fn default() -> Self {
        SamplerLists::NONE
    }
}
