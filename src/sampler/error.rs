//! Errors of the sampler's settings.

use core::fmt;

use nearfield_kernels::Digits;

use super::config::SamplerConfig;

/// Error of a setting that is out of range.
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
#[allow(missing_docs)]
pub enum SamplerError {
    /// The temperature is negative or not finite.
    Temp { found: f32 },
    /// Top-p does not lie between 0 and 1.
    TopP { found: f32 },
    /// Min-p does not lie between 0 and 1.
    MinP { found: f32 },
    /// The penalty is not a positive finite number.
    RepeatPenalty { found: f32 },
    /// The frequency penalty is not finite.
    FrequencyPenalty { found: f32 },
    /// The presence penalty is not finite.
    PresencePenalty { found: f32 },
    /// More recent tokens than [`SamplerConfig::MAX_LAST_N`].
    RepeatLastN { found: usize },
    /// Typical-p does not lie between 0 and 1.
    TypicalP { found: f32 },
    /// The multiplier of DRY is negative or not finite.
    DryMultiplier { found: f32 },
    /// The base of DRY is below 1 or not finite.
    DryBase { found: f32 },
    /// The sequences of [`DryBreakers`](crate::sampler::DryBreakers) are not in ascending order.
    DryBreakers,
    /// The bias of a token is NaN.
    LogitBias { token: u32 },
    /// A setting that only [`Sampler::with_memory`](crate::Sampler::with_memory) has.
    NeedsMemory,
    /// Fewer words of memory than [`SamplerConfig::memory_words`].
    Memory { needed: usize, found: usize },
}

impl fmt::Display for SamplerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Temp { found } => write!(f, "a temperature of {}: it has to be finite and at least 0", Digits(found)),
            Self::TopP { found } => write!(f, "a top-p of {}: it has to lie between 0 and 1", Digits(found)),
            Self::MinP { found } => write!(f, "a min-p of {}: it has to lie between 0 and 1", Digits(found)),
            Self::RepeatPenalty { found } => {
                write!(f, "a repetition penalty of {}: it has to be finite and above 0 (1 for none)", Digits(found))
            }
            Self::RepeatLastN { found } => {
                write!(f, "a penalty on the last {found} tokens: {} are remembered", SamplerConfig::MAX_LAST_N)
            }
            Self::FrequencyPenalty { found } => {
                write!(f, "a frequency penalty of {}: it has to be finite", Digits(found))
            }
            Self::PresencePenalty { found } => {
                write!(f, "a presence penalty of {}: it has to be finite", Digits(found))
            }
            Self::TypicalP { found } => write!(f, "a typical-p of {}: it has to lie between 0 and 1", Digits(found)),
            Self::DryMultiplier { found } => {
                write!(f, "a DRY multiplier of {}: it has to be finite and at least 0 (0 for none)", Digits(found))
            }
            Self::DryBase { found } => write!(f, "a DRY base of {}: it has to be finite and at least 1", Digits(found)),
            Self::DryBreakers => f.write_str("DRY breakers that are not in ascending order"),
            Self::LogitBias { token } => write!(f, "the bias of token {token} is not a number"),
            Self::NeedsMemory => f.write_str("typical-p and DRY need a sampler with memory"),
            Self::Memory { needed, found } => write!(f, "the sampler needs {needed} words of memory, not {found}"),
        }
    }
}

impl core::error::Error for SamplerError {}
