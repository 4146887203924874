//! A model in flash tells a story.
#![no_std]
#![no_main]

use core::fmt::{self, Write};

use nearfield::tokenizer::{Tokenizer, Vocab};
use nearfield::{
    Arena, Generator, GeneratorConfig, Inline, KvType, KvTypes, Line, MemoryPlan, Model, Sampler, SamplerConfig, Session,
    SessionConfig, StopWords, include_model, kernels,
};
use static_cell::ConstStaticCell;

static MODEL: &[u8] = include_model!("../model.gguf");
const CONFIG: SessionConfig =
    SessionConfig { n_ctx: 512, n_batch: 8, kv: KvTypes::both(KvType::Q8_0), ..SessionConfig::DEFAULT };

/// All memory of the model: exactly what its plan says. More than the board has does not link.
static MEMORY: ConstStaticCell<[Line; MemoryPlan::of_file(MODEL, &CONFIG).n_lines()]> =
    ConstStaticCell::new([Line::ZERO; _]);

/// Output: the serial port of your board.
struct Out;

impl fmt::Write for Out {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        semihosting::print!("{text}");
        Ok(())
    }
}

#[cortex_m_rt::entry]
fn main() -> ! {
    let result = tell("Once upon a time", 1);
    if let Err(error) = &result {
        let _ = writeln!(Out, "{error}");
    }
    semihosting::process::exit(result.is_err().into())
}

/// Writes a text that begins with `prompt`.
fn tell(prompt: &str, seed: u64) -> Result<(), nearfield::Error> {
    let mut arena = Arena::new(MEMORY.take());
    let model = Model::from_gguf(MODEL)?;
    let tokenizer = Tokenizer::new(Vocab::from_gguf(model.gguf())?, &mut arena)?;
    let mut session = Session::new(&model, CONFIG, kernels::best(), &Inline, &mut arena)?;

    let mut tokens = [0; 64];
    let n = tokenizer.encode(prompt, tokenizer.prompt_options(), &mut tokens)?;
    let sampler = Sampler::new(SamplerConfig { seed, ..SamplerConfig::DEFAULT })?;
    let config = GeneratorConfig { max_tokens: Some(64), ..GeneratorConfig::DEFAULT };
    let mut generator = Generator::new(sampler, config, StopWords::none());
    generator.read(&mut session, &tokens[..n])?;
    let _ = Out.write_str(prompt);
    while generator.next(&mut session, &tokenizer, &mut Out)?.is_some() {}
    generator.finish(&mut Out)?;
    let _ = writeln!(Out);
    Ok(())
}
