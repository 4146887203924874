//! Properties of kernels over weights and the activations that are multiplied with them.

use super::draw::{Rng, activations, floats, units, weights};
use super::{BLOCKS, Case, Mismatch, OUTPUTS, WEIGHT_BYTES};
use crate::{Activations, BlockQ8, ColumnsMut, Kernels, Layout, Matrix, Parts, QK, QK_K, Tiles, WeightType, scalar};

pub fn quantize_q8(case: &mut Case<'_>) -> Result<(), Mismatch> {
    let (n, start) = (case.rng.length(), case.rng.below(9));
    let n_blocks = n.div_ceil(QK);
    let x = &mut case.scratch.x[start..][..n];
    floats(&mut case.rng, x);
    let mut blocks = [[BlockQ8 { d: f32::MIN, sums: [i16::MIN; 2], qs: [i8::MIN; QK] }; 5]; 2];
    scalar::quantize_q8(x, &mut blocks[0][..n_blocks]);
    case.isa.quantize_q8(x, &mut blocks[1][..n_blocks]);
    let subject = case.subject("quantize_q8", [n, 0, 0]);
    let [want, got] = blocks.map(|blocks| blocks.map(numbers));
    subject.compare(want.as_flattened(), got.as_flattened())
}

/// Scale, sums and quants of a block as floats.
fn numbers(block: BlockQ8) -> [f32; 35] {
    core::array::from_fn(|i| match i {
        0 => block.d,
        1 | 2 => f32::from(block.sums[i - 1]),
        _ => f32::from(block.qs[i - 3]),
    })
}

/// Drawn shape of a product.
struct Shape {
    n_rows: usize,
    n_cols: usize,
    n_tokens: usize,
    layout: Layout,
    /// Columns in each tile of the output, of `n_rows`; the tile `tile_index` is asked for.
    tile: usize,
    tile_index: usize,
    /// Offset of the first byte of the weights.
    start: usize,
}

impl Shape {
    /// Draws a shape whose operands fit the scratch.
    fn draw(rng: &mut Rng, ty: WeightType) -> Self {
        let n_blocks = match ty.block_len() {
            QK_K => rng.pick(&[0, 1, 2, 3, 4, 5]),
            QK => rng.pick(&[0, 1, 2, 3, 7, 8, 9, 16, 17, 31, 32, 33, 40]),
            _ => rng.length(),
        };
        let n_cols = n_blocks * ty.block_len();
        let start = rng.below(17);
        let row_bytes = ty.row_bytes(n_cols).unwrap_or(0).max(1);
        let n_rows = rng.pick(&[1, 2, 3, 5, 7, 8, 9, 15, 16, 17, 23, 33, 40]).min((WEIGHT_BYTES - start) / row_bytes);
        let layout = if ty.can_interleave() { rng.pick(&[Layout::Plain, Layout::Interleaved]) } else { Layout::Plain };
        let max_tokens = (BLOCKS - 3) * QK / n_cols.max(1).next_multiple_of(QK);
        let n_tokens = rng.pick(&[1, 1, 2, 3, 4, 5, 7, 8, 9, 13, 16, 17]).min(max_tokens).min(OUTPUTS / n_rows);
        let tile = rng.pick(&[n_rows, 1, 8, 11, 16]).min(n_rows);
        let tile_index = rng.below(n_rows.div_ceil(tile));
        Self { n_rows, n_cols, n_tokens, layout, tile, tile_index, start }
    }
}

fn matrix(ty: WeightType, layout: Layout, n_rows: usize, n_cols: usize, bytes: &[u8]) -> Matrix<'_> {
    Matrix::new(ty, n_rows, n_cols, bytes).and_then(|w| w.in_layout(layout)).expect("whole rows")
}

pub fn matmul(case: &mut Case<'_>) -> Result<(), Mismatch> {
    WeightType::ALL.iter().try_for_each(|&ty| matmul_of(case, ty))
}

fn matmul_of(case: &mut Case<'_>, ty: WeightType) -> Result<(), Mismatch> {
    let Shape { n_rows, n_cols, n_tokens, layout, tile, tile_index, start } = Shape::draw(&mut case.rng, ty);
    let (isa, rng, scratch) = (case.isa, &mut case.rng, &mut *case.scratch);
    let bytes = &mut scratch.weights[start..][..ty.row_bytes(n_cols).unwrap_or(0) * n_rows];
    weights(rng, ty, layout, n_rows, bytes);
    let w = matrix(ty, layout, n_rows, n_cols, bytes);
    let x = if ty.is_quantized() {
        let blocks = &mut scratch.blocks[rng.below(4)..][..n_tokens * n_cols / QK];
        activations(rng, blocks);
        Activations::Q8(blocks)
    } else {
        let x = &mut scratch.x[rng.below(9)..][..n_tokens * n_cols];
        if rng.one_in(8) {
            floats(rng, x)
        } else {
            units(rng, x)
        }
        Activations::F32(x)
    };
    let (want, got) = (&mut scratch.want[..n_tokens * n_rows], &mut scratch.got[..n_tokens * n_rows]);
    with_tile(want, n_rows, tile, tile_index, |out| scalar::matmul(&w, x, out));
    with_tile(got, n_rows, tile, tile_index, |out| Kernels::matmul(isa, &w, x, out));
    let mut subject = case.subject("matmul", [n_tokens, n_rows, n_cols]);
    subject.weights = Some(ty);
    subject.compare(&case.scratch.want[..n_tokens * n_rows], &case.scratch.got[..n_tokens * n_rows])
}

/// Lets `write` write one tile of columns of `out`; the others keep a number that no product is.
fn with_tile(out: &mut [f32], stride: usize, tile: usize, index: usize, write: impl Fn(&mut ColumnsMut<'_>)) {
    out.fill(f32::MIN);
    let tiles = Parts::new(Tiles::of_columns(out, stride, 0..stride, tile));
    while let Some((i, mut columns)) = tiles.take() {
        if i == index {
            write(&mut columns);
        }
    }
}

pub fn dequantize_row(case: &mut Case<'_>) -> Result<(), Mismatch> {
    WeightType::ALL.iter().try_for_each(|&ty| dequantize_row_of(case, ty))
}

fn dequantize_row_of(case: &mut Case<'_>, ty: WeightType) -> Result<(), Mismatch> {
    let Shape { n_rows, n_cols, layout, start, .. } = Shape::draw(&mut case.rng, ty);
    let bytes = &mut case.scratch.weights[start..][..ty.row_bytes(n_cols).unwrap_or(0) * n_rows];
    weights(&mut case.rng, ty, layout, n_rows, bytes);
    let w = matrix(ty, layout, n_rows, n_cols, bytes);
    let row = case.rng.below(n_rows);
    let (want, got) = (&mut case.scratch.want[..n_cols], &mut case.scratch.got[..n_cols]);
    want.fill(f32::MIN);
    got.fill(f32::MIN);
    scalar::dequantize_row(&w, row, want);
    case.isa.dequantize_row(&w, row, got);
    let mut subject = case.subject("dequantize_row", [n_rows, n_cols, 0]);
    subject.weights = Some(ty);
    subject.compare(&case.scratch.want[..n_cols], &case.scratch.got[..n_cols])
}
