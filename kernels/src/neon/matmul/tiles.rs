//! Products of quantized weights: eight rows at a time, a 32-bit lane each.
//!
//! For one token each group is unpacked and multiplied at once, and so for up to four in types without integer scales: a panel in memory
//! does not pay for so few. (With integer scales registers are too few to keep sixteen of quants for several tokens.) Else 1024 columns
//! of eight rows are unpacked and packed for the ISA once, and multiplied with all tokens, some at a time; between such panels the sums
//! of a token rest in the output.

use core::arch::aarch64::*;
use core::marker::PhantomData;
use core::ops::Range;

use super::byte_order::ByteOrder;
use super::group::{Integers, Scales, Sink, Unpack, add_terms, offset, scaled};
use super::rows::{Apart, Interleaved, Quarter32};
use super::unit::{Columns, Dot, Unit};
use crate::block::Scaling;
use crate::contract::broken;
use crate::neon::bytes::{ROWS, part, rows_from};
use crate::neon::floats::{Floats, load_some, store_some};
use crate::{BlockQ8, ColumnsMut, Layout, Matrix, QK, TILE_ROWS};

/// Groups that are unpacked together: 14 KiB, which leaves half of the smallest L1 to the activations.
const PANEL: usize = 32;

/// Implements [`Kernels::matmul`](crate::Kernels::matmul) for quantized weights.
///
/// # Safety
/// The processor has the ISA.
#[target_feature(enable = "neon")]
pub(super) unsafe fn matmul<I: Unit, B: Unpack>(w: &Matrix<'_>, x: &[BlockQ8], out: &mut ColumnsMut<'_>) {
    w.require_product(x.len(), w.n_cols() / QK, out);
    if w.n_cols() == 0 || out.n_tokens() == 0 {
        return out.rows_mut().for_each(|out| out.fill(0.0));
    }
    // SAFETY: the processor has the ISA (the caller); `require_product` compared the numbers of groups.
    unsafe {
        if out.n_tokens() == 1 {
            one_token::<I::Dot, B>(w, x, out);
        } else if B::SCALING == Scaling::None && out.n_tokens() <= few::<I>(w.layout()) {
            few_tokens::<I::Dot, B>(w, x, out);
        } else {
            more_tokens::<I, B>(w, x, out);
        }
    }
}

/// Tokens up to which groups are unpacked in registers, at most four.
const fn few<I: Unit>(layout: Layout) -> usize {
    match layout {
        Layout::Plain => I::FEW_WITH_PLAIN,
        Layout::Interleaved => I::FEW_WITH_INTERLEAVED,
    }
}

/// Eight rows of the weights.
struct Eight<R> {
    rows: R,
    /// Lanes of the rows that are asked for.
    lanes: Range<usize>,
    /// Columns of these rows in the output.
    columns: Range<usize>,
}

impl Eight<Interleaved> {
    /// Both eights of the row tile that holds `row`.
    fn of_tile(tile: &[u8], row: usize, out: &ColumnsMut<'_>) -> [Self; 2] {
        let first = row / TILE_ROWS * TILE_ROWS;
        [0, 1].map(|i| {
            let first = first + ROWS * i;
            let [from, to] = [out.start(), out.end()].map(|row| row.clamp(first, first + ROWS));
            let columns = if from < to { from - out.start()..to - out.start() } else { 0..0 };
            Self { rows: Interleaved::new(tile.as_ptr(), i), lanes: from - first..to - first, columns }
        })
    }
}

impl Eight<Apart> {
    /// Eight plain rows from `row` on, or as many as are asked for.
    fn of_plain(rows: [*const u8; ROWS], row: usize, out: &ColumnsMut<'_>) -> Self {
        let n = ROWS.min(out.end() - row);
        let column = row - out.start();
        Self { rows: Apart(rows), lanes: 0..n, columns: column..column + n }
    }
}

/// Row tile that holds `row`, and the first row behind it; `None` if `row` is not before `end` or not interleaved.
fn next_tile<'f>(w: &Matrix<'f>, row: usize, end: usize) -> Option<(&'f [u8], usize)> {
    let tile = if row < end { w.tile(row) } else { None };
    Some((tile?, end.min((row + 1).next_multiple_of(TILE_ROWS))))
}

