//! The horizon where its bound is met: old keys that are parallel to the query, so that Cauchy and Schwarz hold with equality, and a
//! share of the denominator just inside and just outside of what may be left out.
//!
//! All queries have one direction, and so have all keys, so a token differs from another only in the norm of its key. A run that
//! visits every key gives, in f64, the share that each walk would leave out if it ended behind each of its blocks, and the bound of
//! `src/attention.rs` at that place. Where the two are nearly equal, a run with a slightly smaller epsilon must go on and one with a
//! slightly larger epsilon must end. A norm, a slope or a distance that is off by one per cent fails one of them.

use std::collections::{BTreeSet, HashMap};
use std::sync::Mutex;

use crate::common::encoder;
use crate::common::file::File;
use crate::common::model::{MPT, Spec};
use crate::common::reference::weights::Tensor;
use crate::common::run::{Setup, snapshot};
use half::f16;
use nearfield::kernels::{KV_BLOCK, Kernels, Matrix, best};
use nearfield::{AlibiScale, KvType, Ring, SessionConfig, TextState};
use nearfield_kernels::{Activations, ColumnsMut, KvBlock, KvRows, Query, Walk};

/// Norms of the keys of tokens 0, 1, 2 and 3, over that of token 1.
const LENGTHS: [f32; 4] = [0.0, 1.0, 1.25, 0.6];
const NONE: u32 = 0;
const KEY: u32 = 1;
const LONG: u32 = 2;
const SHORT: u32 = 3;

/// Largest ratio of the bound to the share left out at which they count as equal.
const TIGHT: f64 = 1.05;
/// Factors from the share left out to an epsilon: one where a walk must go on, one where it must end if the bound is tight.
const TOO_LITTLE: f64 = 0.999;
const ENOUGH: f64 = 1.08;

/// A block as one walk saw it.
#[derive(Clone, Debug)]
struct Seen {
    start: usize,
    /// Distance of the newest key.
    distance: usize,
    n: usize,
    sum: Sum,
    /// The largest of any key.
    norm: f64,
}

/// `Σ exp(score - max)` and the largest score.
#[derive(Clone, Copy, Debug)]
struct Sum {
    max: f64,
    sum: f64,
}

impl Sum {
    const NOTHING: Self = Self { max: f64::NEG_INFINITY, sum: 0.0 };

    fn and(self, other: Self) -> Self {
        let max = self.max.max(other.max);
        let of = |part: Self| if part.sum == 0.0 { 0.0 } else { part.sum * (part.max - max).exp() };
        Self { max, sum: of(self) + of(other) }
    }

    /// Ratio of this sum to another.
    fn over(self, other: Self) -> f64 {
        self.sum * (self.max - other.max).exp() / other.sum
    }
}

/// One query of one head.
#[derive(Clone, Debug)]
struct Walked {
    /// Position of the query, on each side; a decoder has one side.
    pos: Vec<usize>,
    slope: f64,
    /// `|q| * scale`
    query_norm: f64,
    sides: Vec<Vec<Seen>>,
}

/// Largest norm of the keys at each position, for heads of a slope (as bits).
type Norms = HashMap<(u64, usize), f64>;

/// Kernels of this machine that also record the walks of one layer, and the norm of each position's key.
struct Recorder {
    kernels: &'static dyn Kernels,
    walks: Mutex<Vec<Walked>>,
    /// Walks under way, by the address where each gathers its values.
    current: Mutex<HashMap<usize, usize>>,
    norms: Mutex<Norms>,
    /// True if keys are looked at; false if only the visited blocks are.
    looks: bool,
}

impl Kernels for Recorder {
    fn name(&self) -> &'static str {
        "recorder"
    }

    fn attend_block(&self, block: &KvBlock<'_>, scale: f32, queries: &mut [Walk<'_>]) {
        let keys = queries.first().filter(|_| self.looks).map_or(vec![], |walk| keys(block.keys, walk.acc.len()));
        let norms: Vec<f64> = keys.iter().map(|key| dot(key, key).sqrt()).collect();
        for walk in queries.iter().filter(|walk| !walk.ended) {
            self.record(block, scale.into(), walk, &keys, &norms);
        }
        self.kernels.attend_block(block, scale, queries);
    }

    fn matmul(&self, w: &Matrix<'_>, x: Activations<'_>, out: &mut ColumnsMut<'_>) {
        self.kernels.matmul(w, x, out);
    }
}

