//! A story from a model file: `cargo run -p nearfield --example story [MODEL [PROMPT]]`
//!
//! The whole way: file, memory, tokenizer, session, generator, text.

use std::env;
use std::error::Error;
use std::fmt;
use std::io::Write as _;

use nearfield::tokenizer::{Tokenizer, Vocab};
use nearfield::{
    Arena, Generator, GeneratorConfig, Inline, Line, MemoryPlan, Model, Sampler, SamplerConfig, Session, SessionConfig,
    StopWords, kernels,
};

/// Standard output, a token at a time.
struct Stdout;

impl fmt::Write for Stdout {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let mut out = std::io::stdout();
        out.write_all(text.as_bytes()).and_then(|()| out.flush()).map_err(|_| fmt::Error)
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut args = env::args().skip(1);
    let path = args.next().unwrap_or_else(|| "models/stories.gguf".into());
    let prompt = args.next().unwrap_or_else(|| "Once upon a time".into());

    let file = std::fs::read(path)?;
    let model = Model::from_gguf(&file)?;
    let config = SessionConfig { n_ctx: 512, ..SessionConfig::default() };
    let mut memory = vec![Line::ZERO; MemoryPlan::new(model.shape(), &config)?.n_lines()];
    let mut arena = Arena::new(&mut memory);
    let tokenizer = Tokenizer::new(Vocab::from_gguf(model.gguf())?, &mut arena)?;
    let mut session = Session::new(&model, config, kernels::best(), &Inline, &mut arena)?;

    let mut tokens = vec![0; Tokenizer::encode_bound(prompt.len())];
    let n = tokenizer.encode(&prompt, tokenizer.prompt_options(), &mut tokens)?;
    let sampler = Sampler::new(SamplerConfig { seed: 1, ..SamplerConfig::default() })?;
    let config = GeneratorConfig { max_tokens: Some(100), ..GeneratorConfig::default() };
    let mut generator = Generator::new(sampler, config, StopWords::none());
    // In parts: a progress bar could look in after each.
    for part in tokens[..n].chunks(32) {
        generator.read(&mut session, part)?;
    }
    print!("{prompt}");
    while generator.next(&mut session, &tokenizer, &mut Stdout)?.is_some() {}
    generator.finish(&mut Stdout)?;
    println!("\n[{} tokens, ended by {:?}]", generator.n_tokens(), generator.end());
    Ok(())
}
