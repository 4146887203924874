//! RV32 without a floating-point unit in QEMU's machine `virt`: the pocket model tells a story over semihosting.
//!
//! Built for Hazard3, the RISC-V cores of the Pico 2 (RV32IMAC, Zba, Zbb, Zbs, Zbkb), or, with `--target riscv32imc-unknown-none-elf`, for
//! the core of the ESP32-C3.
#![no_std]
#![no_main]

use nearfield_boards::{CONFIG, Image, Memory, image, plan};
use nearfield_riscv_virt::NAME;
use static_cell::ConstStaticCell;

static IMAGE: Image = image!(in ".model");

/// All memory that changes but the stack: exactly what the plan says.
static MEMORY: ConstStaticCell<Memory<{ plan(&IMAGE, &CONFIG).n_lines() }>> = ConstStaticCell::new(Memory::ZERO);

/// Entry point after `boot.s`.
#[unsafe(no_mangle)]
extern "C" fn start() -> ! {
    nearfield_semihosted::main(NAME, &IMAGE, MEMORY.take())
}
