//! Arm's MPS boards as QEMU has them: text by semihosting, one story, a self-test, an exit status.
//!
//! The four machines differ in their core and their memory map alone, so a folder of theirs holds little else.
#![no_std]

use core::fmt;
use core::panic::PanicInfo;

use nearfield::{Inline, KvType, KvTypes, Ring, SessionConfig, kernels};
use nearfield_boards::{Board, Image, Memory, StackUse, power_on, tell_one};
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

/// Prompt of every emulated board, whose text is that of `nearfield run models/pocket.gguf PROMPT -n 64 --seed 1 --kv q8_0`.
/// The variable `NEARFIELD_PROMPT` replaces it.
const PROMPT: &str = match option_env!("NEARFIELD_PROMPT") {
    Some(prompt) => prompt,
    None => "Once upon a time",
};
const N_TOKENS: usize = 64;

struct Mps {
    name: &'static str,
    out: Out,
}

#[cfg(not(feature = "defmt"))]
type Out = semihosting::io::Stdout;
/// The logs have the standard output for themselves.
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

/// Tests the kernels, tells the story and ends the emulator: with 0, or the code of what went wrong.
pub fn main<const LINES: usize>(name: &'static str, image: &Image, memory: &mut Memory<LINES>) -> ! {
    // Without its standard output there is nobody to tell.
    #[cfg(not(feature = "defmt"))]
    let out = semihosting::io::stdout();
    #[cfg(feature = "defmt")]
    let out = semihosting::io::stderr();
    let Ok(out) = out else { exit(1) };
    let mut mps = Mps { name, out };
    let code = power_on(&mut mps, image, CONFIG, kernels::best(), &Inline, memory, |mps, teller| {
        tell_one(mps, teller, PROMPT, N_TOKENS)
    });
    exit(code.into())
}

#[panic_handler]
fn panic(info: &PanicInfo<'_>) -> ! {
    semihosting::eprintln!("{info}");
    exit(1)
}
