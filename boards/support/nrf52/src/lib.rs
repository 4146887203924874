//! Parts that the boards with an nRF52833 or nRF52840 share: the clock, the flash's cache and a serial port. A board names its pins.
#![no_std]

#[cfg(feature = "usb")]
mod usb;

use embassy_nrf::config::{Config, HfclkSource};
use embassy_nrf::gpio::Pin;
use embassy_nrf::peripherals::UARTE0;
use embassy_nrf::uarte::{self, Baudrate, InterruptHandler, Uarte};
use embassy_nrf::{Peri, Peripherals, bind_interrupts};
use nearfield_serial::Port;
#[cfg(feature = "usb")]
pub use nearfield_usb::Identity;
#[cfg(feature = "usb")]
pub use usb::UsbPort;

bind_interrupts!(struct Interrupts {
    UARTE0 => InterruptHandler<UARTE0>;
});

/// Sets the clock and the flash's cache up. Called once.
///
/// - `has_coil`: the board has the coil for the regulator of the core's voltage: the same speed with less current
pub fn start(has_coil: bool) -> Peripherals {
    let mut config = Config::default();
    // The crystal: the serial port's rate is then exact.
    config.hfclk_source = HfclkSource::ExternalXtal;
    config.dcdc.reg1 = has_coil;
    let peripherals = embassy_nrf::init(config);
    // Off at reset (nRF52833 and nRF52840 Product Specification, NVMC, ICACHECNF): without it the loops wait for flash, two wait states a
    // fetch.
    embassy_nrf::pac::NVMC.icachecnf().write(|w| w.set_cacheen(true));
    peripherals
}

/// Serial port of 115,200 baud at two pins: the one that sends, and the one that receives.
pub fn serial(
    uarte: Peri<'static, UARTE0>,
    output: Peri<'static, impl Pin>,
    input: Peri<'static, impl Pin>,
) -> impl Port {
    let mut config = uarte::Config::default();
    config.baudrate = Baudrate::Baud115200;
    let (mut tx, mut rx) = Uarte::new(uarte, input, output, Interrupts, config).split();
    let send = move |bytes: &[u8]| _ = tx.blocking_write(bytes);
    let receive = move || {
        let mut byte = [0];
        // Damaged bytes are dropped; the user types them again.
        while rx.blocking_read(&mut byte).is_err() {}
        byte[0]
    };
    (send, receive)
}
