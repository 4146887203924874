//! Attention of all heads for some tokens, cut into parts for the workers.

use core::sync::atomic::{AtomicU32, Ordering};

use nearfield_kernels::{BlockQ8, Parts, QK, Query, Tiles};

use crate::alibi;
use crate::attention::{TILE, Tile};
use crate::config::AlibiScale;
use crate::kv_type::KvType;
use crate::planned::Planned;
use crate::rounded::Rounded;
use crate::shape::Shape;
use crate::steps::{Steps, rows, rows_mut};

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

impl Heads {
    /// Computes attention of every head for the tokens at `pos..` into `out` (`[n_tokens, n_embd]`). The queries begin the rows
    /// of `queries` (`[n_tokens, stride]`). `walk` walks a query tile over the keys that it sees; it is given the KV head and
    /// the last position in the tile.
    ///
    /// A worker takes some heads of one KV head and some tokens whose positions lie in one block of keys. Flat heads, which
    /// look far back, come first.
    #[allow(clippy::too_many_arguments)]
    pub(crate) fn attend(
        &self,
        steps: &Steps<'_>,
        queries: &[f32],
        stride: usize,
        pos: usize,
        out: &mut [f32],
        q8: &mut [BlockQ8],
        visited: &[AtomicU32],
        walk: &(impl Fn(&mut Tile<'_>, usize, usize) + Sync),
    ) -> Planned {
        let s = steps.shape;
        let n_tokens = out.len() / s.n_embd.max(1);
        // Scores and values of all keys take `2 n_keys n_tokens n_embd` multiply-accumulates. Half is counted: flat heads visit all
        // keys, steep ones few.
        let n_keys = self.n_ctx.min(pos + n_tokens);
        let n_workers = steps.workers(n_keys.saturating_mul(n_tokens).saturating_mul(s.n_embd));
        let (n_heads, tile_tokens) = tile_shape(s, n_workers, n_tokens);
        let n_blocks = s.head_dim.div_ceil(QK);
        let q8_stride = s.n_head * n_blocks;
        let q8 = q8.get_mut(..n_tokens * q8_stride)?;
        let parts = Parts::from_last((
            Tiles::of_columns(out, s.n_embd, 0..s.n_embd, n_heads * s.head_dim).of_tokens(tile_tokens, pos),
            Tiles::of_columns(q8, q8_stride, 0..q8_stride, n_heads * n_blocks).of_tokens(tile_tokens, pos),
        ));
        steps.run(n_workers, &|| {
            while let Some((_, (mut out, mut q8))) = parts.take() {
                let first_head = out.start() / s.head_dim.max(1);
                let tokens = out.tokens();
                let rounded = self.alibi_bf16.then(|| Rounded { scale: s.bias_scale() });
                let bias_scale = if self.alibi_bf16 { 1.0 } else { s.bias_scale() };
                let mut tile = Tile::new(s.attention_scale(), self.horizon_eps, rounded);
                let rows_at = rows(queries, stride).zip(pos..).skip(tokens.start);
                for (((row, at), out), q8) in rows_at.zip(out.rows_mut()).zip(q8.rows_mut()) {
                    let queries = rows(row, s.head_dim).zip(0..).skip(first_head);
                    let places = rows_mut(out, s.head_dim).zip(rows_mut(q8, n_blocks));
                    for ((query, head), (out, q8)) in queries.zip(places) {
                        let query = match self.kv {
                            KvType::F32 | KvType::F16 => Query::F32(query),
                            KvType::Q8_0 | KvType::Q4_0 => {
                                steps.kernels.quantize_q8(query, q8);
                                Query::Q8(q8)
                            }
                        };
                        let slope = alibi::slope_at(s, self.alibi_scale, head, self.n_ctx.min(at + 1)) * bias_scale;
                        // The query tile has room: a part has no more queries than fit one.
                        tile.push(steps.kernels, query, at, slope, out);
                    }
                }
                let kv_head = first_head / s.heads_per_kv().max(1);
                walk(&mut tile, kv_head, pos + tokens.end.saturating_sub(1));
                let heads = (first_head..first_head + n_heads).cycle();
                for (n, head) in tile.finish(steps.kernels).zip(heads) {
                    if let Some(visited) = visited.get(head) {
                        visited.fetch_add(n, Ordering::Relaxed);
                    }
                }
            }
        });
        Some(())
    }
}

/// Heads and tokens of a part of attention: as many heads of a KV head as leave each worker four parts, and as many tokens as
/// then fit a query tile.
fn tile_shape(s: &Shape, n_workers: usize, n_tokens: usize) -> (usize, usize) {
    let n_parts = |n_heads: usize| s.n_head / n_heads * n_tokens.div_ceil(TILE / n_heads);
    let fits = |&n: &usize| s.heads_per_kv().is_multiple_of(n) && (n_workers <= 1 || n_parts(n) >= 4 * n_workers);
    let n_heads = (1..=TILE).rev().find(fits).unwrap_or(1);
    // A power of two, so that the blocks of positions are cut at multiples.
    (n_heads, 1 << (TILE / n_heads).checked_ilog2().unwrap_or(0))
}
