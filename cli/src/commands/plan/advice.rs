//! Changes that make a model fit, each checked by a plan of its own.

use anyhow::Result;
use nearfield::kernels::KV_BLOCK;
use nearfield::{Gguf, KvType, KvTypes, SessionConfig, Shape, TensorInfo, bias_cut};
use nearfield_host::plan::target::{Need, Target, Weights};
use nearfield_host::plan::{By, Choice, fitted};
use nearfield_kernels::block::WeightType;

use super::args::SMALL_BATCH;

/// Change after which everything that it concerns fits.
#[derive(Clone, Debug)]
pub struct Advice {
    /// Memory that has room then.
    pub memory: &'static str,
    /// Flags or a command that make the change.
    pub what: String,
    /// Bytes needed then.
    pub need: u64,
    /// Natural logarithm of the largest share of the softmax that is then cut off, by the bias alone; `None` if nothing is.
    pub bias_cut: Option<f32>,
}

/// Share of the softmax above which a ring's loss justifies longer advice: other types and batches are tried too.
const LITTLE: f32 = 1.0 / 1024.0;

/// Shortest context that is advised, in tokens: a shorter one holds hardly a sentence.
const SHORTEST: usize = 128;

/// Search for changes with which the RAM suffices.
pub struct Ram<'s> {
    pub shape: &'s Shape,
    pub target: &'s Target,
    pub config: SessionConfig,
    /// Memory that the weights take.
    pub weights: Weights,
}

impl Ram<'_> {
    /// Changes that help, the harmless ones first. Empty if even the shortest text does not fit.
    pub fn advice(&self) -> Result<Vec<Advice>> {
        let mut found = Vec::new();
        let here = self.config;
        let batches = [128, 64, 32, 16, 8, 4, 1].into_iter().filter(|&n| n < here.n_batch.min(here.n_ctx));
        let small = SessionConfig { n_batch: here.n_batch.min(SMALL_BATCH), ..here };
        let smaller_types = self.types_below(&here)?;
        found.extend(self.first(batches.map(|n_batch| SessionConfig { n_batch, ..here }))?);
        found.extend(self.first(smaller_types.iter().map(|&kv| SessionConfig { kv, ..here }))?);
        if found.is_empty() {
            found.extend(self.first(smaller_types.iter().map(|&kv| SessionConfig { kv, ..small }))?);
        }
        let smallest = SessionConfig { kv: smaller_types.last().copied().unwrap_or(here.kv), ..small };
        let by_ring = self.ring(&here)?;
        if by_ring.as_ref().is_none_or(|ring| ring.bias_cut.is_none_or(|cut| cut > LITTLE.ln())) && smallest != here {
            let ring = self.ring(&smallest)?;
            let is_better = |ring: &Advice| by_ring.as_ref().is_none_or(|other| ring.bias_cut < other.bias_cut);
            found.extend(ring.filter(is_better));
        }
        found.extend(by_ring);
        let shorter = self.context(&here)?;
        if shorter.is_none() {
            found.extend(self.context(&smallest)?);
        }
        found.extend(shorter);
        Ok(found)
    }

    /// Types of keys and values that take less memory, the largest first.
    fn types_below(&self, config: &SessionConfig) -> Result<Vec<KvTypes>> {
        let bytes = |kv: KvTypes| {
            Choice::new(By::Hand, self.shape, SessionConfig { kv, ..*config }).map(|choice| choice.plan.kv_cache)
        };
        let here = bytes(config.kv)?;
        let all = KvType::ALL.map(KvTypes::both).map(|kv| Ok((bytes(kv)?, kv)));
        let all: Result<Vec<(usize, KvTypes)>> = all.into_iter().collect();
        let mut below: Vec<(usize, KvTypes)> = all?.into_iter().filter(|&(bytes, _)| bytes < here).collect();
        below.sort_by_key(|&(bytes, _)| std::cmp::Reverse(bytes));
        Ok(below.into_iter().map(|(_, kv)| kv).collect())
    }

    /// RAM needed with this configuration.
    fn need(&self, config: &SessionConfig) -> Result<Option<Need>> {
        let choice = Choice::new(By::Hand, self.shape, *config)?;
        Ok(self.target.needs(&choice.plan, self.weights).into_iter().find(|need| need.memory == "RAM"))
    }

    /// First of the configurations that fits.
    fn first(&self, configs: impl Iterator<Item = SessionConfig>) -> Result<Option<Advice>> {
        for config in configs {
            if let Some(advice) = self.if_fits(&config, "")? {
                return Ok(Some(advice));
            }
        }
        Ok(None)
    }

    /// Advice for a configuration if it fits, with `more` flags.
    fn if_fits(&self, config: &SessionConfig, more: &str) -> Result<Option<Advice>> {
        let Some(need) = self.need(config)?.filter(Need::is_met) else { return Ok(None) };
        let mut flags = Vec::new();
        if config.n_batch != self.config.n_batch {
            flags.push(format!("--batch {}", config.n_batch));
        }
        if config.kv != self.config.kv {
            flags.push(format!("--kv {}", config.kv));
        }
        if config.n_ctx != self.config.n_ctx {
            flags.push(format!("--ctx {}", config.n_ctx));
        }
        if !more.is_empty() {
            flags.push(more.into());
        }
        let choice = Choice::new(By::Hand, self.shape, *config)?;
        let cut = choice.heads.iter().map(|head| head.bias_cut).fold(f32::NEG_INFINITY, f32::max);
        Ok(Some(Advice {
            memory: need.memory,
            what: flags.join(" "),
            need: need.bytes(),
            bias_cut: choice.forgets().then_some(cut),
        }))
    }

    /// Rings that fit in the memory that everything else leaves.
    fn ring(&self, config: &SessionConfig) -> Result<Option<Advice>> {
        let Some(need) = self.need(config)? else { return Ok(None) };
        let cache = Choice::new(By::Hand, self.shape, *config)?.cache_bytes() as u64;
        let Some(budget) = need.have.checked_sub(need.bytes() - cache) else { return Ok(None) };
        // A budget that holds not even one block gives no advice.
        let Ok(ring) = fitted(self.shape, config, budget, |head, n| bias_cut(self.shape, config, head, n)) else {
            return Ok(None);
        };
        let advice = self.if_fits(&SessionConfig { ring, ..*config }, &format!("--kv-budget {budget}"))?;
        // Rings so short that there is no bound on their loss are not advised.
        Ok(advice.filter(|advice| advice.bias_cut.is_none_or(|cut| cut < 0.0)))
    }

    /// Longest context that fits, in whole blocks; none below [`SHORTEST`].
    fn context(&self, config: &SessionConfig) -> Result<Option<Advice>> {
        let with = |n_blocks: usize| {
            let n_ctx = n_blocks * KV_BLOCK;
            SessionConfig { n_ctx, n_sinks: config.n_sinks.min(n_ctx), ..*config }
        };
        let (mut fits, mut too_long) = (0, config.n_ctx.div_ceil(KV_BLOCK));
        while too_long - fits > 1 {
            let middle = fits.midpoint(too_long);
            match self.need(&with(middle))? {
                Some(need) if need.is_met() => fits = middle,
                _ => too_long = middle,
            }
        }
        if fits * KV_BLOCK < SHORTEST { Ok(None) } else { self.if_fits(&with(fits), "") }
    }
}

