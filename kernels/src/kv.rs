//! Stored keys and values as the attention kernels see them.

use crate::BlockQ8;

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
}

/// The same, to be written.
#[derive(Debug)]
pub enum KvRowsMut<'a> {
    /// Single precision.
    F32(&'a mut [f32]),
    /// Half precision, as bits.
    F16(&'a mut [u16]),
    /// See [`KvRows::Q8_0`].
    Q8_0 {
        /// `[n, head_dim]`
        qs: &'a mut [i8],
        /// `[n, head_dim.div_ceil(32)]`
        d: &'a mut [u16],
    },
}

/// One query head: as floats for F32 and F16 keys, and as int8 groups of up to 32 columns for Q8_0 keys.
#[derive(Clone, Copy, Debug)]
pub enum Query<'a> {
    /// `[head_dim]`
    F32(&'a [f32]),
    /// `[head_dim.div_ceil(32)]`; quants past `head_dim` are zero.
    Q8(&'a [BlockQ8]),
}

/// Keys that share one step of the online softmax.
pub const KV_BLOCK: usize = 32;
