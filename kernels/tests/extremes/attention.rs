//! Stored keys and values, and walks over them.

use std::ops::Range;

use nearfield_kernels::block::BlockQ8;
use nearfield_kernels::conformance::Rng;
use nearfield_kernels::{KV_BLOCK, KvBlock, KvRows, KvRowsMut, Q4Built, QK, Query, Walk, available, scalar};

use super::cases;
use super::draw::{about, any_blocks, bytes, float, floats, halves, number};
use super::memory::Buffer;
use super::outcome::{assert_kept, outcome};

/// Rows of one type, each buffer in memory of its own.
struct Store {
    /// Type of the rows: F32, F16, Q8_0 and Q4_0 in this order.
    kind: usize,
    singles: Buffer<f32>,
    halves: Buffer<u16>,
    qs: Buffer<i8>,
    nibbles: Buffer<u8>,
    d: Buffer<u16>,
}

fn kinds() -> Range<usize> {
    0..3 + Q4Built::PROOF.is_some() as usize
}

impl Store {
    /// Draws about `n` rows of `head_dim` columns: once in `times`, a part of them is longer or shorter.
    fn new(rng: &mut Rng, kind: usize, n: usize, head_dim: usize, times: usize) -> Self {
        let len = |rng: &mut Rng, kinds: &[usize], of: usize| {
            if kinds.contains(&kind) { about(rng, n * of, times) } else { 0 }
        };
        let lens = [len(rng, &[0], head_dim), len(rng, &[1], head_dim), len(rng, &[2], head_dim)];
        let [n_nibbles, n_d] = [len(rng, &[3], head_dim.div_ceil(2)), len(rng, &[2, 3], head_dim.div_ceil(QK))];
        Self {
            kind,
            singles: floats(rng, lens[0]),
            halves: halves(rng, lens[1]),
            qs: Buffer::new(rng, lens[2], 3, |rng| (rng.bits() as i8).max(-127)),
            nibbles: bytes(rng, n_nibbles),
            d: halves(rng, n_d),
        }
    }

    fn rows(&self) -> KvRows<'_> {
        match self.kind {
            0 => KvRows::F32(self.singles.get()),
            1 => KvRows::F16(self.halves.get()),
            2 => KvRows::Q8_0 { qs: self.qs.get(), d: self.d.get() },
            _ => KvRows::Q4_0 {
                qs: self.nibbles.get(),
                d: self.d.get(),
                built: Q4Built::PROOF.expect("asked for kinds"),
            },
        }
    }

    fn rows_mut(&mut self) -> KvRowsMut<'_> {
        match self.kind {
            0 => KvRowsMut::F32(self.singles.get_mut()),
            1 => KvRowsMut::F16(self.halves.get_mut()),
            2 => KvRowsMut::Q8_0 { qs: self.qs.get_mut(), d: self.d.get_mut() },
            _ => KvRowsMut::Q4_0 {
                qs: self.nibbles.get_mut(),
                d: self.d.get_mut(),
                built: Q4Built::PROOF.expect("asked for kinds"),
            },
        }
    }

    /// Lengths of the numbers and of their scales.
    fn lens(&self) -> [usize; 2] {
        let of = [self.singles.get().len(), self.halves.get().len(), self.qs.get().len(), self.nibbles.get().len()];
        [of[self.kind], self.d.get().len()]
    }

    /// True if the store holds exactly `n` rows of `head_dim` columns.
    fn holds(&self, n: usize, head_dim: usize) -> bool {
        self.lens().map(|n| n as u128) == row_lens(self.kind, head_dim).map(|len| n as u128 * len)
    }
}

/// Lengths of a row: numbers, and scales.
fn row_lens(kind: usize, head_dim: usize) -> [u128; 2] {
    let numbers = if kind == 3 { head_dim.div_ceil(2) } else { head_dim };
    [numbers as u128, if kind < 2 { 0 } else { head_dim.div_ceil(QK) as u128 }]
}

/// Lengths of rows: numbers, and scales.
fn lens(rows: KvRows<'_>) -> [usize; 2] {
    match rows {
        KvRows::F32(x) => [x.len(), 0],
        KvRows::F16(x) => [x.len(), 0],
        KvRows::Q8_0 { qs, d } => [qs.len(), d.len()],
        KvRows::Q4_0 { qs, d, .. } => [qs.len(), d.len()],
    }
}

fn head_dim(rng: &mut Rng) -> usize {
    rng.pick(&[1, 2, 3, 8, 15, 16, 16, 17, 24, 31, 32, 32, 33, 48, 64, 64, 65, 80, 96, 100, 127, 128, 128, 129, 160])
}

