//! Lengths of buffers in an arena, for the plans of sessions and encoders, and their bytes.

use nearfield_kernels::{Arena, BlockQ8, QK};

use crate::config::PlanError;
use crate::const_math::{max, sum, times};
use crate::kv_type::KvType;
use crate::model::LayerTable;
use crate::shape::Shape;
use crate::tokenizer::Tokenizer;

/// Unwraps a number, or returns [`PlanError::TooLarge`] for `None`.
macro_rules! fits {
    ($n:expr) => {
        match $n {
            Some(n) => n,
            None => return Err(PlanError::TooLarge),
        }
    };
}
pub(crate) use fits;

/// Bytes of `$len` elements of `$ty` in an arena; returns [`PlanError::TooLarge`] if they overflow.
macro_rules! bytes {
    ($ty:ty, $len:expr) => {
        fits!(Arena::bytes_of::<$ty>($len))
    };
}
pub(crate) use bytes;

/// Words of a KV head's place in the cache: slots, blocks that a query sees, first row, first norm.
pub(crate) const PLACE: usize = 4;

/// Lengths, in elements, of all keys (or of all values).
#[derive(Clone, Copy, Debug)]
pub(crate) struct StoreLengths {
    pub(crate) ty: KvType,
    /// Elements; for Q4_0, bytes that hold two.
    pub(crate) elements: usize,
    /// Scales of quantized types; 0 for others.
    pub(crate) scales: usize,
}

impl StoreLengths {
    pub(crate) const fn new(ty: KvType, n_rows: usize, head_dim: usize) -> Result<Self, PlanError> {
        let row = if matches!(ty, KvType::Q4_0) { head_dim.div_ceil(2) } else { head_dim };
        let groups = if matches!(ty, KvType::F32 | KvType::F16) { 0 } else { head_dim.div_ceil(QK) };
        Ok(Self { ty, elements: fits!(times(n_rows, row)), scales: fits!(times(n_rows, groups)) })
    }

    pub(crate) const fn bytes(&self) -> Result<usize, PlanError> {
        let elements = match self.ty {
            KvType::F32 => bytes!(f32, self.elements),
            KvType::F16 => bytes!(u16, self.elements),
            KvType::Q8_0 | KvType::Q4_0 => bytes!(u8, self.elements),
        };
        Ok(fits!(sum([elements, bytes!(u16, self.scales)])))
    }
}

/// Lengths, in elements, of buffers that every pass has.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PassLengths {
    /// Words of the [`LayerTable`].
    pub(crate) layer_table: usize,
    /// `[n_batch, n_embd]`: each of two buffers.
    pub(crate) residual: usize,
    /// `[n_batch, n_ff]`: gate of the feed-forward; 0 if there is none.
    pub(crate) gate: usize,
    /// Quantized activations, or quantized queries.
    pub(crate) q8: usize,
}

impl PassLengths {
    /// Lengths for a pass of `n_batch` tokens.
    pub(crate) const fn new(s: &Shape, n_batch: usize) -> Result<Self, PlanError> {
        let query_blocks = fits!(times(s.n_head, s.head_dim.div_ceil(QK)));
        let q8_row = max(max(s.n_embd, s.n_ff).div_ceil(QK), query_blocks);
        Ok(Self {
            layer_table: fits!(LayerTable::len(s)),
            residual: fits!(times(n_batch, s.n_embd)),
            gate: if s.arch.gated { fits!(times(n_batch, s.n_ff)) } else { 0 },
            q8: fits!(times(n_batch, q8_row)),
        })
    }

    /// Bytes of the layer table.
    pub(crate) const fn layer_table_bytes(&self) -> Result<usize, PlanError> {
        Ok(bytes!(u64, self.layer_table))
    }

    /// Bytes of all buffers besides the layer table.
    pub(crate) const fn buffer_bytes(&self) -> Result<usize, PlanError> {
        Ok(fits!(sum([
            bytes!(f32, self.residual),
            bytes!(f32, self.residual),
            bytes!(f32, self.gate),
            bytes!(BlockQ8, self.q8),
        ])))
    }
}

/// Lengths, in elements, of counts of keys visited.
#[derive(Clone, Copy, Debug)]
pub(crate) struct VisitedLengths {
    /// Counts in a step, one for each head.
    pub(crate) step: usize,
    /// Counts since the beginning, one for each layer and head.
    pub(crate) total: usize,
}

impl VisitedLengths {
    pub(crate) const fn new(s: &Shape) -> Result<Self, PlanError> {
        Ok(Self { step: s.n_head, total: fits!(times(s.n_layer, s.n_head)) })
    }

    pub(crate) const fn bytes(&self) -> Result<usize, PlanError> {
        Ok(fits!(sum([bytes!(u32, self.step), bytes!(u64, self.total)])))
    }
}

/// Bytes of the index of the file's tokenizer; 0 for a file without one.
pub(crate) const fn tokenizer_bytes(s: &Shape) -> Result<usize, PlanError> {
    if s.n_tokens == 0 { Ok(0) } else { Ok(fits!(Tokenizer::index_bytes(s.n_tokens, s.n_merges))) }
}