/// Largest type to which the file can be quantized so that the memory for the model suffices.
///
/// - `n_layers`: layers that stay in memory; `None` for all
pub fn smaller_weights(gguf: &Gguf<'_>, weights: Weights, n_layers: Option<usize>, need: &Need) -> Option<Advice> {
    let file = weights.resident;
    let others = need.bytes() - file;
    let sizes =
        [WeightType::Q8_0, WeightType::Q5_0, WeightType::Q4_0].map(|ty| (ty, file_size(gguf, file, n_layers, ty)));
    let (ty, size) = sizes.into_iter().find(|&(_, size)| size < file && others + size <= need.have)?;
    let what = format!("nearfield quantize --pure IN.gguf OUT.gguf {}", ty.name());
    Some(Advice { memory: need.memory, what, need: others + size, bias_cut: None })
}

/// Bytes of the part of a file in memory with its matrices quantized to this type, where that makes them smaller.
fn file_size(gguf: &Gguf<'_>, file: u64, n_layers: Option<usize>, ty: WeightType) -> u64 {
    let (block, n) = (ty.block_bytes() as u64, ty.block_len() as u64);
    let is_there = |tensor: &TensorInfo<'_>| n_layers.is_none_or(|n| tensor.layer().is_none_or(|layer| layer < n));
    let saved = gguf.tensors().filter(is_there).map(|tensor| {
        let n_columns = tensor.dims[0];
        let bytes = tensor.n_bytes().unwrap_or(0);
        let n_weights: u64 = tensor.dims[..tensor.n_dims].iter().product();
        let is_matrix = tensor.n_dims > 1 && n_columns.is_multiple_of(n);
        if is_matrix { bytes.saturating_sub(n_weights / n * block) } else { 0 }
    });
    file - saved.sum::<u64>()
}
