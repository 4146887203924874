//! Benches of matrix products of one token (decode) and of 64 (prefill), in multiplications and additions per second, beside
//! the peak of the ISA ([`nearfield_kernels::Kernels::int8_peak`]) measured in the same run.
//!
//! `cargo bench -p nearfield-kernels --bench matmul -- Q4_0/4096x1024`

mod inputs;

use std::cell::Cell;
use std::hint::black_box;
use std::time::{Duration, Instant};

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use inputs::{activations, assert_same, floats, group};
use nearfield_kernels::conformance::Rng;
use nearfield_kernels::layout::interleave;
use nearfield_kernels::{
    Activations, ColumnsMut, Kernels, Layout, Line, Matrix, TILE_ROWS, WeightType, arena::Arena, available, scalar,
};

/// Rows and columns of a layer of a small model, for every type: half a MiB of 4-bit weights or less, which stay in L2.
const SMALL: [usize; 2] = [512, 1024];
/// Rows and columns of BLOOM-560m's layers, for the types that its files have: attention's output, the way up and down.
const BLOOM: [[usize; 2]; 3] = [[1024, 1024], [4096, 1024], [1024, 4096]];
const BLOOM_TYPES: [WeightType; 4] = [WeightType::Q4_0, WeightType::Q8_0, WeightType::Q4_K, WeightType::Q6_K];

/// Weights of about ±1 whose exponents are in the middle of their range, aligned as in a file.
fn weights(ty: WeightType, [n_rows, n_cols]: [usize; 2], lines: &mut [Line]) -> Matrix<'_> {
    let bytes = Arena::new(lines).take::<u8>(ty.row_bytes(n_cols).unwrap() * n_rows).unwrap();
    let mut rng = Rng::new(1);
    bytes.fill_with(|| rng.bits() as u8 & 0x1f | 0x20);
    Matrix::new(ty, n_rows, n_cols, bytes).unwrap()
}

/// Copies weights to other memory, in the order that an ISA reads fastest.
fn in_layout<'a>(w: Matrix<'a>, layout: Layout, lines: &'a mut [Line]) -> Matrix<'a> {
    if layout == Layout::Plain || !w.ty().is_quantized() {
        return w;
    }
    let plain = w.rows(0, w.n_rows());
    let bytes = Arena::new(lines).take::<u8>(plain.len()).unwrap();
    let tile = plain.len() / w.n_rows() * TILE_ROWS;
    plain.chunks(tile).zip(bytes.chunks_mut(tile)).for_each(|(plain, out)| interleave(w.ty(), plain, out));
    Matrix::new(w.ty(), w.n_rows(), w.n_cols(), bytes).unwrap().in_layout(layout).unwrap()
}

/// Peak of the ISA in products per second: the best of ten measurements.
fn peak(isa: &dyn Kernels) -> f64 {
    let rate = || {
        let start = Instant::now();
        isa.int8_peak(black_box(1 << 16)) as f64 / start.elapsed().as_secs_f64()
    };
    (0..10).map(|_| rate()).fold(0.0, f64::max)
}

fn product(c: &mut Criterion, ty: WeightType, shape: [usize; 2], n_tokens: usize) {
    let [n_rows, n_cols] = shape;
    let mut lines = vec![Line::ZERO; ty.row_bytes(n_cols).unwrap() * n_rows / Line::BYTES];
    let mut others = lines.clone();
    let plain = weights(ty, shape, &mut lines);
    let (x, q8) = (floats(n_tokens * n_cols), activations(n_tokens * n_cols));
    let x = if ty.is_quantized() { Activations::Q8(&q8) } else { Activations::F32(&x) };
    let (mut want, mut got) = (vec![0.0; n_tokens * n_rows], vec![0.0; n_tokens * n_rows]);
    scalar::matmul(&plain, x, &mut ColumnsMut::new(&mut want, n_rows));
    let n_macs = n_rows * n_cols * n_tokens;
    let mut group = group(c, &format!("matmul/{ty}/{n_rows}x{n_cols}/{n_tokens}"));
    group.throughput(Throughput::Elements(n_macs as u64));
    for isa in available() {
        let w = in_layout(plain, isa.layout(), &mut others);
        isa.matmul(&w, x, &mut ColumnsMut::new(&mut got, n_rows));
        assert_same(isa.name(), &want, &got);
        let shortest = Cell::new(Duration::MAX);
        group.bench_function(isa.name(), |b| {
            b.iter_custom(|n| {
                let start = Instant::now();
                for _ in 0..n {
                    isa.matmul(black_box(&w), black_box(x), &mut ColumnsMut::new(&mut got, n_rows));
                }
                let time = start.elapsed();
                shortest.set(shortest.get().min(time.div_f64(n as f64)));
                time
            });
        });
        // No time was measured if the benchmark was filtered out.
        if shortest.get() < Duration::MAX && ty.is_quantized() {
            let (rate, peak) = (n_macs as f64 / shortest.get().as_secs_f64(), peak(isa));
            println!("{:24}{:.1} of {:.1} G/s: {:.0} % of the peak", "", rate / 1e9, peak / 1e9, 100.0 * rate / peak);
        }
    }
}

fn matmul(c: &mut Criterion) {
    for n_tokens in [1, 64] {
        WeightType::ALL.iter().for_each(|&ty| product(c, ty, SMALL, n_tokens));
        BLOOM_TYPES.iter().for_each(|&ty| BLOOM.iter().for_each(|&shape| product(c, ty, shape, n_tokens)));
    }
}

criterion_group!(benches, matmul);
criterion_main!(benches);
