//! nRF52840 boards with a boot loader for USB (Feather, ItsyBitsy, XIAO, nice!nano, Nordic's dongle): prompts over their USB port, 2048 tokens of
//! context.
#![no_std]
#![no_main]

use cortex_m_rt::entry;
use nearfield::Inline;
use nearfield_boards::{CONFIG, Image, Memory, image, plan};
use nearfield_nrf52::{Identity, UsbPort, start};
use static_cell::ConstStaticCell;

static IMAGE: Image = image!();

/// All memory that changes but the stack: exactly what the plan says.
static MEMORY: ConstStaticCell<Memory<{ plan(&IMAGE, &CONFIG).n_lines() }>> = ConstStaticCell::new(Memory::ZERO);

#[entry]
fn main() -> ! {
    // Some of these boards lack the coil.
    let p = start(false);
    // Numbers for serial ports of the public domain (<https://pid.codes/1209/0001/>: tests, not to be sold), which belong to no vendor.
    let port = UsbPort::new(p.USBD, Identity { ids: (0x1209, 0x0001), product: "nearfield on nRF52840" });
    nearfield_serial::main("nrf52840-usb (Cortex-M4F at 64 MHz)", &IMAGE, CONFIG, &Inline, MEMORY.take(), port)
}
