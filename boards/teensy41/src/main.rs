//! Teensy 4.1 (i.MX RT1062): prompts over USB, 2048 tokens of context.
#![no_std]
#![no_main]

mod port;
mod usb;

use core::panic::PanicInfo;

use cortex_m_rt::entry;
use nearfield::Inline;
use nearfield_boards::{CONFIG, Image, Memory, image, plan};
use static_cell::ConstStaticCell;
use teensy4_bsp::board;

use port::Serial;

static IMAGE: Image = image!();

/// All memory that changes but the stack: exactly what the plan says.
static MEMORY: ConstStaticCell<Memory<{ plan(&IMAGE, &CONFIG).n_lines() }>> = ConstStaticCell::new(Memory::ZERO);

#[entry]
fn main() -> ! {
    // Clocks of all parts: 600 MHz for the core.
    let board::T41Resources { usb, gpt1, trng, .. } = board::t41(board::instances());
    if let Some(mut core) = cortex_m::Peripherals::take() {
        // The model is read from flash through a cache; variables lie beside the core, where the USB controller sees them without one.
        core.SCB.enable_icache();
        core.SCB.enable_dcache(&mut core.CPUID);
    }
    usb::start(usb);
    let name = "teensy41 (Cortex-M7 at 600 MHz)";
    nearfield_serial::main(name, &IMAGE, CONFIG, &Inline, MEMORY.take(), Serial::new(gpt1, trng))
}

/// Reports a panic over USB, whose interrupt goes on.
#[panic_handler]
fn panic(info: &PanicInfo<'_>) -> ! {
    nearfield_serial::report(info, Serial::of_a_panic())
}
