//! Vectors: kernels that need equal lengths, and kernels of any length.

use nearfield_kernels::conformance::Rng;
use nearfield_kernels::{Kernels, KvRowsMut, Q4Built, QK, available, scalar};

use super::cases;
use super::draw::{about, any_floats, blocks, bytes, float, floats, halves};
use super::memory::Buffer;
use super::outcome::{assert_kept, outcome};

/// Asserts that both have the same bits, or NaN in the same places.
fn assert_same(want: &[f32], got: &[f32], what: &str) {
    assert_eq!(want.len(), got.len(), "{what}");
    for (i, (want, got)) in want.iter().zip(got).enumerate() {
        assert!(want.to_bits() == got.to_bits() || want.is_nan() && got.is_nan(), "{what} {i}: {got}, not {want}");
    }
}

type InPlace = fn(&dyn Kernels, &mut [f32], f32);
type OfTwo = fn(&dyn Kernels, &mut [f32], &[f32]);

#[test]
fn vectors_of_any_length() {
    let kernels: [(&str, InPlace); 6] = [
        ("clamp", |isa, x, y| isa.clamp(x, y)),
        ("scale", |isa, x, y| isa.scale(x, y)),
        ("gelu_tanh", |isa, x, _| isa.gelu_tanh(x)),
        ("gelu_erf", |isa, x, _| isa.gelu_erf(x)),
        ("silu", |isa, x, _| isa.silu(x)),
        ("exp_block", |isa, x, y| _ = isa.exp_block(x, y)),
    ];
    cases(|rng| {
        let (n, y, seed) = (rng.length(), float(rng), rng.bits().into());
        for (name, kernel) in kernels {
            let mut want = None;
            for isa in available() {
                let mut x = any_floats(&mut Rng::new(seed), n);
                kernel(isa, x.get_mut(), y);
                assert_same(want.get_or_insert_with(|| x.intact()), &x.intact(), name);
            }
        }
    });
}

#[test]
fn vectors_of_one_length() {
    let kernels: [(&str, OfTwo); 2] =
        [("add", |isa, x, y| isa.add(x, y)), ("multiply", |isa, x, y| isa.multiply(x, y))];
    cases(|rng| {
        let n = rng.length();
        let (m, seed) = (about(rng, n, 4), rng.bits().into());
        for (name, kernel) in kernels {
            let mut want = None;
            for isa in available() {
                let rng = &mut Rng::new(seed);
                let (mut x, y) = (floats(rng, n), floats(rng, m));
                let result = outcome(|| kernel(isa, x.get_mut(), y.get()));
                if assert_kept(result, n == m, (name, n, m)).is_some() {
                    assert_same(want.get_or_insert_with(|| x.intact()), &x.intact(), name);
                }
                x.intact();
            }
        }
    });
}

#[test]
fn norms() {
    cases(|rng| {
        let n = rng.length();
        let [n_weights, n_bias, n_out] = [(); 3].map(|()| about(rng, n, 8));
        let (has_bias, eps, seed) = (rng.one_in(2), float(rng), rng.bits().into());
        let mut want = [None, None];
        for isa in available() {
            let rng = &mut Rng::new(seed);
            let (x, weight, bias) = (any_floats(rng, n), floats(rng, n_weights), floats(rng, n_bias));
            let bias = has_bias.then_some(bias.get());
            for (layer, want) in [true, false].into_iter().zip(&mut want) {
                let mut out = floats(rng, n_out);
                let kept = n_weights == n && n_out == n && (!layer || !has_bias || n_bias == n);
                let result = outcome(|| {
                    if layer {
                        isa.layer_norm(x.get(), weight.get(), bias, eps, out.get_mut());
                    } else {
                        isa.rms_norm(x.get(), weight.get(), eps, out.get_mut());
                    }
                });
                if assert_kept(result, kept, (isa.name(), layer, n, n_weights, n_bias, n_out)).is_some() {
                    assert_same(want.get_or_insert_with(|| out.intact()), &out.intact(), "norm");
                }
                out.intact();
            }
        }
    });
}

