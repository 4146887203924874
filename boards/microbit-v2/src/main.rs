//! micro:bit v2 (nRF52833): prompts over its debug probe's serial port (P0.06 out, P1.08 in, 115,200 baud), 2048 tokens of context, the
//! micro model.
#![no_std]
#![no_main]

use cortex_m_rt::entry;
use nearfield::Inline;
use nearfield_boards::{CONFIG, Image, Memory, image, plan};
use nearfield_nrf52::{serial, start};
use static_cell::ConstStaticCell;

static IMAGE: Image = image!();

/// All memory that changes but the stack: exactly what the plan says.
static MEMORY: ConstStaticCell<Memory<{ plan(&IMAGE, &CONFIG).n_lines() }>> = ConstStaticCell::new(Memory::ZERO);

#[entry]
fn main() -> ! {
    let p = start(false);
    let port = serial(p.UARTE0, p.P0_06, p.P1_08);
    nearfield_serial::main("microbit-v2 (Cortex-M4F at 64 MHz)", &IMAGE, CONFIG, &Inline, MEMORY.take(), port)
}
