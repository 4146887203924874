//! The sampler's steps beside llama.cpp's on the same logits, and a sampler with memory beside one without.
//!
//! The cases were made by `measure/sampler_cases.py` with the llama.cpp of llama-cpp-python 0.3.36; NEARFIELD_SAMPLER_CASES names
//! a file of others. The tokens that are left have to be the same, and their probabilities up to the rounding of floats.

use nearfield::{DryBreakers, Sampler, SamplerConfig, SamplerError, SamplerLists, TokenSet};
use serde_json::Value;

fn float(value: &Value) -> f32 {
    value.as_f64().unwrap() as f32
}

fn int(value: &Value) -> usize {
    value.as_u64().unwrap() as usize
}

fn tokens(value: &Value) -> Vec<u32> {
    value.as_array().unwrap().iter().map(|token| int(token) as u32).collect()
}

#[test]
fn what_is_left_is_what_llama_cpp_leaves() {
    let file = match std::env::var_os("NEARFIELD_SAMPLER_CASES") {
        Some(path) => std::fs::read_to_string(path).unwrap(),
        None => include_str!("reference/sampler.json").to_owned(),
    };
    let file: Value = serde_json::from_str(&file).unwrap();
    let mut words = vec![0; TokenSet::n_words(1024)];
    tokens(&file["breakers"]["tokens"]).into_iter().for_each(|token| assert!(TokenSet::insert(&mut words, token)));
    let sequences: Vec<Vec<u32>> = file["breakers"]["sequences"].as_array().unwrap().iter().map(tokens).collect();
    let sequences: Vec<&[u32]> = sequences.iter().map(Vec::as_slice).collect();
    let breakers = DryBreakers { tokens: TokenSet::new(&words), sequences: &sequences };
    let cases = file["cases"].as_array().unwrap();
    assert!(cases.len() >= 40);
    let mut n_different = 0;
    for (i, case) in cases.iter().enumerate() {
        let c = &case["config"];
        let bias = |pair: &Value| (int(&pair[0]) as u32, float(&pair[1]));
        let logit_bias: Vec<(u32, f32)> = c["logit_bias"].as_array().unwrap().iter().map(bias).collect();
        let config = SamplerConfig {
            temp: float(&c["temp"]),
            top_k: int(&c["top_k"]),
            typical_p: float(&c["typical_p"]),
            top_p: float(&c["top_p"]),
            min_p: float(&c["min_p"]),
            repeat_penalty: float(&c["repeat_penalty"]),
            frequency_penalty: float(&c["frequency_penalty"]),
            presence_penalty: float(&c["presence_penalty"]),
            repeat_last_n: int(&c["repeat_last_n"]),
            dry_multiplier: float(&c["dry_multiplier"]),
            dry_base: float(&c["dry_base"]),
            dry_allowed_length: int(&c["dry_allowed_length"]),
            dry_penalty_last_n: int(&c["dry_penalty_last_n"]),
            seed: 1,
        };
        let dry_breakers = if c["breakers"] == true { breakers } else { DryBreakers::NONE };
        let lists = SamplerLists { logit_bias: &logit_bias, dry_breakers };
        let mut memory = vec![0; config.memory_words(&lists)];
        let mut sampler = Sampler::with_memory(config, lists, &mut memory).unwrap();
        tokens(&case["history"]).into_iter().for_each(|token| sampler.accept(token));
        let logits: Vec<f32> = case["logits"].as_array().unwrap().iter().map(float).collect();
        let mut left = Vec::new();
        sampler.weigh(&logits, |token, weight| left.push((token, weight as f64)));
        let total: f64 = left.iter().map(|(_, weight)| weight).sum();
        let want: Vec<(u32, f64)> = case["left"]
            .as_array()
            .unwrap()
            .iter()
            .map(|pair| (int(&pair[0]) as u32, pair[1].as_f64().unwrap()))
            .collect();
        if !left.iter().map(|pair| pair.0).eq(want.iter().map(|pair| pair.0)) {
            n_different += 1;
            println!("case {i}: {config:?}\n left {left:?}\n want {want:?}");
            continue;
        }
        for ((token, weight), (_, p)) in left.iter().zip(&want) {
            let found = weight / total;
            assert!((found - p).abs() < 2e-6 + p * 2e-5, "case {i}, token {token}: {found}, not {p}");
        }
    }
    assert_eq!(n_different, 0, "cases of {}", cases.len());
}

