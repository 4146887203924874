use nearfield_kernels::{Matrix, WeightType, scalar};

use super::reference::{assert_close, dequantize, weights};

#[test]
fn every_type_is_dequantized_as_ggml_does() {
    for &ty in WeightType::ALL {
        let n_cols = 3 * ty.block_len();
        for seed in 0..200 {
            let bytes = weights(ty, 2 * 3, seed);
            let w = Matrix::new(ty, 2, n_cols, &bytes).unwrap();
            let mut got = vec![f32::NAN; n_cols];
            scalar::dequantize_row(&w, 1, &mut got);
            let want = dequantize(ty, w.row(1));
            assert_eq!(want.len(), n_cols);
            let largest = want.iter().fold(0.0, |max: f64, w| max.max(w.abs()));
            for (&got, &want) in got.iter().zip(&want) {
                // Three roundings, of terms that may cancel by a minimum.
                assert_close(got, want, 8.0 * largest * 2f64.powi(-24) + 1e-45);
            }
        }
    }
}
