//! A model in the program and memory of a fixed size, as on a board: `cargo run -p nearfield --example fixed_arena`
//!
//! No heap: the compiler knows how many bytes the model needs, and a model that does not fit does not compile.

use std::error::Error;

use nearfield::tokenizer::{Tokenizer, Vocab};
use nearfield::{
    Arena, Generator, GeneratorConfig, Inline, KvType, KvTypes, Line, MemoryPlan, Model, Sampler, SamplerConfig,
    Session, SessionConfig, StopWords, include_model, kernels,
};

static MODEL: &[u8] = include_model!("../models/pocket.gguf");

const CONFIG: SessionConfig =
    SessionConfig { n_ctx: 256, n_batch: 8, kv: KvTypes::both(KvType::Q8_0), ..SessionConfig::DEFAULT };
const PLAN: MemoryPlan = MemoryPlan::of_file(MODEL, &CONFIG);
const _: () = assert!(PLAN.total() <= 192 * 1024);

/// Text of a fixed size.
type Text = heapless::String<1024>;

fn main() -> Result<(), Box<dyn Error>> {
    // On a board, a `static`.
    let mut memory = [Line::ZERO; PLAN.n_lines()];
    let mut arena = Arena::new(&mut memory);
    let model = Model::from_gguf(MODEL)?;
    let tokenizer = Tokenizer::new(Vocab::from_gguf(model.gguf())?, &mut arena)?;
    let mut session = Session::new(&model, CONFIG, kernels::best(), &Inline, &mut arena)?;
    assert_eq!(arena.free_bytes(), 0);

    let mut tokens = [0; 32];
    let n = tokenizer.encode("Once upon a time", tokenizer.prompt_options(), &mut tokens)?;
    let config = GeneratorConfig { max_tokens: Some(40), ..GeneratorConfig::DEFAULT };
    let mut generator = Generator::new(Sampler::new(SamplerConfig::default())?, config, StopWords::none());
    generator.read(&mut session, &tokens[..n])?;
    let mut text = Text::new();
    while generator.next(&mut session, &tokenizer, &mut text)?.is_some() {}
    generator.finish(&mut text)?;
    println!("Once upon a time{text}\n[{} bytes of memory]", PLAN.total());
    Ok(())
}
