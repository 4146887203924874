//! Errors of the sampler's settings.

use core::fmt;

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
    /// More recent tokens than [`SamplerConfig::MAX_LAST_N`].
    RepeatLastN { found: usize },
}

impl fmt::Display for SamplerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Temp { found } => write!(f, "a temperature of {found}: it has to be finite and at least 0"),
            Self::TopP { found } => write!(f, "a top-p of {found}: it has to lie between 0 and 1"),
            Self::MinP { found } => write!(f, "a min-p of {found}: it has to lie between 0 and 1"),
            Self::RepeatPenalty { found } => {
                write!(f, "a repetition penalty of {found}: it has to be finite and above 0 (1 for none)")
            }
            Self::RepeatLastN { found } => {
                write!(f, "a penalty on the last {found} tokens: {} are remembered", SamplerConfig::MAX_LAST_N)
            }
        }
    }
}

impl core::error::Error for SamplerError {}
