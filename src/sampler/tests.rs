extern crate std;

use std::collections::BTreeSet;
use std::vec::Vec;

use super::candidates::best;
use super::draw::draw;
use super::rng::Rng;
use super::weight::{ONE, more_than_share_of, share_of, weight};
use super::*;

const ALL: SamplerConfig = SamplerConfig { temp: 1.0, repeat_last_n: 64, ..SamplerConfig::GREEDY };

/// Logits on a coarse grid, so that many are equal, with an odd one now and then.
fn random_logits(rng: &mut Rng, n: usize) -> Vec<f32> {
    let odd = [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, -0.0, f32::MIN, 1e-40, -1e-40];
    (0..n)
        .map(|_| match rng.below(40) {
            i @ 0..7 if n > 20 => odd[i as usize],
            _ => rng.below(64) as f32 * 0.25 - 8.0,
        })
        .collect()
}

fn kept(config: SamplerConfig, recent: &[u32], logits: &[f32]) -> BTreeSet<u32> {
    let chain = Chain::new(config);
    let counts = counts(recent.iter().copied(), &config);
    let candidates = with_changed(all(logits), penalized(logits, &counts, Penalties::new(&config)));
    let best = best(candidates.clone()).unwrap();
    let shortlist = top_k::shortlist(candidates.clone(), config.top_k, logits.len());
    let (kept, _) = chain.kept::<false, _>(candidates, logits.len(), &shortlist, best);
    kept.map(|c| c.token).collect()
}

/// Expected result of [`kept`]: a sorted copy, cut short filter by filter.
fn kept_by_sorting(config: SamplerConfig, recent: &[u32], logits: &[f32]) -> BTreeSet<u32> {
    let mut sorted: Vec<(u32, f32)> = (0..).zip(logits.iter().copied()).collect();
    for (token, logit) in &mut sorted {
        if recent.contains(token) {
            *logit = if *logit > 0.0 { *logit / config.repeat_penalty } else { *logit * config.repeat_penalty };
        }
        *logit = match *logit {
            x if x.is_nan() => f32::NEG_INFINITY,
            f32::INFINITY => f32::MAX,
            x => x,
        };
    }
    sorted.sort_by(|a, b| b.1.partial_cmp(&a.1).unwrap().then(a.0.cmp(&b.0)));
    if config.top_k > 0 {
        sorted.truncate(config.top_k);
    }
    let highest = sorted[0].1;
    let mass = |logit: f32| weight(logit - highest);
    if config.top_p < 1.0 {
        let total: u64 = sorted.iter().map(|c| mass(c.1)).sum();
        let mut sum = 0;
        let mut n = 0;
        while n == 0 || sum < share_of(total, config.top_p) {
            sum += mass(sorted[n].1);
            n += 1;
        }
        sorted.truncate(n);
    }
    sorted.retain(|c| config.min_p == 0.0 || c.1 - highest >= config.min_p.ln());
    sorted.iter().map(|c| c.0).collect()
}

#[test]
fn filters_keep_what_sorting_keeps() {
    let mut rng = Rng::new(7);
    for round in 0..1000 {
        let n = 1 + rng.below(300) as usize;
        let mut logits = random_logits(&mut rng, n);
        // The reference cannot tell how far -∞ lies from -∞.
        logits[rng.below(n as u64) as usize] = 1.0;
        let recent: Vec<u32> = {
            let mut recent: Vec<u32> = (0..rng.below(20)).map(|_| rng.below(n as u64 + 5) as u32).collect();
            recent.sort_unstable();
            recent
        };
        let pick = |rng: &mut Rng, values: &[f32]| values[rng.below(values.len() as u64) as usize];
        let config = SamplerConfig {
            top_k: rng.below(n as u64 + 3) as usize * rng.below(2) as usize,
            top_p: pick(&mut rng, &[1.0, 1.0, 0.0, 0.1, 0.5, 0.9, 0.95, 0.999_999_94]),
            min_p: pick(&mut rng, &[0.0, 0.0, 1e-6, 0.05, 0.3, 1.0]),
            repeat_penalty: pick(&mut rng, &[1.0, 1.1, 3.0, 0.5]),
            ..ALL
        };
        let (got, want) = (kept(config, &recent, &logits), kept_by_sorting(config, &recent, &logits));
        assert_eq!(got, want, "round {round}: {config:?}\nrecent {recent:?}\nlogits {logits:?}");
    }
}

