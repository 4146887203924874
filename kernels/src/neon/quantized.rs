//! Products of quantized weights: eight rows at a time, a 32-bit lane each.
//!
//! One token: each group is unpacked and multiplied at once, row by row. More tokens: 1024 columns of eight rows are
//! unpacked and packed for the ISA once, and multiplied with all tokens, some at a time; sums of a token rest in the
//! output between such panels.

use core::arch::aarch64::*;
use core::marker::PhantomData;
use core::ops::Range;

use super::bytes::{part, rows_from};
use super::floats::{load_some, store_some};
use super::group::{Floats, Integers, ROWS, Scales, Scaling, Sink, Unpack, add_terms, half_sums, whole_sum};
use super::isa::{Columns, Dot, Isa, load};
use crate::contract::{broken, require};
use crate::{BlockQ8, ColumnsMut, Matrix, QK};

/// Groups that are unpacked together: 14 KiB, which leaves half of the smallest L1 to the activations.
const PANEL: usize = 32;

/// See [`crate::Kernels::matmul`].
///
/// # Safety
/// The processor has the ISA.
#[target_feature(enable = "neon")]
pub(super) unsafe fn matmul<I: Isa, B: Unpack>(w: &Matrix<'_>, x: &[BlockQ8], out: &mut ColumnsMut<'_>) {
    let n_groups = w.n_cols() / QK;
    require(x.len() == out.n_tokens() * n_groups, "a row of activations for each token");
    let (start, end) = (out.start(), out.end());
    let rows = Rows { bytes: w.rows(start, end), n: end - start, n_groups };
    // SAFETY: the processor has the ISA; the numbers of groups were compared.
    unsafe {
        if out.n_tokens() == 1 {
            one_token::<I::Dot, B>(rows, x, out.row(0));
        } else {
            more_tokens::<I, B>(rows, x, out);
        }
    }
}

/// Rows of whole blocks.
#[derive(Clone, Copy)]
struct Rows<'a> {
    bytes: &'a [u8],
    n: usize,
    /// Groups of 32 columns in a row.
    n_groups: usize,
}

impl Rows<'_> {
    fn n_blocks<B: Unpack>(self) -> usize {
        self.n_groups / groups_per_block::<B>()
    }

    /// Where rows `first..first + 8` begin.
    fn from<B: Unpack>(self, first: usize) -> [*const u8; ROWS] {
        rows_from(self.bytes, self.n_blocks::<B>() * B::TYPE.block_bytes(), first)
    }
}

/// Groups of 32 columns in a block.
const fn groups_per_block<B: Unpack>() -> usize {
    B::TYPE.block_len() / QK
}

/// Dot products of the rows with one token. Not inlined: two ISAs share it.
///
/// # Safety
/// The processor has the ISA, and `x` as many groups as a row.
#[target_feature(enable = "neon")]
#[inline(never)]
unsafe fn one_token<D: Dot, B: Unpack>(rows: Rows<'_>, x: &[BlockQ8], out: &mut [f32]) {
    for (first, out) in (0..rows.n).step_by(ROWS).zip(out.chunks_mut(ROWS)) {
        let mut sink = OneToken::<D> { x: x.as_ptr(), walks: [D::start(); 2], acc: [vdupq_n_f32(0.0); 2] };
        let mut cursors = rows.from::<B>(first);
        for _ in 0..rows.n_blocks::<B>() {
            // SAFETY: each row has this many blocks, each block as many groups as the activations beside it.
            unsafe { B::unpack(&mut cursors, &mut sink) };
        }
        store_some(sink.acc, out);
    }
}

/// Multiplies each group with the next activations.
struct OneToken<D: Dot> {
    x: *const BlockQ8,
    walks: [D::Walk; 2],
    acc: Floats,
}

impl<D: Dot> Sink for OneToken<D> {
    #[target_feature(enable = "neon")]
    #[inline]
    unsafe fn group<B: Unpack>(&mut self, scales: &Scales, mut quants: impl FnMut(usize) -> [int8x16_t; 2]) {
        // SAFETY: there is one for this group; the processor has the ISA.
        unsafe {
            let x = &*self.x;
            self.x = self.x.add(1);
            let [first, last] = &mut self.walks;
            let sums = [
                scaled_dot::<D, B>(first, 0, scales, [0, 1, 2, 3].map(&mut quants), x),
                scaled_dot::<D, B>(last, 1, scales, [4, 5, 6, 7].map(&mut quants), x),
            ];
            add_terms::<B>(&mut self.acc, scales, sums, x);
        }
    }
}

/// `Σ_h sc_h Σ_j (q - offset) · x` of four rows. Always inlined, as a target feature would not allow.
///
/// # Safety
/// The processor has the ISA.
#[inline(always)]
unsafe fn scaled_dot<D: Dot, B: Unpack>(
    walk: &mut D::Walk,
    quad: usize,
    scales: &Scales,
    quants: [[int8x16_t; 2]; 4],
    x: &BlockQ8,
) -> int32x4_t {
    // SAFETY: the processor has the ISA, and the target has NEON.
    unsafe {
        let offset = vdupq_n_s32(B::OFFSET);
        let [mut first, mut last] = D::dot::<B>(walk, quants, load(&x.qs));
        if B::SCALING == Scaling::Halves {
            if B::OFFSET != 0 {
                let sums = half_sums(x);
                first = vmlsq_laneq_s32::<0>(first, offset, sums);
                last = vmlsq_laneq_s32::<1>(last, offset, sums);
            }
            return vmlaq_s32(vmulq_s32(first, scales.sc[0][quad]), last, scales.sc[1][quad]);
        }
        if B::OFFSET != 0 {
            first = vmlsq_lane_s32::<0>(first, offset, whole_sum(x));
        }
        if B::SCALING == Scaling::Group { vmulq_s32(first, scales.sc[0][quad]) } else { first }
    }
}

