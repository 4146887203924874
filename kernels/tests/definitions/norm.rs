use nearfield_kernels::scalar;

use super::reference::{assert_close, floats};

#[test]
fn layer_norm_is_the_formula() {
    for n in [1, 2, 15, 16, 17, 100, 769] {
        let (x, weight, bias) = (floats(n, 1), floats(n, 2), floats(n, 3));
        let mean = x.iter().map(|&x| f64::from(x)).sum::<f64>() / n as f64;
        let var = x.iter().map(|&x| (f64::from(x) - mean).powi(2)).sum::<f64>() / n as f64;
        let mut out = vec![f32::NAN; n];
        for bias in [None, Some(&bias[..])] {
            scalar::layer_norm(&x, &weight, bias, 1e-5, &mut out);
            for i in 0..n {
                let b = bias.map_or(0.0, |b| f64::from(b[i]));
                let want = (f64::from(x[i]) - mean) / (var + 1e-5).sqrt() * f64::from(weight[i]) + b;
                assert_close(out[i], want, 4e-6);
            }
        }
    }
}

#[test]
fn rms_norm_is_the_formula() {
    for n in [1, 2, 15, 16, 17, 100, 769] {
        let (x, weight) = (floats(n, 1), floats(n, 2));
        let mean_square = x.iter().map(|&x| f64::from(x).powi(2)).sum::<f64>() / n as f64;
        let mut out = vec![f32::NAN; n];
        scalar::rms_norm(&x, &weight, 1e-6, &mut out);
        for i in 0..n {
            let want = f64::from(x[i]) / (mean_square + 1e-6).sqrt() * f64::from(weight[i]);
            assert_close(out[i], want, 2e-6);
        }
    }
}

#[test]
fn sums_are_strided_by_sixteen_and_joined_by_a_tree() {
    // A partial sum of 2^24 swallows a 1 added to it; a 1 in another lane survives until the tree.
    let mut terms = [0.0; 40];
    (terms[0], terms[16], terms[1], terms[17]) = (16_777_216.0, 1.0, 1.0, 1.0);
    assert_eq!(scalar::strided_sum(terms.into_iter()), 16_777_218.0);
    let lanes: [f32; 16] = std::array::from_fn(|i| if i == 0 { 16_777_216.0 } else { 1.0 });
    // Lane 0 loses the 1 of lane 8 to rounding, then gains 2 of lane 4, 4 of lane 2 and 8 of lane 1.
    assert_eq!(scalar::tree(lanes), 16_777_216.0 + 14.0);
}

#[test]
fn clamp_keeps_nan() {
    let mut x = [-2.0, -0.5, 0.5, 2.0, f32::NAN, f32::INFINITY, f32::NEG_INFINITY];
    scalar::clamp(&mut x, 1.0);
    assert!(x[4].is_nan());
    x[4] = 0.0;
    assert_eq!(x, [-1.0, -0.5, 0.5, 1.0, 0.0, 1.0, -1.0]);
}
