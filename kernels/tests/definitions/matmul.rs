use nearfield_kernels::layout::interleave;
use nearfield_kernels::{Activations, ColumnsMut, Layout, Matrix, TILE_ROWS, WeightType, scalar};

use super::reference::{assert_close, dequantize, floats, weights};

/// Rows of the weights.
const N_ROWS: usize = 3;
const N_TOKENS: usize = 2;

#[test]
fn products_are_those_of_the_dequantized_numbers() {
    for &ty in WeightType::ALL {
        for (n_blocks, seed) in [(0, 1), (1, 2), (2, 3), (5, 4), (32, 5)] {
            check(ty, n_blocks, seed);
        }
    }
}

fn check(ty: WeightType, n_blocks: usize, seed: u64) {
    let n_cols = n_blocks * ty.block_len();
    let bytes = weights(ty, N_ROWS * n_blocks, seed);
    let w = Matrix::new(ty, N_ROWS, n_cols, &bytes).unwrap();
    let x = floats(N_TOKENS * n_cols, seed);
    let mut blocks = vec![Default::default(); x.len().div_ceil(32)];
    let mut out = vec![f32::NAN; N_TOKENS * N_ROWS];
    let mut columns = ColumnsMut::new(&mut out, N_ROWS);
    // Numbers that the activations stand for, quantized or not.
    let meant: Vec<f64> = if ty.is_quantized() {
        scalar::quantize_q8(&x, &mut blocks);
        scalar::matmul(&w, Activations::Q8(&blocks), &mut columns);
        blocks.iter().flat_map(|b| b.qs.map(|q| f64::from(b.d) * f64::from(q))).collect()
    } else {
        scalar::matmul(&w, Activations::F32(&x), &mut columns);
        x.iter().copied().map(f64::from).collect()
    };
    for token in 0..N_TOKENS {
        for row in 0..N_ROWS {
            let terms: Vec<f64> =
                dequantize(ty, w.row(row)).iter().zip(&meant[token * n_cols..]).map(|(w, x)| w * x).collect();
            // Sums of a block may be far larger than the result of weight minus minimum; magnitudes bound them.
            let magnitude: f64 = terms.iter().map(|t| t.abs()).sum::<f64>() + spread(ty, w.row(row));
            let bound = (n_blocks as f64 + 4.0) * magnitude * 2f64.powi(-22) + 1e-30;
            assert_close(out[token * N_ROWS + row], terms.iter().sum(), bound);
        }
    }
}

/// Bound of a block's two terms, which may cancel.
fn spread(ty: WeightType, row: &[u8]) -> f64 {
    let largest = dequantize(ty, row).iter().fold(0.0, |max: f64, w| max.max(w.abs()));
    if ty.is_quantized() { 32.0 * 2.0 * largest } else { 0.0 }
}

#[test]
fn only_the_columns_asked_for_are_written() {
    let bytes = weights(WeightType::Q8_0, 5, 1);
    let w = Matrix::new(WeightType::Q8_0, 5, 32, &bytes).unwrap();
    let mut x = [Default::default(); 2];
    scalar::quantize_q8(&floats(64, 2), &mut x);
    let mut all = [0.0; 10];
    scalar::matmul(&w, Activations::Q8(&x), &mut ColumnsMut::new(&mut all, 5));
    let mut some = [f32::MIN; 10];
    let tiles = nearfield_kernels::Parts::new(nearfield_kernels::Tiles::of_columns(&mut some, 5, 0..5, 2));
    tiles.take();
    let (_, mut columns) = tiles.take().unwrap();
    scalar::matmul(&w, Activations::Q8(&x), &mut columns);
    let m = f32::MIN;
    assert_eq!(some, [m, m, all[2], all[3], m, m, m, all[7], all[8], m]);
}

#[test]
#[should_panic(expected = "Q8 activations go with quantized weights")]
fn quantized_weights_want_quantized_activations() {
    let w = Matrix::new(WeightType::Q4_0, 1, 32, &[0; 18]).unwrap();
    scalar::matmul(&w, Activations::F32(&[0.0; 32]), &mut ColumnsMut::new(&mut [0.0], 1));
}

/// Every scale that a file can hold, with quants at both ends, gives numbers or NaN, and no panic.
#[test]
fn hostile_scales_do_not_panic() {
    let mut x = [Default::default(); 8];
    scalar::quantize_q8(&[-1.0; 256], &mut x);
    for &ty in WeightType::ALL.iter().filter(|ty| ty.is_quantized()) {
        let n_cols = ty.block_len();
        for fill in [0x00, 0xff, 0x80, 0x7f, 0x7c, 0xfc] {
            let bytes = vec![fill; ty.block_bytes()];
            let w = Matrix::new(ty, 1, n_cols, &bytes).unwrap();
            let mut out = [0.0];
            scalar::matmul(&w, Activations::Q8(&x[..n_cols / 32]), &mut ColumnsMut::new(&mut out, 1));
            scalar::dequantize_row(&w, 0, &mut vec![0.0; n_cols]);
        }
    }
}

/// Interleaved rows have the products of plain ones, bit for bit, also those behind the last whole tile.
#[test]
fn interleaved_is_plain() {
    const N_ROWS: usize = 37;
    for &ty in WeightType::ALL.iter().filter(|ty| ty.can_interleave()) {
        let n_cols = 3 * ty.block_len();
        let plain = weights(ty, 3 * N_ROWS, 7);
        let mut tiled = plain.clone();
        let tile_bytes = TILE_ROWS * ty.row_bytes(n_cols).unwrap();
        for (plain, tile) in plain.chunks_exact(tile_bytes).zip(tiled.chunks_exact_mut(tile_bytes)) {
            interleave(ty, plain, tile);
        }
        assert_ne!(plain, tiled, "{ty}");
        let mut x = vec![Default::default(); N_TOKENS * n_cols / 32];
        scalar::quantize_q8(&floats(N_TOKENS * n_cols, 8), &mut x);
        let products = |layout, bytes: &[u8]| {
            let w = Matrix::new(ty, N_ROWS, n_cols, bytes).and_then(|w| w.in_layout(layout)).unwrap();
            let mut out = [0.0; N_TOKENS * N_ROWS];
            scalar::matmul(&w, Activations::Q8(&x), &mut ColumnsMut::new(&mut out, N_ROWS));
            let mut row = vec![0.0; n_cols];
            scalar::dequantize_row(&w, 17, &mut row);
            (out.map(f32::to_bits), row.into_iter().map(f32::to_bits).collect::<Vec<_>>())
        };
        assert_eq!(products(Layout::Plain, &plain), products(Layout::Interleaved, &tiled), "{ty}");
    }
}
