//! Products of quantized weights: eight rows at a time, a 32-bit lane each.
//!
//! One token: each block is unpacked and multiplied at once. More tokens: 1024 columns of eight rows are unpacked once
//! and multiplied with all tokens, four by four; sums of a token rest in the output between such panels.

use core::arch::x86_64::*;
use core::ops::Range;

use super::floats::{load, store};
use super::group::{Group, Quants, ROWS, accumulate};
use crate::block::{Block, blocks_of};
use crate::{BlockQ8, ColumnsMut, Matrix, QK};

/// Tokens that share a loaded register of weights.
const TOKENS: usize = 4;
/// Groups that are unpacked together: 14 KiB, which leaves half of the smallest L1 to the activations.
const PANEL: usize = 32;

/// A weight type whose blocks can be unpacked.
pub(super) trait Unpack: Block {
    /// How its products fit 16 bits.
    const QUANTS: Quants;
    /// Whether [`Group::offset`] counts.
    const OFFSET: bool;
    /// Whether [`Group::m`] and [`Group::mn`] count.
    const MIN: bool;

    /// Hands the groups of a block of eight rows to `sink`, in column order.
    ///
    /// # Safety
    /// The processor has AVX2 and F16C.
    unsafe fn unpack(rows: [&Self; ROWS], sink: impl FnMut(&Group));
}

/// See [`crate::Kernels::matmul`].
#[target_feature(enable = "avx2,f16c")]
pub(super) fn matmul<B: Unpack>(w: &Matrix<'_>, x: &[BlockQ8], out: &mut ColumnsMut<'_>) {
    let n_rows = out.end() - out.start();
    assert_eq!(x.len(), out.n_tokens() * (w.n_cols() / QK));
    let mut groups = [Group::plain([_mm256_setzero_si256(); 8], _mm256_setzero_ps()); PANEL];
    for first in (0..n_rows).step_by(ROWS) {
        let columns = first..n_rows.min(first + ROWS);
        let mut rows: [&[B]; ROWS] = [&[]; ROWS];
        for (r, slot) in rows.iter_mut().enumerate() {
            // The last row stands in for rows that do not exist; their sums are dropped.
            *slot = blocks_of(w.row(out.start() + (first + r).min(n_rows - 1)));
        }
        if out.n_tokens() == 1 {
            store(dot(rows, x), &mut out.row(0)[columns]);
        } else {
            panels(rows, x, out, columns, &mut groups);
        }
    }
}

/// Dot products of eight rows with one token.
#[target_feature(enable = "avx2,f16c")]
fn dot<B: Unpack>(rows: [&[B]; ROWS], x: &[BlockQ8]) -> __m256 {
    let n_blocks = rows[0].len();
    assert!(rows.iter().all(|row| row.len() == n_blocks) && x.len() == n_blocks * groups_per_block::<B>());
    let mut acc = [_mm256_setzero_ps()];
    let mut x = x.iter();
    for b in 0..n_blocks {
        // SAFETY: this function has the features, too.
        unsafe {
            B::unpack(rows.map(|row| &row[b]), |group| {
                if let Some(x) = x.next() {
                    accumulate::<B, 1>(group, [x], &mut acc);
                }
            });
        }
    }
    acc[0]
}

/// Groups of 32 columns in a block.
const fn groups_per_block<B: Unpack>() -> usize {
    B::TYPE.block_len() / QK
}

/// Dot products of eight rows with all tokens, to the given columns of `out`.
#[target_feature(enable = "avx2,f16c")]
fn panels<B: Unpack>(
    rows: [&[B]; ROWS],
    x: &[BlockQ8],
    out: &mut ColumnsMut<'_>,
    columns: Range<usize>,
    groups: &mut [Group; PANEL],
) {
    let n_tokens = out.n_tokens();
    let stride = x.len() / n_tokens;
    if stride == 0 {
        (0..n_tokens).for_each(|token| out.row(token)[columns.clone()].fill(0.0));
    }
    for first in (0..stride).step_by(PANEL) {
        let n = unpack_panel(rows, first, groups);
        let mut panel = Panel { groups: &groups[..n], first, x, stride, columns: columns.clone() };
        let tiled = n_tokens - n_tokens % TOKENS;
        (0..tiled).step_by(TOKENS).for_each(|token| panel.multiply::<B, TOKENS>(token, out));
        (tiled..n_tokens).for_each(|token| panel.multiply::<B, 1>(token, out));
    }
}

/// Unpacks up to 1024 columns, from group `first` on; returns the number of groups.
#[target_feature(enable = "avx2,f16c")]
#[inline]
fn unpack_panel<B: Unpack>(rows: [&[B]; ROWS], first: usize, groups: &mut [Group; PANEL]) -> usize {
    let per_block = groups_per_block::<B>();
    let blocks = first / per_block..rows[0].len().min((first + PANEL) / per_block);
    let mut n = 0;
    for b in blocks {
        // SAFETY: this function has the features, too.
        unsafe {
            B::unpack(rows.map(|row| &row[b]), |group| {
                groups[n] = *group;
                n += 1;
            });
        }
    }
    n
}

/// Up to 1024 columns of eight rows, and what they are multiplied with.
struct Panel<'a> {
    groups: &'a [Group],
    /// Group of the first columns.
    first: usize,
    /// `[n_tokens, stride]`
    x: &'a [BlockQ8],
    stride: usize,
    /// Where the eight rows (or fewer) lie in the output.
    columns: Range<usize>,
}

impl Panel<'_> {
    /// Adds the products with `T` tokens to what the output holds (for the first columns: to zero).
    #[target_feature(enable = "avx2,f16c")]
    #[inline]
    fn multiply<B: Unpack, const T: usize>(&mut self, token: usize, out: &mut ColumnsMut<'_>) {
        let mut x: [&[BlockQ8]; T] = [&[]; T];
        for (t, x) in x.iter_mut().enumerate() {
            *x = &self.x[(token + t) * self.stride + self.first..][..self.groups.len()];
        }
        let mut acc = [_mm256_setzero_ps(); T];
        if self.first > 0 {
            for (t, acc) in acc.iter_mut().enumerate() {
                *acc = load(&out.row(token + t)[self.columns.clone()]);
            }
        }
        for (i, group) in self.groups.iter().enumerate() {
            accumulate::<B, T>(group, x.map(|x| &x[i]), &mut acc);
        }
        for (t, acc) in acc.into_iter().enumerate() {
            store(acc, &mut out.row(token + t)[self.columns.clone()]);
        }
    }
}
