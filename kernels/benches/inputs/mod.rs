//! Inputs and settings of the benches.

use std::time::Duration;

use criterion::{BenchmarkGroup, Criterion, measurement::WallTime};
use nearfield_kernels::conformance::Rng;
use nearfield_kernels::{BlockQ8, scalar};

/// Group of short measurements: the ISAs of one kernel side by side, so that a machine's drift hits them alike.
pub fn group<'a>(c: &'a mut Criterion, name: &str) -> BenchmarkGroup<'a, WallTime> {
    let mut group = c.benchmark_group(name);
    group.sample_size(20).warm_up_time(Duration::from_millis(200)).measurement_time(Duration::from_millis(600));
    group
}

/// Floats in -1..1.
pub fn floats(n: usize) -> Vec<f32> {
    let mut rng = Rng::new(n as u64);
    (0..n).map(|_| rng.unit()).collect()
}

/// Activations quantized from [`floats`]; `n` is a multiple of 32.
#[allow(dead_code, reason = "not every bench quantizes")]
pub fn activations(n: usize) -> Vec<BlockQ8> {
    let mut blocks = vec![BlockQ8::default(); n / 32];
    scalar::quantize_q8(&floats(n), &mut blocks);
    blocks
}

/// Asserts that an ISA gives the bits of the definition.
pub fn assert_same(isa: &str, want: &[f32], got: &[f32]) {
    let same = want.iter().zip(got).all(|(want, got)| want.to_bits() == got.to_bits());
    assert!(same && want.len() == got.len(), "{isa} does not give the answer of the definition");
}
