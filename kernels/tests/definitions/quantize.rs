use nearfield_kernels::{BlockQ8, KvRowsMut, scalar};

use crate::reference::{floats, half};

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
            assert_eq!(i32::from(block.sums[0]), block.qs[..16].iter().map(|&q| i32::from(q)).sum());
            assert_eq!(i32::from(block.sums[1]), block.qs[16..].iter().map(|&q| i32::from(q)).sum());
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
