//! Settings of sampling in a request.

use std::sync::Arc;

use nearfield::{SamplerError, TextState};
use nearfield_host::Error;
use nearfield_host::sampler::{Biased, PreparedSampler, SamplerOptions};
use serde_json::Value;

use crate::body::{Body, Field};
use crate::error::{ApiError, Result};
use crate::models::Loaded;

/// Most biases of a request.
const MAX_BIASES: usize = 1024;
/// Largest bias, and size of the smallest, as in OpenAI's API.
const BIAS: f32 = 100.0;
/// Most bytes of a text in biases.
const MAX_BIAS_BYTES: usize = 256;
/// Largest presence and frequency penalty, and size of the smallest, as in OpenAI's API.
const PENALTY: f32 = 2.0;
/// Most texts that no repetition reaches across.
const MAX_BREAKERS: usize = 16;

/// Settings of a request; those of `defaults` where it has none. Names are those of OpenAI's API, and llama.cpp's for what OpenAI's
/// lacks.
///
/// # Errors
/// 400 with the name of a field that is of another type or out of range.
pub fn sampler(body: &Body, defaults: &SamplerOptions) -> Result<SamplerOptions> {
    let mut options = defaults.clone();
    let config = &mut options.config;
    set(body, &["temperature"], &mut config.temp)?;
    set(body, &["top_p"], &mut config.top_p)?;
    set(body, &["min_p"], &mut config.min_p)?;
    set(body, &["typical_p"], &mut config.typical_p)?;
    set(body, &["repeat_penalty", "repetition_penalty"], &mut config.repeat_penalty)?;
    set(body, &["dry_multiplier"], &mut config.dry_multiplier)?;
    set(body, &["dry_base"], &mut config.dry_base)?;
    set(body, &["dry_allowed_length"], &mut config.dry_allowed_length)?;
    for (name, to) in
        [("presence_penalty", &mut config.presence_penalty), ("frequency_penalty", &mut config.frequency_penalty)]
    {
        if let Some(penalty) = body.get::<f32>(name)? {
            *to = within(name, penalty, PENALTY)?;
        }
    }
    for (name, to) in
        [("repeat_last_n", &mut config.repeat_last_n), ("dry_penalty_last_n", &mut config.dry_penalty_last_n)]
    {
        if let Some(n) = body.get::<i64>(name)? {
            // -1 stands for the tokens of the context, as in llama.cpp.
            *to = usize::try_from(n).unwrap_or(usize::MAX);
        }
    }
    if let Some(top_k) = body.get::<i64>("top_k")? {
        // Numbers below 1 stand for all tokens, as in llama.cpp and vLLM.
        config.top_k = usize::try_from(top_k).unwrap_or(0);
    }
    config.seed = seed(body)?;
    set(body, &["ignore_eos"], &mut options.ignore_eos)?;
    set(body, &["dry_sequence_breakers"], &mut options.dry_sequence_breakers)?;
    if options.dry_sequence_breakers.len() > MAX_BREAKERS {
        let message = format!("more than {MAX_BREAKERS} texts");
        return Err(ApiError::field("dry_sequence_breakers", message));
    }
    if let Some(biases) = body.value("logit_bias") {
        options.logit_bias = logit_bias(biases)?;
    }
    options.check().map_err(|error| ApiError::field(field_of(&error), error))?;
    Ok(options)
}

/// Sets a field to the first value with one of these names.
fn set<T: Field>(body: &Body, names: &[&str], to: &mut T) -> Result<()> {
    if let Some(value) = body.first(names)? {
        *to = value;
    }
    Ok(())
}

/// A number from `-most` to `most`.
fn within(name: &str, number: f32, most: f32) -> Result<f32> {
    if number.abs() <= most {
        return Ok(number);
    }
    Err(ApiError::field(name, format_args!("{name} has to lie between -{most} and {most}, it has {number}")))
}