impl Recorder {
    fn record(&self, block: &KvBlock<'_>, scale: f64, walk: &Walk<'_>, keys: &[Vec<f64>], norms: &[f64]) {
        let (mut walks, mut current) = (self.walks.lock().unwrap(), self.current.lock().unwrap());
        let (n, place, slope) = (block.n_seen(walk.pos), walk.acc.as_ptr() as usize, f64::from(walk.slope));
        let query = query(walk.query, walk.acc.len());
        if walk.max == f32::NEG_INFINITY {
            current.insert(place, walks.len());
            let query_norm = dot(&query, &query).sqrt() * scale;
            walks.push(Walked { pos: vec![walk.pos], slope, query_norm, sides: vec![vec![]] });
            if self.looks && block.end > walk.pos {
                let mut of_keys = self.norms.lock().unwrap();
                let norm = of_keys.entry((slope.to_bits(), walk.pos)).or_default();
                *norm = norm.max(norms[n - 1]);
            }
        }
        let walked = &mut walks[current[&place]];
        if walked.pos.last() != Some(&walk.pos) {
            walked.sides.push(vec![]);
            walked.pos.push(walk.pos);
        }
        let score = |(key, pos): (&Vec<f64>, usize)| dot(&query, key) * scale - slope * (walk.pos - pos) as f64;
        let scores = keys.iter().take(n).zip(block.start..).map(score);
        let seen = Seen {
            start: block.start,
            distance: walk.pos + 1 - block.start - n,
            n,
            sum: scores.fold(Sum::NOTHING, |sum, max| sum.and(Sum { max, sum: 1.0 })),
            norm: norms.iter().take(n).copied().fold(0.0, f64::max),
        };
        walked.sides.last_mut().unwrap().push(seen);
    }
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

fn query(query: Query<'_>, width: usize) -> Vec<f64> {
    match query {
        Query::F32(q) => q.iter().map(|&x| x.into()).collect(),
        Query::Q8(blocks) => {
            let columns = blocks.iter().flat_map(|b| b.qs.map(|q| f64::from(b.d) * f64::from(q)));
            columns.take(width).collect()
        }
    }
}

fn keys(rows: KvRows<'_>, width: usize) -> Vec<Vec<f64>> {
    let half = |bits: &u16| f16::from_bits(*bits).to_f64();
    let scaled = |quants: Vec<f64>, d: &[u16]| quants.iter().enumerate().map(|(i, q)| half(&d[i / 32]) * q).collect();
    match rows {
        KvRows::F32(x) => x.chunks(width).map(|key| key.iter().map(|&x| x.into()).collect()).collect(),
        KvRows::F16(x) => x.chunks(width).map(|key| key.iter().map(half).collect()).collect(),
        KvRows::Q8_0 { qs, d } => {
            let keys = qs.chunks(width).zip(d.chunks(width.div_ceil(32)));
            keys.map(|(qs, d)| scaled(qs.iter().map(|&q| q.into()).collect(), d)).collect()
        }
        KvRows::Q4_0 { qs, d, .. } => {
            let keys = qs.chunks(width.div_ceil(2)).zip(d.chunks(width.div_ceil(32)));
            let quants = |q: &u8| [q & 15, q >> 4].map(|q| f64::from(q) - 8.0);
            keys.map(|(qs, d)| scaled(qs.iter().flat_map(quants).take(width).collect(), d)).collect()
        }
    }
}

/// An end of a walk, real or possible.
#[derive(Clone, Copy, Debug)]
struct End {
    /// Sum that all keys behind it on its side would add to the denominator, over the denominator.
    left_out: f64,
    /// Bound on `left_out` that the horizon uses.
    bound: f64,
}

impl End {
    fn is_tight(&self) -> bool {
        self.bound < TIGHT * self.left_out
    }
}

/// The walks of a run that visits everything.
struct Truth {
    walks: Vec<Walked>,
    /// The largest of any key up to a position, for heads of a slope.
    norms: HashMap<u64, Vec<f64>>,
    n_sinks: usize,
}

impl Truth {
    /// The end behind the first `n` blocks of `side`, after `all` was seen; `None` if nothing lies behind it, or if a walk is not
    /// asked there.
    fn end(&self, walk: &Walked, side: usize, n: usize, all: Sum) -> Option<End> {
        let older = walk.sides.get(side)?.get(n..).filter(|older| !older.is_empty())?;
        if n == 0 && (side == 0 || older[0].start / KV_BLOCK == walk.pos[side] / KV_BLOCK) {
            return None;
        }
        let left_out = older.iter().fold(Sum::NOTHING, |sum, seen| sum.and(seen.sum)).over(all);
        let n_older: usize = older.iter().map(|seen| seen.n).sum();
        // A decoder's norms cover the whole text before, also forgotten keys, except where only sinks are left.
        let forgotten = (walk.sides.len() == 1 && n_older > self.n_sinks)
            .then(|| self.norms[&walk.slope.to_bits()][older[0].start]);
        let norm = older.iter().map(|seen| seen.norm).chain(forgotten).fold(0.0, f64::max);
        let series = if walk.slope == 0.0 { f64::INFINITY } else { 1.0 / -(-walk.slope).exp_m1() };
        let first = Sum { max: walk.query_norm * norm - walk.slope * older[0].distance as f64, sum: 1.0 };
        Some(End { left_out, bound: first.over(all) * series.min(n_older as f64) })
    }

