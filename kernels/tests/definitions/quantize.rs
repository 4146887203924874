use nearfield_kernels::{BlockQ8, KvRowsMut, Q4Built, scalar};

use super::reference::{floats, half};

#[test]
fn quants_are_within_half_a_step() {
    for (n, seed) in [(1, 1), (31, 2), (32, 3), (33, 4), (320, 5)] {
        let x: Vec<f32> = floats(n, seed).iter().map(|x| x * 10f32.powi(seed as i32 * 6 - 18)).collect();
        let mut blocks = vec![BlockQ8::default(); n.div_ceil(32)];
        scalar::quantize_q8(&x, &mut blocks);
        for (x, block) in x.chunks(32).zip(&blocks) {
            let d = f64::from(block.d);
            for (i, &q) in block.qs.iter().enumerate() {
                let x = x.get(i).map_or(0.0, |&x| f64::from(x));
                assert!((x - d * f64::from(q)).abs() <= d * 0.500_01, "{x} became {q} steps of {d}");
            }
            assert_eq!(block.qs.iter().map(|q| q.unsigned_abs()).max(), Some(127));
            assert_eq!(i32::from(block.sums[0]), block.qs[..16].iter().map(|&q| i32::from(q)).sum::<i32>());
            assert_eq!(i32::from(block.sums[1]), block.qs[16..].iter().map(|&q| i32::from(q)).sum::<i32>());
        }
    }
}

#[test]
fn halves_round_to_even() {
    // The largest is 127, so a step is 1.
    let block = scalar::quantize_block(&[127.0, 0.5, 1.5, 2.5, -0.5, -1.5, -2.5, 3.4, -3.6]);
    assert_eq!(block.d, 1.0);
    assert_eq!(block.qs[..9], [127, 0, 2, 2, 0, -2, -2, 3, -4]);
    assert_eq!(block.qs[9..], [0; 23]);
}

#[test]
fn ends_of_the_range_are_safe() {
    for x in [f32::INFINITY, f32::NEG_INFINITY, f32::NAN] {
        let block = scalar::quantize_block(&[1.0, x]);
        assert!(block.d.is_nan());
        assert_eq!((block.qs, block.sums), ([0; 32], [0; 2]));
    }
    for x in [0.0, -0.0, 1e-45, 5e-20] {
        assert_eq!(scalar::quantize_block(&[x; 32]), BlockQ8::default());
    }
    assert_eq!(scalar::quantize_block(&[]), BlockQ8::default());
    for x in [6e-20, f32::MAX] {
        let block = scalar::quantize_block(&[x, -x]);
        assert_eq!(block.qs[..2], [127, -127]);
        assert!(block.d.is_normal());
    }
}

#[test]
fn a_stored_row_is_the_quantized_row() {
    let x = floats(50, 7);
    let (mut qs, mut d) = ([0; 50], [0; 2]);
    scalar::store_kv(&x, KvRowsMut::Q8_0 { qs: &mut qs, d: &mut d });
    for (i, (&x, &q)) in x.iter().zip(&qs).enumerate() {
        let step = half(d[i / 32]);
        // Half a step, and the rounding of the step to 11 bits.
        assert!((f64::from(x) - step * f64::from(q)).abs() <= step * (0.500_01 + 127.0 / 2048.0));
    }
    let mut row = [0.0; 50];
    scalar::store_kv(&x, KvRowsMut::F32(&mut row));
    assert_eq!(row[..], x[..]);
}

/// A row in 4 bits: its quants and its scales.
fn nibbles(x: &[f32]) -> (Vec<i8>, Vec<u16>) {
    let (mut qs, mut d) = (vec![0xa5; x.len().div_ceil(2)], vec![1; x.len().div_ceil(32)]);
    scalar::store_kv(x, KvRowsMut::Q4_0 { qs: &mut qs, d: &mut d, built: Q4Built::PROOF.unwrap() });
    (qs.iter().flat_map(|q| [q & 15, q >> 4].map(|q| q as i8 - 8)).collect(), d)
}

