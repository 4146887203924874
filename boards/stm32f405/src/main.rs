//! STM32F405: prompts over USART 3 (PB10 out, PB11 in, 115,200 baud), 2048 tokens of context; in QEMU's machine `netduinoplus2` one text.
#![no_std]
#![no_main]

use cortex_m_rt::entry;
use nearfield::{Ring, SessionConfig};
use nearfield_boards::{Image, Memory, image, plan};
use nearfield_stm32f4::Chip;
use static_cell::ConstStaticCell;

static IMAGE: Image = image!();

/// Configuration: each KV head keeps its 256 newest keys (boards/README.md, "Memory", has what that changes).
const CONFIG: SessionConfig = SessionConfig { ring: Ring::Keys(256), ..nearfield_boards::CONFIG };

/// All memory that changes but the stack: exactly what the plan says.
static MEMORY: ConstStaticCell<Memory<{ plan(&IMAGE, &CONFIG).n_lines() }>> = ConstStaticCell::new(Memory::ZERO);

/// Frequency of the crystal in MHz, by the firmware's features.
const CRYSTAL: Option<u32> = if cfg!(feature = "crystal-8") {
    Some(8)
} else if cfg!(feature = "crystal-12") {
    Some(12)
} else if cfg!(feature = "crystal-25") {
    Some(25)
} else {
    None
};

#[entry]
fn main() -> ! {
    nearfield_stm32f4::main("stm32f405 (Cortex-M4F)", Chip::F405, CRYSTAL, &IMAGE, CONFIG, MEMORY.take())
}
