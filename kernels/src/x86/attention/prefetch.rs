//! Prefetching of keys and values before a walk comes to them.
//!
//! A walk goes back through the text, so each block that it reads lies before the last one, and no hardware prefetcher predicts
//! that from within a block. The requests have to be spread over the work on the current block: a core has no more than some
//! twenty requests under way, and waits with the next.

use core::arch::x86_64::*;

use crate::{KV_BLOCK, KvRows, QK};

/// Prefetches the elements one block older than `x`; a row has `stride` elements. In a ring other elements, or none, may lie
/// there.
#[inline]
pub(super) fn prefetch_older<T>(x: &[T], stride: usize) {
    let older = x.as_ptr().wrapping_sub(KV_BLOCK * stride);
    for offset in (0..size_of_val(x)).step_by(64) {
        // SAFETY: a prefetch reads nothing, and may be given any address.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(older.wrapping_byte_add(offset).cast()) };
    }
}

/// Prefetches the rows one block older than `rows`, with their scales.
#[inline]
pub(super) fn prefetch_older_rows(rows: KvRows<'_>, head_dim: usize) {
    let n_groups = head_dim.div_ceil(QK);
    match rows {
        KvRows::F32(x) => prefetch_older(x, head_dim),
        KvRows::F16(x) => prefetch_older(x, head_dim),
        KvRows::Q8_0 { qs, d } => {
            prefetch_older(qs, head_dim);
            prefetch_older(d, n_groups);
        }
        KvRows::Q4_0 { qs, d, .. } => {
            prefetch_older(qs, head_dim.div_ceil(2));
            prefetch_older(d, n_groups);
        }
    }
}
