//! Two texts from one model at the same time: `cargo run -p nearfield --example two_sessions`
//!
//! Model and tokenizer are read only, so any number of sessions share them; each has a part of the arena of its own. Sequences of a
//! `Batch` also share the passes over the weights: `Generator::next_of` has an example.

use std::error::Error;

use nearfield::tokenizer::{Tokenizer, Vocab};
use nearfield::{
    Arena, Generator, GeneratorConfig, Inline, Line, MemoryPlan, Model, Sampler, SamplerConfig, Session, SessionConfig,
    StopWords, kernels,
};

fn main() -> Result<(), Box<dyn Error>> {
    let file = std::fs::read("models/stories.gguf")?;
    let model = Model::from_gguf(&file)?;
    let config = SessionConfig { n_ctx: 128, ..SessionConfig::default() };
    let plan = MemoryPlan::new(model.shape(), &config)?;
    // The tokenizer once, the session twice.
    let mut memory = vec![Line::ZERO; (plan.tokenizer + 2 * plan.session()) / Line::BYTES];
    let mut arena = Arena::new(&mut memory);
    let tokenizer = Tokenizer::new(Vocab::from_gguf(model.gguf())?, &mut arena)?;
    let mut begin = |seed| -> Result<_, nearfield::Error> {
        let session = Session::new(&model, config, kernels::best(), &Inline, &mut arena)?;
        let sampler = Sampler::new(SamplerConfig { seed, ..SamplerConfig::default() })?;
        let config = GeneratorConfig { max_tokens: Some(30), ..GeneratorConfig::default() };
        Ok((session, Generator::new(sampler, config, StopWords::none())))
    };
    let mut texts = [begin(1)?, begin(2)?].map(|(session, generator)| (session, generator, String::new()));

    let mut tokens = [0; 64];
    let n = tokenizer.encode("The little dog", tokenizer.prompt_options(), &mut tokens)?;
    for (session, generator, _) in &mut texts {
        generator.read(session, &tokens[..n])?;
    }
    // A token of each in turn.
    let mut goes_on = true;
    while goes_on {
        goes_on = false;
        for (session, generator, text) in &mut texts {
            goes_on |= generator.next(session, &tokenizer, text)?.is_some();
        }
    }
    for (_, generator, text) in &mut texts {
        generator.finish(text)?;
        println!("The little dog{text}\n");
    }
    assert_ne!(texts[0].2, texts[1].2);
    Ok(())
}
