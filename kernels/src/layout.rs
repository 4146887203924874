//! Order of a matrix's bytes: row by row as in the file, or sixteen rows interleaved so that each lane holds one row.
//!
//! A row tile is 16 rows. Its blocks follow each other in column order, each taking the room of 16 plain blocks. In this room
//! the pieces of the 16 blocks alternate: a block is cut into two-byte numbers (its scales) and words (all else, 4 bytes), and
//! the piece of row r at byte `at` of a plain block lies at byte `16 at + width r`. A register loaded from there holds the same
//! piece of neighbouring rows: 4 columns of quants (8 of 4-bit ones) in each 32-bit lane, whatever the register's width.
//!
//! Rows behind the last whole tile stay plain, so that a matrix has as many bytes in either order.

use crate::WeightType;
use crate::contract::require;

/// Rows of a row tile.
pub const TILE_ROWS: usize = 16;

/// Order of a matrix's bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Layout {
    /// Row by row, as GGUF has it.
    #[default]
    Plain,
    /// Sixteen rows interleaved; rows behind the last whole tile are plain.
    Interleaved,
}

impl Layout {
    /// Upper bits, "nf", of the type numbers that interleaved tensors have in a GGUF file; the lower bits are the plain type's
    /// number. No other program takes such a number for a type that it can read.
    const INTERLEAVED: u32 = 0x6e66_0000;

    /// Decodes a tensor's type number in a GGUF file; `None` if the runtime cannot read it.
    pub const fn from_gguf(number: u32) -> Option<(WeightType, Self)> {
        if let Some(ty) = WeightType::from_gguf(number) {
            return Some((ty, Self::Plain));
        }
        match WeightType::from_gguf(number ^ Self::INTERLEAVED) {
            Some(ty) if ty.can_interleave() => Some((ty, Self::Interleaved)),
            _ => None,
        }
    }

    /// Feature that includes the kernels of a tensor's type number in a GGUF file; `None` if they are always there, or if the runtime
    /// has none.
    pub const fn feature_of(number: u32) -> Option<&'static str> {
        match WeightType::feature_of(number) {
            Some(feature) => Some(feature),
            None => WeightType::feature_of(number ^ Self::INTERLEAVED),
        }
    }

    /// Type number in a GGUF file of a tensor of these weights in this layout.
    pub const fn to_gguf(self, ty: WeightType) -> u32 {
        match self {
            Self::Plain => ty as u32,
            Self::Interleaved => ty as u32 | Self::INTERLEAVED,
        }
    }
}

/// Pieces of a block as `(at, width)`: byte offset in a plain block, and 2 or 4 bytes.
pub(crate) fn pieces(ty: WeightType) -> impl Iterator<Item = (usize, usize)> {
    let [first, last] = ty.halves();
    let words = 2 * first..ty.block_bytes() - 2 * last;
    let after = words.end;
    let halves = (0..first).map(|i| (2 * i, 2)).chain((0..last).map(move |i| (after + 2 * i, 2)));
    halves.chain(words.step_by(4).map(|at| (at, 4)))
}

/// Interleaves the rows of a tile: `plain` is 16 rows of quantized blocks, one after the other; `out` has the same length.
///
/// # Panics
/// When `plain` is not 16 rows of whole blocks of a type that can be interleaved, or `out` has another length.
pub fn interleave(ty: WeightType, plain: &[u8], out: &mut [u8]) {
    let (size, row_bytes) = (ty.block_bytes(), plain.len() / TILE_ROWS);
    let whole = plain.len().is_multiple_of(TILE_ROWS) && row_bytes.is_multiple_of(size);
    require(whole && out.len() == plain.len() && ty.can_interleave(), "sixteen rows of whole blocks");
    for (block, out) in out.chunks_exact_mut(TILE_ROWS * size).enumerate() {
        for (at, width) in pieces(ty) {
            let out = out.get_mut(TILE_ROWS * at..TILE_ROWS * (at + width)).unwrap_or_default();
            let rows = plain.chunks_exact(row_bytes).map(|row| row.get(block * size + at..).unwrap_or_default());
            match width {
                2 => copy_pieces::<2>(rows, out),
                _ => copy_pieces::<4>(rows, out),
            }
        }
    }
}

/// Copies the first `W` bytes of each row, one after the other.
fn copy_pieces<'a, const W: usize>(rows: impl Iterator<Item = &'a [u8]>, out: &mut [u8]) {
    for (row, out) in rows.zip(out.as_chunks_mut::<W>().0) {
        *out = row.first_chunk().copied().unwrap_or([0; W]);
    }
}

