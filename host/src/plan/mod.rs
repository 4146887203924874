//! Plans: the memory of a session before it runs, rings for a budget, and whether a machine has room for both.
//!
//! - [`boards`]: machines by name
//! - [`target`]: memory that a model needs on a machine
//! - [`calibrate`]: shares of the attention that rings cut off on a text
//! - [`certify`]: bounds of these shares on any text
//! - [`speed`]: tokens per second on a board, computed

pub mod boards;
pub mod calibrate;
pub mod certify;
pub mod speed;
pub mod target;

use nearfield::kernels::KV_BLOCK;
use nearfield::{HeadPlan, MemoryPlan, Ring, SessionConfig, Shape, alibi, bias_cut, fit_rings};

use crate::error::Result;

use calibrate::Calibration;

/// Criterion that rings were chosen by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum By {
    /// Rings given by the caller.
    Hand,
    /// Shares that the bias alone cuts off: [`bias_cut`].
    Bias,
    /// Shares that the bias cuts off, with the spread of scores that the weights allow.
    Weights,
    /// Shares that were cut off on a text.
    Text,
}

/// Rings, with the memory that they take.
#[derive(Clone, Debug)]
pub struct Choice {
    /// Criterion that the rings were chosen by.
    pub by: By,
    /// Configuration with the rings.
    pub config: SessionConfig,
    /// Memory plan of the session.
    pub plan: MemoryPlan,
    /// Rings of the KV heads. `[n_head_kv]`
    pub heads: Vec<HeadPlan>,
}

impl Choice {
    /// Plans the memory and the rings of a configuration.
    ///
    /// # Errors
    /// When the configuration has no plan.
    pub fn new(by: By, shape: &Shape, config: SessionConfig) -> Result<Self> {
        let plan = MemoryPlan::new(shape, &config)?;
        let heads = (0..shape.n_head_kv).map(|head| HeadPlan::new(shape, &config, head));
        Ok(Self { by, config, plan, heads: heads.collect::<Result<_, _>>()? })
    }

    /// Bytes of the keys and values of a KV head, in all layers.
    pub fn bytes_of(&self, head: usize) -> usize {
        let rows: usize = self.heads.iter().map(|head| head.n_rows).sum();
        (self.plan.kv_cache as u128 * self.heads[head].n_rows as u128 / rows as u128) as usize
    }

    /// True if some head drops keys that the context has.
    pub fn forgets(&self) -> bool {
        self.heads.iter().any(|head| head.bias_cut > f32::NEG_INFINITY)
    }

    /// Bytes that depend on the rings.
    pub fn cache_bytes(&self) -> usize {
        self.plan.kv_cache + self.plan.key_norms
    }
}

/// Rings of `config`, those that fit `budget` bytes, or those that lose at most `loss` by the bias.
///
/// # Errors
/// When the budget has no room for a block of keys, or the configuration has no plan.
pub fn by_bias(shape: &Shape, config: &SessionConfig, budget: Option<u64>, loss: Option<f32>) -> Result<Choice> {
    let (by, ring) = match (budget, loss) {
        (Some(budget), _) => (By::Bias, fitted(shape, config, budget, |head, n| bias_cut(shape, config, head, n))?),
        (None, Some(loss)) => (By::Bias, Ring::Bias(loss)),
        (None, None) => (By::Hand, config.ring),
    };
    Choice::new(by, shape, SessionConfig { ring, ..*config })
}

/// Rings for any text, with scores that differ by at most `spread` in each KV head. `[n_head_kv]`
///
/// # Errors
/// When the budget has no room for a block of keys, or the configuration has no plan.
pub fn for_any_text(
    shape: &Shape,
    config: &SessionConfig,
    budget: Option<u64>,
    loss: f32,
    spread: &[f64],
) -> Result<Choice> {
    let cut = |head, n| bias_cut(shape, config, head, n) + spread[head] as f32;
    let ring = match budget {
        Some(budget) => fitted(shape, config, budget, cut)?,
        None => shortest(shape, config, loss, cut),
    };
    Choice::new(By::Weights, shape, SessionConfig { ring, ..*config })
}

/// Rings that cut off least on a text.
///
/// # Errors
/// When the budget has no room for a block of keys, or the configuration has no plan.
pub fn by_measurement(
    shape: &Shape,
    config: &SessionConfig,
    budget: Option<u64>,
    loss: f32,
    found: &Calibration,
) -> Result<Choice> {
    let cut = |head, n| found.ln_cut(head, n);
    let ring = match budget {
        Some(budget) => fitted(shape, config, budget, cut)?,
        None => shortest(shape, config, loss, cut),
    };
    Choice::new(By::Text, shape, SessionConfig { ring, ..*config })
}

/// Shortest rings that cut off at most `loss`; `cut` is the logarithm of the share that a ring cuts off.
fn shortest(shape: &Shape, config: &SessionConfig, loss: f32, cut: impl Fn(usize, usize) -> f32) -> Ring {
    let all = config.n_ctx.div_ceil(KV_BLOCK);
    let blocks = |head| (1..all).find(|&n| cut(head, n) <= loss.ln()).unwrap_or(all);
    let keys = |head| config.n_ctx.min(blocks(head) * KV_BLOCK) as u32;
    heads_ring((0..shape.n_head_kv).map(keys).collect(), config)
}

/// Rings within a budget of bytes.
///
/// # Errors
/// When the budget has no room for a block of keys.
pub fn fitted(shape: &Shape, config: &SessionConfig, budget: u64, bound: impl Fn(usize, usize) -> f32) -> Result<Ring> {
    let mut keys = vec![0; shape.n_head_kv];
    let budget = usize::try_from(budget).unwrap_or(usize::MAX);
    fit_rings(shape, config, budget, &mut keys, bound)?;
    Ok(heads_ring(keys, config))
}

/// Rings of all heads. Their memory is leaked: a program makes few plans.
fn heads_ring(keys: Vec<u32>, config: &SessionConfig) -> Ring {
    let is_full = keys.iter().all(|&n| n as usize == config.n_ctx);
    if is_full { Ring::Full } else { Ring::Heads(keys.leak()) }
}

/// Flattest slope of the query heads of a KV head, for a query that sees the whole context.
pub fn slope(shape: &Shape, config: &SessionConfig, head: usize) -> f32 {
    let n = shape.heads_per_kv();
    let slope = |head| alibi::slope_at(shape, config.alibi_scale, head, config.n_ctx) * shape.bias_scale();
    (head * n..(head + 1) * n).map(slope).fold(f32::INFINITY, f32::min)
}