/// Groups of 32 columns in a block.
const fn groups_per_block<B: Unpack>() -> usize {
    B::TYPE.block_len() / QK
}

/// Bytes of a plain row.
fn row_bytes<B: Unpack>(w: &Matrix<'_>) -> usize {
    w.n_cols() / B::TYPE.block_len() * B::TYPE.block_bytes()
}

/// Dot products of the rows with one token. The function is not inlined, since two ISAs share it.
///
/// # Safety
/// The processor has the ISA, and `x` as many groups as a row.
#[target_feature(enable = "neon")]
#[inline(never)]
unsafe fn one_token<D: Dot, B: Unpack>(w: &Matrix<'_>, x: &[BlockQ8], out: &mut ColumnsMut<'_>) {
    let (start, end) = (out.start(), out.end());
    let mut row = start;
    while let Some((tile, next)) = next_tile(w, row, end) {
        let eights = Eight::of_tile(tile, row, out);
        // SAFETY: each row has as many groups as the activations; the processor has the ISA.
        let sums = unsafe { dot::<D, B, _, 2>(eights.each_ref().map(|eight| eight.rows), x) };
        for (Eight { lanes, columns, .. }, sums) in eights.into_iter().zip(sums) {
            write(sums, lanes, part_mut(out.row(0), columns));
        }
        row = next;
    }
    let (bytes, stride) = (w.rows(row, end), row_bytes::<B>(w));
    for (first, out) in (0..).step_by(ROWS).zip(part_mut(out.row(0), row - start..end - start).chunks_mut(ROWS)) {
        // SAFETY: as above.
        let [sums] = unsafe { dot::<D, B, _, 1>([Apart(rows_from(bytes, stride, first))], x) };
        store_some(sums, out);
    }
}

/// Dot products of some rows with one token. The two eights of a row tile take turns, so that its bytes come from memory once.
///
/// # Safety
/// The rows have as many groups as `x`; the processor has the ISA.
#[target_feature(enable = "neon")]
#[inline]
unsafe fn dot<D: Dot, B: Unpack, R: ByteOrder, const N: usize>(mut rows: [R; N], x: &[BlockQ8]) -> [Floats; N] {
    let mut acc = [[vdupq_n_f32(0.0); 2]; N];
    for x in x.chunks(PANEL) {
        for (rows, acc) in rows.iter_mut().zip(&mut acc) {
            let mut sink = OneToken::<R, D> { x: x.as_ptr(), walks: [D::start(); 2], acc: *acc, rows: PhantomData };
            for _ in 0..x.len() / groups_per_block::<B>() {
                // SAFETY: each row has this many blocks left, each block as many groups as the activations beside it.
                unsafe { B::unpack(rows, &mut sink) };
            }
            *acc = sink.acc;
        }
    }
    acc
}

/// Sink that multiplies each group with the next activations.
struct OneToken<R, D: Dot> {
    x: *const BlockQ8,
    walks: [D::Walk; 2],
    acc: Floats,
    rows: PhantomData<R>,
}

impl<R: ByteOrder, D: Dot> Sink for OneToken<R, D> {
    #[target_feature(enable = "neon")]
    #[inline]
    unsafe fn group<B: Unpack>(&mut self, scales: &Scales, quants: impl FnMut(usize) -> Quarter32) {
        // SAFETY: activations for this group exist (the caller); the processor has the ISA.
        unsafe {
            let x = &*self.x;
            self.x = self.x.add(1);
            let sums = R::dot::<D, B>(&mut self.walks, quants, x);
            add_terms::<B>(&mut self.acc, scales, scaled::<B>(sums, scales), x);
        }
    }
}

/// Dot products of the rows with two to four tokens. The function is not inlined, since two ISAs share it.
///
/// # Safety
/// The processor has the ISA, and `x` as many groups for each token as a row.
#[target_feature(enable = "neon")]
#[inline(never)]
unsafe fn few_tokens<D: Dot, B: Unpack>(w: &Matrix<'_>, x: &[BlockQ8], out: &mut ColumnsMut<'_>) {
    let (start, end) = (out.start(), out.end());
    let mut row = start;
    while let Some((tile, next)) = next_tile(w, row, end) {
        // SAFETY: each row has as many groups as a token; the processor has the ISA.
        unsafe { two_or_four::<D, B, _, 2>(&Eight::of_tile(tile, row, out), x, out) };
        row = next;
    }
    let (bytes, stride) = (w.rows(row, end), row_bytes::<B>(w));
    for first in (0..end - row).step_by(ROWS) {
        let eight = Eight::of_plain(rows_from(bytes, stride, first), row + first, out);
        // SAFETY: as above.
        unsafe { two_or_four::<D, B, _, 1>(&[eight], x, out) };
    }
}

