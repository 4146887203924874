//! Samplers with all steps: their settings, and what they need of a vocabulary.
//!
//! ```
//! use nearfield::SamplerConfig;
//! use nearfield_host::sampler::SamplerOptions;
//!
//! let config = SamplerConfig { dry_multiplier: 0.8, ..SamplerConfig::default() };
//! let options = SamplerOptions { config, ignore_eos: true, ..SamplerOptions::default() };
//! options.check()?;
//! # Ok::<(), nearfield_host::Error>(())
//! ```

mod dry_breakers;

use nearfield::tokenizer::{EncodeOptions, Tokenizer};
use nearfield::{Sampler, SamplerConfig, SamplerError, SamplerLists, TextState};

use crate::error::{Result, ensure};
use crate::text;
use dry_breakers::Breakers;

/// Most biases of a sampler, after texts became tokens.
const MAX_BIASES: usize = 4096;

/// Settings of sampling, for any model.
#[derive(Clone, Debug, PartialEq)]
pub struct SamplerOptions {
    /// Settings of the steps. Windows of tokens count at most the positions of the context.
    pub config: SamplerConfig,
    /// Numbers that are added to the logits of tokens; -∞ forbids a token.
    pub logit_bias: Vec<(Biased, f32)>,
    /// Texts that no repetition reaches across, for DRY.
    pub dry_sequence_breakers: Vec<String>,
    /// True if the tokens that end a text are forbidden.
    pub ignore_eos: bool,
}

/// Tokens of a bias.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Biased {
    /// A token.
    Token(u32),
    /// Each token of a text.
    Text(String),
}

impl Default for SamplerOptions {
    /// The defaults of llama.cpp.
    fn default() -> Self {
        Self {
            config: SamplerConfig::default(),
            logit_bias: Vec::new(),
            dry_sequence_breakers: ["\n", ":", "\"", "*"].map(String::from).to_vec(),
            ignore_eos: false,
        }
    }
}

impl SamplerOptions {
    /// Most bytes of a breaker, as in llama.cpp.
    pub const MAX_BREAKER_BYTES: usize = 40;

    /// Checks the settings that need no vocabulary.
    ///
    /// # Errors
    /// When a setting is out of range.
    pub fn check(&self) -> Result<()> {
        // The window does not matter for the other settings.
        let config = SamplerConfig { repeat_last_n: 0, dry_penalty_last_n: 0, ..self.config };
        Sampler::with_memory(config, SamplerLists::NONE, &mut [])?;
        for text in &self.dry_sequence_breakers {
            ensure!(!text.is_empty(), "a DRY sequence breaker of no letters");
            ensure!(
                text.len() <= Self::MAX_BREAKER_BYTES,
                "a DRY sequence breaker of {} bytes: it may have {}",
                text.len(),
                Self::MAX_BREAKER_BYTES
            );
        }
        Ok(())
    }

    /// Settings and lists for texts of a vocabulary in a context of `n_ctx` positions.
    ///
    /// - `is_stored`: true if texts continue a snapshot or become one
    ///
    /// # Errors
    /// When a setting is out of range, a token does not exist, or the sampler looks at more tokens than a snapshot has.
    pub fn prepare(&self, tokenizer: &Tokenizer<'_, '_>, n_ctx: usize, is_stored: bool) -> Result<PreparedSampler> {
        self.check()?;
        let SamplerConfig { repeat_last_n, dry_penalty_last_n, .. } = self.config;
        let config = SamplerConfig {
            repeat_last_n: repeat_last_n.min(n_ctx),
            dry_penalty_last_n: dry_penalty_last_n.min(n_ctx),
            ..self.config
        };
        if is_stored {
            check_stored(&config)?;
        }
        let breakers = match config.dry_multiplier {
            0.0 => Breakers::default(),
            _ => Breakers::new(tokenizer, &self.dry_sequence_breakers)?,
        };
        Ok(PreparedSampler { config, logit_bias: self.biases(tokenizer)?, breakers })
    }

    /// Biases of tokens, those that forbid end tokens among them.
    ///
    /// # Errors
    /// When a token does not exist, or there are too many.
    pub fn biases(&self, tokenizer: &Tokenizer<'_, '_>) -> Result<Vec<(u32, f32)>> {
        let mut biases = Vec::new();
        for (biased, bias) in &self.logit_bias {
            match biased {
                Biased::Token(token) => {
                    let n_tokens = tokenizer.n_tokens();
                    ensure!(
                        (*token as usize) < n_tokens,
                        "a bias of token {token}, which is not below the vocabulary's size {n_tokens}"
                    );
                    biases.push((*token, *bias));
                }
                Biased::Text(text) => {
                    let options = EncodeOptions { continues: true, ..EncodeOptions::default() };
                    let tokens = text::encode(tokenizer, text.as_bytes(), options)?;
                    biases.extend(tokens.into_iter().map(|token| (token, *bias)));
                }
            }
            ensure!(biases.len() <= MAX_BIASES, "biases of more than {MAX_BIASES} tokens");
        }
        if self.ignore_eos {
            let ends = tokenizer.vocab().ends().filter(|&token| (token as usize) < tokenizer.n_tokens());
            biases.extend(ends.map(|token| (token, f32::NEG_INFINITY)));
        }
        Ok(biases)
    }
}

/// Checks that a snapshot has all tokens that the sampler looks at.
fn check_stored(config: &SamplerConfig) -> Result<()> {
    ensure!(
        config.window() <= TextState::MAX_TOKENS,
        "the sampler looks at the last {} tokens, a snapshot has {}: penalties and DRY need a window of at most that",
        config.window(),
        TextState::MAX_TOKENS
    );
    Ok(())
}

/// Settings and lists of samplers for a vocabulary and a context.
#[derive(Clone, Debug)]
pub struct PreparedSampler {
    config: SamplerConfig,
    logit_bias: Vec<(u32, f32)>,
    breakers: Breakers,
}

impl PreparedSampler {
    /// Checks that a text can be stored and go on with the same tokens.
    pub(crate) fn check_stored(&self) -> Result<()> {
        check_stored(&self.config)
    }

    /// Words of a sampler's memory.
    pub fn memory(&self) -> Vec<u32> {
        vec![0; self.config.memory_words(&self.lists(&[]))]
    }

    /// Breakers of several tokens, as [`sampler`](Self::sampler) takes them.
    pub fn sequences(&self) -> Vec<&[u32]> {
        self.breakers.sequences.iter().map(Vec::as_slice).collect()
    }

    /// Sampler of a text.
    ///
    /// - `sequences`: those of [`sequences`](Self::sequences)
    /// - `memory`: that of [`memory`](Self::memory)
    ///
    /// # Errors
    /// [`SamplerError`] if the memory is another one.
    pub fn sampler<'s>(
        &'s self,
        seed: u64,
        sequences: &'s [&'s [u32]],
        memory: &'s mut [u32],
    ) -> Result<Sampler<'s>, SamplerError> {
        Sampler::with_memory(SamplerConfig { seed, ..self.config }, self.lists(sequences), memory)
    }

    fn lists<'s>(&'s self, sequences: &'s [&'s [u32]]) -> SamplerLists<'s> {
        SamplerLists { logit_bias: &self.logit_bias, dry_breakers: self.breakers.lend(sequences) }
    }
}
