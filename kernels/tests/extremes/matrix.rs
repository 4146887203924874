//! Matrices, and their products with activations.

use nearfield_kernels::conformance::Rng;
use nearfield_kernels::layout::interleave;
use nearfield_kernels::{Activations, ColumnsMut, Layout, Matrix, Parts, QK, TILE_ROWS, Tiles, WeightType, available};

use super::blocks::for_block;
use super::draw::{about, any_blocks, blocks, bytes, floats, number};
use super::memory::Buffer;
use super::outcome::{assert_kept, outcome};
use super::{blocks, cases};

/// Matrix of any shape, with the bytes that it needs, or none if these are more than a test can have.
struct Drawn {
    ty: WeightType,
    layout: Layout,
    n_rows: usize,
    n_cols: usize,
    bytes: Buffer<u8>,
}

impl Drawn {
    fn new(rng: &mut Rng) -> Self {
        let ty = rng.pick(WeightType::ALL);
        let layout = rng.pick(&[Layout::Plain, Layout::Interleaved]);
        let n_blocks = rng.pick(&[0, 1, 1, 2, 3, 5]);
        let (mut n_rows, mut n_cols) = (rng.below(40), n_blocks * ty.block_len());
        match rng.below(6) {
            0 => n_rows = number(rng, ty.row_bytes(n_cols).unwrap_or(1)),
            1 => n_cols = number(rng, n_rows * ty.block_bytes()) / ty.block_len() * ty.block_len(),
            _ => {}
        }
        let len = ty.row_bytes(n_cols).and_then(|bytes| bytes.checked_mul(n_rows)).filter(|&n| n < 1 << 20);
        let bytes = bytes(rng, len.unwrap_or(0));
        Self { ty, layout, n_rows, n_cols, bytes }
    }

    fn matrix(&self) -> Option<Matrix<'_>> {
        let &Self { ty, layout, n_rows, n_cols, ref bytes } = self;
        let w = Matrix::new(ty, n_rows, n_cols, bytes.get());
        let size = n_rows as u128 * (n_cols / ty.block_len()) as u128 * ty.block_bytes() as u128;
        assert_eq!(w.is_some(), ty.row_bytes(n_cols).is_some() && size == bytes.get().len() as u128);
        let w = w?;
        assert_eq!((w.ty(), w.n_rows(), w.n_cols(), w.layout()), (ty, n_rows, n_cols, Layout::Plain));
        let tiled = w.in_layout(layout);
        assert_eq!(tiled.is_some(), layout == Layout::Plain || ty.can_interleave());
        Some(tiled.unwrap_or(w))
    }
}

#[test]
fn matrices_give_out_rows_that_they_have() {
    cases(|rng| {
        let drawn = Drawn::new(rng);
        let Some(w) = drawn.matrix() else { return };
        let (bytes, row_bytes) = (drawn.bytes.get(), w.ty().row_bytes(w.n_cols()).expect("whole blocks"));
        let plain_from = if w.layout() == Layout::Plain { 0 } else { w.n_rows() / TILE_ROWS * TILE_ROWS };
        for _ in 0..8 {
            let others = rng.pick(&[w.n_rows(), row_bytes, TILE_ROWS.wrapping_mul(row_bytes)]);
            let [row, end] = [(); 2].map(|()| number(rng, others));
            let rows = assert_kept(
                outcome(|| w.rows(row, end)),
                row <= end && end <= w.n_rows() && (row == end || row >= plain_from),
                (&w, row, end),
            );
            assert!(rows.is_none_or(|rows| std::ptr::eq(rows, &bytes[row * row_bytes..end * row_bytes])));
            let found = assert_kept(outcome(|| w.row(row)), row < w.n_rows() && row >= plain_from, (&w, row));
            assert!(found.is_none_or(|found| std::ptr::eq(found, &bytes[row * row_bytes..][..row_bytes])));
            let tile = w.tile(row);
            assert_eq!(tile.is_some(), row < plain_from);
            let start = |row| row / TILE_ROWS * TILE_ROWS * row_bytes;
            assert!(tile.is_none_or(|tile| std::ptr::eq(tile, &bytes[start(row)..][..TILE_ROWS * row_bytes])));

            let i = number(rng, rng.clone().pick(&[w.ty().block_bytes(), TILE_ROWS * w.ty().block_bytes()]));
            let other = rng.pick(WeightType::ALL);
            for ty in [w.ty(), other] {
                for_block!(ty, B => {
                    let kept = ty == w.ty() && row < w.n_rows() && i < w.n_cols() / ty.block_len();
                    assert_kept(outcome(|| w.block::<B>(row, i)), kept, (&w, row, i));
                });
            }
        }
    });
}

#[test]
fn rows_are_dequantized() {
    cases(|rng| {
        let drawn = Drawn::new(rng);
        let Some(w) = drawn.matrix() else { return };
        let n_cols = if w.n_cols() < 1 << 20 { w.n_cols() } else { 0 };
        let (row, n_out) = (if rng.one_in(2) { rng.below(40) } else { number(rng, w.n_rows()) }, about(rng, n_cols, 6));
        for isa in available() {
            let mut out = floats(rng, n_out);
            let result = outcome(|| isa.dequantize_row(&w, row, out.get_mut()));
            assert_kept(result, n_out == w.n_cols() && row < w.n_rows(), (&w, row, n_out));
            out.intact();
        }
    });
}

