//! Run of a board on Linux: `cargo run -p nearfield-boards --example linux -- MODEL TOKENS [CASES]`
//!
//! The processor's best ISA is tried on CASES inputs of every kernel, then it generates a text of TOKENS tokens. It builds in a fraction
//! of the `nearfield` command's time, for processors that a test emulates.

use std::error::Error;
use std::fmt;
use std::io::Write as _;

use nearfield::kernels::best;
use nearfield::tokenizer::{Tokenizer, Vocab};
use nearfield::{Arena, Gguf, Inline, KvType, KvTypes, Line, SessionConfig, checksum};
use nearfield_boards::{Board, Image, Memory, TextModel, generate_once, self_test};

const CONFIG: SessionConfig =
    SessionConfig { n_ctx: 512, n_batch: 8, kv: KvTypes::both(KvType::Q8_0), ..SessionConfig::DEFAULT };

/// Lines of the arena: 4 MiB, enough for the models of this repository.
const LINES: usize = (4 << 20) / Line::BYTES;

/// Standard output as a serial port.
struct Stdout;

impl fmt::Write for Stdout {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        std::io::stdout().write_all(text.as_bytes()).map_err(|_| fmt::Error)
    }
}

impl Board for Stdout {
    fn name(&self) -> &'static str {
        "linux"
    }

    fn read(&mut self) -> Option<u8> {
        None
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [model, n_tokens, n_cases @ ..] = &args[..] else { return Err("MODEL TOKENS [CASES]".into()) };
    let (n_tokens, n_cases) = (n_tokens.parse()?, n_cases.first().map_or(Ok(0), |n| n.parse())?);

    let mut memory = Box::new(Memory::<LINES>::ZERO);
    let isa = best();
    println!("kernels {}", isa.name());
    if n_cases > 0 {
        self_test(isa, n_cases, memory.arena()).map_err(|halt| halt.to_string())?;
        println!("self-test: {n_cases} cases of each kernel");
    }

    let gguf = in_flash(&std::fs::read(model)?);
    let vocab = Vocab::from_gguf(&Gguf::parse(gguf)?)?;
    let index: Vec<u8> = Tokenizer::new(vocab, &mut memory.arena())?.index().collect();
    let image = Image {
        name: "model",
        gguf,
        checksum: checksum(gguf),
        card: None,
        index: in_flash(&index),
        prefix: &[],
        n_ctx: None,
    };
    TextModel::open(&image, CONFIG, isa, &Inline, &mut memory, None, |model| {
        generate_once(&mut Stdout, model, "Once upon a time", n_tokens)
    })
    .map_err(|halt| halt.to_string().into())
}

/// Copy of `bytes` that is aligned to 64 bytes and never freed, as in flash.
fn in_flash(bytes: &[u8]) -> &'static [u8] {
    let lines = vec![Line::ZERO; bytes.len().div_ceil(Line::BYTES)].leak();
    let flash = Arena::new(lines).take(bytes.len()).expect("as many bytes as lines");
    flash.copy_from_slice(bytes);
    flash
}
