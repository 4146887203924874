//! Cortex-M55 in QEMU's machine `mps3-an547`: the pocket model tells a story over semihosting.
#![no_std]
#![no_main]

use cortex_m_rt::entry;
use nearfield_boards::{CONFIG, Image, Memory, image, plan};
use static_cell::ConstStaticCell;

static IMAGE: Image = image!(in ".model");

/// All memory that changes but the stack: exactly what the plan says.
static MEMORY: ConstStaticCell<Memory<{ plan(&IMAGE, &CONFIG).n_lines() }>> = ConstStaticCell::new(Memory::ZERO);

#[entry]
fn main() -> ! {
    nearfield_semihosted::main("mps3-an547 (Cortex-M55)", &IMAGE, MEMORY.take())
}
