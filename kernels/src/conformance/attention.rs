//! Kernels over stored keys and values.

use super::draw::{Rng, activations, floats, half, quants, units};
use super::{Case, Mismatch, Scratch};
use crate::{BlockQ8, KV_BLOCK, Kernels, KvBlock, KvRows, KvRowsMut, QK, Query, Walk, scalar};

/// How rows are stored.
#[derive(Clone, Copy)]
enum Kind {
    F32,
    F16,
    Q8,
}

impl Kind {
    const ALL: [Self; 3] = [Self::F32, Self::F16, Self::Q8];
}

/// Rows, a row's length, and the first element of either in its buffer.
struct Shape {
    n: usize,
    head_dim: usize,
    start: usize,
}

impl Shape {
    fn draw(rng: &mut Rng) -> Self {
        Self {
            n: rng.pick(&[0, 1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 31, 32, 32, 33]),
            head_dim: rng.length().max(1),
            start: rng.below(9),
        }
    }
}

/// `n` drawn rows: in `y`, or in `halves` and `quants`.
fn rows<'a>(
    rng: &mut Rng,
    kind: Kind,
    shape: &Shape,
    y: &'a mut [f32],
    halves: &'a mut [u16],
    qs: &'a mut [i8],
) -> KvRows<'a> {
    let &Shape { n, head_dim, start } = shape;
    match kind {
        Kind::F32 => {
            let y = &mut y[start..][..n * head_dim];
            if rng.one_in(8) {
                floats(rng, y)
            } else {
                units(rng, y)
            }
            KvRows::F32(y)
        }
        Kind::F16 => {
            let halves = &mut halves[start..][..n * head_dim];
            let any = rng.one_in(8);
            halves.fill_with(|| if any { half(rng) } else { half::f16::from_f32(rng.unit()).to_bits() });
            KvRows::F16(halves)
        }
        Kind::Q8 => {
            let (qs, d) = (&mut qs[start..][..n * head_dim], &mut halves[start..][..n * head_dim.div_ceil(QK)]);
            quants(rng, [-127, 127], qs);
            d.fill_with(|| half(rng));
            KvRows::Q8_0 { qs, d }
        }
    }
}

pub fn store_kv(case: &mut Case<'_>) -> Result<(), Mismatch> {
    let Shape { head_dim, start, .. } = Shape::draw(&mut case.rng);
    let x = &mut case.scratch.x[start..][..head_dim];
    floats(&mut case.rng, x);
    for kind in Kind::ALL {
        let Scratch { x, want, got, quants, halves, .. } = &mut *case.scratch;
        let x = &x[start..][..head_dim];
        let want = stored(want, quants, halves, kind, head_dim, |out| scalar::store_kv(x, out));
        let got = stored(got, quants, halves, kind, head_dim, |out| Kernels::store_kv(case.isa, x, out));
        case.subject("store_kv", [head_dim, 0, 0]).compare(&case.scratch.want[..want], &case.scratch.got[..got])?;
    }
    Ok(())
}

