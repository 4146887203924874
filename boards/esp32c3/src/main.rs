//! ESP32-C3: prompts over the chip's USB Serial/JTAG and UART 0 (GPIO21 out, GPIO20 in, 115,200 baud), 2048 tokens of context.
#![no_std]
#![no_main]

mod port;

use core::panic::PanicInfo;

use esp_hal::clock::CpuClock;
use esp_hal::main;
use nearfield::Inline;
use nearfield_boards::{CONFIG, Image, Memory, image, plan};
use static_cell::ConstStaticCell;

use port::{Usb, UsbAndUart};

// The boot loader and espflash look for this description at the beginning of the image.
esp_bootloader_esp_idf::esp_app_desc!();

static IMAGE: Image = image!();

/// All memory that changes but the stack: exactly what the plan says.
static MEMORY: ConstStaticCell<Memory<{ plan(&IMAGE, &CONFIG).n_lines() }>> = ConstStaticCell::new(Memory::ZERO);

#[main]
fn main() -> ! {
    // SAFETY: `main` runs on the linker script's only stack. The word at its end, which esp-hal watches from `init` on, keeps its value: it is the paint's.
    unsafe { nearfield_processor::paint_stack() };
    let p = esp_hal::init(esp_hal::Config::default().with_cpu_clock(CpuClock::_160MHz));
    let port = UsbAndUart::new(p.USB_DEVICE, (p.UART0, p.GPIO21, p.GPIO20), p.LPWR);
    nearfield_serial::main("esp32c3 (RV32IMC at 160 MHz)", &IMAGE, CONFIG, &Inline, MEMORY.take(), port)
}

/// Reports a panic, or an exception, which esp-hal makes one of.
#[panic_handler]
fn panic(info: &PanicInfo<'_>) -> ! {
    nearfield_serial::report(info, Usb::of_a_panic())
}
