//! Matrix products of one token (decode) and of 64 (prefill), in multiplications and additions per second.
//!
//! `cargo bench -p nearfield-kernels --bench matmul -- Q4_0`

mod inputs;

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use inputs::{activations, assert_same, floats, group};
use nearfield_kernels::conformance::Rng;
use nearfield_kernels::{Activations, ColumnsMut, Line, Matrix, WeightType, arena::Arena, available, scalar};

/// A layer of a small model: half a MiB of 4-bit weights or less, which stay in L2.
const N_ROWS: usize = 512;
const N_COLS: usize = 1024;

/// Weights of about ±1 whose exponents are in the middle of their range, aligned as in a file.
fn weights<'a>(ty: WeightType, lines: &'a mut [Line]) -> Matrix<'a> {
    let bytes = Arena::new(lines).take::<u8>(ty.row_bytes(N_COLS).unwrap() * N_ROWS).unwrap();
    let mut rng = Rng::new(1);
    bytes.fill_with(|| rng.bits() as u8 & 0x1f | 0x20);
    Matrix::new(ty, N_ROWS, N_COLS, bytes).unwrap()
}

fn matmul(c: &mut Criterion) {
    for &ty in WeightType::ALL {
        let mut lines = vec![Line::ZERO; ty.row_bytes(N_COLS).unwrap() * N_ROWS / Line::BYTES];
        let w = weights(ty, &mut lines);
        for n_tokens in [1, 64] {
            let (x, q8) = (floats(n_tokens * N_COLS), activations(n_tokens * N_COLS));
            let x = if ty.is_quantized() { Activations::Q8(&q8) } else { Activations::F32(&x) };
            let (mut want, mut got) = (vec![0.0; n_tokens * N_ROWS], vec![0.0; n_tokens * N_ROWS]);
            scalar::matmul(&w, x, &mut ColumnsMut::new(&mut want, N_ROWS));
            let mut group = group(c, &format!("matmul/{ty}/{n_tokens}"));
            group.throughput(Throughput::Elements((N_ROWS * N_COLS * n_tokens) as u64));
            for isa in available() {
                isa.matmul(&w, x, &mut ColumnsMut::new(&mut got, N_ROWS));
                assert_same(isa.name(), &want, &got);
                group.bench_function(isa.name(), |b| {
                    b.iter(|| isa.matmul(black_box(&w), black_box(x), &mut ColumnsMut::new(&mut got, N_ROWS)));
                });
            }
        }
    }
}

criterion_group!(benches, matmul);
criterion_main!(benches);
