//! Kernels over stored keys and values.

use super::draw::{Rng, activations, floats, half, quants, units};
use super::{Case, Mismatch, Scratch};
use crate::{BlockQ8, KV_BLOCK, Kernels, KvBlock, KvRows, KvRowsMut, Q4Built, QK, Query, Walk, scalar};

/// Type of stored rows.
#[derive(Clone, Copy)]
enum Kind {
    F32,
    F16,
    Q8,
    Q4(Q4Built),
}

impl Kind {
    /// Kinds that are compiled in.
    fn all() -> impl Iterator<Item = Self> {
        [Self::F32, Self::F16, Self::Q8].into_iter().chain(Q4Built::PROOF.map(Self::Q4))
    }

    /// True if such keys go with a Q8 query.
    fn takes_q8(self) -> bool {
        matches!(self, Self::Q8 | Self::Q4(_))
    }
}

/// Number of rows, columns of a row, and the index of the first element in its buffer.
struct Shape {
    n: usize,
    head_dim: usize,
    start: usize,
    /// Scale of all groups; `None` if each has its own.
    scale: Option<u16>,
}

/// Bits of 1 in half precision.
const ONE: u16 = 0x3c00;

impl Shape {
    fn draw(rng: &mut Rng) -> Self {
        Self {
            n: rng.pick(&[0, 1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 31, 32, 32, 33]),
            head_dim: rng.length().max(1),
            start: rng.below(9),
            scale: None,
        }
    }
}

/// Memory for rows, once for each kind.
struct Stores<'a> {
    singles: &'a mut [f32],
    halves: &'a mut [u16],
    quants: &'a mut [i8],
    nibbles: &'a mut [u8],
    scales: &'a mut [u16],
}

impl<'a> Stores<'a> {
    /// Draws the scales of the rows' groups.
    fn scales(&mut self, rng: &mut Rng, shape: &Shape) -> &'a [u16] {
        let n = shape.n * shape.head_dim.div_ceil(QK);
        let (scales, rest) = core::mem::take(&mut self.scales).split_at_mut(n);
        self.scales = rest;
        scales.fill_with(|| shape.scale.unwrap_or_else(|| half(rng)));
        scales
    }

    /// Draws `n` rows.
    fn rows(&mut self, rng: &mut Rng, kind: Kind, shape: &Shape) -> KvRows<'a> {
        let &Shape { n, head_dim, start, .. } = shape;
        match kind {
            Kind::F32 => {
                let x = &mut core::mem::take(&mut self.singles)[start..][..n * head_dim];
                if rng.one_in(8) {
                    floats(rng, x)
                } else {
                    units(rng, x)
                }
                KvRows::F32(x)
            }
            Kind::F16 => {
                let halves = &mut core::mem::take(&mut self.halves)[start..][..n * head_dim];
                let any = rng.one_in(8);
                halves.fill_with(|| if any { half(rng) } else { half::f16::from_f32(rng.unit()).to_bits() });
                KvRows::F16(halves)
            }
            Kind::Q8 => {
                let qs = &mut core::mem::take(&mut self.quants)[start..][..n * head_dim];
                quants(rng, [-127, 127], qs);
                KvRows::Q8_0 { qs, d: self.scales(rng, shape) }
            }
            Kind::Q4(built) => {
                let qs = &mut core::mem::take(&mut self.nibbles)[start..][..n * head_dim.div_ceil(2)];
                let byte = rng.pick(&[0x00, 0xff, 0x0f, 0xf0, 0x88]);
                let any = !rng.one_in(4);
                qs.fill_with(|| if any { rng.bits() as u8 } else { byte });
                KvRows::Q4_0 { qs, d: self.scales(rng, shape), built }
            }
        }
    }
}