/// [`dots`] with two tokens, or with four.
///
/// # Safety
/// The promise of [`dots`].
#[target_feature(enable = "neon")]
#[inline]
unsafe fn two_or_four<D: Dot, B: Unpack, R: ByteOrder, const N: usize>(
    eights: &[Eight<R>; N],
    x: &[BlockQ8],
    out: &mut ColumnsMut<'_>,
) {
    // SAFETY: the caller's promise is that of both.
    unsafe {
        if out.n_tokens() <= 2 { dots::<D, B, R, N, 2>(eights, x, out) } else { dots::<D, B, R, N, 4>(eights, x, out) }
    }
}

/// Dot products of some rows with up to `T` tokens; the last one stands in for tokens that do not exist.
///
/// # Safety
/// The rows have as many groups as each token of `x`; the processor has the ISA.
#[target_feature(enable = "neon")]
#[inline]
unsafe fn dots<D: Dot, B: Unpack, R: ByteOrder, const N: usize, const T: usize>(
    eights: &[Eight<R>; N],
    x: &[BlockQ8],
    out: &mut ColumnsMut<'_>,
) {
    let n_tokens = out.n_tokens().min(T);
    let stride = x.len() / out.n_tokens().max(1);
    let x: [&[BlockQ8]; T] = core::array::from_fn(|t| part(x, t.min(n_tokens - 1) * stride, stride));
    let mut rows = eights.each_ref().map(|eight| eight.rows);
    let mut acc = [[[vdupq_n_f32(0.0); 2]; T]; N];
    for first in (0..stride).step_by(PANEL) {
        let n = PANEL.min(stride - first);
        for (rows, acc) in rows.iter_mut().zip(&mut acc) {
            let x = x.map(|x| part(x, first, n).as_ptr());
            let mut sink = FewTokens::<R, D, T> { x, acc: *acc, isa: PhantomData };
            for _ in 0..n / groups_per_block::<B>() {
                // SAFETY: each row has this many blocks left, each block as many groups as the activations beside it.
                unsafe { B::unpack(rows, &mut sink) };
            }
            *acc = sink.acc;
        }
    }
    for (Eight { lanes, columns, .. }, sums) in eights.iter().zip(acc) {
        for (token, sums) in sums.into_iter().enumerate().take(n_tokens) {
            write(sums, lanes.clone(), part_mut(out.row(token), columns.clone()));
        }
    }
}

/// Sink that multiplies each group with the next activations of `T` tokens.
struct FewTokens<R, D, const T: usize> {
    x: [*const BlockQ8; T],
    acc: [Floats; T],
    isa: PhantomData<(R, D)>,
}

impl<R: ByteOrder, D: Dot, const T: usize> Sink for FewTokens<R, D, T> {
    #[target_feature(enable = "neon")]
    #[inline]
    unsafe fn group<B: Unpack>(&mut self, scales: &Scales, quants: impl FnMut(usize) -> Quarter32) {
        let x = self.x;
        self.x = x.map(|x| x.wrapping_add(1));
        // SAFETY: activations for this group exist (the caller); the processor has the ISA.
        unsafe { R::add_dots::<D, B, T>(&mut self.acc, scales, quants, x) };
    }
}

