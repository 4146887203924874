//! Raspberry Pi Pico 2: prompts over USB and UART 0, 2048 tokens of context.
#![no_std]
#![no_main]

use cortex_m_rt::entry;
use nearfield_boards::{CONFIG, Image, Memory, image, plan};
use nearfield_pico2::{IDENTITY, NAME};
use nearfield_rp::{Serial, continuous_reads, cores};
use static_cell::ConstStaticCell;

static IMAGE: Image = image!();

/// All memory that changes but the stack: exactly what the plan says.
static MEMORY: ConstStaticCell<Memory<{ plan(&IMAGE, &CONFIG).n_lines() }>> = ConstStaticCell::new(Memory::ZERO);

#[entry]
fn main() -> ! {
    let p = embassy_rp::init(embassy_rp::config::Config::default());
    continuous_reads();
    let serial = Serial::new(p.USB, p.WATCHDOG, (p.UART0, p.PIN_0, p.PIN_1), IDENTITY);
    nearfield_serial::main(NAME, &IMAGE, CONFIG, cores(p.CORE1), MEMORY.take(), serial)
}
