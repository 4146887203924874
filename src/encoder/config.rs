//! Configuration of an encoder.

use crate::config::{PlanError, SessionConfig};
use crate::kv_type::{KvType, KvTypes};

/// Sizes and settings of an encoder. Only `kv` and `horizon_eps` may change the bits of results.
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct EncoderConfig {
    /// Tokens of the longest document that fits.
    pub n_ctx: usize,
    /// Tokens that go through a layer together.
    pub n_batch: usize,
    /// Types of the stored keys and values of a layer.
    pub kv: KvTypes,
    /// Share of the softmax denominator that attention may leave out: the walk to each side stops once all keys farther away
    /// add less than half of it. 0 visits every key.
    pub horizon_eps: f32,
}

impl EncoderConfig {
    /// The values of [`Default`], for constants.
    pub const DEFAULT: Self =
        Self { n_ctx: 512, n_batch: 64, kv: KvTypes::both(KvType::F32), horizon_eps: SessionConfig::HORIZON_EPS };

    /// Greatest number of tokens that go through a layer together.
    pub(crate) const fn chunk(&self) -> usize {
        if self.n_batch < self.n_ctx { self.n_batch } else { self.n_ctx }
    }

    /// Checks the configuration as that of a session with the same numbers.
    pub(super) const fn check(&self) -> Result<(), PlanError> {
        let Self { n_ctx, n_batch, kv, horizon_eps } = *self;
        SessionConfig { n_ctx, n_batch, kv, horizon_eps, ..SessionConfig::DEFAULT }.check()
    }
}

impl Default for EncoderConfig {
    fn default() -> Self {
        Self::DEFAULT
    }
}
