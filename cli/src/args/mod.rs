//! Arguments that several commands share; arguments of one command are in its file.

pub mod draft;
pub mod environment;
pub mod grammar;
pub mod hub;
pub mod length;
pub mod logit_bias;
pub mod model;
pub mod rings;
pub mod sampler;
pub mod seed;
pub mod slopes;
pub mod text;
pub mod threads;
pub mod tokens;

use anyhow::Result;
use clap::Args;
use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};
use nearfield::{AlibiScale, EncoderConfig, KvType, KvTypes, Ring, SessionConfig};
use nearfield_host::encode::filled;
use nearfield_host::engine::{Engine, N_BATCH};
use nearfield_host::model_file::Repack;

use self::threads::ThreadsArgs;
pub use model::ModelArgs;

/// Settings of a session, and the machine that runs it.
#[derive(Args, Debug)]
pub struct SessionArgs {
    /// Type of the stored keys and values: f32, f16, q8_0 or q4_0; K,V sets one for keys and one for values
    #[arg(long, value_name = "TYPE|K,V", default_value = "f16", value_parser = kv_types)]
    pub kv: KvTypes,

    /// Newest keys kept by each head: full, a number, a share such as 2^-24 (drop keys whose bias leaves less than that share
    /// of the softmax), or the result of `nearfield plan` (heads:N,N,... or @FILE with its JSON)
    #[arg(long, value_name = "RING", default_value = "full", value_parser = rings::parse)]
    pub ring: Ring,

    /// First tokens of the text whose keys are kept in addition to the ring
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub sinks: usize,

    /// Share of the softmax that attention may skip: it stops once all older keys together hold less; 0 visits every key
    #[arg(long, value_name = "E", default_value = "2^-24", value_parser = share, allow_negative_numbers = true)]
    pub horizon_eps: f32,

    /// Round the bias to bfloat16, as the published code of Falcon-RW does; reproduces its logits, with less precision
    #[arg(long)]
    pub alibi_bf16: bool,

    /// ALiBi slopes: model (as the file says), a factor above 0 such as 0.5, or train:N (reduced in texts longer than the N
    /// tokens of the training)
    #[arg(long, value_name = "SCALE", default_value = "model", value_parser = slopes::parse, allow_negative_numbers = true)]
    pub alibi_scale: AlibiScale,

    #[command(flatten)]
    pub machine: MachineArgs,
}

impl SessionArgs {
    /// Configuration for `n_ctx` positions and `n_batch` tokens at a time.
    pub fn config(&self, n_ctx: usize, n_batch: usize) -> SessionConfig {
        SessionConfig {
            n_ctx,
            n_batch,
            kv: self.kv,
            ring: self.ring,
            n_sinks: self.sinks,
            endless: false,
            n_prefix: 0,
            horizon_eps: self.horizon_eps,
            n_draft: 0,
            alibi_bf16: self.alibi_bf16,
            alibi_scale: self.alibi_scale,
        }
    }
}

/// Threads, kernels and layout of the weights. None of them changes a bit of the results.
#[derive(Args, Clone, Debug)]
pub struct MachineArgs {
    #[command(flatten)]
    pub threads: ThreadsArgs,

    /// Instruction set of the kernels; does not change the results [default: the fastest of this machine]
    #[arg(long, value_name = "NAME")]
    pub isa: Option<String>,

    /// Interleave the rows of the weights while loading, for faster kernels
    #[arg(long, value_name = "WHEN", default_value = "auto", value_parser = repack())]
    pub repack: Repack,
}

impl MachineArgs {
    /// Engine with these threads and kernels.
    pub fn engine(&self) -> Result<Engine> {
        Ok(Engine::new(self.isa.as_deref(), self.threads.number()?)?)
    }
}

/// Settings of an encoder, and the machine that runs it.
#[derive(Args, Debug)]
pub struct EncoderArgs {
    /// Context size: tokens of the longest text that fits [default: those of the longest text given]
    #[arg(short, long, value_name = "N")]
    pub ctx: Option<usize>,

    /// Batch size: tokens that pass a layer together; does not change the results
    #[arg(long, value_name = "N", default_value_t = N_BATCH)]
    pub chunk: usize,

    /// Type of the keys and values: f32, f16, q8_0 or q4_0; K,V sets one for keys and one for values
    #[arg(long, value_name = "TYPE|K,V", default_value = "f32", value_parser = kv_types)]
    pub kv: KvTypes,

    /// Share of the softmax that attention may skip: it stops once all keys farther away together hold less; 0 visits every key
    #[arg(long, value_name = "E", default_value = "2^-24", value_parser = share, allow_negative_numbers = true)]
    pub horizon_eps: f32,

    #[command(flatten)]
    pub machine: MachineArgs,
}

impl EncoderArgs {
    /// Configuration for texts of these numbers of tokens.
    pub fn config(&self, lengths: impl Iterator<Item = usize> + Clone) -> EncoderConfig {
        let n_ctx = self.ctx.unwrap_or_else(|| lengths.clone().max().unwrap_or_default());
        let config =
            EncoderConfig { n_ctx, n_batch: self.chunk, n_documents: 1, kv: self.kv, horizon_eps: self.horizon_eps };
        filled(config, lengths)
    }
}

/// Parser of a fixed set of names, each with a value and a line of help.
pub fn one_of<T, const N: usize>(values: [(T, &'static str, &'static str); N]) -> impl TypedValueParser<Value = T>
where
    T: Copy + Send + Sync + 'static,
{
    let names = values.each_ref().map(|&(_, name, help)| PossibleValue::new(name).help(help));
    PossibleValuesParser::new(names).try_map(move |name| {
        values
            .into_iter()
            .find_map(|(value, of, _)| (of == name).then_some(value))
            .ok_or("is none of the possible values")
    })
}

/// Parser of `--repack`: when weights are interleaved as they are loaded.
pub fn repack() -> impl TypedValueParser<Value = Repack> {
    one_of([
        (Repack::Auto, "auto", "If it makes the kernels faster and memory suffices"),
        (Repack::On, "on", "Always"),
        (Repack::Off, "off", "Never; the file is used in place"),
    ])
}

/// Parses a number, or a power of two such as `2^-24`.
pub fn share(text: &str) -> Result<f32, &'static str> {
    let number = match text.strip_prefix("2^") {
        None => text.parse().ok(),
        Some(exponent) => exponent.parse().ok().map(|n| 2f32.powi(n)),
    };
    number.ok_or("a number such as 1e-6, or a power of two such as 2^-24")
}

/// Parses one type for keys and values, or two: `q8_0,q4_0`, or `q8_0/q4_0` where commas separate list items.
pub fn kv_types(text: &str) -> Result<KvTypes, &'static str> {
    let ty = |name: &str| KvType::ALL.into_iter().find(|ty| ty.name() == name);
    match text.split_once([',', '/']) {
        None => ty(text).map(KvTypes::both),
        Some((keys, values)) => ty(keys).zip(ty(values)).map(|(keys, values)| KvTypes { keys, values }),
    }
    .ok_or("one of f32, f16, q8_0 and q4_0, or two of them for keys and values, such as q8_0/q4_0")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_horizon_is_that_of_the_library() {
        assert_eq!(share("2^-24"), Ok(SessionConfig::HORIZON_EPS));
        assert_eq!([share("0"), share("1e-3"), share("-1")], [Ok(0.0), Ok(1e-3), Ok(-1.0)]);
        assert!(share("2^x").is_err() && share("").is_err());
    }
}