pub fn store_kv(case: &mut Case<'_>) -> Result<(), Mismatch> {
    let Shape { head_dim, start, .. } = Shape::draw(&mut case.rng);
    let x = &mut case.scratch.x[start..][..head_dim];
    floats(&mut case.rng, x);
    for kind in Kind::all() {
        let Scratch { x, want, got, quants, halves, scales, weights, .. } = &mut *case.scratch;
        let x = &x[start..][..head_dim];
        let mut stores = Stores { singles: &mut [], halves, quants, nibbles: weights, scales };
        let want = stored(want, &mut stores, kind, head_dim, |out| scalar::store_kv(x, out));
        let got = stored(got, &mut stores, kind, head_dim, |out| Kernels::store_kv(case.isa, x, out));
        case.subject("store_kv", [head_dim, 0, 0]).compare(&case.scratch.want[..want], &case.scratch.got[..got])?;
    }
    Ok(())
}

/// Lets `store` store one row and copies what it stored to `out`; returns its length.
fn stored(
    out: &mut [f32],
    stores: &mut Stores<'_>,
    kind: Kind,
    head_dim: usize,
    store: impl Fn(KvRowsMut<'_>),
) -> usize {
    let n_groups = head_dim.div_ceil(QK);
    let (d, row) = (&mut stores.scales[..n_groups], &mut out[..head_dim]);
    d.fill(1);
    match kind {
        Kind::F32 => {
            row.fill(f32::MIN);
            store(KvRowsMut::F32(row));
            head_dim
        }
        Kind::F16 => {
            let halves = &mut stores.halves[..head_dim];
            halves.fill(1);
            store(KvRowsMut::F16(halves));
            widen(halves, row);
            head_dim
        }
        Kind::Q8 => {
            let qs = &mut stores.quants[..head_dim];
            qs.fill(i8::MIN);
            store(KvRowsMut::Q8_0 { qs, d });
            row.iter_mut().zip(qs).for_each(|(out, q)| *out = f32::from(*q));
            widen(d, &mut out[head_dim..][..n_groups]);
            head_dim + n_groups
        }
        Kind::Q4(built) => {
            let n_bytes = head_dim.div_ceil(2);
            let qs = &mut stores.nibbles[..n_bytes];
            qs.fill(0x5a);
            store(KvRowsMut::Q4_0 { qs, d, built });
            row.iter_mut().zip(qs).for_each(|(out, q)| *out = f32::from(*q));
            widen(d, &mut out[n_bytes..][..n_groups]);
            n_bytes + n_groups
        }
    }
}

fn widen(halves: &[u16], out: &mut [f32]) {
    for (out, &h) in out.iter_mut().zip(halves) {
        *out = half::f16::from_bits(h).to_f32();
    }
}

pub fn sum_squares(case: &mut Case<'_>) -> Result<(), Mismatch> {
    for kind in Kind::all() {
        let shape = Shape { n: 1, ..Shape::draw(&mut case.rng) };
        let Scratch { y, quants, halves, scales, weights, .. } = &mut *case.scratch;
        let mut stores = Stores { singles: y, halves, quants, nibbles: weights, scales };
        let row = stores.rows(&mut case.rng, kind, &shape);
        let want = scalar::sum_squares(row, shape.head_dim);
        let got = case.isa.sum_squares(row, shape.head_dim);
        case.subject("sum_squares", [shape.head_dim, 0, 0]).compare(&[want], &[got])?;
    }
    Ok(())
}

pub fn score_block(case: &mut Case<'_>) -> Result<(), Mismatch> {
    Kind::all().try_for_each(|kind| score_block_of(case, kind))
}

fn score_block_of(case: &mut Case<'_>, kind: Kind) -> Result<(), Mismatch> {
    let (isa, rng) = (case.isa, &mut case.rng);
    let shape = Shape::draw(rng);
    let Shape { n, head_dim, .. } = shape;
    let Scratch { x, y, want, got, blocks, quants, halves, scales, weights, .. } = &mut *case.scratch;
    let mut stores = Stores { singles: y, halves, quants, nibbles: weights, scales };
    let keys = stores.rows(rng, kind, &shape);
    let query = if kind.takes_q8() {
        Query::Q8(q8_query(rng, blocks, head_dim))
    } else {
        let q = &mut x[rng.below(9)..][..head_dim];
        units(rng, q);
        Query::F32(q)
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

/// Draws a query of `head_dim` columns, with zeros behind them.
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
    Kind::all().try_for_each(|kind| accumulate_block_of(case, kind))
}

fn accumulate_block_of(case: &mut Case<'_>, kind: Kind) -> Result<(), Mismatch> {
    let rng = &mut case.rng;
    let drawn = Shape::draw(rng);
    let Shape { n, head_dim, start, .. } = Shape { n: drawn.n.min(KV_BLOCK), ..drawn };
    let ties = rng.one_in(4);
    let shape = Shape { n, scale: ties.then_some(ONE), ..drawn };
    let Scratch { x, y, want, got, quants, halves, scales, weights, .. } = &mut *case.scratch;
    let mut stores = Stores { singles: y, halves, quants, nibbles: weights, scales };
    let values = stores.rows(rng, kind, &shape);
    let probs = &mut x[start..][..n];
    match rng.below(4) {
        // Halves of integers up to 32767, which itself occurs: ties of the rounding.
        _ if ties => {
            probs.fill_with(|| rng.below(65535) as f32 / 2.0);
            probs.iter_mut().take(1).for_each(|p| *p = 32767.0);
        }
        0 => floats(rng, probs),
        // Probabilities of a steep head: the integers of all but a few of the newest are zero.
        1 => probs.iter_mut().rev().enumerate().for_each(|(j, p)| *p = rng.unit() / (1u64 << j) as f32),
        _ => units(rng, probs),
    }
    let (want, got) = (&mut want[..head_dim], &mut got[..head_dim]);
    units(rng, want);
    got.copy_from_slice(want);
    scalar::accumulate_block(probs, values, want);
    case.isa.accumulate_block(probs, values, got);
    case.subject("accumulate_block", [n, head_dim, 0])
        .compare(&case.scratch.want[..head_dim], &case.scratch.got[..head_dim])
}

pub fn attend_block(case: &mut Case<'_>) -> Result<(), Mismatch> {
    Kind::all().try_for_each(|keys| Kind::all().try_for_each(|values| attend_block_of(case, keys, values)))
}

/// Largest number of walks of a case: more than two pairs, and one alone.
const WALKS: usize = 9;

/// Compares walks past one block. If keys and values are of one kind, the same rows are both.
fn attend_block_of(case: &mut Case<'_>, keys_kind: Kind, values_kind: Kind) -> Result<(), Mismatch> {
    let (isa, rng) = (case.isa, &mut case.rng);
    let drawn = Shape::draw(rng);
    // Half of the cases have a width that heads have, and half a whole block.
    let head_dim = if rng.one_in(2) { rng.pick(&[16, 32, 48, 64, 80, 112, 128]) } else { drawn.head_dim };
    let shape = Shape { n: if rng.one_in(2) { KV_BLOCK } else { drawn.n.clamp(1, KV_BLOCK) }, head_dim, ..drawn };
    let Scratch { x, y, want, got, blocks, quants, halves, scales, weights, .. } = &mut *case.scratch;
    let mut stores = Stores { singles: y, halves, quants, nibbles: weights, scales };
    let keys = stores.rows(rng, keys_kind, &shape);
    let same = core::mem::discriminant(&keys_kind) == core::mem::discriminant(&values_kind);
    let values = if same { keys } else { stores.rows(rng, values_kind, &shape) };
    let start = rng.pick(&[0, 32, 4096]);
    let block = KvBlock { keys, values, start, end: start + shape.n };
    let (queries, quantized) = (&mut x[..WALKS * head_dim], &mut blocks[..WALKS * head_dim.div_ceil(QK)]);
    units(rng, queries);
    for quantized in quantized.chunks_exact_mut(head_dim.div_ceil(QK)) {
        q8_query(rng, quantized, head_dim);
    }
    let quantized = quantized.chunks_exact(head_dim.div_ceil(QK)).map(Query::Q8);
    let queries = queries.chunks_exact(head_dim).map(Query::F32);
    let queries = queries.zip(quantized).map(|(q, q8)| if keys_kind.takes_q8() { q8 } else { q });
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

/// Definitions as an ISA: every ISA is compared with them.
struct Definitions;

impl Kernels for Definitions {
    fn name(&self) -> &'static str {
        "definitions"
    }
}
