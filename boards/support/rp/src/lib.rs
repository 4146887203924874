//! Parts that the boards with a Raspberry Pi microcontroller share (RP2040, RP2350): a serial port over USB and UART 0 at once, a
//! watchdog, both cores as an executor, and the RP2350's flash set up for fast reads.
#![no_std]

mod cores;
#[cfg(feature = "rp235x")]
mod qmi;

pub use cores::cores;
#[cfg(feature = "rp235x")]
pub use qmi::continuous_reads;

use embassy_rp::clocks::RoscRng;
use embassy_rp::executor::InterruptExecutor;
use embassy_rp::interrupt::{InterruptExt, Priority};
use embassy_rp::peripherals::{PIN_0, PIN_1, UART0, USB, WATCHDOG};
use embassy_rp::uart::{Blocking, Config, Uart};
use embassy_rp::usb::{Driver, InterruptHandler};
use embassy_rp::watchdog::Watchdog;
use embassy_rp::{Peri, bind_interrupts, interrupt};
use embassy_time::Duration;
use embedded_hal_nb::serial::Read;
use nearfield_serial::Port;
pub use nearfield_usb::Identity;
use nearfield_usb::{UsbMemory, UsbSerial};
use static_cell::StaticCell;

bind_interrupts!(struct Interrupts {
    USBCTRL_IRQ => InterruptHandler<USB>;
});

/// Runs the USB device in an interrupt that no hardware uses, above thread mode.
static EXECUTOR: InterruptExecutor = InterruptExecutor::new();
static USB_SERIAL: UsbSerial = UsbSerial::new();
static USB_MEMORY: StaticCell<UsbMemory> = StaticCell::new();

#[interrupt]
fn SWI_IRQ_1() {
    // SAFETY: called by this interrupt alone, which `InterruptExecutor::start` enables.
    unsafe { EXECUTOR.on_interrupt() }
}

#[embassy_executor::task]
async fn run_usb(usb: Peri<'static, USB>, identity: Identity) {
    USB_SERIAL.run(Driver::new(usb, Interrupts), USB_MEMORY.init_with(UsbMemory::new), identity).await;
}

/// Time after which the watchdog resets a chip that hangs: nearly the longest of the RP2040, and some times what the slowest pass takes.
const WATCHDOG_TIME: Duration = Duration::from_secs(8);

/// Serial port over USB and UART 0 (GP0 out, GP1 in, 115,200 baud) at once: text goes to both, what is typed comes from either. The
/// watchdog comes with it.
pub struct Serial {
    uart: Uart<'static, Blocking>,
    watchdog: Watchdog,
    /// True once the watchdog counts: from the first feeding on, behind the self-test.
    is_watched: bool,
}

impl Serial {
    /// Starts both ports. `usb` is the only one, so the task starts once.
    pub fn new(
        usb: Peri<'static, USB>,
        watchdog: Peri<'static, WATCHDOG>,
        uart: (Peri<'static, UART0>, Peri<'static, PIN_0>, Peri<'static, PIN_1>),
        identity: Identity,
    ) -> Self {
        interrupt::SWI_IRQ_1.set_priority(Priority::P2);
        if let Ok(task) = run_usb(usb, identity) {
            EXECUTOR.start(interrupt::SWI_IRQ_1).spawn(task);
        }
        let (uart, tx, rx) = uart;
        let mut watchdog = Watchdog::new(watchdog);
        watchdog.pause_on_debug(true);
        Self { uart: Uart::new_blocking(uart, tx, rx, Config::default()), watchdog, is_watched: false }
    }
}

impl Port for Serial {
    fn send(&mut self, bytes: &[u8]) {
        USB_SERIAL.send(bytes);
        let _ = self.uart.blocking_write(bytes);
    }

    fn try_receive(&mut self) -> Option<u8> {
        // Damaged bytes are dropped; the user types them again.
        USB_SERIAL.try_receive().or_else(|| self.uart.read().ok())
    }

    fn feed(&mut self) {
        match self.is_watched {
            true => self.watchdog.feed(WATCHDOG_TIME),
            false => self.watchdog.start(WATCHDOG_TIME),
        }
        self.is_watched = true;
    }

    fn self_test_cases(&self) -> u64 {
        // A case takes an M0+ most of a second.
        if cfg!(feature = "rp2040") { 1 } else { 16 }
    }

    fn noise(&mut self) -> Option<u64> {
        // The ring oscillator runs after reset, and nothing stops it.
        Some(RoscRng.next_u64())
    }
}
