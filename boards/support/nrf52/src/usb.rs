//! Serial port over the chip's own USB port.

use embassy_executor::InterruptExecutor;
use embassy_nrf::interrupt::{self, InterruptExt, Priority};
use embassy_nrf::peripherals::USBD;
use embassy_nrf::usb::vbus_detect::{self, HardwareVbusDetect};
use embassy_nrf::usb::{Driver, InterruptHandler};
use embassy_nrf::{Peri, bind_interrupts};
use nearfield_serial::Port;
use nearfield_usb::{Identity, UsbMemory, UsbSerial};
use static_cell::StaticCell;

bind_interrupts!(struct Interrupts {
    USBD => InterruptHandler<USBD>;
    CLOCK_POWER => vbus_detect::InterruptHandler;
});

/// Runs the USB device in an interrupt that no hardware uses, above thread mode.
static EXECUTOR: InterruptExecutor = InterruptExecutor::new();
static USB_SERIAL: UsbSerial = UsbSerial::new();
static USB_MEMORY: StaticCell<UsbMemory> = StaticCell::new();

#[embassy_nrf::interrupt]
fn EGU1_SWI1() {
    // SAFETY: called by this interrupt alone, which `InterruptExecutor::start` enables.
    unsafe { EXECUTOR.on_interrupt() }
}

#[embassy_executor::task]
async fn run_usb(usb: Peri<'static, USBD>, identity: Identity) {
    let driver = Driver::new(usb, Interrupts, HardwareVbusDetect::new(Interrupts));
    USB_SERIAL.run(driver, USB_MEMORY.init_with(UsbMemory::new), identity).await;
}

/// Serial port over USB.
pub struct UsbPort(());

impl UsbPort {
    /// Starts the port. `usb` is the only one, so the task starts once.
    pub fn new(usb: Peri<'static, USBD>, identity: Identity) -> Self {
        interrupt::EGU1_SWI1.set_priority(Priority::P6);
        if let Ok(task) = run_usb(usb, identity) {
            EXECUTOR.start(interrupt::EGU1_SWI1).spawn(task);
        }
        Self(())
    }
}

impl Port for UsbPort {
    fn send(&mut self, bytes: &[u8]) {
        USB_SERIAL.send(bytes);
    }

    fn try_receive(&mut self) -> Option<u8> {
        USB_SERIAL.try_receive()
    }
}