/// Dot products of the rows with all tokens.
///
/// # Safety
/// The processor has the ISA, and `x` as many groups for each token as a row.
#[target_feature(enable = "neon")]
#[inline(never)]
unsafe fn more_tokens<I: Isa, B: Unpack>(rows: Rows<'_>, x: &[BlockQ8], out: &mut ColumnsMut<'_>) {
    let empty = Packed { q: [vdupq_n_s8(0); 16], scales: Scales::plain([vdupq_n_f32(0.0); 2]) };
    let mut groups = [empty; PANEL];
    if rows.n_groups == 0 {
        (0..out.n_tokens()).for_each(|token| out.row(token).fill(0.0));
    }
    for first in (0..rows.n).step_by(ROWS) {
        let columns = first..rows.n.min(first + ROWS);
        let mut cursors = rows.from::<B>(first);
        for first in (0..rows.n_groups).step_by(PANEL) {
            let n = PANEL.min(rows.n_groups - first);
            let mut sink = Packing::<I> { next: groups.as_mut_ptr(), isa: PhantomData };
            for _ in 0..n / groups_per_block::<B>() {
                // SAFETY: each row has this many blocks left, and `groups` has room for theirs: `PANEL` is whole blocks.
                unsafe { B::unpack(&mut cursors, &mut sink) };
            }
            let mut panel = Panel { groups: &groups[..n], first, x, stride: rows.n_groups, columns: columns.clone() };
            // SAFETY: the processor has the ISA.
            unsafe { panel.multiply_all::<I, B>(out) };
        }
    }
}

/// A group as the ISA multiplies it, its quants less their offset.
#[derive(Clone, Copy)]
struct Packed {
    q: [int8x16_t; 16],
    scales: Scales,
}

/// Packs each group to the next place.
struct Packing<I> {
    next: *mut Packed,
    isa: PhantomData<I>,
}

impl<I: Isa> Sink for Packing<I> {
    #[target_feature(enable = "neon")]
    #[inline]
    unsafe fn group<B: Unpack>(&mut self, scales: &Scales, quants: impl FnMut(usize) -> [int8x16_t; 2]) {
        let offset = vdupq_n_s8(B::OFFSET as i8);
        let centred = [0, 1, 2, 3, 4, 5, 6, 7].map(quants).map(|q| q.map(|q| vsubq_s8(q, offset)));
        // SAFETY: there is room for this group.
        unsafe {
            *self.next = Packed { q: I::pack(&centred), scales: *scales };
            self.next = self.next.add(1);
        }
    }
}

/// Up to 1024 columns of eight rows, and what they are multiplied with.
struct Panel<'a> {
    groups: &'a [Packed],
    /// Group of the first columns.
    first: usize,
    /// `[n_tokens, stride]`
    x: &'a [BlockQ8],
    stride: usize,
    /// Where the eight rows (or fewer) lie in the output.
    columns: Range<usize>,
}

impl Panel<'_> {
    /// Where the sums of a token rest.
    #[inline]
    fn sums<'o>(&self, out: &'o mut ColumnsMut<'_>, token: usize) -> &'o mut [f32] {
        out.row(token).get_mut(self.columns.clone()).unwrap_or_else(|| broken("columns of the output"))
    }

    /// Adds the products with all tokens to what the output holds (for the first columns: to zero).
    ///
    /// # Safety
    /// The processor has the ISA.
    #[target_feature(enable = "neon")]
    #[inline]
    unsafe fn multiply_all<I: Isa, B: Unpack>(&mut self, out: &mut ColumnsMut<'_>) {
        let n_tokens = out.n_tokens();
        let mut token = 0;
        // SAFETY: the processor has the ISA.
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

    /// The same for `T` tokens (fewer at the end).
    ///
    /// # Safety
    /// The processor has the ISA.
    #[target_feature(enable = "neon")]
    #[inline]
    unsafe fn multiply<I: Isa, B: Unpack, const T: usize>(&mut self, token: usize, out: &mut ColumnsMut<'_>) {
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
                *acc = load_some(self.sums(out, token + t));
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
            store_some(acc, self.sums(out, token + t));
        }
    }
}

/// `Σ_h sc_h Σ_j q · x`
///
/// # Safety
/// The processor has the ISA.
#[target_feature(enable = "neon")]
#[inline]
unsafe fn scaled_products<I: Isa, B: Unpack, const T: usize>(group: &Packed, x: [&BlockQ8; T]) -> [Integers; T] {
    let Packed { q, scales } = group;
    let by = |sum: Integers, sc: &Integers| [vmulq_s32(sum[0], sc[0]), vmulq_s32(sum[1], sc[1])];
    // SAFETY: the processor has the ISA.
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