#[cfg(test)]
mod tests {
    use std::vec;
    use std::vec::Vec;

    use super::*;
    use crate::block::{Block, BlockIQ4_XS, BlockQ4_K, BlockQ6_K, gguf_type_name, gguf_type_reordered};
    use crate::{Matrix, conformance::Rng};

    /// Covers every number that ggml has given out, also those that it has withdrawn (`ggml.h`).
    #[test]
    fn all_numbers_have_names() {
        let unnamed: Vec<u32> = (0..=43).filter(|&number| gguf_type_name(number) == "unknown").collect();
        assert_eq!(unnamed, [43]);
        let names = [(4, "Q4_2"), (15, "Q8_K"), (31, "Q4_0_4_4"), (38, "IQ4_NL_8_8"), (41, "Q1_0"), (42, "Q2_0")];
        names.into_iter().for_each(|(number, name)| assert_eq!(gguf_type_name(number), name));
        let reordered = |number| gguf_type_reordered(number).map(WeightType::name);
        assert_eq!([30, 31, 33, 34].map(reordered), [None, Some("Q4_0"), Some("Q4_0"), None]);
        assert_eq!([35, 36, 38, 39].map(reordered), [None, Some("IQ4_NL"), Some("IQ4_NL"), None]);
    }

    #[test]
    fn numbers_are_found_again() {
        for &ty in WeightType::ALL {
            assert_eq!(Layout::from_gguf(Layout::Plain.to_gguf(ty)), Some((ty, Layout::Plain)));
            let interleaved = ty.can_interleave().then_some((ty, Layout::Interleaved));
            assert_eq!(Layout::from_gguf(Layout::Interleaved.to_gguf(ty)), interleaved);
        }
        assert_eq!(Layout::from_gguf(99), None);
    }

    /// Every byte of a block belongs to one piece.
    #[test]
    fn pieces_cover_a_block_once() {
        for &ty in WeightType::ALL.iter().filter(|ty| ty.can_interleave()) {
            let mut seen = vec![0; ty.block_bytes()];
            pieces(ty).for_each(|(at, width)| seen[at..at + width].iter_mut().for_each(|n| *n += 1));
            assert!(seen.iter().all(|&n| n == 1), "{ty}: {seen:?}");
        }
    }

    #[test]
    fn a_word_of_each_row_side_by_side() {
        let size = WeightType::Q8_0.block_bytes();
        let plain: Vec<u8> = (0..TILE_ROWS * 2 * size).map(|i| (i / (2 * size) * 16 + i % size) as u8).collect();
        let mut out = vec![0; plain.len()];
        interleave(WeightType::Q8_0, &plain, &mut out);
        // The scales of rows 0 and 1 come first; behind 16 scales come the first four quants of rows 0 and 1.
        assert_eq!(out[..4], [0, 1, 16, 17]);
        assert_eq!(out[32..40], [2, 3, 4, 5, 18, 19, 20, 21]);
        // The second block of each row lies 16 plain blocks further.
        assert_eq!(out[..16 * size], out[16 * size..]);
    }

    /// A matrix reads the same blocks from either order, also in the rows behind the last tile.
    #[test]
    fn blocks_are_found_again() {
        found_again::<BlockQ4_K>(|block| block.qs.to_vec());
        found_again::<BlockQ6_K>(|block| [&block.ql[..], &block.qh, &block.d.0].concat());
        found_again::<BlockIQ4_XS>(|block| [&block.scales_h[..], &block.scales_l, &block.qs].concat());
    }

    fn found_again<B: Block>(bytes_of: impl Fn(&B) -> Vec<u8>) {
        let (n_rows, n_cols) = (37, 2 * B::TYPE.block_len());
        let row_bytes = B::TYPE.row_bytes(n_cols).unwrap();
        let mut rng = Rng::new(1);
        let plain: Vec<u8> = (0..n_rows * row_bytes).map(|_| rng.bits() as u8).collect();
        let mut tiled = plain.clone();
        for (plain, tile) in plain.chunks_exact(16 * row_bytes).zip(tiled.chunks_exact_mut(16 * row_bytes)) {
            interleave(B::TYPE, plain, tile);
        }
        let [a, b] = [(Layout::Plain, &plain), (Layout::Interleaved, &tiled)]
            .map(|(layout, bytes)| Matrix::new(B::TYPE, n_rows, n_cols, bytes).unwrap().in_layout(layout).unwrap());
        for row in 0..n_rows {
            for i in 0..2 {
                assert_eq!(bytes_of(&a.block::<B>(row, i)), bytes_of(&b.block::<B>(row, i)), "row {row}, block {i}");
            }
        }
    }
}
