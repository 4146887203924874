//! Time that a grammar takes for each token of a text, beside the model's, as a table for docs/grammars.md.
//!
//!     cargo run --release -p nearfield-host --example grammar_cost -- MODEL.gguf [N]
//!
//! The texts are those that the model generates, N tokens at most (default 100), greedy. "First" is the set of allowed tokens in a state
//! that was not seen before, "again" in one that was; the model's step is measured in the same run, without the grammar.

use std::time::{Duration, Instant};
use std::{env, hint};

use nearfield::{Constraint, MatcherConfig, Sampler, SamplerConfig};
use nearfield_host::Monitor;
use nearfield_host::engine::Engine;
use nearfield_host::generate::{Length, Options, TextModel, load};
use nearfield_host::grammar::{Grammar, Json};
use nearfield_host::model_file::{ModelFile, Repack};
use nearfield_host::prompt::Prompt;

const SCHEMA: &str = r#"{"type": "array", "minItems": 3, "maxItems": 3, "items": {"type": "object", "required": ["name", "age", "tags"],
    "properties": {"name": {"type": "string", "maxLength": 40}, "age": {"type": "integer", "minimum": 0, "maximum": 150},
    "tags": {"type": "array", "items": {"enum": ["red", "green", "blue"]}, "maxItems": 3}}}}"#;
const JSON: &str = include_str!("../tests/grammars/json.gbnf");
const ENGLISH: &str = include_str!("../tests/grammars/english.gbnf");

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let model = env::args().nth(1).ok_or("usage: grammar_cost MODEL.gguf [N]")?;
    let n = env::args().nth(2).map_or(Ok(100), |n| n.parse())?;
    let file = ModelFile::open(Some(model.into()), &Monitor::silent())?;
    let options = Options { length: Length::Tokens(n), ..Options::default() };
    load(file, &Engine::new(None, None)?, Repack::Auto, &options, None, |model| measure(model, n))
}

fn measure(model: &TextModel<'_>, n: usize) -> Result<(), Box<dyn std::error::Error>> {
    let start = Instant::now();
    let tokens = model.tokens.trie()?;
    println!("{} tokens sorted in {:.0} ms", tokens.n_tokens(), ms(start.elapsed()));
    let prompt = Prompt::of_text(model.tokenizer, b"A list of people, as JSON: ", &Monitor::silent())?;
    let step = model.with_generator(prompt.tokens.len(), |generator| {
        let text = generator.generate(&prompt, 1, &mut std::io::sink())?;
        Ok::<_, nearfield_host::Error>(text.decode.time / text.decode.n.max(1) as u32)
    })?;
    println!("a step of the model: {:.2} ms\n", ms(step));
    println!(
        "| grammar | tokens | sets made | mean ms | longest ms | sets again, mean ms | accept, mean ms | share of the time |"
    );
    println!("|---|---|---|---|---|---|---|---|");
    for (name, grammar) in [
        ("json.gbnf", Grammar::from_gbnf(JSON)?),
        ("english.gbnf", Grammar::from_gbnf(ENGLISH)?),
        ("a schema of people", Grammar::from_json_schema(&Json::parse(SCHEMA)?)?),
        ("200 choices", Grammar::from_choices((0..200).map(|i| format!("choice number {}", i * 7919 % 1000)))?),
    ] {
        let mut memory = grammar.memory(&tokens, &MatcherConfig::HOST)?;
        let start = Instant::now();
        let mut matcher = grammar.matcher(tokens, &MatcherConfig::HOST, &mut memory)?;
        // The first set is made with the matcher.
        let (mut first, mut again, mut accept) = (vec![start.elapsed()], vec![], vec![]);
        // Random logits: the texts have longer tokens than a model's, and more states.
        let mut sampler = Sampler::new(SamplerConfig { temp: 1.0, top_k: 0, seed: 1, ..SamplerConfig::default() })?;
        let logits: Vec<f32> =
            (0..tokens.n_tokens() as u32).map(|id| (id.wrapping_mul(2_654_435_761) >> 16) as f32 / 16384.0).collect();
        let mut n_tokens = 0;
        while n_tokens < n && !matcher.is_final() {
            let start = Instant::now();
            hint::black_box(matcher.allowed(&[])?);
            let time = start.elapsed();
            // A set that is kept is found in some microseconds.
            if time > Duration::from_micros(20) {
                first.push(time)
            } else {
                again.push(time)
            }
            let token = sampler.sample_among(&logits, &matcher.allowed(&[])?).ok_or("a dead end")?;
            if model.tokenizer.vocab().is_end(token) {
                break;
            }
            let start = Instant::now();
            matcher.accept(token, &mut model.tokenizer.bytes(token)?)?;
            accept.push(start.elapsed());
            n_tokens += 1;
        }
        let sum = |times: &[Duration]| times.iter().sum::<Duration>();
        let mean = |times: &[Duration]| ms(sum(times)) / times.len().max(1) as f64;
        let longest = first.iter().max().copied().unwrap_or_default();
        let all = sum(&first) + sum(&again) + sum(&accept);
        let share = 100.0 * ms(all) / (ms(all) + ms(step) * f64::from(n_tokens as u32));
        println!(
            "| {name} | {n_tokens} | {} | {:.3} | {:.2} | {:.4} | {:.4} | {share:.1} % |",
            first.len(),
            mean(&first),
            ms(longest),
            mean(&again),
            mean(&accept)
        );
    }
    Ok(())
}

fn ms(time: Duration) -> f64 {
    1e3 * time.as_secs_f64()
}
