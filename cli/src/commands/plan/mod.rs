//! `nearfield plan`: the memory of a session before it runs, rings for a budget, and whether a machine has room for it.
//!
//! - [`args`]: what can be asked
//! - [`boards`]: machines by name
//! - [`target`]: what a model takes on one of them
//! - [`advice`]: what would make it fit
//! - [`calibrate`]: what rings cut off of the attention on a text
//! - [`certify`]: what they cut off at most on any
//! - [`output`]: all of it as text and as JSON

mod advice;
mod args;
mod boards;
mod calibrate;
mod certify;
mod output;
mod target;

use anyhow::{Context, Result};
use nearfield::kernels::{self, KV_BLOCK};
use nearfield::{HeadPlan, MemoryPlan, Model, Ring, SessionConfig, SessionError, Shape, alibi, bias_cut, fit_rings};

use crate::terminal::monitor;

pub use args::PlanArgs;
use calibrate::Calibration;
use target::Target;

use nearfield_host::engine::N_BATCH;
use nearfield_host::model_file::ModelFile;

/// Tokens at a time on a microcontroller.
const SMALL_BATCH: usize = 8;

/// Prints the plan.
pub fn plan(args: &PlanArgs) -> Result<()> {
    let file = ModelFile::open(args.first.clone().or_else(|| args.model.model.clone()), monitor())?;
    let model = file.model()?;
    let shape = model.shape();
    if shape.arch.is_encoder() {
        return Err(SessionError::Encoder { arch: shape.arch.name }).with_context(|| file.name.clone());
    }
    let target = Target::new(args);
    let config = config(args, target.as_ref());
    let mut choices = vec![by_bias(args, shape, &config)?];
    let spread = match args.certify {
        true => Some(certify::spread(&model, kernels::best(), &config)?),
        false => None,
    };
    if let Some(spread) = &spread {
        choices.push(for_any_text(args, shape, &config, spread)?);
    }
    let calibration = calibrate::calibration(args, &file, &model, &config)?;
    if let Some(calibration) = &calibration {
        choices.push(by_measurement(args, shape, &config, calibration)?);
    }
    output::print(&Sheet { args, file: &file, model: &model, choices, calibration, spread, target })
}

/// All that is told.
struct Sheet<'s> {
    args: &'s PlanArgs,
    file: &'s ModelFile,
    model: &'s Model<'s>,
    /// Rings by what there is to choose them by; the last are those that count. At least one.
    choices: Vec<Choice>,
    calibration: Option<Calibration>,
    /// How far scores may lie apart on any text: see [`certify`]. `[n_head_kv]`
    spread: Option<Vec<f64>>,
    target: Option<Target>,
}

/// What rings were chosen by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum By {
    /// Given.
    Hand,
    /// See [`bias_cut`].
    Bias,
    /// The same, with the spread of scores that the weights allow.
    Weights,
    /// What was cut off of a text.
    Text,
}

/// Rings, and what they come to.
#[derive(Clone, Debug)]
struct Choice {
    by: By,
    config: SessionConfig,
    plan: MemoryPlan,
    /// `[n_head_kv]`
    heads: Vec<HeadPlan>,
}

impl Choice {
    fn new(by: By, shape: &Shape, config: SessionConfig) -> Result<Self> {
        let plan = MemoryPlan::new(shape, &config)?;
        let heads = (0..shape.n_head_kv).map(|head| HeadPlan::new(shape, &config, head));
        Ok(Self { by, config, plan, heads: heads.collect::<Result<_, _>>()? })
    }

    /// Bytes of the keys and values of a head, in all layers.
    fn bytes_of(&self, head: usize) -> usize {
        let rows: usize = self.heads.iter().map(|head| head.n_rows).sum();
        (self.plan.kv_cache as u128 * self.heads[head].n_rows as u128 / rows as u128) as usize
    }

    /// Whether some head forgets keys that the context has.
    fn forgets(&self) -> bool {
        self.heads.iter().any(|head| head.bias_cut > f32::NEG_INFINITY)
    }