    /// All ends that walks may have.
    fn ends(&self) -> Vec<End> {
        let mut ends = vec![];
        for walk in &self.walks {
            let mut all = Sum::NOTHING;
            for (side, blocks) in walk.sides.iter().enumerate() {
                for (n, seen) in blocks.iter().enumerate() {
                    ends.extend(self.end(walk, side, n, all));
                    all = all.and(seen.sum);
                }
            }
        }
        ends
    }
}

/// Tight ends that a small margin decided: the side of the walk, and the place of its query in a block.
#[derive(Debug, Default)]
struct Decided {
    went_on: BTreeSet<(usize, usize)>,
    ended: BTreeSet<(usize, usize)>,
}

impl Decided {
    fn add(&mut self, other: Self) {
        self.went_on.extend(other.went_on);
        self.ended.extend(other.ended);
    }

    /// Asserts that at least so many places were decided, on either side.
    fn assert_at(&self, n: usize, n_sides: usize) {
        for side in 0..n_sides {
            for places in [&self.went_on, &self.ended] {
                let found = places.iter().filter(|place| place.0 == side).count();
                assert!(found >= n, "side {side}: only {found} places of a block had to decide");
            }
        }
    }
}

/// Runs with an epsilon around each of a number of ends, and checks each walk of each run. An encoder gives each side half of its
/// epsilon, `of_side`.
fn check(what: &str, of_side: f64, n_sinks: usize, run: impl Fn(f32, &Recorder)) -> Decided {
    let kernels = best();
    let recorded = |eps: f32, looks: bool| {
        let recorder =
            Recorder { kernels, walks: Mutex::default(), current: Mutex::default(), norms: Mutex::default(), looks };
        run(eps, &recorder);
        (recorder.walks.into_inner().unwrap(), recorder.norms.into_inner().unwrap())
    };
    let (walks, norms) = recorded(0.0, true);
    let n = walks.iter().map(|walk| walk.pos[0] + 1).max().unwrap_or(0);
    let of_slope = |slope: u64| {
        let norms = (0..n).map(|pos| norms.get(&(slope, pos)).copied().unwrap_or(0.0));
        let up_to = norms.scan(0.0, |largest: &mut f64, norm| {
            *largest = norm.max(*largest);
            Some(*largest)
        });
        (slope, up_to.collect())
    };
    let norms = norms.keys().map(|&(slope, _)| of_slope(slope)).collect();
    let truth = Truth { walks, norms, n_sinks };
    let (mut tight, mut loose): (Vec<_>, Vec<_>) =
        truth.ends().into_iter().filter(|end| (1e-30..10.0).contains(&end.left_out)).partition(End::is_tight);
    let mut decided = Decided::default();
    for (ends, most) in [(&mut tight, 6), (&mut loose, 3)] {
        ends.sort_by(|a, b| a.left_out.total_cmp(&b.left_out));
        ends.dedup_by(|a, b| a.left_out < 1.001 * b.left_out);
        for end in ends.iter().step_by(ends.len().div_ceil(most).max(1)) {
            for factor in [TOO_LITTLE, ENOUGH] {
                let eps = (end.left_out * factor) as f32;
                let walks = recorded((f64::from(eps) / of_side) as f32, false).0;
                check_run(what, &truth, f64::from(eps), &walks, &mut decided);
            }
        }
    }
    let (went_on, ended) = (decided.went_on.len(), decided.ended.len());
    println!("{what}: {} tight ends, {} others; {went_on} went on, {ended} ended", tight.len(), loose.len());
    decided
}

fn check_run(what: &str, truth: &Truth, eps: f64, walks: &[Walked], decided: &mut Decided) {
    assert_eq!(truth.walks.len(), walks.len(), "{what}");
    for (walk, found) in truth.walks.iter().zip(walks) {
        let mut all = Sum::NOTHING;
        for (side, blocks) in walk.sides.iter().enumerate() {
            let n_visited = found.sides.get(side).map_or(0, Vec::len);
            for (n, seen) in blocks.iter().take(n_visited).map(Some).chain([None]).enumerate() {
                let goes_on = seen.is_some();
                if let Some(end) = truth.end(walk, side, n, all) {
                    let at =
                        || format!("{what}: epsilon {eps:e}, {:?}, slope {}, behind {n} blocks", walk.pos, walk.slope);
                    if goes_on {
                        let must_end = end.is_tight() && end.left_out * ENOUGH * TOO_LITTLE < eps;
                        assert!(!must_end, "{} of side {side}, a walk goes on where all is seen: {end:?}", at());
                    } else {
                        let may_end = end.left_out <= eps;
                        assert!(may_end, "{} of side {side}, a walk leaves out what counts: {end:?}", at());
                    }
                    if end.is_tight() && (0.9..1.1).contains(&(eps / end.left_out)) {
                        let places = if goes_on { &mut decided.went_on } else { &mut decided.ended };
                        places.insert((side, walk.pos[0] % KV_BLOCK));
                    }
                }
                all = seen.map_or(all, |seen| all.and(seen.sum));
            }
        }
    }
}

/// An embedding whose first column alone determines the norm of the key; its mean is 0 and its variance 1.
fn embedding(row: &mut [f32], length: f32) {
    let n = row.len() as f32;
    let rest = ((n - 2.0 * length * length) / (n - 2.0)).sqrt();
    row.iter_mut().enumerate().for_each(|(i, x)| *x = if i % 2 == 0 { rest } else { -rest });
    (row[0], row[1]) = (length, -length);
}

fn tensor<'t>(tensors: &'t mut [Tensor], name: &str) -> &'t mut [f32] {
    &mut tensors.iter_mut().find(|tensor| tensor.name == name).expect(name).data
}