#[test]
fn rows_are_cut_where_they_are() {
    cases(|rng| {
        let (kind, n, width) = (rng.pick(&kinds().collect::<Vec<_>>()), rng.below(9), head_dim(rng));
        let store = Store::new(rng, kind, n, width, 6);
        let width = if rng.one_in(3) { number(rng, n) } else { width };
        let [start, end] = [(); 2].map(|()| if rng.one_in(2) { rng.below(10) } else { number(rng, width) });
        let (have, row) = (store.lens().map(|n| n as u128), row_lens(kind, width));
        let inside = |n: usize| (0..2).all(|i| n as u128 * row[i] <= have[i]);
        let cut = store.rows().rows(start..end, width);
        assert_eq!(
            cut.is_some(),
            start <= end && inside(end) || start > end && row == [0, 0],
            "{start} {end} {width} {have:?}"
        );
        if let Some(cut) = cut {
            assert_eq!(lens(cut).map(|n| n as u128), row.map(|len| end.saturating_sub(start) as u128 * len));
            assert!(
                cut.bytes().iter().map(|bytes| bytes.len()).sum::<usize>() <= 4 * (store.lens()[0] + store.lens()[1])
            );
        }
        let first = lens(store.rows().first(end, width)).map(|n| n as u128);
        for i in 0..2 {
            let want = end as u128 * row[i];
            assert_eq!(first[i], if want <= have[i] { want } else { 0 }, "{end} {width} {have:?}");
        }

        let other = Store::new(rng, rng.clone().pick(&[kind, 0]), n, width.min(200), 4);
        let (alike, other_lens) = (other.kind == kind && other.lens() == store.lens(), other.lens());
        let mut copied = other;
        let copy = copied.rows_mut().copy(store.rows());
        assert_eq!(copy.is_some(), alike, "{:?} {other_lens:?}", store.lens());
        copied.singles.intact();
        copied.halves.intact();
        copied.qs.intact();
        copied.nibbles.intact();
        copied.d.intact();
    });
}

#[test]
fn squares_of_one_row() {
    cases(|rng| {
        for kind in kinds() {
            let width = head_dim(rng);
            let store = Store::new(rng, kind, 1, width, 5);
            let width = if rng.one_in(4) { number(rng, width) } else { width };
            let mut want = None;
            for isa in available() {
                let sum = outcome(|| isa.sum_squares(store.rows(), width));
                if let Some(sum) = assert_kept(sum, store.holds(1, width), (isa.name(), kind, width, store.lens())) {
                    assert_eq!(*want.get_or_insert(sum.to_bits()), sum.to_bits(), "{}", isa.name());
                }
            }
        }
    });
}

/// Query of a head, of either kind.
struct Queries {
    q8: bool,
    singles: Buffer<f32>,
    blocks: Buffer<BlockQ8>,
}

impl Queries {
    fn new(rng: &mut Rng, q8: bool, head_dim: usize, hostile: bool) -> Self {
        let singles = floats(rng, head_dim);
        let mut blocks = any_blocks(rng, head_dim.div_ceil(QK));
        if !hostile {
            scalar::quantize_q8(singles.get(), blocks.get_mut());
        }
        Self { q8, singles, blocks }
    }

    fn query(&self) -> Query<'_> {
        if self.q8 { Query::Q8(self.blocks.get()) } else { Query::F32(self.singles.get()) }
    }

    /// True if the query goes with keys of this type and `head_dim` columns, at least one.
    fn fits(&self, kind: usize, head_dim: usize) -> bool {
        let width = if self.q8 { self.blocks.get().len() } else { self.singles.get().len() };
        self.q8 == (kind >= 2) && width == if self.q8 { head_dim.div_ceil(QK) } else { head_dim } && head_dim > 0
    }
}

#[test]
fn scores_are_of_keys_that_there_are() {
    cases(|rng| {
        for kind in kinds() {
            let (n, width) = (rng.pick(&[0, 1, 2, 3, 4, 5, 8, 9, 16, 31, 32, 33, 64]), head_dim(rng));
            let stored = if rng.one_in(12) { 0 } else { width };
            let keys = Store::new(rng, kind, n, stored, 8);
            let width = about(rng, width, 8);
            let (q8, hostile) = ((kind >= 2) != rng.one_in(16), rng.one_in(4));
            let q = Queries::new(rng, q8, width, hostile);
            let n = about(rng, n, 8);
            let [scale, slope] = [(); 2].map(|()| float(rng));
            let distance = if rng.one_in(2) { rng.bits() } else { number(rng, n) as u32 };
            // Columns of the keys: those of the query, or, for quants, as many as the bytes of a key hold.
            let bytes = keys.lens()[0] / n.max(1);
            let of_keys = [width, width, bytes, 2 * bytes][kind];
            let kept = keys.holds(n, of_keys) && q8 == (kind >= 2) && (n == 0 || q.fits(kind, of_keys));
            // Queries of another width have quants past the keys' width that are not zero, so ISAs may differ.
            let comparable = !hostile && (kind < 2 || of_keys.div_ceil(2) == width.div_ceil(2));
            let (mut want, seed) = (None, rng.bits().into());
            for isa in available() {
                let mut scores = floats(&mut Rng::new(seed), n);
                let max = outcome(|| isa.score_block(q.query(), keys.rows(), scale, slope, distance, scores.get_mut()));
                let what = (isa.name(), kind, width, n, keys.lens());
                if let Some(max) = assert_kept(max, kept, what)
                    && comparable
                {
                    let got: Vec<u32> = scores.intact().iter().chain([&max]).map(|&x| bits(x)).collect();
                    assert_eq!(*want.get_or_insert_with(|| got.clone()), got, "{what:?}");
                }
                scores.intact();
            }
        }
    });
}

