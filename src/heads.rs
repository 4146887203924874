//! Attention of all heads for some tokens of one text or several, cut into parts for the workers.

use core::sync::atomic::Ordering;

use heapless::Vec;
use nearfield_kernels::atomic::AtomicU32;
use nearfield_kernels::{BlockQ8, Parts, QK, Query, Tiles};

use crate::alibi;
use crate::attention::{TILE, Tile};
use crate::config::AlibiScale;
use crate::kv_type::KvType;
use crate::planned::Planned;
use crate::rounded::Rounded;
use crate::shape::Shape;
use crate::steps::{Steps, TOGETHER, rows, rows_mut};

/// Settings of attention that all heads share.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Heads {
    /// Type of the stored keys.
    pub(crate) kv: KvType,
    /// Share of the softmax denominator that a walk may leave out.
    pub(crate) horizon_eps: f32,
    /// True if the bias is rounded as [`Rounded`] does.
    pub(crate) alibi_bf16: bool,
    /// Scale of the slopes.
    pub(crate) alibi_scale: AlibiScale,
    /// Greatest number of keys that a query sees.
    pub(crate) n_ctx: usize,
}

/// Queries of one text, in consecutive rows, and the keys that they see.
pub(crate) struct Queries<'q, W> {
    pub(crate) heads: Heads,
    /// Position of the first.
    pub(crate) pos: usize,
    pub(crate) n_tokens: usize,
    /// Counts of keys visited, one for each head.
    pub(crate) visited: &'q [AtomicU32],
    /// Walks a query tile over the keys that it sees; is given the KV head and the last position in the tile.
    pub(crate) walk: W,
}

/// Queries of a text with their results, cut into parts.
struct Cut<'q, W> {
    text: Queries<'q, W>,
    /// Rows of the text.
    rows: &'q [f32],
    parts: Parts<(Tiles<'q, f32>, Tiles<'q, BlockQ8>)>,
}

/// Computes attention of every head for the queries of `texts` into `out` (`[n_rows, n_embd]`). The queries begin the rows of
/// `queries` (`[n_rows, stride]`), text by text.
///
/// A worker takes some heads of one KV head and some tokens of one text whose positions lie in one block of keys. Flat heads,
/// which look far back, come first.
pub(crate) fn attend<'q, W: Fn(&mut Tile<'_>, usize, usize) + Sync>(
    steps: &Steps<'_>,
    queries: &'q [f32],
    stride: usize,
    out: &'q mut [f32],
    q8: &'q mut [BlockQ8],
    texts: impl IntoIterator<Item = Queries<'q, W>>,
) -> Planned {
    let s = steps.shape;
    let n_blocks = s.head_dim.div_ceil(QK);
    let q8_stride = s.n_head * n_blocks;
    let (mut queries, mut out, mut q8) = (queries, out, q8);
    let mut texts = texts.into_iter().fuse();
    loop {
        let mut group = Vec::<_, TOGETHER>::new();
        for text in texts.by_ref().take(TOGETHER) {
            group.push(Some(text)).ok()?;
        }
        if group.is_empty() {
            return Some(());
        }
        // Scores and values of all keys take `2 n_keys n_tokens n_embd` multiply-accumulates. Half is counted: flat heads visit all
        // keys, steep ones few.
        let macs = |text: &Queries<'_, W>| {
            let n_keys = text.heads.n_ctx.min(text.pos + text.n_tokens);
            n_keys.saturating_mul(text.n_tokens).saturating_mul(s.n_embd)
        };
        let n_workers = steps.workers(group.iter().flatten().map(macs).fold(0, usize::saturating_add));
        let (n_heads, tile_tokens) = tile_shape(s, n_workers, group.iter().flatten().map(|text| text.n_tokens));
        let mut cuts = Vec::<_, TOGETHER>::new();
        // Taken one by one: a vector that is moved out of has a branch that panics.
        for text in group.iter_mut().filter_map(Option::take) {
            let rows;
            (rows, queries) = queries.split_at_checked(text.n_tokens * stride)?;
            let (own_out, rest_out) = out.split_at_mut_checked(text.n_tokens * s.n_embd)?;
            let (own_q8, rest_q8) = q8.split_at_mut_checked(text.n_tokens * q8_stride)?;
            (out, q8) = (rest_out, rest_q8);
            let parts = Parts::from_last((
                Tiles::of_columns(own_out, s.n_embd, 0..s.n_embd, n_heads * s.head_dim)
                    .of_tokens(tile_tokens, text.pos),
                Tiles::of_columns(own_q8, q8_stride, 0..q8_stride, n_heads * n_blocks).of_tokens(tile_tokens, text.pos),
            ));
            cuts.push(Cut { text, rows, parts }).ok()?;
        }
        steps.run(n_workers, &|| cuts.iter().for_each(|cut| cut.work(steps, stride, n_heads)));
    }
}

