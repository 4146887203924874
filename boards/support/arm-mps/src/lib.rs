//! Arm's MPS boards as QEMU emulates them: output by semihosting, a self-test, one generated text or commands, an exit status.
//!
//! The four machines differ in their core and their memory map alone; the folder of each holds little else.
#![no_std]

use core::fmt;
use core::panic::PanicInfo;

use nearfield::{Inline, KvType, KvTypes, Line, Ring, SessionConfig, kernels};
use nearfield_boards::{
    Board, Commander, GrammarImage, Halt, Image, Led, Memory, StackUse, TextModel, generate_once, power_on,
};
use semihosting::io::Write as _;
use semihosting::process::exit;
#[cfg(feature = "defmt")]
use {cortex_m as _, defmt_semihosting as _};

/// Configuration of a part with 256 KiB of RAM: 2048 tokens, of which each KV head keeps those that its slope needs (704).
pub const CONFIG: SessionConfig = SessionConfig {
    n_ctx: 2048,
    n_batch: 8,
    kv: KvTypes::both(KvType::Q8_0),
    ring: Ring::Bias(SessionConfig::HORIZON_EPS),
    ..SessionConfig::DEFAULT
};

/// Prompt of every emulated board. Its text is that of `nearfield run models/pocket.gguf PROMPT -n 64 --seed 1 --kv q8_0`. The
/// variable `NEARFIELD_PROMPT` replaces the prompt.
const PROMPT: &str = match option_env!("NEARFIELD_PROMPT") {
    Some(prompt) => prompt,
    None => "Once upon a time",
};
const N_TOKENS: usize = 64;

/// Prompt of [`commands`], which `NEARFIELD_PROMPT` replaces too. The commands are those of
/// `nearfield run models/pocket.gguf PROMPT --grammar boards/support/firmware/commands.gbnf --kv q8_0 --seed SEED`.
const COMMANDS_PROMPT: &str = match option_env!("NEARFIELD_PROMPT") {
    Some(prompt) => prompt,
    None => "Tom was afraid of the dark. He told the lamp:",
};
/// Number of commands: the seeds are 1 to 8.
const N_COMMANDS: u64 = 8;

struct Mps {
    name: &'static str,
    out: Out,
}

#[cfg(not(feature = "defmt"))]
type Out = semihosting::io::Stdout;
/// Standard error: the logs have the standard output for themselves.
#[cfg(feature = "defmt")]
type Out = semihosting::io::Stderr;

impl fmt::Write for Mps {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.out.write_all(text.as_bytes()).map_err(|_| fmt::Error)
    }
}

impl Board for Mps {
    fn name(&self) -> &'static str {
        self.name
    }

    fn read(&mut self) -> Option<u8> {
        None
    }

    fn self_test_cases(&self) -> u64 {
        64
    }

    fn mark(&mut self) {
        nearfield_cortex_m::mark();
    }

    fn stack(&self) -> Option<StackUse> {
        Some(nearfield_cortex_m::stack_use())
    }
}

/// Tests the kernels, generates the text and ends the emulator: with 0, or with the code of the error.
pub fn main<const LINES: usize>(name: &'static str, image: &Image, memory: &mut Memory<LINES>) -> ! {
    run(name, image, memory, |mps, model| generate_once(mps, model, PROMPT, N_TOKENS))
}

/// Tests the kernels, lets the model give commands to an LED and ends the emulator: with 0, or with the code of the error.
///
/// - `matcher`: memory of [`GrammarImage::matcher_lines`]
pub fn commands<const LINES: usize>(
    name: &'static str,
    image: &Image,
    grammar: &GrammarImage,
    memory: &mut Memory<LINES>,
    matcher: &mut [Line],
    led: impl Led,
) -> ! {
    run(name, image, memory, |mps, model| {
        Commander::new(model, grammar, matcher, led)?.obey_prompt(mps, COMMANDS_PROMPT, N_COMMANDS)
    })
}

fn run<const LINES: usize>(
    name: &'static str,
    image: &Image,
    memory: &mut Memory<LINES>,
    then: impl FnOnce(&mut Mps, &mut TextModel<'_, '_, '_>) -> Result<(), Halt>,
) -> ! {
    // Without standard output no message can be written.
    #[cfg(not(feature = "defmt"))]
    let out = semihosting::io::stdout();
    #[cfg(feature = "defmt")]
    let out = semihosting::io::stderr();
    let Ok(out) = out else { exit(1) };
    let mut mps = Mps { name, out };
    let code = power_on(&mut mps, image, CONFIG, kernels::best(), &Inline, memory, then);
    exit(code.into())
}

#[panic_handler]
fn panic(info: &PanicInfo<'_>) -> ! {
    semihosting::eprintln!("{info}");
    exit(1)
}