/// The rows of all tokens, in the order of [`LENGTHS`].
fn embed(tensors: &mut [Tensor], width: usize) {
    for (row, length) in tensor(tensors, "token_embd.weight").chunks_exact_mut(width).zip(LENGTHS.into_iter().cycle()) {
        embedding(row, length);
    }
}

/// Norm of the keys of the second KV head, over that of the first.
const SECOND: f32 = 0.75;

/// A decoder of one layer with four query heads and two KV heads. Its queries are all the same, and its keys the first column of
/// their tokens times a number.
#[derive(Clone, Copy, Debug)]
struct Decoder {
    head_dim: usize,
    /// `q · k * scale` of a key of length 1.
    score: f32,
    /// Source of the slopes, with `factor`.
    max_alibi_bias: f32,
    factor: f32,
}

/// Slopes of 4, 1, 1/4 and 1/16.
const STEEP: Decoder = Decoder { head_dim: 8, score: 12.0, max_alibi_bias: 8.0, factor: 16.0 };
/// Slopes of 1/4, 1/16, 1/64 and 1/256.
const FLAT: Decoder = Decoder { factor: 1.0, ..STEEP };
/// Slopes of 0.
const LEVEL: Decoder = Decoder { max_alibi_bias: 0.0, factor: 1.0, ..STEEP };