    /// Bytes that depend on the rings.
    fn cache_bytes(&self) -> usize {
        self.plan.kv_cache + self.plan.key_norms
    }
}

fn config(args: &PlanArgs, target: Option<&Target>) -> SessionConfig {
    let is_small = target.is_some_and(Target::is_small);
    SessionConfig {
        n_ctx: args.ctx,
        n_batch: args.batch.unwrap_or(if is_small { SMALL_BATCH } else { N_BATCH }),
        kv: args.kv,
        ring: args.ring,
        n_sinks: args.sinks,
        endless: args.endless,
        alibi_scale: args.alibi_scale,
        ..SessionConfig::default()
    }
}

/// The rings that were asked for, those that the budget has room for, or those that lose as little as is asked for.
fn by_bias(args: &PlanArgs, shape: &Shape, config: &SessionConfig) -> Result<Choice> {
    let (by, ring) = match args.kv_budget {
        Some(budget) => (By::Bias, fitted(shape, config, budget, |head, n| bias_cut(shape, config, head, n))?),
        None if args.calibrate.is_some() || args.certify => (By::Bias, Ring::Bias(args.loss)),
        None => (By::Hand, config.ring),
    };
    Choice::new(by, shape, SessionConfig { ring, ..*config })
}

/// The same for scores that may lie so far apart.
fn for_any_text(args: &PlanArgs, shape: &Shape, config: &SessionConfig, spread: &[f64]) -> Result<Choice> {
    let cut = |head, n| bias_cut(shape, config, head, n) + spread[head] as f32;
    let ring = match args.kv_budget {
        Some(budget) => fitted(shape, config, budget, cut)?,
        None => shortest(shape, config, args.loss, cut),
    };
    Choice::new(By::Weights, shape, SessionConfig { ring, ..*config })
}

/// Those by which least was cut off of a text.
fn by_measurement(args: &PlanArgs, shape: &Shape, config: &SessionConfig, found: &Calibration) -> Result<Choice> {
    let cut = |head, n| found.ln_cut(head, n);
    let ring = match args.kv_budget {
        Some(budget) => fitted(shape, config, budget, cut)?,
        None => shortest(shape, config, args.loss, cut),
    };
    Choice::new(By::Text, shape, SessionConfig { ring, ..*config })
}

/// The shortest rings that cut off no more than `loss`, by the logarithm of what they cut off.
fn shortest(shape: &Shape, config: &SessionConfig, loss: f32, cut: impl Fn(usize, usize) -> f32) -> Ring {
    let all = config.n_ctx.div_ceil(KV_BLOCK);
    let blocks = |head| (1..all).find(|&n| cut(head, n) <= loss.ln()).unwrap_or(all);
    let keys = |head| config.n_ctx.min(blocks(head) * KV_BLOCK) as u32;
    heads_ring((0..shape.n_head_kv).map(keys).collect(), config)
}

/// Rings within a budget.
fn fitted(shape: &Shape, config: &SessionConfig, budget: u64, bound: impl Fn(usize, usize) -> f32) -> Result<Ring> {
    let mut keys = vec![0; shape.n_head_kv];
    let budget = usize::try_from(budget).unwrap_or(usize::MAX);
    fit_rings(shape, config, budget, &mut keys, bound)?;
    Ok(heads_ring(keys, config))
}

/// A ring for each head. They stay for as long as the program runs, which plans but a few.
fn heads_ring(keys: Vec<u32>, config: &SessionConfig) -> Ring {
    let is_full = keys.iter().all(|&n| n as usize == config.n_ctx);
    if is_full { Ring::Full } else { Ring::Heads(keys.leak()) }
}

/// What a distance is multiplied with by the flattest query head of a KV head, for a query that sees the whole context.
fn slope(shape: &Shape, config: &SessionConfig, head: usize) -> f32 {
    let n = shape.heads_per_kv();
    let slope = |head| alibi::slope_at(shape, config.alibi_scale, head, config.n_ctx) * shape.bias_scale();
    (head * n..(head + 1) * n).map(slope).fold(f32::INFINITY, f32::min)
}