#[test]
fn equal_logits_are_kept_from_the_lowest_token_on() {
    assert_eq!(kept(SamplerConfig { top_k: 3, ..ALL }, &[], &[1.0, 2.0, 1.0, 1.0, 1.0]), BTreeSet::from([0, 1, 2]));
    assert_eq!(kept(SamplerConfig { top_p: 0.5, ..ALL }, &[], &[0.0, -0.0, 0.0, -0.0]), BTreeSet::from([0, 1]));
}

#[test]
fn weights_are_the_exponential() {
    for i in 0..2800 {
        let distance = i as f32 * -0.01;
        let want = f64::from(distance).exp() * f64::from(ONE);
        assert!((weight(distance) as f64 - want).abs() <= 1.0 + want * 1.3e-7, "{distance}");
    }
    assert_eq!(weight(0.0), 1 << 39);
    assert_eq!([weight(-28.5), weight(f32::NEG_INFINITY), weight(f32::NAN)], [0; 3]);
}

#[test]
fn shares_are_rounded_up() {
    assert_eq!(share_of(u64::MAX, 1.0), u64::MAX);
    assert_eq!([share_of(10, 0.5), share_of(11, 0.5), share_of(10, 0.0), share_of(3, 1e-9)], [5, 6, 0, 1]);
    assert_eq!([10, 11, 3].map(|total| more_than_share_of(total, 0.5)), [6, 6, 2]);
    assert_eq!(
        [more_than_share_of(u64::MAX, 1.0 - f32::EPSILON), more_than_share_of(10, 0.0)],
        [u64::MAX - (1 << 41) + 1, 1]
    );
}

#[test]
fn greedy_takes_the_first_of_the_highest() {
    let mut sampler = Sampler::new(SamplerConfig::GREEDY).unwrap();
    assert_eq!(sampler.sample(&[1.0, 3.0, 2.0, 3.0]), 1);
    assert_eq!(sampler.sample(&[f32::NAN, -3.0, f32::NEG_INFINITY]), 1);
    assert_eq!(sampler.sample(&[1.0, f32::MAX, f32::INFINITY]), 1);
}

#[test]
fn logits_that_say_nothing_give_the_first_token() {
    for config in [SamplerConfig::GREEDY, SamplerConfig::default(), ALL] {
        let mut sampler = Sampler::new(config).unwrap();
        for logits in [&[][..], &[f32::NAN; 3], &[f32::NEG_INFINITY; 3]] {
            assert_eq!(sampler.sample(logits), 0);
        }
    }
}

#[test]
fn no_logits_panic_and_none_without_a_chance_is_drawn() {
    let mut rng = Rng::new(3);
    for round in 0..300 {
        let logits: Vec<f32> = (0..64).map(|_| f32::from_bits(rng.next() as u32)).collect();
        let temps = [1e-45, 1e-6, 1.0, 1e9, f32::MAX];
        let config = SamplerConfig {
            temp: temps[round % 5],
            seed: round as u64,
            repeat_penalty: 1.3,
            ..SamplerConfig::default()
        };
        let mut sampler = Sampler::new(config).unwrap();
        for _ in 0..20 {
            let token = sampler.sample(&logits);
            let logit = logits[token as usize];
            assert!(!logit.is_nan() && logit > f32::NEG_INFINITY, "{logits:?}");
            sampler.accept(token);
        }
    }
}

