//! Settings of sampling in a request.

use nearfield::{Sampler, SamplerConfig, SamplerError};

use crate::body::Body;
use crate::error::{ApiError, Result};

/// Settings of a request; those of `defaults` where it has none. Names are those of OpenAI's API, and llama.cpp's for what OpenAI's
/// lacks.
///
/// # Errors
/// 400 with the name of a field that is of another type or out of range.
pub fn sampler(body: &Body, defaults: &SamplerConfig) -> Result<SamplerConfig> {
    let mut config = *defaults;
    let set = |to: &mut f32, names: &[&str]| -> Result<()> {
        if let Some(value) = body.first(names)? {
            *to = value;
        }
        Ok(())
    };
    set(&mut config.temp, &["temperature"])?;
    set(&mut config.top_p, &["top_p"])?;
    set(&mut config.min_p, &["min_p"])?;
    set(&mut config.repeat_penalty, &["repeat_penalty", "repetition_penalty"])?;
    if let Some(top_k) = body.get::<i64>("top_k")? {
        // Numbers below 1 stand for all tokens, as in llama.cpp and vLLM.
        config.top_k = usize::try_from(top_k).unwrap_or(0);
    }
    config.seed = seed(body)?;
    for name in ["presence_penalty", "frequency_penalty"] {
        if body.get::<f32>(name)?.is_some_and(|penalty| penalty != 0.0) {
            return Err(ApiError::unsupported(name, format_args!("{name} has to be 0: use repeat_penalty")));
        }
    }
    Sampler::new(config).map_err(|error| ApiError::field(field_of(&error), error))?;
    Ok(config)
}

/// Seed of a request; a new one if it has none, or a negative one.
fn seed(body: &Body) -> Result<u64> {
    match body.value("seed") {
        Some(value) if value.is_u64() => Ok(value.as_u64().unwrap_or_default()),
        _ => Ok(body.get::<i64>("seed")?.and_then(|seed| u64::try_from(seed).ok()).unwrap_or_else(new_seed)),
    }
}

/// Seed that no earlier request had. It fits the integers of JavaScript, so that a page can give it back.
fn new_seed() -> u64 {
    use std::hash::{BuildHasher, RandomState};
    RandomState::new().hash_one(()) >> 11
}

/// Field of the request that an error is about.
fn field_of(error: &SamplerError) -> &'static str {
    match error {
        SamplerError::Temp { .. } => "temperature",
        SamplerError::TopP { .. } => "top_p",
        SamplerError::MinP { .. } => "min_p",
        SamplerError::RepeatPenalty { .. } => "repeat_penalty",
        _ => "sampler",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> Result<SamplerConfig> {
        sampler(&Body::parse(text.to_owned()).unwrap(), &SamplerConfig::default())
    }

    #[test]
    fn what_a_request_leaves_out_is_as_the_server_has_it() {
        let seed = |config: SamplerConfig| SamplerConfig { seed: 7, ..config };
        assert_eq!(of("{}").map(seed), Ok(SamplerConfig { seed: 7, ..SamplerConfig::default() }));
        let config =
            of(r#"{"temperature": 0, "top_p": 0.5, "top_k": -1, "min_p": 0, "repeat_penalty": 1.5, "seed": 9}"#);
        let want = SamplerConfig {
            temp: 0.0,
            top_p: 0.5,
            top_k: 0,
            min_p: 0.0,
            repeat_penalty: 1.5,
            seed: 9,
            ..SamplerConfig::default()
        };
        assert_eq!(config, Ok(want));
        assert_eq!(of(r#"{"seed": 18446744073709551615}"#).unwrap().seed, u64::MAX);
        assert_ne!(of(r#"{"seed": -1}"#).unwrap().seed, of("{}").unwrap().seed);
    }

    #[test]
    fn a_setting_out_of_range_is_named() {
        let param = |text: &str| of(text).unwrap_err().param.unwrap();
        assert_eq!(param(r#"{"temperature": -1}"#), "temperature");
        assert_eq!(param(r#"{"temperature": "hot"}"#), "temperature");
        assert_eq!(param(r#"{"top_p": 2}"#), "top_p");
        assert_eq!(param(r#"{"repetition_penalty": 0}"#), "repeat_penalty");
        assert_eq!(param(r#"{"seed": 1.5}"#), "seed");
    }
}
