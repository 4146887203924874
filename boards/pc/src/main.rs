//! A PC without an operating system: the larger model tells a story on one core of any x86-64.
//!
//! [`boot.s`](../src/boot.s) comes from the disk and ends in [`start`]. Interrupts stay off, so nobody uses the stack below its
//! pointer (the red zone of the x86-64 ABI) but the code itself; exceptions do, and end the machine.
//!
//! With the argument `conformance N`, every ISA of the processor is compared with the definitions instead.
#![no_std]
#![no_main]
// The plan looks a model's shape up in the file's table, which holds the vocabulary: long, and sure to end.
#![allow(long_running_const_eval)]

mod conformance;
mod exceptions;
mod machine;
mod memory;
mod serial;

use core::arch::global_asm;
use core::fmt::Write;

use nearfield::{Inline, KvType, KvTypes, SessionConfig, kernels};
use nearfield_boards::{Image, Memory, generate_once, image, plan, power_on};
use static_cell::ConstStaticCell;

use machine::{Pc, arguments, end};

global_asm!(include_str!("boot.s"));

static IMAGE: Image = image!();

const CONFIG: SessionConfig =
    SessionConfig { n_ctx: 2048, n_batch: 32, kv: KvTypes::both(KvType::Q8_0), ..SessionConfig::DEFAULT };

/// All memory that changes but the stack: exactly what the plan says.
static MEMORY: ConstStaticCell<Memory<{ plan(&IMAGE, &CONFIG).n_lines() }>> = ConstStaticCell::new(Memory::ZERO);

/// Entry point after `boot.s`: one core, in 64-bit mode.
#[unsafe(no_mangle)]
extern "C" fn start() -> ! {
    let mut pc = Pc::set_up();
    let mut words = arguments().split_whitespace();
    end(match words.next() {
        None => power_on(&mut pc, &IMAGE, CONFIG, kernels::best(), &Inline, MEMORY.take(), |pc, model| {
            generate_once(pc, model, "Once upon a time", 64)
        }),
        Some("conformance") => {
            let n_cases = words.next().and_then(|word| word.parse().ok()).unwrap_or(100);
            conformance::check(&mut pc, n_cases, MEMORY.take())
        }
        Some(other) => {
            let _ = writeln!(pc, "no argument '{other}': there is `conformance N`");
            2
        }
    })
}
