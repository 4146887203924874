//! Benches of attention over one block of keys and values: one query head, and a query tile, in products of a query with a key
//! per second.
//!
//! `cargo bench -p nearfield-kernels --bench attention -- score/q8_0`

mod inputs;

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use inputs::{activations, assert_same, floats, group};
use nearfield_kernels::{KV_BLOCK, Kernels, KvBlock, KvRows, KvRowsMut, Q4Built, Query, Walk, available, scalar};

const HEAD_DIM: usize = 64;

/// Block of keys in each of the types that they are stored in.
struct Stored {
    x: Vec<f32>,
    halves: Vec<u16>,
    qs: Vec<i8>,
    d: Vec<u16>,
    nibbles: (Vec<u8>, Vec<u16>),
}

impl Stored {
    fn new() -> Self {
        let x = floats(KV_BLOCK * HEAD_DIM);
        let (mut halves, mut qs, mut d) = (vec![0; x.len()], vec![0; x.len()], vec![0; x.len() / 32]);
        scalar::store_kv(&x, KvRowsMut::F16(&mut halves));
        scalar::store_kv(&x, KvRowsMut::Q8_0 { qs: &mut qs, d: &mut d });
        let mut nibbles = (vec![0; x.len() / 2], d.clone());
        let built = Q4Built::PROOF.expect("a feature of this crate");
        scalar::store_kv(&x, KvRowsMut::Q4_0 { qs: &mut nibbles.0, d: &mut nibbles.1, built });
        Self { x, halves, qs, d, nibbles }
    }

    fn each(&self) -> [(&'static str, KvRows<'_>); 4] {
        let built = Q4Built::PROOF.expect("a feature of this crate");
        [
            ("f32", KvRows::F32(&self.x)),
            ("f16", KvRows::F16(&self.halves)),
            ("q8_0", KvRows::Q8_0 { qs: &self.qs, d: &self.d }),
            ("q4_0", KvRows::Q4_0 { qs: &self.nibbles.0, d: &self.nibbles.1, built }),
        ]
    }
}

/// Runs `kernel(isa, out)` for every ISA, after comparing its output with that of the first ISA, the definition.
fn compare_isas(c: &mut Criterion, name: &str, out: &[f32], kernel: impl Fn(&dyn Kernels, &mut [f32])) {
    let mut group = group(c, name);
    group.throughput(Throughput::Elements(KV_BLOCK as u64));
    let mut want = out.to_vec();
    kernel(available().next().unwrap(), &mut want);
    for isa in available() {
        let mut got = out.to_vec();
        kernel(isa, &mut got);
        assert_same(isa.name(), &want, &got);
        group.bench_function(isa.name(), |b| b.iter(|| kernel(isa, black_box(&mut got))));
    }
}

fn score(c: &mut Criterion) {
    let (stored, q, q8) = (Stored::new(), floats(HEAD_DIM), activations(HEAD_DIM));
    for (name, keys) in stored.each() {
        let query =
            if matches!(keys, KvRows::Q8_0 { .. } | KvRows::Q4_0 { .. }) { Query::Q8(&q8) } else { Query::F32(&q) };
        compare_isas(c, &format!("score/{name}"), &[0.0; KV_BLOCK], |isa, scores| {
            black_box(isa.score_block(query, keys, 0.125, 0.25, 100, scores));
        });
    }
}

fn accumulate(c: &mut Criterion) {
    let (stored, probs) = (Stored::new(), floats(KV_BLOCK));
    for (name, values) in stored.each() {
        compare_isas(c, &format!("accumulate/{name}"), &[0.0; HEAD_DIM], |isa, acc| {
            acc.fill(0.0);
            isa.accumulate_block(&probs, values, acc);
        });
    }
}

fn exp(c: &mut Criterion) {
    let scores = floats(KV_BLOCK);
    compare_isas(c, "exp", &scores, |isa, out| {
        out.copy_from_slice(&scores);
        black_box(isa.exp_block(out, 1.0));
    });
}

