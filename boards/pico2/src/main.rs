//! Raspberry Pi Pico 2: prompts over UART 0, 2048 tokens of context.
#![no_std]
#![no_main]

use cortex_m_rt::entry;
use nearfield_boards::{Image, Memory, image, plan};
use nearfield_pico2::{CONFIG, NAME, serial};
use static_cell::ConstStaticCell;

static IMAGE: Image = image!("pocket.gguf", "../../../models/pocket.gguf");

/// All memory that changes but the stack: exactly what the plan says.
static MEMORY: ConstStaticCell<Memory<{ plan(&IMAGE, &CONFIG).n_lines() }>> = ConstStaticCell::new(Memory::ZERO);

#[entry]
fn main() -> ! {
    let p = embassy_rp::init(embassy_rp::config::Config::default());
    let (send, receive) = serial(p.UART0, p.PIN_0, p.PIN_1);
    nearfield_serial::main(NAME, &IMAGE, CONFIG, MEMORY.take(), send, receive)
}