/// Buffer for products: its length, the length of its rows, the part of them that is asked for.
struct Output {
    len: usize,
    stride: usize,
    n_columns: usize,
    n_tokens: usize,
    last: bool,
}

impl Output {
    fn draw(rng: &mut Rng, n_rows: usize, row_bytes: usize) -> Self {
        let n_tokens = rng.pick(&[0, 1, 1, 2, 3, 4, 5, 8, 9, 11, 17]);
        let stride = about(rng, n_rows.clamp(1, 50), 6).max(1);
        let (n_columns, n_per_tile) = (rng.pick(&[stride, 1 + rng.clone().below(stride)]), rng.pick(&[1, 3, 100]));
        let (last, stride) = (rng.one_in(2), if n_tokens == 0 { number(rng, row_bytes).max(1) } else { stride });
        Self { len: n_tokens * stride, stride, n_columns, n_tokens: n_per_tile, last }
    }

    /// Hands out one part of the buffer.
    fn part<'a>(&self, buffer: &'a mut [f32]) -> ColumnsMut<'a> {
        if self.n_columns == self.stride {
            return ColumnsMut::new(buffer, self.stride);
        }
        let tiles = Tiles::of_columns(buffer, self.stride, 0..self.stride, self.n_columns).of_tokens(self.n_tokens, 0);
        let parts = if self.last { Parts::from_last(tiles) } else { Parts::new(tiles) };
        parts.take().expect("at least a column").1
    }
}

#[test]
fn products_are_of_rows_and_tokens_that_there_are() {
    cases(|rng| {
        let drawn = Drawn::new(rng);
        let Some(w) = drawn.matrix() else { return };
        let output = Output::draw(rng, w.n_rows(), w.ty().row_bytes(w.n_cols()).unwrap_or(1));
        let (n_tokens, end) = {
            let mut buffer = vec![0.0; output.len];
            let part = output.part(&mut buffer);
            (part.n_tokens(), part.end())
        };
        let quantized = w.ty().is_quantized() != rng.one_in(20);
        let per_token = if w.ty().is_quantized() { w.n_cols() / QK } else { w.n_cols() };
        let n_x = n_tokens.checked_mul(per_token).filter(|&n| n < 1 << 16).unwrap_or(0);
        let n_x = about(rng, n_x, 8);
        let (hostile, seed) = (rng.one_in(4), u64::from(rng.bits()));
        let kept = quantized == w.ty().is_quantized()
            && end <= w.n_rows()
            && n_tokens as u128 * per_token as u128 == n_x as u128;
        let mut want = None;
        for isa in available() {
            let rng = &mut Rng::new(seed);
            let (q8, singles) = if quantized {
                (if hostile { any_blocks(rng, n_x) } else { blocks(rng, n_x) }, floats(rng, 0))
            } else {
                (blocks(rng, 0), floats(rng, n_x))
            };
            let x = if quantized { Activations::Q8(q8.get()) } else { Activations::F32(singles.get()) };
            let mut out = floats(rng, output.len);
            isa.watch(&w, singles.get());
            let result = outcome(|| isa.matmul(&w, x, &mut output.part(out.get_mut())));
            if assert_kept(result, kept, (isa.name(), &w, n_tokens, end, n_x, quantized)).is_some() && !hostile {
                let got: Vec<u32> = out.intact().iter().map(|x| if x.is_nan() { 1 } else { x.to_bits() }).collect();
                assert_eq!(*want.get_or_insert_with(|| got.clone()), got, "{} {w:?}", isa.name());
            }
            out.intact();
        }
    });
}

#[test]
fn tiles_are_interleaved() {
    cases(|rng| {
        let ty = rng.pick(WeightType::ALL);
        let n = TILE_ROWS * rng.below(4) * ty.block_bytes();
        let n = about(rng, n, 3);
        let n_out = about(rng, n, 4);
        let (plain, mut out) = (bytes(rng, n), bytes(rng, n_out));
        let whole = n.is_multiple_of(TILE_ROWS) && (n / TILE_ROWS).is_multiple_of(ty.block_bytes());
        let result = outcome(|| interleave(ty, plain.get(), out.get_mut()));
        assert_kept(result, whole && n == n_out && ty.can_interleave(), (ty, n, n_out));
        out.intact();
    });
}

#[test]
fn types_have_sizes_that_are_numbers() {
    cases(|rng| {
        let ty = rng.pick(WeightType::ALL);
        let n_cols = number(rng, ty.block_bytes());
        let n_cols = if rng.one_in(2) { n_cols / ty.block_len() * ty.block_len() } else { n_cols };
        let size = (n_cols / ty.block_len()) as u128 * ty.block_bytes() as u128;
        let whole = n_cols.is_multiple_of(ty.block_len());
        assert_eq!(ty.row_bytes(n_cols), usize::try_from(size).ok().filter(|_| whole));
        let n = if rng.one_in(2) { rng.bits() } else { rng.below(60) as u32 };
        let found = Layout::from_gguf(n);
        assert!(found.is_none_or(|(ty, layout)| layout.to_gguf(ty) == n));
        assert!(!blocks::names_of(n).is_empty());
    });
}