#[test]
fn four_bits_err_least_for_their_integers() {
    for (n, seed) in [(1, 1), (7, 2), (32, 3), (33, 4), (80, 5)] {
        let x = floats(n, seed);
        let (qs, d) = nibbles(&x);
        assert_eq!(qs.len(), n.next_multiple_of(2));
        assert!(qs[n..].iter().all(|&q| q == 0), "nothing behind the row");
        for ((x, qs), &d) in x.chunks(32).zip(qs.chunks(32)).zip(&d) {
            let max = x.iter().fold(0.0_f64, |max, &x| if f64::from(x).abs() > max.abs() { x.into() } else { max });
            let error = |quant: &dyn Fn(usize) -> f64, d: f64| -> f64 {
                x.iter().enumerate().map(|(i, &x)| (f64::from(x) - d * quant(i)).powi(2)).sum()
            };
            let best = |quant: &dyn Fn(usize) -> f64| {
                let sum = |term: &dyn Fn(usize) -> f64| (0..x.len()).map(term).sum::<f64>();
                sum(&|i| f64::from(x[i]) * quant(i)) / sum(&|i| quant(i).powi(2))
            };
            // The one integer that is missing, 8, is stored as 7.
            let nearest = |top: f64| move |i: usize| (f64::from(x[i]) / max * top).round().min(7.0);
            let stored = |i: usize| f64::from(qs[i]);
            assert!(
                (half(d) - best(&stored)).abs() <= best(&stored).abs() / 2047.0,
                "{} is not the best scale",
                half(d)
            );
            for top in [-8.0, -7.0] {
                let quants = nearest(top);
                let least = error(&quants, best(&quants));
                assert!(error(&stored, half(d)) <= least * 1.001 + 1e-6 * max * max, "{n} columns, {top}");
            }
            assert!([-8, -7].contains(qs.iter().min().unwrap()));
        }
    }
}

#[test]
fn ends_of_the_range_are_safe_in_four_bits() {
    for x in [f32::INFINITY, f32::NEG_INFINITY, f32::NAN] {
        let (qs, d) = nibbles(&[1.0, x]);
        assert!(qs == [0, 0] && half(d[0]).is_nan());
    }
    for x in [0.0, -0.0, 1e-45, 5e-20] {
        assert_eq!(nibbles(&[x; 33]), (vec![0; 34], vec![0; 2]));
    }
    assert_eq!(nibbles(&[-2.0, 1.0, 0.5]).0, [-8, 4, 2, 0]);
    assert_eq!(nibbles(&[2.0, -2.0, 1.0]).0, [-7, 7, -4, 0]);
    assert_eq!(nibbles(&[2.0, -2.0, 1.0]).1, [half::f16::from_f32(-256.0 / 912.0).to_bits()]);
    assert!(half(nibbles(&[f32::MAX, f32::MIN]).1[0]).is_infinite());
}

#[test]
fn weights_are_within_half_a_step_and_what_is_no_number_is_told() {
    let weights: Vec<f32> = floats(32, 11).iter().map(|w| w.powi(5)).collect();
    let amax = weights.iter().fold(0.0f32, |max, w| max.max(w.abs()));
    let got = scalar::quantize_probs(&weights);
    let bound = f64::from(amax) * (0.5 / 32767.0 + 1e-7);
    for (&q, &w) in got.quants.iter().zip(&weights) {
        assert!((f64::from(got.step) * f64::from(q) - f64::from(w)).abs() <= bound, "{q} for {w}");
    }
    assert!(got.quants.iter().any(|q| q.unsigned_abs() == 32767));
    // Half to even, and zeros behind the last.
    assert_eq!(scalar::quantize_probs(&[32767.0, 0.5, 1.5, -2.5]).quants[..5], [32767, 0, 2, -2, 0]);
    assert_eq!(scalar::quantize_probs(&[1e-20, -2e-20]).step, 0.0);
    for none in [f32::NAN, f32::INFINITY, -f32::NAN] {
        let got = scalar::quantize_probs(&[1.0, none]);
        assert!(got.step.is_nan() && got.quants == [0; 32], "{got:?}");
    }
}