#[test]
fn with_memory_the_tokens_are_those_without() {
    let mut state = 9u32;
    let mut random = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 16) as f32 / 4096.0 - 8.0
    };
    let config = SamplerConfig {
        seed: 4,
        repeat_penalty: 1.2,
        frequency_penalty: 0.3,
        presence_penalty: 0.1,
        repeat_last_n: 30,
        ..SamplerConfig::default()
    };
    for top_k in [0, 40, 100] {
        let config = SamplerConfig { top_k, ..config };
        let mut memory = vec![0; config.memory_words(&SamplerLists::NONE)];
        let mut with = Sampler::with_memory(config, SamplerLists::NONE, &mut memory).unwrap();
        let mut without = Sampler::new(config).unwrap();
        for _ in 0..300 {
            let logits: Vec<f32> = (0..150).map(|_| random()).collect();
            let token = with.sample(&logits);
            assert_eq!(token, without.sample(&logits));
            with.accept(token);
            without.accept(token);
            assert!(with.recent().eq(without.recent()));
        }
        assert_eq!(with.seed(), without.seed());
    }
}

#[test]
fn a_bias_forbids_and_forces() {
    let logits = [0.0, 5.0, 1.0, 4.0];
    for temp in [0.0, 1.0] {
        for (logit_bias, token) in [
            (&[(1, f32::NEG_INFINITY), (3, f32::NEG_INFINITY), (2, 9.0)][..], 2),
            (&[(0, f32::INFINITY)], 0),
            (&[(3, 20.0), (3, 20.0), (99, 50.0)], 3),
        ] {
            let config = SamplerConfig { temp, min_p: 0.1, ..SamplerConfig::default() };
            let lists = SamplerLists { logit_bias, ..SamplerLists::NONE };
            let mut memory = vec![0; config.memory_words(&lists)];
            let mut sampler = Sampler::with_memory(config, lists, &mut memory).unwrap();
            assert!((0..50).all(|_| sampler.sample(&logits) == token), "{logit_bias:?}");
        }
    }
}

#[test]
fn dry_ends_a_loop() {
    // Without a penalty, token 1 follows token 0, and token 0 all others.
    let run = |dry_multiplier| {
        let config = SamplerConfig { dry_multiplier, ..SamplerConfig::GREEDY };
        let mut memory = vec![0; config.memory_words(&SamplerLists::NONE)];
        let mut sampler = Sampler::with_memory(config, SamplerLists::NONE, &mut memory).unwrap();
        let mut last = 0;
        (0..8)
            .map(|_| {
                last = sampler.sample(if last == 0 { &[0.0, 2.0, 1.0] } else { &[2.0, 0.0, 1.0] });
                sampler.accept(last);
                last
            })
            .collect::<Vec<u32>>()
    };
    assert_eq!(run(0.0), [1, 0, 1, 0, 1, 0, 1, 0]);
    // The repetition of two tokens costs 0.8, that of three 1.4.
    assert_eq!(run(0.8), [1, 0, 1, 0, 1, 2, 0, 1]);
}

#[test]
fn settings_out_of_range_are_errors_that_name_them() {
    let config = SamplerConfig::DEFAULT;
    let error_of = |config, lists| Sampler::with_memory(config, lists, &mut [0; 2000]).map(drop).unwrap_err();
    let error = |config| error_of(config, SamplerLists::NONE);
    let bad = -1.0;
    assert_eq!(error(SamplerConfig { typical_p: bad, ..config }), SamplerError::TypicalP { found: bad });
    assert_eq!(error(SamplerConfig { dry_multiplier: bad, ..config }), SamplerError::DryMultiplier { found: bad });
    assert_eq!(error(SamplerConfig { dry_base: 0.5, ..config }), SamplerError::DryBase { found: 0.5 });
    let lists = SamplerLists { logit_bias: &[(1, 0.5), (7, f32::NAN)], ..SamplerLists::NONE };
    assert_eq!(error_of(config, lists), SamplerError::LogitBias { token: 7 });
    let sequences: [&[u32]; 2] = [&[5, 6], &[4]];
    let dry_breakers = DryBreakers { sequences: &sequences, ..DryBreakers::NONE };
    assert_eq!(error_of(config, SamplerLists { dry_breakers, ..SamplerLists::NONE }), SamplerError::DryBreakers);
    let long = SamplerConfig { presence_penalty: 0.5, repeat_last_n: 1000, ..config };
    assert_eq!(error(long), SamplerError::Memory { needed: 6000, found: 2000 });
    for needs in [SamplerConfig { typical_p: 0.9, ..config }, SamplerConfig { dry_multiplier: 0.8, ..config }] {
        assert_eq!(Sampler::new(needs).map(drop).unwrap_err(), SamplerError::NeedsMemory);
    }
    for penalty in [f32::INFINITY, f32::NEG_INFINITY] {
        let found = penalty;
        assert_eq!(
            error(SamplerConfig { frequency_penalty: penalty, ..config }),
            SamplerError::FrequencyPenalty { found }
        );
        assert_eq!(
            error(SamplerConfig { presence_penalty: penalty, ..config }),
            SamplerError::PresencePenalty { found }
        );
    }
    assert_eq!(config.memory_words(&SamplerLists::NONE), 0, "steps that are off need no memory");
}