impl Decoder {
    fn file(&self) -> File {
        let spec = Spec {
            n_layer: 1,
            n_head: 4,
            n_head_kv: 2,
            head_dim: self.head_dim,
            n_ff: 8,
            biases: true,
            max_alibi_bias: Some(self.max_alibi_bias),
            ..MPT
        };
        let (mut tensors, width, n) = (spec.tensors(), spec.n_embd(), spec.head_dim);
        embed(&mut tensors, width);
        tensor(&mut tensors, "blk.0.attn_norm.weight").fill(1.0);
        tensor(&mut tensors, "blk.0.attn_norm.bias").fill(0.0);
        let weight = tensor(&mut tensors, "blk.0.attn_qkv.weight");
        weight[..(width + 2 * n) * width].fill(0.0);
        let gain = self.score / (n as f32).sqrt();
        let keys = weight[width * width..].chunks_exact_mut(width);
        keys.zip([vec![gain; n], vec![gain * SECOND; n]].concat()).for_each(|(row, gain)| row[0] = gain);
        let bias = tensor(&mut tensors, "blk.0.attn_qkv.bias");
        bias[..width].fill(1.0);
        bias[width..width + 2 * n].fill(0.0);
        spec.file_of(&tensors, "F32")
    }

    fn setup(&self, kv: KvType) -> Setup<'static> {
        Setup::default().with_kv(kv).with_batch(40).with_scale(AlibiScale::Factor(self.factor))
    }

    /// Checks a text of `n` tokens.
    fn check(&self, what: &str, setup: Setup<'_>, n: usize, text: impl Fn(usize) -> u32) -> Decided {
        let (file, tokens): (_, Vec<u32>) = (self.file(), (0..n).map(text).collect());
        check(what, 1.0, setup.config.n_sinks, |eps, kernels| {
            Setup { kernels, ..setup }.with_eps(eps).session(file.bytes(), |session| {
                session.prefill(&tokens).expect("room");
            });
        })
    }

    /// Checks the text that follows a snapshot of the first `n_prefix` tokens.
    fn check_behind(
        &self,
        what: &str,
        setup: Setup<'_>,
        n_prefix: usize,
        n: usize,
        text: impl Fn(usize) -> u32,
    ) -> Decided {
        let (file, tokens): (_, Vec<u32>) = (self.file(), (0..n).map(text).collect());
        let no_text = TextState { model_name: "", last_tokens: &[], seed: 0 };
        check(what, 1.0, setup.config.n_sinks, |eps, kernels| {
            let setup = Setup { kernels, ..setup }.with_eps(eps);
            let prefix = setup.session(file.bytes(), |session| {
                session.prefill(&tokens[..n_prefix]).expect("room");
                snapshot(session, file.bytes(), &no_text)
            });
            kernels.walks.lock().unwrap().clear();
            setup.session_behind(file.bytes(), &prefix, |session| {
                session.prefill(&tokens[n_prefix..]).expect("room");
            });
        })
    }
}

/// A key at the end of each block, the next that a walk would visit, and no other.
fn last_of_blocks(pos: usize) -> u32 {
    if pos % KV_BLOCK == KV_BLOCK - 1 { KEY } else { NONE }
}

/// Equal keys alone.
fn keys_only(_: usize) -> u32 {
    KEY
}

/// Two blocks of equal keys, and then shorter ones.
fn keys_first(pos: usize) -> u32 {
    if pos < 2 * KV_BLOCK { KEY } else { SHORT }
}