/// Bits of a number, the same for every NaN.
fn bits(x: f32) -> u32 {
    if x.is_nan() { f32::NAN.to_bits() } else { x.to_bits() }
}

#[test]
fn values_of_one_block() {
    cases(|rng| {
        for kind in kinds() {
            let (n, width) = (rng.pick(&[0, 1, 2, 3, 4, 5, 8, 9, 16, 31, 32, 32, 33, 64]), head_dim(rng));
            let stored = if rng.one_in(12) { 0 } else { width };
            let values = Store::new(rng, kind, n, stored, 8);
            let (n, width) = (about(rng, n, 8), about(rng, width, 8));
            let (probs, seed) = (Buffer::new(rng, n, 0.5, float), rng.bits().into());
            let mut want = None;
            for isa in available() {
                let mut acc = floats(&mut Rng::new(seed), width);
                let result = outcome(|| isa.accumulate_block(probs.get(), values.rows(), acc.get_mut()));
                let what = (isa.name(), kind, width, n, values.lens());
                if assert_kept(result, values.holds(n, width) && n <= KV_BLOCK, what).is_some() {
                    let got: Vec<u32> = acc.intact().into_iter().map(bits).collect();
                    assert_eq!(*want.get_or_insert_with(|| got.clone()), got, "{what:?}");
                }
                acc.intact();
            }
        }
    });
}

/// Walk with memory of its own: its query, its position, its sums.
struct Walker {
    query: Queries,
    pos: usize,
    slope: f32,
    ended: bool,
    acc: Buffer<f32>,
}

#[test]
fn walks_past_blocks_from_anywhere() {
    cases(|rng| {
        let kind = rng.pick(&kinds().collect::<Vec<_>>());
        let value_kind = rng.pick(&[kind, kind, kind, 0, 1, 2]);
        let (n, width) = (rng.pick(&[0, 1, 2, 7, 16, 31, 32, 32, 32, 33]), head_dim(rng));
        let [keys, values] = [kind, value_kind].map(|kind| Store::new(rng, kind, n, width, 30));
        let start = if rng.one_in(2) { rng.below(100) } else { number(rng, 1) };
        let end = if rng.one_in(16) { number(rng, start) } else { start.wrapping_add(n) };
        let (n_walks, hostile) = (rng.pick(&[0, 1, 2, 3, 4, 5, 7, 8, 31, 32, 33, 40]), rng.one_in(4));
        let scale = float(rng);
        let far = rng.one_in(4);
        let mut walkers: Vec<Walker> = (0..n_walks)
            .map(|_| {
                let width = about(rng, width, 300);
                let q8 = (kind >= 2) != rng.one_in(300);
                let pos = match rng.below(60) {
                    0 => number(rng, start),
                    _ if far => end.saturating_add(number(rng, 3)),
                    _ => start.saturating_add(rng.below(2 * KV_BLOCK)),
                };
                let query_width = about(rng, width, 300);
                let query = Queries::new(rng, q8, query_width, hostile);
                Walker { query, pos, slope: float(rng), ended: rng.one_in(8), acc: floats(rng, width) }
            })
            .collect();
        let block = KvBlock { keys: keys.rows(), values: values.rows(), start, end };
        let held = end.saturating_sub(start);
        let kept = walkers.iter().filter(|walker| !walker.ended).all(|walker| {
            let width = walker.acc.get().len();
            let seen = block.n_seen(walker.pos);
            assert_eq!(seen, (start..end).len().min((start..=walker.pos).try_len()), "{start} {end} {}", walker.pos);
            seen > 0
                && held <= KV_BLOCK
                && walker.query.fits(kind, width)
                && keys.holds(held, width)
                && values.holds(held, width)
        });
        let mut want = None;
        for isa in available() {
            let mut walks: Vec<Walk<'_>> = walkers
                .iter_mut()
                .map(|walker| {
                    let acc = walker.acc.get_mut();
                    Walk { ended: walker.ended, ..Walk::new(walker.query.query(), walker.pos, walker.slope, acc) }
                })
                .collect();
            let result = outcome(|| isa.attend_block(&block, scale, &mut walks));
            let sums: Vec<u32> = walks.iter().flat_map(|walk| [bits(walk.max), bits(walk.sum)]).collect();
            drop(walks);
            let acc: Vec<u32> = walkers.iter().flat_map(|walker| walker.acc.intact()).map(bits).collect();
            let what = (isa.name(), kind, value_kind, width, start, end, n);
            if assert_kept(result, kept, what).is_some() && !hostile {
                let got = (sums, acc);
                assert_eq!(*want.get_or_insert_with(|| got.clone()), got, "{what:?}");
            }
        }
    });
}

/// Length of a range that may have none.
trait TryLen {
    fn try_len(&self) -> usize;
}

impl TryLen for std::ops::RangeInclusive<usize> {
    fn try_len(&self) -> usize {
        if self.is_empty() { 0 } else { (self.end() - self.start()).saturating_add(1) }
    }
}