impl<W: Fn(&mut Tile<'_>, usize, usize) + Sync> Cut<'_, W> {
    /// Takes parts of `n_heads` heads until none is left.
    fn work(&self, steps: &Steps<'_>, stride: usize, n_heads: usize) {
        let (s, Queries { heads, pos, .. }) = (steps.shape, &self.text);
        let n_blocks = s.head_dim.div_ceil(QK);
        while let Some((_, (mut out, mut q8))) = self.parts.take() {
            let first_head = out.start() / s.head_dim.max(1);
            let tokens = out.tokens();
            let rounded = heads.alibi_bf16.then(|| Rounded { scale: s.bias_scale() });
            let bias_scale = if heads.alibi_bf16 { 1.0 } else { s.bias_scale() };
            let mut tile = Tile::new(s.attention_scale(), heads.horizon_eps, rounded);
            let rows_at = rows(self.rows, stride).zip(*pos..).skip(tokens.start);
            for (((row, at), out), q8) in rows_at.zip(out.rows_mut()).zip(q8.rows_mut()) {
                let queries = rows(row, s.head_dim).zip(0..).skip(first_head);
                let places = rows_mut(out, s.head_dim).zip(rows_mut(q8, n_blocks));
                for ((query, head), (out, q8)) in queries.zip(places) {
                    let query = match heads.kv {
                        KvType::F32 | KvType::F16 => Query::F32(query),
                        KvType::Q8_0 | KvType::Q4_0 => {
                            steps.kernels.quantize_q8(query, q8);
                            Query::Q8(q8)
                        }
                    };
                    let slope = alibi::slope_at(s, heads.alibi_scale, head, heads.n_ctx.min(at + 1)) * bias_scale;
                    // The query tile has room: a part has no more queries than fit one.
                    tile.push(steps.kernels, query, at, slope, out);
                }
            }
            let kv_head = first_head / s.heads_per_kv().max(1);
            (self.text.walk)(&mut tile, kv_head, pos + tokens.end.saturating_sub(1));
            let in_turn = (first_head..first_head + n_heads).cycle();
            for (n, head) in tile.finish(steps.kernels).zip(in_turn) {
                if let Some(visited) = self.text.visited.get(head) {
                    visited.fetch_add(n, Ordering::Relaxed);
                }
            }
        }
    }
}

/// Heads and tokens of a part of attention over texts of these numbers of tokens: as many heads of a KV head as leave each
/// worker four parts, and as many tokens as then fit a query tile.
fn tile_shape(s: &Shape, n_workers: usize, n_tokens: impl Iterator<Item = usize> + Clone) -> (usize, usize) {
    let tokens_beside = |n_heads: usize| (TILE / n_heads.max(1)).max(1);
    let n_parts = |n_heads: usize| {
        let n_tiles: usize = n_tokens.clone().map(|n| n.div_ceil(tokens_beside(n_heads))).sum();
        s.n_head / n_heads.max(1) * n_tiles
    };
    let fits = |&n: &usize| s.heads_per_kv().is_multiple_of(n) && (n_workers <= 1 || n_parts(n) >= 4 * n_workers);
    let n_heads = (1..=TILE).rev().find(fits).unwrap_or(1);
    // A power of two, so that the blocks of positions are cut at multiples.
    (n_heads, 1 << tokens_beside(n_heads).checked_ilog2().unwrap_or(0))
}
