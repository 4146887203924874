//! Start and exceptions of QEMU's machine `virt`, for all of its firmwares. [`boot.s`](../src/boot.s) comes from reset to their `start`.
#![no_std]

use core::arch::global_asm;

#[cfg(not(target_has_atomic = "ptr"))]
use portable_atomic as _;
use semihosting::{eprintln, process::exit};

global_asm!(include_str!("boot.s"));

/// Name of the board, with the processor that it was built for.
pub const NAME: &str =
    if cfg!(target_feature = "zbb") { "riscv-virt (RV32IMAC, Zba, Zbb)" } else { "riscv-virt (RV32IMC)" };

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
