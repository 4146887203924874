//! The same beside other tasks: between two tokens they have the processor. An interrupt has it at any time.
#![no_std]
#![no_main]

use core::fmt::{self, Write};
use core::sync::atomic::{AtomicU32, Ordering};

use embassy_executor::Spawner;
use embassy_futures::yield_now;
use nearfield::tokenizer::{Tokenizer, Vocab};
use nearfield::{
    Arena, Generator, GeneratorConfig, Inline, KvType, KvTypes, Line, MemoryPlan, Model, Sampler, SamplerConfig, Session,
    SessionConfig, StopWords, include_model, kernels,
};
use static_cell::ConstStaticCell;

static MODEL: &[u8] = include_model!("../../model.gguf");
const CONFIG: SessionConfig =
    SessionConfig { n_ctx: 512, n_batch: 8, kv: KvTypes::both(KvType::Q8_0), ..SessionConfig::DEFAULT };

/// All memory of the model: exactly what its plan says. More than the board has does not link.
static MEMORY: ConstStaticCell<[Line; MemoryPlan::of_file(MODEL, &CONFIG).n_lines()]> =
    ConstStaticCell::new([Line::ZERO; _]);

/// Turns of the other task.
static TURNS: AtomicU32 = AtomicU32::new(0);

/// Output: the serial port of your board.
struct Out;

impl fmt::Write for Out {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        semihosting::print!("{text}");
        Ok(())
    }
}

/// Task beside the story: an LED, a sensor, a radio.
#[embassy_executor::task]
async fn other() {
    loop {
        TURNS.fetch_add(1, Ordering::Relaxed);
        yield_now().await;
    }
}

#[embassy_executor::main]
async fn main(spawner: Spawner) {
    let mut failed = other().map(|task| spawner.spawn(task)).is_err();
    if let Err(error) = tell("Once upon a time", 1).await {
        let _ = writeln!(Out, "{error}");
        failed = true;
    }
    let _ = writeln!(Out, "[the other task had {} turns]", TURNS.load(Ordering::Relaxed));
    semihosting::process::exit(failed.into())
}

/// Writes a text that begins with `prompt`; the other tasks run between two passes through the model.
async fn tell(prompt: &str, seed: u64) -> Result<(), nearfield::Error> {
    let mut arena = Arena::new(MEMORY.take());
    let model = Model::from_gguf(MODEL)?;
    let tokenizer = Tokenizer::new(Vocab::from_gguf(model.gguf())?, &mut arena)?;
    let mut session = Session::new(&model, CONFIG, kernels::best(), &Inline, &mut arena)?;

    let mut tokens = [0; 64];
    let n = tokenizer.encode(prompt, tokenizer.prompt_options(), &mut tokens)?;
    let sampler = Sampler::new(SamplerConfig { seed, ..SamplerConfig::DEFAULT })?;
    let config = GeneratorConfig { max_tokens: Some(64), ..GeneratorConfig::DEFAULT };
    let mut generator = Generator::new(sampler, config, StopWords::none());
    for part in tokens[..n].chunks(CONFIG.n_batch) {
        generator.read(&mut session, part)?;
        yield_now().await;
    }
    let _ = Out.write_str(prompt);
    while generator.next(&mut session, &tokenizer, &mut Out)?.is_some() {
        yield_now().await;
    }
    generator.finish(&mut Out)?;
    let _ = writeln!(Out);
    Ok(())
}
