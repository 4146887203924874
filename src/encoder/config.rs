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
    /// Documents that a pass holds, at least 1: weights are read once for all of them. Their tokens together are at most
    /// [`n_rows`](Self::n_rows).
    pub n_documents: usize,
    /// Types of the stored keys and values of a layer.
    pub kv: KvTypes,
    /// Share of the softmax denominator that attention may leave out: the walk to each side stops once all keys farther away
    /// add less than half of it. 0 visits every key.
    pub horizon_eps: f32,
}

impl EncoderConfig {
    /// The values of [`Default`], for constants.
    pub const DEFAULT: Self = Self {
        n_ctx: 512,
        n_batch: 64,
        n_documents: 1,
        kv: KvTypes::both(KvType::F32),
        horizon_eps: SessionConfig::HORIZON_EPS,
    };

    /// Tokens that a pass holds: those of the longest document, filled up to whole batches, but no more than `n_documents` have.
    pub const fn n_rows(&self) -> usize {
        let of_documents = self.n_ctx.saturating_mul(self.n_documents);
        match self.n_ctx.checked_next_multiple_of(self.n_batch) {
            Some(of_batches) if of_batches < of_documents => of_batches,
            _ => of_documents,
        }
    }

    /// Greatest number of tokens that go through a layer together.
    pub(crate) const fn chunk(&self) -> usize {
        let n_rows = self.n_rows();
        if self.n_batch < n_rows { self.n_batch } else { n_rows }
    }

    /// Checks the configuration, as that of a session with the same numbers.
    pub(super) const fn check(&self) -> Result<(), PlanError> {
        let Self { n_ctx, n_batch, n_documents, kv, horizon_eps } = *self;
        if n_documents == 0 {
            return Err(PlanError::Documents);
        }
        SessionConfig { n_ctx, n_batch, kv, horizon_eps, ..SessionConfig::DEFAULT }.check()
    }
}

impl Default for EncoderConfig {
    fn default() -> Self {
        Self::DEFAULT
    }
}
