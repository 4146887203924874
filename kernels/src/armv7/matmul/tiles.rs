//! Products of quantized weights: four rows at a time meet all tokens, a panel of columns at a time.

use core::array;
use core::ops::Range;

use super::panel::{FourRows, Group, PANEL, ROWS, each};
use crate::block::{Block, blocks_of};
use crate::contract::broken;
use crate::{BlockQ8, ColumnsMut, Layout, Matrix, QK};

/// Blocks of interleaved rows that are copied at a time.
const COPIES: usize = 4;

/// Implements [`Kernels::matmul`](crate::Kernels::matmul) for quantized weights.
pub(super) fn matmul<B: FourRows>(w: &Matrix<'_>, x: &[BlockQ8], out: &mut ColumnsMut<'_>) {
    let stride = w.n_cols() / QK;
    w.require_product(x.len(), stride, out);
    out.rows_mut().for_each(|out| out.fill(0.0));
    if stride == 0 {
        return;
    }
    let n_blocks = w.n_cols() / B::TYPE.block_len();
    let mut groups = [Group::ZERO; PANEL];
    match w.layout() {
        Layout::Plain => {
            let rows = blocks_of::<B>(w.rows(out.start(), out.end()));
            if out.n_tokens() == 1 {
                one_token(rows, n_blocks, x, out.row(0), &mut groups);
            } else {
                more_tokens(rows, n_blocks, x, out, &mut groups);
            }
        }
        Layout::Interleaved => copied_rows::<B>(w, n_blocks, x, out, &mut groups),
    }
}

/// Blocks of a panel.
const fn panel_blocks<B: Block>() -> usize {
    PANEL / per_block::<B>()
}

/// Groups of 32 columns in a block.
const fn per_block<B: Block>() -> usize {
    B::TYPE.block_len() / QK
}

/// Next four rows of `n_blocks`; the last row stands in for rows that do not exist.
#[inline]
fn next_four<'w, B>(rest: &mut &'w [B], n_blocks: usize) -> [&'w [B]; ROWS] {
    let mut row: &[B] = &[];
    let mut next = || {
        if let Some((first, after)) = rest.split_at_checked(n_blocks) {
            (row, *rest) = (first, after);
        }
        row
    };
    [next(), next(), next(), next()]
}

/// Adds the products of plain rows with one token.
fn one_token<B: FourRows>(
    mut rows: &[B],
    n_blocks: usize,
    x: &[BlockQ8],
    out: &mut [f32],
    groups: &mut [Group; PANEL],
) {
    for out in out.chunks_mut(ROWS) {
        let four = next_four(&mut rows, n_blocks);
        let mut acc = [0.0; ROWS];
        let mut at = 0;
        while at < n_blocks {
            let len = panel_blocks::<B>().min(n_blocks - at);
            let panel = B::panel(each(|r| part(four[r], at, len)), groups);
            B::add(&panel, part(x, at * per_block::<B>(), len * per_block::<B>()), &mut acc);
            at += len;
        }
        out.iter_mut().zip(acc).for_each(|(out, acc)| *out = acc);
    }
}

/// Adds the products of plain rows with each token.
fn more_tokens<B: FourRows>(
    mut rows: &[B],
    n_blocks: usize,
    x: &[BlockQ8],
    out: &mut ColumnsMut<'_>,
    groups: &mut [Group; PANEL],
) {
    for first in (0..out.end() - out.start()).step_by(ROWS) {
        let four = next_four(&mut rows, n_blocks);
        for at in (0..n_blocks).step_by(panel_blocks::<B>()) {
            let len = panel_blocks::<B>().min(n_blocks - at);
            let panel = B::panel(each(|r| part(four[r], at, len)), groups);
            add_tokens::<B>(&panel, x, n_blocks, at..at + len, first, out);
        }
    }
}

/// Adds the products of interleaved rows with each token: blocks are copied, a few at a time.
fn copied_rows<B: FourRows>(
    w: &Matrix<'_>,
    n_blocks: usize,
    x: &[BlockQ8],
    out: &mut ColumnsMut<'_>,
    groups: &mut [Group; PANEL],
) {
    let (start, end) = (out.start(), out.end());
    for first in (start..end).step_by(ROWS) {
        for at in (0..n_blocks).step_by(COPIES) {
            let len = COPIES.min(n_blocks - at);
            let copies: [[B; COPIES]; ROWS] =
                array::from_fn(|r| array::from_fn(|i| w.block((first + r).min(end - 1), (at + i).min(n_blocks - 1))));
            let panel = B::panel(each(|r| part(&copies[r], 0, len)), groups);
            add_tokens::<B>(&panel, x, n_blocks, at..at + len, first - start, out);
        }
    }
}

/// Adds the products of blocks `at` of four rows with each token; `x` is `[n_tokens, n_blocks]`, in groups. The results of the four
/// rows begin at column `first` of the output, or are as many as it has.
#[inline]
fn add_tokens<B: FourRows>(
    panel: &B::Panel<'_>,
    x: &[BlockQ8],
    n_blocks: usize,
    at: Range<usize>,
    first: usize,
    out: &mut ColumnsMut<'_>,
) {
    let [stride, start, len] = [n_blocks, at.start, at.len()].map(|blocks| blocks * per_block::<B>());
    for (x, out) in x.chunks_exact(stride.max(1)).zip(out.rows_mut()) {
        let mut acc = [0.0; ROWS];
        acc.iter_mut().zip(out.iter().skip(first)).for_each(|(acc, out)| *acc = *out);
        B::add(panel, part(x, start, len), &mut acc);
        out.iter_mut().skip(first).zip(acc).for_each(|(out, acc)| *out = acc);
    }
}

/// Elements `first..first + n`.
///
/// # Panics
/// When there are fewer.
#[inline]
fn part<T>(all: &[T], first: usize, n: usize) -> &[T] {
    all.get(first..).and_then(|rest| rest.get(..n)).unwrap_or_else(|| broken("rows that are all there"))
}
