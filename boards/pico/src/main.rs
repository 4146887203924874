//! Raspberry Pi Pico and Pico W: prompts over USB and UART 0, 2048 tokens of context.
#![no_std]
#![no_main]

use cortex_m_rt::entry;
use embassy_rp::clocks::ClockConfig;
use embassy_rp::config::Config;
use nearfield_boards::{CONFIG, Image, Memory, image, plan};
use nearfield_rp::{Identity, Serial, cores};
use static_cell::ConstStaticCell;

static IMAGE: Image = image!();

/// All memory that changes but the stack: exactly what the plan says.
static MEMORY: ConstStaticCell<Memory<{ plan(&IMAGE, &CONFIG).n_lines() }>> = ConstStaticCell::new(Memory::ZERO);

/// 133 MHz at the voltage after reset, 1.1 V; 200 MHz at 1.15 V, which `system_freq` sets. The flash's clock is half of it.
const HZ: u32 = if cfg!(feature = "fast") { 200_000_000 } else { 133_000_000 };
const NAME: &str = if cfg!(feature = "fast") { "pico (Cortex-M0+ at 200 MHz)" } else { "pico (Cortex-M0+ at 133 MHz)" };

#[entry]
fn main() -> ! {
    let p = embassy_rp::init(Config::new(ClockConfig::system_freq(HZ).unwrap_or_default()));
    // Numbers of the serial port of Raspberry Pi's SDK, which hosts know.
    let identity = Identity { ids: (0x2e8a, 0x000a), product: "nearfield on pico" };
    let serial = Serial::new(p.USB, p.WATCHDOG, (p.UART0, p.PIN_0, p.PIN_1), identity);
    nearfield_serial::main(NAME, &IMAGE, CONFIG, cores(p.CORE1), MEMORY.take(), serial)
}
