//! STM32F411 (Black Pill): prompts over USART 1 (PA9 out, PA10 in, 115,200 baud), 2048 tokens of context, the micro
//! model; in QEMU's machine `netduinoplus2` one text.
#![no_std]
#![no_main]

use cortex_m_rt::entry;
use nearfield_boards::{CONFIG, Image, Memory, image, plan};
use nearfield_stm32f4::Chip;
use static_cell::ConstStaticCell;

static IMAGE: Image = image!();

/// All memory that changes but the stack: exactly what the plan says.
static MEMORY: ConstStaticCell<Memory<{ plan(&IMAGE, &CONFIG).n_lines() }>> = ConstStaticCell::new(Memory::ZERO);

#[entry]
fn main() -> ! {
    // The Black Pill's crystal has 25 MHz.
    nearfield_stm32f4::main("stm32f411 (Cortex-M4F)", Chip::F411, Some(25), &IMAGE, CONFIG, MEMORY.take())
}