/// Takes a query tile past the block, as in prefill: the block lies in L1.
fn attend(c: &mut Criterion) {
    const N: usize = KV_BLOCK;
    let (stored, queries, q8) = (Stored::new(), floats(N * HEAD_DIM), activations(N * HEAD_DIM));
    for (name, keys) in stored.each() {
        let takes_q8 = matches!(keys, KvRows::Q8_0 { .. } | KvRows::Q4_0 { .. });
        let block = KvBlock { keys, values: keys, start: 0, end: KV_BLOCK };
        let mut group = group(c, &format!("attend/{name}"));
        group.throughput(Throughput::Elements((N * KV_BLOCK) as u64));
        let mut want = vec![];
        for isa in available() {
            let mut acc = vec![0.0; N * HEAD_DIM];
            let rows = queries.chunks(HEAD_DIM).zip(q8.chunks(HEAD_DIM / 32)).zip(acc.chunks_mut(HEAD_DIM));
            let mut walks: Vec<_> = rows
                .enumerate()
                .map(|(i, ((q, q8), acc))| {
                    let query = if takes_q8 { Query::Q8(q8) } else { Query::F32(q) };
                    Walk::new(query, 100 + i, 1.0 / 256.0, acc)
                })
                .collect();
            isa.attend_block(&block, 0.125, &mut walks);
            let got: Vec<f32> = walks.iter().flat_map(|walk| [&[walk.max, walk.sum][..], walk.acc].concat()).collect();
            want = if want.is_empty() { got.clone() } else { want };
            assert_same(isa.name(), &want, &got);
            group.bench_function(isa.name(), |b| b.iter(|| isa.attend_block(black_box(&block), 0.125, &mut walks)));
        }
    }
}

/// Takes a query past all keys of a head, as in decode, through more heads than the caches hold.
fn walk(c: &mut Criterion) {
    const N_HEADS: usize = 512;
    const N_KEYS: usize = 1024;
    const N: usize = N_HEADS * N_KEYS * HEAD_DIM;
    let (stored, query, q8) = (Stored::new(), floats(HEAD_DIM), activations(HEAD_DIM));
    let halves = stored.halves.repeat(N / stored.halves.len());
    let (qs, d) = (stored.qs.repeat(N / stored.qs.len()), stored.d.repeat(N / stored.qs.len()));
    for (name, rows, query) in [
        ("f16", [(); 2].map(|()| KvRows::F16(&halves)), Query::F32(&query)),
        ("q8_0", [(); 2].map(|()| KvRows::Q8_0 { qs: &qs, d: &d }), Query::Q8(&q8)),
    ] {
        let mut group = group(c, &format!("walk/{name}"));
        group.throughput(Throughput::Elements(N_KEYS as u64));
        for isa in available() {
            let mut acc = [0.0; HEAD_DIM];
            let mut heads = (0..N_HEADS / 2).cycle();
            group.bench_function(isa.name(), |b| {
                b.iter(|| {
                    let head = heads.next().unwrap();
                    let mut walk = [Walk::new(query, N_KEYS, 1.0 / 256.0, &mut acc)];
                    for start in (0..N_KEYS).step_by(KV_BLOCK).rev() {
                        // Keys in the first half of the memory, values in the second.
                        let [keys, values] = [(0, rows[0]), (N_HEADS / 2, rows[1])].map(|(first, rows)| {
                            let at = (first + head) * N_KEYS + start;
                            rows.rows(at..at + KV_BLOCK, HEAD_DIM).unwrap()
                        });
                        isa.attend_block(&KvBlock { keys, values, start, end: start + KV_BLOCK }, 0.125, &mut walk);
                    }
                    walk[0].sum
                });
            });
        }
    }
}

criterion_group!(benches, score, accumulate, exp, attend, walk);
criterion_main!(benches);