/// Lets `store` store one row and copies what it stored to `out`; returns its length.
fn stored(
    out: &mut [f32],
    quants: &mut [i8],
    halves: &mut [u16],
    kind: Kind,
    head_dim: usize,
    store: impl Fn(KvRowsMut<'_>),
) -> usize {
    let n_groups = head_dim.div_ceil(QK);
    let (qs, d, row) = (&mut quants[..head_dim], &mut halves[..n_groups], &mut out[..head_dim]);
    match kind {
        Kind::F32 => {
            row.fill(f32::MIN);
            store(KvRowsMut::F32(row));
            head_dim
        }
        Kind::F16 => {
            let halves = &mut halves[..head_dim];
            halves.fill(1);
            store(KvRowsMut::F16(halves));
            widen(halves, row);
            head_dim
        }
        Kind::Q8 => {
            qs.fill(i8::MIN);
            d.fill(1);
            store(KvRowsMut::Q8_0 { qs, d });
            row.iter_mut().zip(qs).for_each(|(out, q)| *out = f32::from(*q));
            widen(d, &mut out[head_dim..][..n_groups]);
            head_dim + n_groups
        }
    }
}

fn widen(halves: &[u16], out: &mut [f32]) {
    for (out, &h) in out.iter_mut().zip(halves) {
        *out = half::f16::from_bits(h).to_f32();
    }
}

pub fn sum_squares(case: &mut Case<'_>) -> Result<(), Mismatch> {
    for kind in Kind::ALL {
        let shape = Shape { n: 1, ..Shape::draw(&mut case.rng) };
        let Scratch { y, quants, halves, .. } = &mut *case.scratch;
        let row = rows(&mut case.rng, kind, &shape, y, halves, quants);
        let want = scalar::sum_squares(row, shape.head_dim);
        let got = case.isa.sum_squares(row, shape.head_dim);
        case.subject("sum_squares", [shape.head_dim, 0, 0]).compare(&[want], &[got])?;
    }
    Ok(())
}

pub fn score_block(case: &mut Case<'_>) -> Result<(), Mismatch> {
    Kind::ALL.iter().try_for_each(|&kind| score_block_of(case, kind))
}

fn score_block_of(case: &mut Case<'_>, kind: Kind) -> Result<(), Mismatch> {
    let (isa, rng) = (case.isa, &mut case.rng);
    let shape = Shape::draw(rng);
    let Shape { n, head_dim, .. } = shape;
    let Scratch { x, y, want, got, blocks, quants, halves, .. } = &mut *case.scratch;
    let keys = rows(rng, kind, &shape, y, halves, quants);
    let query = match kind {
        Kind::Q8 => Query::Q8(q8_query(rng, blocks, head_dim)),
        _ => {
            let q = &mut x[rng.below(9)..][..head_dim];
            units(rng, q);
            Query::F32(q)
        }
    };
    let scale = rng.pick(&[1.0, 0.125, 0.088_388_35, 0.0]);
    let slope = rng.pick(&[0.0, 0.5, 0.003_906_25, 0.840_896_4]);
    let distance = rng.pick(&[0, 1, 31, 32, 4095, 1 << 24, u32::MAX - 5]);
    let (want, got) = (&mut want[..n + 1], &mut got[..n + 1]);
    want[..n].fill(f32::MIN);
    got[..n].fill(f32::MIN);
    want[n] = scalar::score_block(query, keys, scale, slope, distance, &mut want[..n]);
    got[n] = isa.score_block(query, keys, scale, slope, distance, &mut got[..n]);
    case.subject("score_block", [n, head_dim, 0]).compare(&case.scratch.want[..n + 1], &case.scratch.got[..n + 1])
}

/// A query of `head_dim` columns, zeros behind them.
fn q8_query<'a>(rng: &mut Rng, blocks: &'a mut [BlockQ8], head_dim: usize) -> &'a [BlockQ8] {
    let blocks = &mut blocks[..head_dim.div_ceil(QK)];
    activations(rng, blocks);
    if let Some(last) = blocks.last_mut() {
        last.qs[(head_dim - 1) % QK + 1..].fill(0);
        let sum = |qs: &[i8]| qs.iter().map(|&q| i16::from(q)).sum();
        last.sums = [sum(&last.qs[..16]), sum(&last.qs[16..])];
    }
    blocks
}

pub fn exp_block(case: &mut Case<'_>) -> Result<(), Mismatch> {
    let (n, start) = (case.rng.length(), case.rng.below(9));
    let Scratch { want, got, .. } = &mut *case.scratch;
    let (want, got) = (&mut want[start..][..n + 1], &mut got[start..][..n + 1]);
    floats(&mut case.rng, want);
    got.copy_from_slice(want);
    let largest = want[..n].iter().fold(f32::NEG_INFINITY, |max, &x| max.max(x));
    let max = case.rng.pick(&[largest, 0.0, 0.0, -50.0]);
    want[n] = scalar::exp_block(&mut want[..n], max);
    got[n] = case.isa.exp_block(&mut got[..n], max);
    case.subject("exp_block", [n, 0, 0])
        .compare(&case.scratch.want[start..][..n + 1], &case.scratch.got[start..][..n + 1])
}

pub fn accumulate_block(case: &mut Case<'_>) -> Result<(), Mismatch> {
    Kind::ALL.iter().try_for_each(|&kind| accumulate_block_of(case, kind))
}

fn accumulate_block_of(case: &mut Case<'_>, kind: Kind) -> Result<(), Mismatch> {
    let shape = Shape::draw(&mut case.rng);
    let Shape { n, head_dim, start } = shape;
    let Scratch { x, y, want, got, quants, halves, .. } = &mut *case.scratch;
    let values = rows(&mut case.rng, kind, &shape, y, halves, quants);
    let probs = &mut x[start..][..n];
    units(&mut case.rng, probs);
    let (want, got) = (&mut want[..head_dim], &mut got[..head_dim]);
    units(&mut case.rng, want);
    got.copy_from_slice(want);
    scalar::accumulate_block(probs, values, want);
    case.isa.accumulate_block(probs, values, got);
    case.subject("accumulate_block", [n, head_dim, 0])
        .compare(&case.scratch.want[..head_dim], &case.scratch.got[..head_dim])
}

