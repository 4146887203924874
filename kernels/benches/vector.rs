//! Benches of kernels over one row of 1024 floats, in floats per second.
//!
//! `cargo bench -p nearfield-kernels --bench vector -- norm`

mod inputs;

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use inputs::{assert_same, floats, group};
use nearfield_kernels::{BlockQ8, Kernels, available};

const N: usize = 1024;

/// Kernel, as `kernel(isa, x, out)`; `out` begins as `x`.
type Kernel = fn(&dyn Kernels, &[f32], &mut [f32]);

const KERNELS: &[(&str, Kernel)] = &[
    ("add", |isa, x, out| isa.add(out, x)),
    ("multiply", |isa, x, out| isa.multiply(out, x)),
    ("scale", |isa, _, out| isa.scale(out, 0.7)),
    ("clamp", |isa, _, out| isa.clamp(out, 0.7)),
    ("gelu_tanh", |isa, _, out| isa.gelu_tanh(out)),
    ("gelu_erf", |isa, _, out| isa.gelu_erf(out)),
    ("silu", |isa, _, out| isa.silu(out)),
    ("layer_norm", |isa, x, out| isa.layer_norm(x, x, Some(x), 1e-5, out)),
    ("rms_norm", |isa, x, out| isa.rms_norm(x, x, 1e-5, out)),
    ("quantize_q8", |isa, x, out| {
        let mut blocks = [BlockQ8::default(); N / 32];
        isa.quantize_q8(x, &mut blocks);
        for (block, out) in black_box(blocks).iter().zip(out) {
            *out = block.d + f32::from(block.qs[0]);
        }
    }),
];

fn vector(c: &mut Criterion) {
    let x = floats(N);
    for (name, kernel) in KERNELS {
        let mut group = group(c, name);
        group.throughput(Throughput::Elements(N as u64));
        let mut want = x.clone();
        kernel(available().next().unwrap(), &x, &mut want);
        for isa in available() {
            let mut got = x.clone();
            kernel(isa, &x, &mut got);
            assert_same(isa.name(), &want, &got);
            group.bench_function(isa.name(), |b| {
                b.iter(|| {
                    got.copy_from_slice(&x);
                    kernel(isa, black_box(&x), black_box(&mut got));
                });
            });
        }
    }
}

criterion_group!(benches, vector);
criterion_main!(benches);
