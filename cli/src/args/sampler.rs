//! Settings of sampling.

use clap::Args;
use nearfield::SamplerConfig;

use super::seed::Seed;

#[derive(Args, Debug)]
pub struct SamplerArgs {
    /// Sampling temperature; 0 always takes the likeliest token
    #[arg(long, value_name = "T", default_value_t = SamplerConfig::default().temp, allow_negative_numbers = true)]
    pub temp: f32,

    /// Sample from the K likeliest tokens; 0 disables
    #[arg(long, value_name = "K", default_value_t = SamplerConfig::default().top_k)]
    pub top_k: usize,

    /// Sample from the likeliest tokens whose probabilities add up to P; 1 disables
    #[arg(long, value_name = "P", default_value_t = SamplerConfig::default().top_p, allow_negative_numbers = true)]
    pub top_p: f32,

    /// Drop tokens less likely than P times the likeliest; 0 disables
    #[arg(long, value_name = "P", default_value_t = SamplerConfig::default().min_p, allow_negative_numbers = true)]
    pub min_p: f32,

    /// Penalty on tokens of the last 64; 1 disables
    #[arg(long, value_name = "R", default_value_t = SamplerConfig::default().repeat_penalty, allow_negative_numbers = true)]
    pub repeat_penalty: f32,

    /// Random seed; the same seed gives the same text; -1: a new one each time [default: that of the snapshot, or a new one]
    #[arg(short, long, value_name = "S", allow_negative_numbers = true)]
    pub seed: Option<Seed>,
}

impl SamplerArgs {
    /// Settings of the sampler, but for the seed, which each text has of its own.
    pub fn config(&self) -> SamplerConfig {
        let &Self { temp, top_k, top_p, min_p, repeat_penalty, seed: _ } = self;
        SamplerConfig { temp, top_k, top_p, min_p, repeat_penalty, ..SamplerConfig::default() }
    }
}
