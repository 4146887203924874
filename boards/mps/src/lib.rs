//! Arm's MPS boards as QEMU has them: text by semihosting, one story, a self-test, an exit status.
//!
//! The four machines differ in their core and their memory map alone, so a folder of theirs holds little else.
#![no_std]

use core::fmt::{self, Write};
use core::panic::PanicInfo;

use nearfield::{Inline, KvType, SessionConfig, kernels};
use nearfield_boards::{Board, Halt, Image, Memory, StackUse, Teller, self_test, tell_one};
use semihosting::io::Write as _;
use semihosting::process::exit;

/// 512 tokens of the pocket model fit a part with 256 KiB of RAM.
pub const CONFIG: SessionConfig =
    SessionConfig { n_ctx: 512, n_batch: 8, kv: KvType::Q8_0, horizon_eps: SessionConfig::HORIZON_EPS };

/// What every emulated board tells: the same as `nearfield run models/pocket.gguf PROMPT -n 64 --seed 1 --kv q8_0`.
const PROMPT: &str = "Once upon a time";
const N_TOKENS: usize = 64;

/// Inputs that each kernel is tried on.
const SELF_TEST_CASES: u64 = 16;

struct Mps {
    name: &'static str,
    out: semihosting::io::Stdout,
}

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

    fn mark(&mut self) {
        nearfield_cortex_m::mark();
    }

    fn stack(&self) -> Option<StackUse> {
        Some(nearfield_cortex_m::stack_use())
    }
}

/// Tells the story, tests the kernels and ends the emulator: with 0, or the code of what went wrong.
pub fn main<const LINES: usize>(name: &'static str, image: &Image, memory: &mut Memory<LINES>) -> ! {
    // Without its standard output there is nobody to tell.
    let Ok(out) = semihosting::io::stdout() else { exit(1) };
    let mut mps = Mps { name, out };
    match run(&mut mps, image, memory) {
        Ok(()) => exit(0),
        Err(halt) => {
            let _ = writeln!(mps, "\nhalted with code {}: {halt}", halt.code());
            exit(halt.code().into())
        }
    }
}

fn run<const LINES: usize>(mps: &mut Mps, image: &Image, memory: &mut Memory<LINES>) -> Result<(), Halt> {
    let isa = kernels::best();
    writeln!(mps, "{}, kernels {}, model {}", mps.name(), isa.name(), image.name)?;
    Teller::open(image, CONFIG, isa, &Inline, memory, |teller| tell_one(mps, teller, PROMPT, N_TOKENS))?;
    self_test(isa, SELF_TEST_CASES, memory.arena())?;
    writeln!(mps, "self-test {SELF_TEST_CASES} cases of each kernel: {} gives the definitions' bits", isa.name())?;
    Ok(())
}

#[panic_handler]
fn panic(info: &PanicInfo<'_>) -> ! {
    semihosting::println!("{info}");
    exit(1)
}
