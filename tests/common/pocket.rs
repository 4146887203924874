//! Texts of the pocket model.

use std::hash::{DefaultHasher, Hash, Hasher};

use nearfield::tokenizer::{Tokenizer, Vocab};
use nearfield::{
    Arena, Drafter, Executor, Generator, GeneratorConfig, Inline, Line, MemoryPlan, Model, Sampler, SamplerConfig,
    SamplerLists, Session, SessionConfig, StopWords, kernels,
};

use super::file::File;

/// The pocket model's file.
pub fn file() -> File {
    File::new(include_bytes!("../../models/pocket.gguf"))
}

/// Settings of a text.
#[derive(Clone, Copy)]
pub struct Text<'a> {
    pub prompt: &'a str,
    pub sampler: SamplerConfig,
    pub config: SessionConfig,
    pub executor: &'a dyn Executor,
    pub n_tokens: usize,
}

/// A text that was generated, and all that has to be the same with a draft.
#[derive(Clone, Debug, PartialEq)]
pub struct Generated {
    pub text: String,
    /// Tokens of prompt and text.
    pub tokens: Vec<u32>,
    /// Seed that the text ends with.
    pub seed: u64,
    /// Hash of the bits of all logits that tokens were drawn from.
    pub logits: u64,
}

impl<'a> Text<'a> {
    pub fn new(prompt: &'a str, sampler: SamplerConfig, config: SessionConfig) -> Self {
        Self { prompt, sampler, config, executor: &Inline, n_tokens: 150 }
    }

    /// Text that the pocket model generates.
    pub fn generate(&self, drafter: Option<&mut dyn Drafter>) -> Generated {
        let Self { prompt, sampler, config, executor, n_tokens } = *self;
        let file = file();
        let model = Model::from_gguf(file.bytes()).unwrap();
        let mut memory = vec![Line::ZERO; MemoryPlan::new(model.shape(), &config).unwrap().n_lines()];
        let mut arena = Arena::new(&mut memory);
        let tokenizer = Tokenizer::new(Vocab::from_gguf(model.gguf()).unwrap(), &mut arena).unwrap();
        let mut session = Session::new(&model, config, kernels::best(), executor, &mut arena).unwrap();
        let mut tokens = vec![0; 256];
        let n = tokenizer.encode(prompt, tokenizer.options(), &mut tokens).unwrap();
        tokens.truncate(n);
        let generator_config =
            GeneratorConfig { max_tokens: Some(n_tokens), after_end: Some("\n"), ..GeneratorConfig::DEFAULT };
        let mut memory = vec![0; sampler.memory_words(&SamplerLists::NONE)];
        let sampler = Sampler::with_memory(sampler, SamplerLists::NONE, &mut memory).unwrap();
        let mut generator = Generator::new(sampler, generator_config, StopWords::none());
        if let Some(drafter) = drafter {
            generator = generator.with_drafter(drafter);
        }
        generator.read(&mut session, &tokens).unwrap();
        let (mut text, mut logits) = (String::new(), DefaultHasher::new());
        while let Some(row) = generator.advance(&mut session).unwrap() {
            row.iter().for_each(|logit| logit.to_bits().hash(&mut logits));
            tokens.extend(generator.write(&tokenizer, &mut text).unwrap());
        }
        assert!(session.ahead().is_empty(), "no guess lies behind the end");
        Generated { text, tokens, seed: generator.seed(), logits: logits.finish() }
    }
}
