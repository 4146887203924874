//! Stored keys and values as the attention kernels see them.

use core::ops::Range;

use crate::arena;
use crate::{BlockQ8, QK};

/// Proof that 4-bit keys and values are compiled in (the feature `kv_q4_0`). Without the feature this type has no value, so the
/// compiler removes all code that would handle them, and a board that does not use them spends no flash on them.
#[derive(Clone, Copy, Debug)]
pub struct Q4Built {
    #[cfg(not(feature = "kv_q4_0"))]
    _never: core::convert::Infallible,
}

impl Q4Built {
    /// Proof: the feature `kv_q4_0` is on.
    #[cfg(feature = "kv_q4_0")]
    pub const PROOF: Option<Self> = Some(Self {});
    /// No proof: the feature `kv_q4_0` is off.
    #[cfg(not(feature = "kv_q4_0"))]
    pub const PROOF: Option<Self> = None;
}

/// Keys or values of one KV head at consecutive positions, oldest first: `[n, head_dim]`.
#[derive(Clone, Copy, Debug)]
pub enum KvRows<'a> {
    /// Single precision.
    F32(&'a [f32]),
    /// Half precision, as bits.
    F16(&'a [u16]),
    /// int8 with a half-precision scale (as bits) for each 32 columns of a row; the last group of a row may be shorter.
    Q8_0 {
        /// `[n, head_dim]`
        qs: &'a [i8],
        /// `[n, head_dim.div_ceil(32)]`
        d: &'a [u16],
    },
    /// Integers in -8..=7, eight added, with a half-precision scale (as bits) for each 32 columns of a row; the last group of a
    /// row may be shorter.
    Q4_0 {
        /// `[n, head_dim.div_ceil(2)]`: column `2 j` of a row in the low half of byte `j`, column `2 j + 1` in the high half.
        /// (ggml's blocks have columns `j` and `j + 16` in a byte; side by side, a shorter group needs no padding.)
        qs: &'a [u8],
        /// `[n, head_dim.div_ceil(32)]`
        d: &'a [u16],
        /// Proof that 4-bit keys and values are compiled in.
        built: Q4Built,
    },
}

/// Contract of a quantized type of keys and values, by the type of its elements: `i8` for Q8_0, `u8` for Q4_0. The
/// definitions, x86, NEON and Helium build on it; a new type is this contract and a body for each ISA (`attention/`), beside those of its siblings.
pub trait KvQuant: Copy {
    /// Columns of each element.
    const COLUMNS: usize;
    /// Number that is added to each quant as it is stored.
    const OFFSET: i32;
    /// Element whose quants are zero: stands behind the end of a row.
    const ZERO: Self;
}

impl KvQuant for i8 {
    const COLUMNS: usize = 1;
    const OFFSET: i32 = 0;
    const ZERO: Self = 0;
}

impl KvQuant for u8 {
    const COLUMNS: usize = 2;
    const OFFSET: i32 = 8;
    const ZERO: Self = 0x88;
}

impl<'a> KvRows<'a> {
    /// Consecutive rows of `head_dim` columns; `None` if they are not all there.
    pub fn rows(self, rows: Range<usize>, head_dim: usize) -> Option<Self> {
        let of = |len: usize| Some(rows.start.checked_mul(len)?..rows.end.checked_mul(len)?);
        let (columns, scales) = (of(head_dim)?, of(head_dim.div_ceil(QK))?);
        Some(match self {
            Self::F32(x) => Self::F32(x.get(columns)?),
            Self::F16(x) => Self::F16(x.get(columns)?),
            Self::Q8_0 { qs, d } => Self::Q8_0 { qs: qs.get(columns)?, d: d.get(scales)? },
            Self::Q4_0 { qs, d, built } => {
                Self::Q4_0 { qs: qs.get(of(head_dim.div_ceil(2))?)?, d: d.get(scales)?, built }
            }
        })
    }

    /// Bytes of the numbers, and those of their scales, as they lie in memory.
    pub fn bytes(self) -> [&'a [u8]; 2] {
        match self {
            Self::F32(x) => [arena::bytes(x), &[]],
            Self::F16(x) => [arena::bytes(x), &[]],
            Self::Q8_0 { qs, d } => [arena::bytes(qs), arena::bytes(d)],
            Self::Q4_0 { qs, d, .. } => [qs, arena::bytes(d)],
        }
    }

    /// First `n` rows of `head_dim` columns; none if there are fewer.
    #[must_use]
    pub fn first(self, n: usize, head_dim: usize) -> Self {
        // Products that overflow become lengths that no slice has.
        let (n_x, n_d) = (n.saturating_mul(head_dim), n.saturating_mul(head_dim.div_ceil(QK)));
        match self {
            Self::F32(x) => Self::F32(x.get(..n_x).unwrap_or_default()),
            Self::F16(x) => Self::F16(x.get(..n_x).unwrap_or_default()),
            Self::Q8_0 { qs, d } => {
                Self::Q8_0 { qs: qs.get(..n_x).unwrap_or_default(), d: d.get(..n_d).unwrap_or_default() }
            }
            Self::Q4_0 { qs, d, built } => {
                let qs = qs.get(..n.saturating_mul(head_dim.div_ceil(2))).unwrap_or_default();
                Self::Q4_0 { qs, d: d.get(..n_d).unwrap_or_default(), built }
            }
        }
    }
}

/// Keys or values of one KV head at consecutive positions, to be written: `[n, head_dim]`.
#[derive(Debug)]
pub enum KvRowsMut<'a> {
    /// Single precision.
    F32(&'a mut [f32]),
    /// Half precision, as bits.
    F16(&'a mut [u16]),
    /// int8 with half-precision scales, laid out as in [`KvRows::Q8_0`].
    Q8_0 {
        /// `[n, head_dim]`
        qs: &'a mut [i8],
        /// `[n, head_dim.div_ceil(32)]`
        d: &'a mut [u16],
    },
    /// Integers of 4 bits with half-precision scales, laid out as in [`KvRows::Q4_0`].
    Q4_0 {
        /// `[n, head_dim.div_ceil(2)]`
        qs: &'a mut [u8],
        /// `[n, head_dim.div_ceil(32)]`
        d: &'a mut [u16],
        /// Proof that 4-bit keys and values are compiled in.
        built: Q4Built,
    },
}

impl KvRowsMut<'_> {
    /// Consecutive rows of `head_dim` columns; `None` if they are not all there.
    pub fn rows(self, rows: Range<usize>, head_dim: usize) -> Option<Self> {
        let of = |len: usize| Some(rows.start.checked_mul(len)?..rows.end.checked_mul(len)?);
        let (columns, scales) = (of(head_dim)?, of(head_dim.div_ceil(QK))?);
        Some(match self {
            Self::F32(x) => Self::F32(x.get_mut(columns)?),
            Self::F16(x) => Self::F16(x.get_mut(columns)?),
            Self::Q8_0 { qs, d } => Self::Q8_0 { qs: qs.get_mut(columns)?, d: d.get_mut(scales)? },
            Self::Q4_0 { qs, d, built } => {
                Self::Q4_0 { qs: qs.get_mut(of(head_dim.div_ceil(2))?)?, d: d.get_mut(scales)?, built }
            }
        })
    }

    /// First `n` rows of `head_dim` columns, and those behind them; `None` if there are fewer.
    pub fn split(self, n: usize, head_dim: usize) -> Option<(Self, Self)> {
        let (columns, scales) = (n.checked_mul(head_dim)?, n.checked_mul(head_dim.div_ceil(QK))?);
        Some(match self {
            Self::F32(x) => {
                let (first, rest) = x.split_at_mut_checked(columns)?;
                (Self::F32(first), Self::F32(rest))
            }
            Self::F16(x) => {
                let (first, rest) = x.split_at_mut_checked(columns)?;
                (Self::F16(first), Self::F16(rest))
            }
            Self::Q8_0 { qs, d } => {
                let (qs, rest_qs) = qs.split_at_mut_checked(columns)?;
                let (d, rest_d) = d.split_at_mut_checked(scales)?;
                (Self::Q8_0 { qs, d }, Self::Q8_0 { qs: rest_qs, d: rest_d })
            }
            Self::Q4_0 { qs, d, built } => {
                let (qs, rest_qs) = qs.split_at_mut_checked(n.checked_mul(head_dim.div_ceil(2))?)?;
                let (d, rest_d) = d.split_at_mut_checked(scales)?;
                (Self::Q4_0 { qs, d, built }, Self::Q4_0 { qs: rest_qs, d: rest_d, built })
            }
        })
    }

    /// The same rows, borrowed for a while.
    pub fn reborrow(&mut self) -> KvRowsMut<'_> {
        match self {
            Self::F32(x) => KvRowsMut::F32(x),
            Self::F16(x) => KvRowsMut::F16(x),
            Self::Q8_0 { qs, d } => KvRowsMut::Q8_0 { qs, d },
            Self::Q4_0 { qs, d, built } => KvRowsMut::Q4_0 { qs, d, built: *built },
        }
    }

    /// The same rows, to be read.
    pub fn as_rows(&self) -> KvRows<'_> {
        match self {
            Self::F32(x) => KvRows::F32(x),
            Self::F16(x) => KvRows::F16(x),
            Self::Q8_0 { qs, d } => KvRows::Q8_0 { qs, d },
            Self::Q4_0 { qs, d, built } => KvRows::Q4_0 { qs, d, built: *built },
        }
    }

    /// Copies `rows` of the same type and size; `None` if the type or the size differs.
    pub fn copy(self, rows: KvRows<'_>) -> Option<()> {
        match (self, rows) {
            (Self::F32(to), KvRows::F32(x)) => copy(to, x),
            (Self::F16(to), KvRows::F16(x)) => copy(to, x),
            (Self::Q8_0 { qs, d }, KvRows::Q8_0 { qs: from_qs, d: from_d }) => copy(qs, from_qs).and(copy(d, from_d)),
            (Self::Q4_0 { qs, d, .. }, KvRows::Q4_0 { qs: from_qs, d: from_d, .. }) => {
                copy(qs, from_qs).and(copy(d, from_d))
            }
            _ => None,
        }
    }
}