/// Dot products of the rows with all tokens.
///
/// # Safety
/// The processor has the ISA, and `x` as many groups for each token as a row.
#[target_feature(enable = "neon")]
#[inline(never)]
unsafe fn more_tokens<I: Unit, B: Unpack>(w: &Matrix<'_>, x: &[BlockQ8], out: &mut ColumnsMut<'_>) {
    let empty = Packed { q: [vdupq_n_s8(0); 16], scales: Scales::plain([vdupq_n_f32(0.0); 2]) };
    let mut groups = [empty; PANEL];
    let n_groups = w.n_cols() / QK;
    let (start, end) = (out.start(), out.end());
    let mut row = start;
    while let Some((tile, next)) = next_tile(w, row, end) {
        for eight in Eight::of_tile(tile, row, out) {
            // SAFETY: each row has as many groups as a token; the processor has the ISA.
            unsafe { panels::<I, B, _>(eight, n_groups, x, &mut groups, out) };
        }
        row = next;
    }
    let (bytes, stride) = (w.rows(row, end), row_bytes::<B>(w));
    for first in (0..end - row).step_by(ROWS) {
        let eight = Eight::of_plain(rows_from(bytes, stride, first), row + first, out);
        // SAFETY: as above.
        unsafe { panels::<I, B, _>(eight, n_groups, x, &mut groups, out) };
    }
}

/// Dot products of eight rows with all tokens.
///
/// # Safety
/// Each row, and each token of `x`, has `n_groups` groups; the processor has the ISA.
#[target_feature(enable = "neon")]
#[inline]
unsafe fn panels<I: Unit, B: Unpack, R: ByteOrder>(
    eight: Eight<R>,
    n_groups: usize,
    x: &[BlockQ8],
    groups: &mut [Packed; PANEL],
    out: &mut ColumnsMut<'_>,
) {
    let Eight { mut rows, lanes, columns } = eight;
    if columns.is_empty() {
        return;
    }
    for first in (0..n_groups).step_by(PANEL) {
        let n = PANEL.min(n_groups - first);
        let mut sink = Packing::<R, I> { next: groups.as_mut_ptr(), isa: PhantomData };
        for _ in 0..n / groups_per_block::<B>() {
            // SAFETY: each row has this many blocks left, and `groups` has room for their groups: `PANEL` is whole blocks.
            unsafe { B::unpack(&mut rows, &mut sink) };
        }
        let mut panel = Panel {
            groups: part(groups, 0, n),
            first,
            x,
            stride: n_groups,
            lanes: lanes.clone(),
            columns: columns.clone(),
        };
        // SAFETY: the processor has the ISA.
        unsafe { panel.multiply_all::<I, B>(out) };
    }
}

/// Group in the form that the ISA multiplies, its quants less their offset.
#[derive(Clone, Copy)]
struct Packed {
    q: [int8x16_t; 16],
    scales: Scales,
}

/// Sink that packs each group to the next place.
struct Packing<R, I> {
    next: *mut Packed,
    isa: PhantomData<(R, I)>,
}

impl<R: ByteOrder, I: Unit> Sink for Packing<R, I> {
    #[target_feature(enable = "neon")]
    #[inline]
    unsafe fn group<B: Unpack>(&mut self, scales: &Scales, quants: impl FnMut(usize) -> Quarter32) {
        let offset = vdupq_n_s8(offset::<B>() as i8);
        let centred = [0, 1, 2, 3].map(quants).map(|q| q.map(|q| q.map(|q| vsubq_s8(q, offset))));
        // SAFETY: the place for this group exists (the caller).
        unsafe {
            *self.next = Packed { q: R::pack::<I>(&centred), scales: *scales };
            self.next = self.next.add(1);
        }
    }
}

/// Up to 1024 columns of eight rows, and the activations that they are multiplied with.
struct Panel<'a> {
    groups: &'a [Packed],
    /// Group of the first columns.
    first: usize,
    /// `[n_tokens, stride]`
    x: &'a [BlockQ8],
    stride: usize,
    /// Lanes of the rows that are asked for.
    lanes: Range<usize>,
    /// Columns of these rows in the output.
    columns: Range<usize>,
}