#[test]
fn tokens_come_as_often_as_their_probabilities_say() {
    const N: u32 = 40_000;
    let logits = [1.0f32, 0.0, -1.0, 2.0, 0.5, -2.0, 1.5, 0.0];
    for (temp, seed) in [(0.5f32, 1), (1.0, 2), (2.0, 3)] {
        let mut sampler = Sampler::new(SamplerConfig { temp, seed, ..ALL }).unwrap();
        let mut counts = [0u32; 8];
        (0..N).for_each(|_| counts[sampler.sample(&logits) as usize] += 1);
        let weights = logits.map(|x| (f64::from(x) / f64::from(temp)).exp());
        let sum: f64 = weights.iter().sum();
        let chi_square: f64 = weights
            .iter()
            .zip(counts)
            .map(|(weight, count)| (weight / sum * f64::from(N), f64::from(count)))
            .map(|(want, got)| (got - want) * (got - want) / want)
            .sum();
        // Seven degrees of freedom: 24.3 is passed once in a thousand.
        assert!(chi_square < 24.3, "temperature {temp}: chi-square {chi_square}, counts {counts:?}");
    }
}

#[test]
fn a_seed_gives_these_tokens() {
    let mut rng = Rng::new(11);
    let logits: Vec<f32> = (0..500).map(|_| rng.below(4000) as f32 * 0.004).collect();
    let tokens = |config: SamplerConfig| -> [u32; 8] {
        let mut sampler = Sampler::new(config).unwrap();
        core::array::from_fn(|_| {
            let token = sampler.sample(&logits);
            sampler.accept(token);
            token
        })
    };
    // Values from a literal version of the chain in Python, with its own exponential.
    let config = SamplerConfig { seed: 1, ..SamplerConfig::default() };
    assert_eq!(tokens(config), [314, 357, 450, 172, 172, 358, 402, 253]);
    assert_eq!(tokens(SamplerConfig { seed: 2, ..config }), [314, 357, 314, 358, 71, 88, 340, 340]);
    let config = SamplerConfig { temp: 2.0, repeat_penalty: 1.2, ..config };
    assert_eq!(tokens(config), [298, 358, 450, 172, 171, 357, 383, 206]);
}

#[test]
fn the_penalty_remembers_so_many_tokens_and_no_more() {
    let config = SamplerConfig { repeat_penalty: 2.0, repeat_last_n: 2, ..SamplerConfig::GREEDY };
    let mut sampler = Sampler::new(config).unwrap();
    let logits = [4.0, 3.0, 2.5, -1.0];
    let tokens: [u32; 6] = core::array::from_fn(|_| {
        let token = sampler.sample(&logits);
        sampler.accept(token);
        token
    });
    assert_eq!(tokens, [0, 1, 2, 0, 1, 2]);

    let mut full = Sampler::new(SamplerConfig { repeat_last_n: SamplerConfig::MAX_LAST_N, ..config }).unwrap();
    (0..200).for_each(|token| full.accept(token));
    let want: Vec<u32> = (136..200).collect();
    assert!(full.recent().eq(want));
}

#[test]
fn a_token_is_penalised_once_however_often_it_came() {
    let config = SamplerConfig { repeat_penalty: 2.0, ..ALL };
    let counts = counts([1, 0, 0, 1, 9, 1].into_iter(), &config);
    assert_eq!(counts, [(0, 2), (1, 3), (9, 1)]);
    let penalized = penalized(&[4.0, -4.0, 1.0], &counts, Penalties::new(&config));
    let logits: Vec<f32> = with_changed(all(&[4.0, -4.0, 1.0]), penalized).map(|c| c.logit).collect();
    assert_eq!(logits, [2.0, -8.0, 1.0]);
}

#[test]
fn nonsense_is_an_error_that_names_the_number() {
    let error = |config| Sampler::new(config).unwrap_err();
    for bad in [-1.0, f32::INFINITY] {
        assert_eq!(error(SamplerConfig { temp: bad, ..ALL }), SamplerError::Temp { found: bad });
        assert_eq!(error(SamplerConfig { top_p: bad, ..ALL }), SamplerError::TopP { found: bad });
        assert_eq!(error(SamplerConfig { min_p: bad, ..ALL }), SamplerError::MinP { found: bad });
        assert_eq!(error(SamplerConfig { repeat_penalty: bad, ..ALL }), SamplerError::RepeatPenalty { found: bad });
    }
    assert_eq!(error(SamplerConfig { repeat_last_n: 65, ..ALL }), SamplerError::RepeatLastN { found: 65 });
    for temp in [f32::NAN, -0.5] {
        assert!(matches!(error(SamplerConfig { temp, ..ALL }), SamplerError::Temp { .. }));
    }
    assert!(matches!(error(SamplerConfig { repeat_penalty: 0.0, ..ALL }), SamplerError::RepeatPenalty { .. }));
}