/// Biases: an object of tokens and numbers, as in OpenAI's API, or an array of pairs, as in llama.cpp. `false` forbids a token, and a
/// text stands for its tokens.
fn logit_bias(value: &Value) -> Result<Vec<(Biased, f32)>> {
    let pairs: Option<Vec<(Biased, &Value)>> = match value {
        Value::Object(fields) => Some(fields.iter().map(|(name, bias)| (named(name), bias)).collect()),
        Value::Array(pairs) => pairs.iter().map(pair).collect(),
        _ => None,
    };
    let expected = || {
        let message = "logit_bias has to be an object of tokens and numbers, or an array of pairs of these";
        ApiError { code: Some("invalid_type"), ..ApiError::field("logit_bias", message) }
    };
    let pairs = pairs.ok_or_else(expected)?;
    if pairs.len() > MAX_BIASES {
        return Err(ApiError::field("logit_bias", format_args!("more than {MAX_BIASES} tokens")));
    }
    let biases = pairs.into_iter().map(|(biased, bias)| match (&biased, bias) {
        (Biased::Text(text), _) if text.len() > MAX_BIAS_BYTES => {
            Err(ApiError::field("logit_bias", format_args!("a text of more than {MAX_BIAS_BYTES} bytes")))
        }
        (_, Value::Bool(false)) => Ok((biased, f32::NEG_INFINITY)),
        (_, bias) => Ok((biased, within("logit_bias", f32::of(bias).ok_or_else(expected)?, BIAS)?)),
    });
    biases.collect()
}

/// Token or text in the name of a field.
fn named(name: &str) -> Biased {
    name.parse().map_or_else(|_| Biased::Text(name.into()), Biased::Token)
}

/// A pair of a token or a text, and a bias.
fn pair(value: &Value) -> Option<(Biased, &Value)> {
    match value.as_array()?.as_slice() {
        [Value::String(text), bias] => Some((Biased::Text(text.clone()), bias)),
        [token, bias] => Some((Biased::Token(u32::of(token)?), bias)),
        _ => None,
    }
}

/// Settings of sampling for texts of a model.
///
/// # Errors
/// 400 for a token that the model does not have, and for windows that are longer than that of a snapshot before the texts.
pub fn prepare(model: &Loaded, options: &SamplerOptions) -> Result<Arc<PreparedSampler>> {
    options.biases(model.tokenizer).map_err(|error| ApiError::field("logit_bias", error))?;
    let is_long = |n: usize| n.min(model.n_ctx) > TextState::MAX_TOKENS;
    let window = match options.config {
        config if config.dry_multiplier != 0.0 && is_long(config.dry_penalty_last_n) => "dry_penalty_last_n",
        _ => "repeat_last_n",
    };
    let prepared = options.prepare(model.tokenizer, model.n_ctx, model.n_prefix() > 0);
    Ok(Arc::new(prepared.map_err(|error| ApiError::field(window, error))?))
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
fn field_of(error: &Error) -> &'static str {
    let Error::Sampler(error) = error else { return "dry_sequence_breakers" };
    match error {
        SamplerError::Temp { .. } => "temperature",
        SamplerError::TopP { .. } => "top_p",
        SamplerError::MinP { .. } => "min_p",
        SamplerError::TypicalP { .. } => "typical_p",
        SamplerError::RepeatPenalty { .. } => "repeat_penalty",
        SamplerError::DryMultiplier { .. } => "dry_multiplier",
        SamplerError::DryBase { .. } => "dry_base",
        _ => "sampler",
    }
}

#[cfg(test)]
mod tests {
    use nearfield::SamplerConfig;

    use super::*;

    fn of(text: &str) -> Result<SamplerOptions> {
        sampler(&Body::parse(text.to_owned()).unwrap(), &SamplerOptions::default())
    }