impl Panel<'_> {
    /// Part of the output in which the sums of a token rest.
    #[inline]
    fn sums<'o>(&self, out: &'o mut ColumnsMut<'_>, token: usize) -> &'o mut [f32] {
        part_mut(out.row(token), self.columns.clone())
    }

    /// Adds the products with all tokens to the sums in the output (for the first columns: to zero).
    ///
    /// # Safety
    /// The processor has the ISA.
    #[target_feature(enable = "neon")]
    #[inline]
    unsafe fn multiply_all<I: Unit, B: Unpack>(&mut self, out: &mut ColumnsMut<'_>) {
        let n_tokens = out.n_tokens();
        let mut token = 0;
        // SAFETY: the processor has the ISA (the caller).
        unsafe {
            while I::TOKENS == 4 && n_tokens - token > 2 {
                self.multiply::<I, B, 4>(token, out);
                token += 4.min(n_tokens - token);
            }
            while token < n_tokens {
                self.multiply::<I, B, 2>(token, out);
                token += 2.min(n_tokens - token);
            }
        }
    }

    /// Adds the products with `T` tokens (fewer at the end) to their sums.
    ///
    /// # Safety
    /// The processor has the ISA.
    #[target_feature(enable = "neon")]
    #[inline]
    unsafe fn multiply<I: Unit, B: Unpack, const T: usize>(&mut self, token: usize, out: &mut ColumnsMut<'_>) {
        let n = T.min(out.n_tokens() - token);
        let mut x = [self.x.as_ptr(); T];
        for (t, x) in x.iter_mut().enumerate() {
            // The last token stands in for tokens that do not exist; its sums are written once.
            let first = (token + t.min(n - 1)) * self.stride + self.first;
            *x = part(self.x, first, self.groups.len()).as_ptr();
        }
        let mut acc = [[vdupq_n_f32(0.0); 2]; T];
        if self.first > 0 {
            for (t, acc) in acc.iter_mut().enumerate().take(n) {
                *acc = read(self.lanes.clone(), self.sums(out, token + t));
            }
        }
        for group in self.groups {
            // SAFETY: each token has a block for each group, as was just checked; the processor has the ISA.
            unsafe {
                let blocks = x.map(|x| &*x);
                x = x.map(|x| x.add(1));
                let sums = scaled_products::<I, B, T>(group, blocks);
                for t in 0..T {
                    add_terms::<B>(&mut acc[t], &group.scales, sums[t], blocks[t]);
                }
            }
        }
        for (t, acc) in acc.into_iter().enumerate().take(n) {
            write(acc, self.lanes.clone(), self.sums(out, token + t));
        }
    }
}

/// Scaled sums of a group: `Σ_h sc_h Σ_j q · x` of eight rows with each token.
///
/// # Safety
/// The processor has the ISA.
#[target_feature(enable = "neon")]
#[inline]
unsafe fn scaled_products<I: Unit, B: Unpack, const T: usize>(group: &Packed, x: [&BlockQ8; T]) -> [Integers; T] {
    let Packed { q, scales } = group;
    let by = |sum: Integers, sc: &Integers| [vmulq_s32(sum[0], sc[0]), vmulq_s32(sum[1], sc[1])];
    // SAFETY: the processor has the ISA (the caller).
    unsafe {
        match B::SCALING {
            Scaling::None => I::products::<B, T>(q, x, Columns::All),
            Scaling::Group => I::products::<B, T>(q, x, Columns::All).map(|sum| by(sum, &scales.sc[0])),
            Scaling::Halves => {
                let mut sums = I::products::<B, T>(q, x, Columns::First).map(|sum| by(sum, &scales.sc[0]));
                for (sum, last) in sums.iter_mut().zip(I::products::<B, T>(q, x, Columns::Last)) {
                    for quad in 0..2 {
                        sum[quad] = vmlaq_s32(sum[quad], last[quad], scales.sc[1][quad]);
                    }
                }
                sums
            }
        }
    }
}

#[inline]
fn part_mut(out: &mut [f32], columns: Range<usize>) -> &mut [f32] {
    out.get_mut(columns).unwrap_or_else(|| broken("columns of the output"))
}

/// Writes the given lanes to `out`.
#[target_feature(enable = "neon")]
#[inline]
fn write(sums: Floats, lanes: Range<usize>, out: &mut [f32]) {
    if lanes.start == 0 {
        return store_some(sums, out);
    }
    let mut all = [0.0; ROWS];
    store_some(sums, &mut all);
    out.iter_mut().zip(all.iter().skip(lanes.start)).for_each(|(out, &sum)| *out = sum);
}

/// Reads the given lanes from `x`; the others are zero.
#[target_feature(enable = "neon")]
#[inline]
fn read(lanes: Range<usize>, x: &[f32]) -> Floats {
    if lanes.start == 0 {
        return load_some(x);
    }
    let mut all = [0.0; ROWS];
    all.iter_mut().skip(lanes.start).zip(x).for_each(|(lane, &x)| *lane = x);
    load_some(&all)
}
