//! Every ISA of this machine gives the bits of the definitions.

use std::time::Instant;

use nearfield_kernels::conformance::{self, Rng};
use nearfield_kernels::{
    Activations, ColumnsMut, Kernels, KvRows, Matrix, WeightType, available, best, by_name, scalar,
};

/// Cases of each property: fewer without optimization, because the definitions are slow then; `CONFORMANCE_CASES=N` sets another number,
/// for emulators.
const N_CASES: u64 = if cfg!(debug_assertions) { 100 } else { 4000 };

#[test]
fn every_isa_equals_the_definitions() {
    let n_cases =
        std::env::var("CONFORMANCE_CASES").map_or(N_CASES, |n| n.parse().expect("CONFORMANCE_CASES is a number"));
    let mut scratch = Box::new(conformance::Scratch::new());
    for isa in available() {
        for seed in 0..n_cases {
            conformance::check(isa, seed, &mut scratch).unwrap_or_else(|mismatch| panic!("{mismatch}"));
        }
    }
}

#[test]
fn the_single_exponential_has_the_bits_of_its_definition() {
    // Every 997th float: both signs, all exponents.
    for x in (0..=u32::MAX).step_by(997).map(f32::from_bits) {
        let (want, got) = (scalar::exp(x), nearfield_kernels::exp(x));
        assert!(want.to_bits() == got.to_bits() || want.is_nan() && got.is_nan(), "exp({x}) = {got}, not {want}");
    }
}

#[test]
fn isas_are_found_by_their_names() {
    for isa in available() {
        assert_eq!(by_name(isa.name()).unwrap().name(), isa.name());
    }
    assert_eq!(available().last().unwrap().name(), best().name());
    assert_eq!(available().next().unwrap().name(), "scalar");
    assert!(by_name("abacus").is_none());
}

/// Products are really made: no core makes 10^13 of them in a second, so a higher rate means that the compiler saw through the
/// loop.
#[test]
fn the_peak_is_of_products_that_are_made() {
    for isa in available() {
        let a_round = isa.int8_peak(1);
        assert!(a_round > 0);
        let start = Instant::now();
        let n = isa.int8_peak(1 << 20);
        let rate = n as f64 / start.elapsed().as_secs_f64();
        assert_eq!(n, a_round << 20);
        assert!(rate < 1e13, "{}: {rate:e} products in a second", isa.name());
        println!("{}: {:.1} G products/s", isa.name(), rate * 1e-9);
    }
}

/// A wrapper that overrides nothing computes with the kernels that it wraps: all properties hold for it, and its layout is theirs.
#[test]
fn a_wrapper_is_the_kernels_that_it_wraps() {
    struct Wrapper(&'static dyn Kernels);

    impl Kernels for Wrapper {
        fn name(&self) -> &'static str {
            "wrapper"
        }

        fn wrapped(&self) -> Option<&dyn Kernels> {
            Some(self.0)
        }
    }

    /// Kernels whose every number is wrong.
    struct Nothing;

    impl Kernels for Nothing {
        fn name(&self) -> &'static str {
            "nothing"
        }

        fn silu(&self, x: &mut [f32]) {
            x.fill(7.0);
        }

        fn sum_squares(&self, _: KvRows<'_>, _: usize) -> f32 {
            7.0
        }
    }

    let best = best();
    let wrapper = Wrapper(best);
    assert_eq!(wrapper.layout(), best.layout());
    let mut x = [1.0];
    Wrapper(&Nothing).silu(&mut x);
    assert_eq!((x, Wrapper(&Nothing).sum_squares(KvRows::F32(&[2.0]), 1)), ([7.0], 7.0));
}

/// Float weights pass in panels of 1024 columns, and tokens in batches of 64: more of both, and neither a multiple.
#[test]
fn products_of_long_rows_equal_the_definitions() {
    let (n_rows, max_cols, max_tokens) = (29, 2060, 133);
    let mut rng = Rng::new(7);
    let x: Vec<f32> = (0..max_cols * max_tokens).map(|_| rng.bits() as i32 as f32 * 2f32.powi(-31)).collect();
    for (ty, bits) in [(WeightType::F32, 0x3f7f_ffff), (WeightType::F16, 0x3bff_3bff), (WeightType::BF16, 0x3f7f_3f7f)]
    {
        let words: Vec<u32> = (0..n_rows * max_cols).map(|_| rng.bits() & (bits | 0x8000_8000)).collect();
        let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
        for (n_cols, n_tokens) in [(1023, 12), (1024, 65), (1025, 9), (2060, 133)] {
            let w = Matrix::new(ty, n_rows, n_cols, &bytes[..ty.row_bytes(n_cols).unwrap() * n_rows]).unwrap();
            let x = Activations::F32(&x[..n_tokens * n_cols]);
            let [mut want, mut got] = [0.0, 1.0].map(|number| vec![number; n_tokens * n_rows]);
            scalar::matmul(&w, x, &mut ColumnsMut::new(&mut want, n_rows));
            for isa in available() {
                isa.matmul(&w, x, &mut ColumnsMut::new(&mut got, n_rows));
                assert_eq!(got, want, "{} {ty}, {n_cols} columns, {n_tokens} tokens", isa.name());
            }
        }
    }
}