    #[test]
    fn what_a_request_leaves_out_is_as_the_server_has_it() {
        let mut options = of("{}").unwrap();
        options.config.seed = 0;
        assert_eq!(options, SamplerOptions::default());
        let text = r#"{"temperature": 0, "top_p": 0.5, "top_k": -1, "min_p": 0, "typical_p": 0.25, "repeat_penalty": 1.5,
            "presence_penalty": -2, "frequency_penalty": 0.5, "repeat_last_n": -1, "dry_multiplier": 0.75, "dry_base": 1.5,
            "dry_allowed_length": 3, "dry_penalty_last_n": 9, "seed": 9}"#;
        let want = SamplerConfig {
            temp: 0.0,
            top_k: 0,
            typical_p: 0.25,
            top_p: 0.5,
            min_p: 0.0,
            repeat_penalty: 1.5,
            frequency_penalty: 0.5,
            presence_penalty: -2.0,
            repeat_last_n: usize::MAX,
            dry_multiplier: 0.75,
            dry_base: 1.5,
            dry_allowed_length: 3,
            dry_penalty_last_n: 9,
            seed: 9,
        };
        assert_eq!(of(text).unwrap().config, want);
        let options = of(r#"{"ignore_eos": true, "dry_sequence_breakers": ["-"]}"#).unwrap();
        assert_eq!((options.ignore_eos, options.dry_sequence_breakers), (true, vec!["-".into()]));
        assert_eq!(of(r#"{"seed": 18446744073709551615}"#).unwrap().config.seed, u64::MAX);
        assert_ne!(of(r#"{"seed": -1}"#).unwrap().config.seed, of("{}").unwrap().config.seed);
    }

    #[test]
    fn biases_come_as_an_object_or_as_pairs() {
        let biases = |text: &str| of(&format!("{{\"logit_bias\": {text}}}")).map(|options| options.logit_bias);
        let (token, text) = (Biased::Token, |text: &str| Biased::Text(text.into()));
        let mut found = biases(r#"{"5": -1.5, "12": 100, " red": false}"#).unwrap();
        found.sort_by(|a, b| b.1.total_cmp(&a.1));
        assert_eq!(found, [(token(12), 100.0), (token(5), -1.5), (text(" red"), f32::NEG_INFINITY)]);
        assert_eq!(biases(r#"[[5, 1], ["5", false]]"#).unwrap(), [(token(5), 1.0), (text("5"), f32::NEG_INFINITY)]);
        assert_eq!(biases("{}").unwrap(), []);
        for wrong in ["3", "[5]", "[[5]]", "[[-5, 1]]", r#"{"5": true}"#, r#"{"5": "1"}"#, r#"{"5": 100.5}"#] {
            assert_eq!(biases(wrong).unwrap_err().param.as_deref(), Some("logit_bias"), "{wrong}");
        }
        assert!(biases(&format!("[{}]", vec!["[5,1]"; MAX_BIASES + 1].join(","))).is_err());
    }

    #[test]
    fn a_setting_out_of_range_is_named() {
        let param = |text: &str| of(text).unwrap_err().param.unwrap();
        assert_eq!(param(r#"{"temperature": -1}"#), "temperature");
        assert_eq!(param(r#"{"temperature": "hot"}"#), "temperature");
        assert_eq!(param(r#"{"top_p": 2}"#), "top_p");
        assert_eq!(param(r#"{"typical_p": 2}"#), "typical_p");
        assert_eq!(param(r#"{"repetition_penalty": 0}"#), "repeat_penalty");
        assert_eq!(param(r#"{"presence_penalty": 2.5}"#), "presence_penalty");
        assert_eq!(param(r#"{"frequency_penalty": -3}"#), "frequency_penalty");
        assert_eq!(param(r#"{"dry_multiplier": -1}"#), "dry_multiplier");
        assert_eq!(param(r#"{"dry_base": 0}"#), "dry_base");
        assert_eq!(param(r#"{"dry_sequence_breakers": [""]}"#), "dry_sequence_breakers");
        assert_eq!(param(r#"{"seed": 1.5}"#), "seed");
    }
}
