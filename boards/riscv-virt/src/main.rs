//! RV32 without a floating-point unit in QEMU's machine `virt`: the pocket model tells a story over semihosting.
//!
//! Built for Hazard3, the RISC-V cores of the Pico 2 (RV32IMAC, Zba, Zbb, Zbs, Zbkb), or, with `--target riscv32imc-unknown-none-elf`, for
//! the core of the ESP32-C3. [`boot.s`](../src/boot.s) comes here from reset.
#![no_std]
#![no_main]

use core::arch::global_asm;

use nearfield_boards::{CONFIG, Image, Memory, image, plan};
#[cfg(not(target_has_atomic = "ptr"))]
use portable_atomic as _;
use semihosting::{eprintln, process::exit};
use static_cell::ConstStaticCell;

global_asm!(include_str!("boot.s"));

static IMAGE: Image = image!(in ".model");

/// All memory that changes but the stack: exactly what the plan says.
static MEMORY: ConstStaticCell<Memory<{ plan(&IMAGE, &CONFIG).n_lines() }>> = ConstStaticCell::new(Memory::ZERO);

/// Name of the board, with the processor that it was built for.
const NAME: &str =
    if cfg!(target_feature = "zbb") { "riscv-virt (RV32IMAC, Zba, Zbb)" } else { "riscv-virt (RV32IMC)" };

/// Entry point after `boot.s`.
#[unsafe(no_mangle)]
extern "C" fn start() -> ! {
    nearfield_semihosted::main(NAME, &IMAGE, MEMORY.take())
}

/// Handler of every exception: a fault of the firmware, not of its input.
#[unsafe(no_mangle)]
extern "C" fn exception(cause: u32, address: u32, value: usize) -> ! {
    unsafe extern "C" {
        static _guard: u8;
        static _stack_end: u8;
    }
    let what = if ((&raw const _guard).addr()..(&raw const _stack_end).addr()).contains(&value) {
        "the stack has overflowed"
    } else {
        "of the firmware"
    };
    eprintln!("exception {cause}: {what}, at {address:#x}, value {value:#x}");
    exit(1)
}