#[test]
fn activations_are_quantized() {
    cases(|rng| {
        let n = rng.length();
        let (n_blocks, seed) = (about(rng, n.div_ceil(QK), 4), rng.bits().into());
        let mut want = None;
        for isa in available() {
            let rng = &mut Rng::new(seed);
            let (x, mut out) = (floats(rng, n), blocks(rng, n_blocks));
            let result = outcome(|| isa.quantize_q8(x.get(), out.get_mut()));
            if assert_kept(result, n_blocks == n.div_ceil(QK), (isa.name(), n, n_blocks)).is_some() {
                assert_eq!(*want.get_or_insert_with(|| out.intact()), out.intact());
            }
            out.intact();
        }
        let x = floats(rng, n);
        assert_kept(outcome(|| scalar::quantize_block(x.get())), n <= QK, n);
        assert_kept(outcome(|| scalar::quantize_probs(x.get())), n <= QK, n);
    });
}

#[test]
fn keys_are_stored() {
    cases(|rng| {
        let n = rng.length();
        let [n_out, n_bytes, n_d] = [n, n.div_ceil(2), n.div_ceil(QK)].map(|n| about(rng, n, 5));
        let seed = rng.bits().into();
        let mut want = [const { None }; 4];
        for isa in available() {
            let rng = &mut Rng::new(seed);
            let x = floats(rng, n);
            let (mut singles, mut half_out) = (floats(rng, n_out), halves(rng, n_out));
            let (mut qs, mut nibbles) = (Buffer::new(rng, n_out, 3i8, |_| 5), bytes(rng, n_bytes));
            let (mut d, mut d_4) = (halves(rng, n_d), halves(rng, n_d));
            let kept = [n_out == n, n_out == n, n_out == n && n_d == n.div_ceil(QK)];
            let kept_4 = n_bytes == n.div_ceil(2) && n_d == n.div_ceil(QK);
            for (kind, kept) in kept.into_iter().chain(Q4Built::PROOF.map(|_| kept_4)).enumerate() {
                let result = outcome(|| {
                    let out = match kind {
                        0 => KvRowsMut::F32(singles.get_mut()),
                        1 => KvRowsMut::F16(half_out.get_mut()),
                        2 => KvRowsMut::Q8_0 { qs: qs.get_mut(), d: d.get_mut() },
                        _ => {
                            let built = Q4Built::PROOF.expect("asked above");
                            KvRowsMut::Q4_0 { qs: nibbles.get_mut(), d: d_4.get_mut(), built }
                        }
                    };
                    isa.store_kv(x.get(), out)
                });
                let stored = format!(
                    "{:?} {:?} {:?} {:?} {:?} {:?}",
                    singles.intact(),
                    half_out.intact(),
                    qs.intact(),
                    nibbles.intact(),
                    d.intact(),
                    d_4.intact()
                );
                if assert_kept(result, kept, (isa.name(), kind, n, n_out, n_bytes, n_d)).is_some() {
                    assert_eq!(*want[kind].get_or_insert_with(|| stored.clone()), stored, "{} {kind}", isa.name());
                }
            }
        }
    });
}

#[test]
fn peaks_of_no_rounds() {
    for isa in available() {
        assert_eq!(isa.int8_peak(0), 0);
        assert_eq!(isa.int8_peak(3), 3 * isa.int8_peak(1));
    }
}

/// Sums of any number of terms, and functions of any float.
#[test]
fn sums_and_functions() {
    cases(|rng| {
        let n = rng.length();
        let x = any_floats(rng, n);
        let mut lanes = [0.0; scalar::LANES];
        x.get().iter().enumerate().for_each(|(i, x)| lanes[i % scalar::LANES] += x);
        assert_same(&[scalar::tree(lanes)], &[scalar::strided_sum(x.get().iter().copied())], "sum");
        let y = f32::from_bits(rng.bits());
        assert_eq!(scalar::exp(y).is_nan(), y.is_nan());
        assert_eq!(scalar::normal_cdf(y).is_nan(), y.is_nan());
    });
}