/// Copies like `copy_from_slice`; `None` if the lengths differ.
fn copy<T: Copy>(to: &mut [T], from: &[T]) -> Option<()> {
    (to.len() == from.len()).then(|| to.copy_from_slice(from))
}

/// Query of one head: floats for F32 and F16 keys, int8 groups of up to 32 columns for Q8_0 and Q4_0 keys.
#[derive(Clone, Copy, Debug)]
pub enum Query<'a> {
    /// `[head_dim]`
    F32(&'a [f32]),
    /// `[head_dim.div_ceil(32)]`; quants past `head_dim` are zero.
    Q8(&'a [BlockQ8]),
}

/// Keys that share one step of the online softmax.
pub const KV_BLOCK: usize = 32;

/// Keys and values of one KV head at up to [`KV_BLOCK`] consecutive positions.
#[derive(Clone, Copy, Debug)]
pub struct KvBlock<'a> {
    /// `[end - start, head_dim]`
    pub keys: KvRows<'a>,
    /// `[end - start, head_dim]`
    pub values: KvRows<'a>,
    /// Position of the first key.
    pub start: usize,
    /// End of the positions: one past that of the last key.
    pub end: usize,
}

impl KvBlock<'_> {
    /// Number of the block's keys that a query at `pos` sees.
    pub fn n_seen(&self, pos: usize) -> usize {
        self.end.min(pos.saturating_add(1)).saturating_sub(self.start)
    }
}

/// State of a query that walks through the keys, from the newest block to the oldest, with an online softmax: running maximum
/// and denominator (Milakov & Gimelshein 2018, arXiv 1805.02867; Dao et al. 2022, arXiv 2205.14135).
#[derive(Debug)]
pub struct Walk<'a> {
    /// Query of the walk.
    pub query: Query<'a>,
    /// Position of the query: keys up to this position, inclusive, are seen.
    pub pos: usize,
    /// ALiBi slope of the query's head.
    pub slope: f32,
    /// Largest score so far.
    pub max: f32,
    /// `Σ exp(score - max)` so far.
    pub sum: f32,
    /// `Σ exp(score - max) v` so far: `[head_dim]`.
    pub acc: &'a mut [f32],
    /// True once the walk has seen all keys that it will see.
    pub ended: bool,
}

impl<'a> Walk<'a> {
    /// Starts before the first key; `acc`, as wide as a head (`[head_dim]`), is filled with zeros.
    pub fn new(query: Query<'a>, pos: usize, slope: f32, acc: &'a mut [f32]) -> Self {
        acc.fill(0.0);
        Self { query, pos, slope, max: f32::NEG_INFINITY, sum: 0.0, acc, ended: false }
    }
}