pub fn attend_block(case: &mut Case<'_>) -> Result<(), Mismatch> {
    Kind::ALL.iter().try_for_each(|&kind| attend_block_of(case, kind))
}

/// Most walks of a case: more than two pairs, and one alone.
const WALKS: usize = 9;

/// The same rows are keys and values.
fn attend_block_of(case: &mut Case<'_>, kind: Kind) -> Result<(), Mismatch> {
    let (isa, rng) = (case.isa, &mut case.rng);
    let drawn = Shape::draw(rng);
    // Often a width that heads have, and a whole block.
    let head_dim = if rng.one_in(2) { rng.pick(&[16, 32, 48, 64, 80, 112, 128]) } else { drawn.head_dim };
    let shape = Shape { n: if rng.one_in(2) { KV_BLOCK } else { drawn.n.clamp(1, KV_BLOCK) }, head_dim, ..drawn };
    let Scratch { x, y, want, got, blocks, quants, halves, .. } = &mut *case.scratch;
    let rows = rows(rng, kind, &shape, y, halves, quants);
    let start = rng.pick(&[0, 32, 4096]);
    let block = KvBlock { keys: rows, values: rows, start, end: start + shape.n };
    let (queries, quantized) = (&mut x[..WALKS * head_dim], &mut blocks[..WALKS * head_dim.div_ceil(QK)]);
    units(rng, queries);
    for quantized in quantized.chunks_exact_mut(head_dim.div_ceil(QK)) {
        q8_query(rng, quantized, head_dim);
    }
    let quantized = quantized.chunks_exact(head_dim.div_ceil(QK)).map(Query::Q8);
    let queries = queries.chunks_exact(head_dim).map(Query::F32);
    let queries = queries.zip(quantized).map(|(q, q8)| if matches!(kind, Kind::Q8) { q8 } else { q });
    let n_walks = rng.below(WALKS + 1);
    units(rng, want);
    got.copy_from_slice(want);
    let (want_acc, want_state) = want.split_at_mut(WALKS * head_dim);
    let (got_acc, got_state) = got.split_at_mut(WALKS * head_dim);
    let accs = want_acc.chunks_exact_mut(head_dim).zip(got_acc.chunks_exact_mut(head_dim));
    let none = || Walk::new(Query::F32(&[]), 0, 0.0, &mut []);
    let [mut want_walks, mut got_walks] = [(); 2].map(|()| core::array::from_fn::<_, WALKS, _>(|_| none()));
    for (((want, got), query), (want_acc, got_acc)) in want_walks.iter_mut().zip(&mut got_walks).zip(queries).zip(accs)
    {
        let behind = rng.pick(&[0, 1, 7, 15, 30, 31, 31, 32, 33, 4096, 1 << 24, (1 << 24) + 3]);
        let (pos, slope) = (start + behind, rng.pick(&[0.0, 0.5, 0.003_906_25, 0.840_896_4]));
        let (max, sum) = rng.pick(&[(f32::NEG_INFINITY, 0.0), (0.0, 1.0), (-3.5, 70.0), (30.0, 2.5)]);
        let ended = rng.one_in(6);
        *want = Walk { query, pos, slope, max, sum, acc: want_acc, ended };
        *got = Walk { query, pos, slope, max, sum, acc: got_acc, ended };
    }
    let scale = rng.pick(&[1.0, 0.125, 0.088_388_35, 0.0]);
    scalar::attend_block(&Definitions, &block, scale, &mut want_walks[..n_walks]);
    isa.attend_block(&block, scale, &mut got_walks[..n_walks]);
    for (walks, state) in [(want_walks, want_state), (got_walks, got_state)] {
        for (walk, state) in walks.iter().zip(state.as_chunks_mut::<2>().0) {
            *state = [walk.max, walk.sum];
        }
    }
    let n = WALKS * (head_dim + 2);
    case.subject("attend_block", [n_walks, shape.n, head_dim]).compare(&case.scratch.want[..n], &case.scratch.got[..n])
}

/// What every ISA is compared with, as one.
struct Definitions;

impl Kernels for Definitions {
    fn name(&self) -> &'static str {
        "definitions"
    }
}
