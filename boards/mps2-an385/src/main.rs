//! Code for ARMv6-M (Cortex-M0, M0+) in QEMU's machine `mps2-an385`: the pocket model tells a story over semihosting.
//!
//! The machine has a Cortex-M3, which executes every instruction of ARMv6-M. The compiler and its assembler know no others for this
//! target, and accesses that are not aligned fault here as they do on an M0+.
#![no_std]
#![no_main]

use cortex_m as _;
use cortex_m_rt::entry;
use nearfield_boards::{CONFIG, Image, Memory, image, plan};
use static_cell::ConstStaticCell;

static IMAGE: Image = image!(in ".model");

/// All memory that changes but the stack: exactly what the plan says.
static MEMORY: ConstStaticCell<Memory<{ plan(&IMAGE, &CONFIG).n_lines() }>> = ConstStaticCell::new(Memory::ZERO);

/// Configuration and control register: bit 3 makes accesses that are not aligned fault. ARMv7-M Architecture Reference Manual, B3.2.8.
const CCR: *mut u32 = 0xe000_ed14 as *mut u32;
const UNALIGN_TRP: u32 = 1 << 3;

#[entry]
fn main() -> ! {
    // SAFETY: the register of the system control space that the manual names; nothing else runs yet that could write it.
    unsafe { CCR.write_volatile(CCR.read_volatile() | UNALIGN_TRP) };
    nearfield_semihosted::main("mps2-an385 (ARMv6-M)", &IMAGE, MEMORY.take())
}