#[test]
fn a_token_without_weight_is_never_drawn() {
    for seed in 0..100 {
        assert_eq!(draw([(1, 0), (2, 1), (3, 0)].into_iter(), &mut Rng::new(seed)), Some(2));
        assert_eq!(draw([(1, 0), (2, 0)].into_iter(), &mut Rng::new(seed)), None);
    }
}

#[test]
fn a_sampler_with_the_seed_of_another_continues_it() {
    let mut rng = Rng::new(5);
    let mut first = Sampler::new(SamplerConfig { seed: 7, ..SamplerConfig::default() }).unwrap();
    for _ in 0..20 {
        first.sample(&random_logits(&mut rng, 50));
    }
    assert_ne!(first.seed(), 7);
    let mut second = Sampler::new(SamplerConfig { seed: first.seed(), ..SamplerConfig::default() }).unwrap();
    for _ in 0..20 {
        let logits = random_logits(&mut rng, 50);
        assert_eq!(first.sample(&logits), second.sample(&logits));
    }
}

#[test]
fn allowed_tokens_are_drawn_as_if_no_other_existed() {
    let mut rng = Rng::new(13);
    for round in 0..600u64 {
        let n = 40 + rng.below(200) as usize;
        let mut logits = random_logits(&mut rng, n);
        let mut words = std::vec![0; TokenSet::n_words(n + 40)];
        let n_allowed = 1 + rng.below(if round % 2 == 0 { 5 } else { 150 });
        // Some lie behind the last logit.
        (0..n_allowed).for_each(|_| assert!(TokenSet::insert(&mut words, rng.below(n as u64 + 30) as u32)));
        let possible = rng.below(n as u64) as u32;
        TokenSet::insert(&mut words, possible);
        logits[possible as usize] = 1.0;
        let allowed = TokenSet::new(&words);
        let others_removed: Vec<f32> =
            all(&logits).map(|(token, x)| if allowed.contains(token) { x } else { f32::NEG_INFINITY }).collect();
        let config = SamplerConfig {
            temp: [0.0, 0.7, 1.5][round as usize % 3],
            top_k: [0, 3, 40, 80][rng.below(4) as usize],
            repeat_penalty: 1.2,
            seed: round,
            ..SamplerConfig::default()
        };
        let (mut sampler, mut plain) = (Sampler::new(config).unwrap(), Sampler::new(config).unwrap());
        for _ in 0..5 {
            let got = sampler.sample_among(&logits, &allowed).unwrap();
            assert!(allowed.contains(got));
            assert_eq!(got, plain.sample(&others_removed), "round {round}: {config:?}");
            sampler.accept(got);
            plain.accept(got);
        }
    }
}

#[test]
fn without_an_allowed_token_none_is_chosen() {
    for config in [SamplerConfig::GREEDY, SamplerConfig::default(), ALL] {
        let mut sampler = Sampler::new(config).unwrap();
        assert_eq!(sampler.sample_among(&[1.0; 50], &TokenSet::EMPTY), None);
        assert_eq!(sampler.sample_among(&[1.0; 50], &TokenSet::new(&[0, 1 << 18])), None, "token 50 has no logit");
        assert_eq!(sampler.sample_among(&[f32::NEG_INFINITY; 50], &TokenSet::new(&[1 << 31 | 1 << 30])), Some(30));
        assert_eq!(sampler.sample_among(&[f32::NAN; 50], &TokenSet::new(&[1 << 7])), Some(7));
    }
}