/// Longer keys before, and behind.
fn keys_between(pos: usize) -> u32 {
    [LONG, NONE, KEY, LONG, NONE][pos / KV_BLOCK % 5]
}

/// Shorter and shorter keys, and longer and longer ones.
fn shrinking(pos: usize) -> u32 {
    [LONG, KEY, SHORT, NONE][(pos / KV_BLOCK).min(3)]
}

fn growing(pos: usize) -> u32 {
    [NONE, SHORT, KEY, LONG][(pos / KV_BLOCK).min(3)]
}

/// One longer key, far back.
fn first_of_all(pos: usize) -> u32 {
    if pos == 0 { KEY } else { NONE }
}

type Text = (&'static str, fn(usize) -> u32);

const TEXTS: [Text; 7] = [
    ("the last key of each block", last_of_blocks),
    ("all keys alike", keys_only),
    ("long keys first", keys_first),
    ("long keys on both sides", keys_between),
    ("shrinking", shrinking),
    ("growing", growing),
    ("the first key of all", first_of_all),
];

#[test]
fn walks_end_where_they_may_and_not_before() {
    for kv in KvType::ALL {
        for (decoder, slopes) in [(STEEP, "steep"), (FLAT, "flat"), (LEVEL, "level")] {
            let mut decided = Decided::default();
            for (text, of) in TEXTS {
                decided.add(decoder.check(&format!("{kv}, {slopes}, {text}"), decoder.setup(kv), 140, of));
            }
            decided.assert_at(24, 1);
        }
    }
}

/// Two groups of columns, the second of 8, and keys so short that the series of the bias decides.
#[test]
fn other_heads_do_too() {
    let decoders = [
        (Decoder { head_dim: 40, ..STEEP }, "40 columns"),
        (Decoder { score: 1.0, ..STEEP }, "steep, small scores"),
        (Decoder { score: 1.0, ..FLAT }, "flat, small scores"),
    ];
    for kv in KvType::ALL {
        for (decoder, heads) in decoders {
            let mut decided = Decided::default();
            for (text, of) in TEXTS {
                decided.add(decoder.check(&format!("{kv}, {heads}, {text}"), decoder.setup(kv), 140, of));
            }
            decided.assert_at(16, 1);
        }
    }
}

fn endless(setup: Setup<'_>, n_ctx: usize, n_sinks: usize) -> Setup<'_> {
    Setup { config: SessionConfig { endless: true, n_ctx, n_sinks, ..setup.config }, ..setup }
}

#[test]
fn in_a_ring_too() {
    for kv in KvType::ALL {
        for (decoder, slopes) in [(STEEP, "steep"), (FLAT, "flat"), (LEVEL, "level")] {
            let mut decided = Decided::default();
            for (text, of) in TEXTS.into_iter().take(5) {
                let ring = decoder.setup(kv).with_ring(Ring::Keys(64));
                decided.add(decoder.check(&format!("{kv}, a ring of 64, {slopes}, {text}"), ring, 200, of));
                let endless = endless(decoder.setup(kv), 96, 0);
                decided.add(decoder.check(&format!("{kv}, without end, {slopes}, {text}"), endless, 200, of));
            }
            decided.assert_at(16, 1);
        }
    }
}

/// Sinks, with and without longer keys among those forgotten since.
#[test]
fn before_sinks_too() {
    for kv in KvType::ALL {
        for n_sinks in [1, 33, 64] {
            for (decoder, slopes) in [(STEEP, "steep"), (FLAT, "flat"), (LEVEL, "level")] {
                let mut decided = Decided::default();
                for (text, between, newest) in [
                    ("nothing since", NONE, NONE),
                    ("longer keys since", LONG, NONE),
                    ("shorter keys since", SHORT, SHORT),
                    ("longer keys in sight", NONE, LONG),
                    ("shorter keys first", NONE, NONE),
                ] {
                    let of = |pos| match pos {
                        _ if pos < n_sinks.min(KV_BLOCK) && text == "shorter keys first" => SHORT,
                        _ if pos < n_sinks => KEY,
                        _ if pos < 100 => between,
                        _ => newest,
                    };
                    let setup = endless(decoder.setup(kv), 64, n_sinks);
                    decided.add(decoder.check(&format!("{kv}, {n_sinks} sinks, {slopes}, {text}"), setup, 200, of));
                }
                decided.assert_at(if slopes == "flat" { 0 } else { 8 }, 1);
            }
        }
    }
}

/// Behind a snapshot of whole and of partial blocks, of all keys or of a ring.
#[test]
fn behind_a_prefix_too() {
    for kv in KvType::ALL {
        for (n_prefix, n_sinks) in [(64, 0), (100, 4)] {
            for (decoder, slopes) in [(STEEP, "steep"), (FLAT, "flat"), (LEVEL, "level")] {
                let mut decided = Decided::default();
                for (text, of) in TEXTS.into_iter().take(5) {
                    let setups = [decoder.setup(kv), endless(decoder.setup(kv).with_ring(Ring::Keys(64)), 96, n_sinks)];
                    for (setup, memory) in setups.into_iter().zip(["all kept", "a ring"]) {
                        let what = format!("{kv}, {n_prefix} before, {memory}, {n_sinks} sinks, {slopes}, {text}");
                        decided.add(decoder.check_behind(&what, setup, n_prefix, 170, of));
                    }
                }
                decided.assert_at(16, 1);
            }
        }
    }
}

/// An encoder of one layer with equal queries in each head, and shorter keys in every second head.
fn encoder_file(max_alibi_bias: f32) -> File {
    let spec = encoder::Spec { n_layer: 1, n_head: 4, n_ff: 8, max_alibi_bias, ..encoder::JINA };
    let (mut tensors, width) = (spec.tensors(), spec.n_embd());
    embed(&mut tensors, width);
    tensor(&mut tensors, "token_types.weight").fill(0.0);
    tensor(&mut tensors, "token_embd_norm.weight").fill(1.0);
    tensor(&mut tensors, "token_embd_norm.bias").fill(0.0);
    tensor(&mut tensors, "blk.0.attn_q.weight").fill(0.0);
    tensor(&mut tensors, "blk.0.attn_q.bias").fill(1.0);
    tensor(&mut tensors, "blk.0.attn_k.bias").fill(0.0);
    let gain = 12.0 / (spec.head_dim as f32).sqrt();
    let weight = tensor(&mut tensors, "blk.0.attn_k.weight");
    weight.fill(0.0);
    for (i, row) in weight.chunks_exact_mut(width).enumerate() {
        row[0] = if (i / spec.head_dim).is_multiple_of(2) { gain } else { gain * SECOND };
    }
    spec.parts_of(&tensors, "F32").file()
}

/// Different keys before and after a query.
#[test]
fn on_both_sides_of_an_encoder_too() {
    let texts: [Text; 8] = [
        ("all keys alike", keys_only),
        ("the last key of each block", last_of_blocks),
        ("the first key of each block", |pos| if pos % KV_BLOCK == 0 { KEY } else { NONE }),
        ("long keys on both sides", keys_between),
        ("shrinking", shrinking),
        ("growing", growing),
        ("long keys before", |pos| if pos < 40 { LONG } else { KEY }),
        ("long keys after", |pos| if pos < 90 { SHORT } else { KEY }),
    ];
    for kv in KvType::ALL {
        // Slopes from 1/4 on, from 0.84 on, and none.
        for (max_alibi_bias, slopes) in [(8.0, "flat"), (1.0, "steep"), (0.0, "level")] {
            let file = encoder_file(max_alibi_bias);
            let mut decided = Decided::default();
            for n in [97, 140] {
                for (text, of) in texts {
                    let tokens: Vec<u32> = (0..n).map(of).collect();
                    decided.add(check(&format!("{kv}, {n} tokens, {slopes}, {text}"), 0.5, 0, |eps, kernels| {
                        let setup = encoder::Setup { kernels, ..encoder::Setup::default() };
                        let setup = setup.with(|config| (config.kv, config.horizon_eps) = (kv.into(), eps));
                        setup.rows(file.bytes(), &tokens);
                    }));
                }
            }
            decided.assert_at(16, 2);
        }
    }
}
