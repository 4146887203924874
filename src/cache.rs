//! The KV cache: `[n_layer, n_head_kv, n_ctx, head_dim]` keys and as many values, in the arena.
//!
//! Keys carry no position. Beside them stands, for each block of [`KV_BLOCK`] positions, the largest norm of any key up to
//! the end of the block: what the horizon of [`crate::attention`] needs to know of the keys it has not seen.

use core::ops::Range;

use nearfield_kernels::{Arena, KV_BLOCK, Kernels, KvRows, KvRowsMut, QK};

use crate::plan::{KvType, Lengths, SessionConfig};
use crate::shape::Shape;

/// Keys or values.
#[derive(Debug)]
enum Store<'a> {
    F32(&'a mut [f32]),
    F16(&'a mut [u16]),
    Q8_0 { qs: &'a mut [i8], d: &'a mut [u16] },
}

impl<'a> Store<'a> {
    fn take(arena: &mut Arena<'a>, kv: KvType, n: &Lengths) -> Option<Self> {
        Some(match kv {
            KvType::F32 => Self::F32(arena.take(n.kv)?),
            KvType::F16 => Self::F16(arena.take(n.kv)?),
            KvType::Q8_0 => Self::Q8_0 { qs: arena.take(n.kv)?, d: arena.take(n.kv_scales)? },
        })
    }

    /// Consecutive rows of `head_dim`.
    fn rows(&self, rows: Range<usize>, head_dim: usize) -> KvRows<'_> {
        let n_d = head_dim.div_ceil(QK);
        let columns = rows.start * head_dim..rows.end * head_dim;
        match self {
            Self::F32(x) => KvRows::F32(&x[columns]),
            Self::F16(x) => KvRows::F16(&x[columns]),
            Self::Q8_0 { qs, d } => KvRows::Q8_0 { qs: &qs[columns], d: &d[rows.start * n_d..rows.end * n_d] },
        }
    }

    fn row_mut(&mut self, row: usize, head_dim: usize) -> KvRowsMut<'_> {
        let n_d = head_dim.div_ceil(QK);
        let columns = row * head_dim..(row + 1) * head_dim;
        match self {
            Self::F32(x) => KvRowsMut::F32(&mut x[columns]),
            Self::F16(x) => KvRowsMut::F16(&mut x[columns]),
            Self::Q8_0 { qs, d } => KvRowsMut::Q8_0 { qs: &mut qs[columns], d: &mut d[row * n_d..(row + 1) * n_d] },
        }
    }
}

/// Keys and values of all layers.
#[derive(Debug)]
pub(crate) struct KvCache<'a> {
    keys: Store<'a>,
    values: Store<'a>,
    /// `[n_layer, n_head_kv, n_blocks]`
    key_norms: &'a mut [f32],
    n_head_kv: usize,
    head_dim: usize,
    n_ctx: usize,
}

impl<'a> KvCache<'a> {
    pub(crate) fn take(arena: &mut Arena<'a>, s: &Shape, config: &SessionConfig, n: &Lengths) -> Option<Self> {
        Some(Self {
            keys: Store::take(arena, config.kv, n)?,
            values: Store::take(arena, config.kv, n)?,
            key_norms: arena.take(n.key_norms)?,
            n_head_kv: s.n_head_kv,
            head_dim: s.head_dim,
            n_ctx: config.n_ctx,
        })
    }

    /// Stores the keys and values of one position: `[n_head_kv, head_dim]` each.
    pub(crate) fn store(&mut self, kernels: &dyn Kernels, layer: usize, pos: usize, keys: &[f32], values: &[f32]) {
        let heads = keys.chunks_exact(self.head_dim).zip(values.chunks_exact(self.head_dim));
        for (head, (key, value)) in heads.enumerate() {
            let row = (layer * self.n_head_kv + head) * self.n_ctx + pos;
            kernels.store_kv(key, self.keys.row_mut(row, self.head_dim));
            kernels.store_kv(value, self.values.row_mut(row, self.head_dim));
            let norm = libm::sqrtf(kernels.sum_squares(self.keys.rows(row..row + 1, self.head_dim), self.head_dim));
            self.raise_key_norm(layer, head, pos, norm);
        }
    }

    /// Takes the key's norm into the running maximum of its block.
    fn raise_key_norm(&mut self, layer: usize, head: usize, pos: usize, norm: f32) {
        let n_blocks = self.n_ctx.div_ceil(KV_BLOCK);
        let norms = &mut self.key_norms[(layer * self.n_head_kv + head) * n_blocks..][..n_blocks];
        let block = pos / KV_BLOCK;
        let before = match (pos % KV_BLOCK, block) {
            (0, 0) => 0.0,
            (0, _) => norms[block - 1],
            _ => norms[block],
        };
        // A key that is not a number has no bound: nothing older may be left out any more.
        let norm = if norm.is_nan() { f32::INFINITY } else { norm };
        norms[block] = before.max(norm);
    }

    /// The cache of one layer and KV head.
    pub(crate) fn head(&self, layer: usize, head: usize) -> HeadCache<'_> {
        let n_blocks = self.n_ctx.div_ceil(KV_BLOCK);
        let head = layer * self.n_head_kv + head;
        HeadCache {
            keys: &self.keys,
            values: &self.values,
            key_norms: &self.key_norms[head * n_blocks..][..n_blocks],
            first_row: head * self.n_ctx,
            head_dim: self.head_dim,
        }
    }
}

/// What one KV head has stored.
#[derive(Clone, Copy, Debug)]
pub(crate) struct HeadCache<'c> {
    keys: &'c Store<'c>,
    values: &'c Store<'c>,
    key_norms: &'c [f32],
    first_row: usize,
    head_dim: usize,
}

impl HeadCache<'_> {
    pub(crate) fn keys(&self, positions: Range<usize>) -> KvRows<'_> {
        self.keys.rows(self.first_row + positions.start..self.first_row + positions.end, self.head_dim)
    }

    pub(crate) fn values(&self, positions: Range<usize>) -> KvRows<'_> {
        self.values.rows(self.first_row + positions.start..self.first_row + positions.end, self.head_dim)
    }

    /// The largest norm of any key in the blocks up to and with `block`.
    pub(crate) fn max_key_norm(&self, block: usize) -> f32 {
        self.key_norms[block]
    }
}
