//! Serial ports: the chip's USB Serial/JTAG, which needs no code for USB, and UART 0. The watchdog comes with them.

use esp_hal::Blocking;
use esp_hal::peripherals::{GPIO20, GPIO21, LPWR, UART0, USB_DEVICE};
use esp_hal::rng::Rng;
use esp_hal::rtc_cntl::{Rtc, Rwdt, RwdtStage};
use esp_hal::time::{Duration, Instant};
use esp_hal::uart::{Config, Uart};
use esp_hal::usb_serial_jtag::UsbSerialJtag;
use nearfield_serial::Port;

/// Time without a byte taken after which the USB host counts as one that does not read.
const PATIENCE: Duration = Duration::from_millis(50);
/// Time after which the watchdog resets a chip that hangs: some times what the slowest pass takes.
const WATCHDOG_TIME: Duration = Duration::from_secs(8);

/// USB Serial/JTAG. Text goes nowhere while no host reads it.
pub struct Usb {
    port: UsbSerialJtag<'static, Blocking>,
    /// True once a host did not read for [`PATIENCE`], until it reads again.
    is_stalled: bool,
}

impl Usb {
    fn new(usb: USB_DEVICE<'static>) -> Self {
        Self { port: UsbSerialJtag::new(usb), is_stalled: false }
    }

    /// Port for the message of a panic.
    pub fn of_a_panic() -> Self {
        // SAFETY: the program does not go on, so its own handle is used no more. The port's registers are valid from reset on.
        Self::new(unsafe { USB_DEVICE::steal() })
    }

    fn write_byte(&mut self, byte: u8) {
        let since = Instant::now();
        while self.port.write_byte_nb(byte).is_err() {
            if self.is_stalled || since.elapsed() > PATIENCE {
                self.is_stalled = true;
                return;
            }
        }
        self.is_stalled = false;
    }
}

impl Port for Usb {
    fn send(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.write_byte(byte);
        }
        // Sends what is in the FIFO, without waiting for the host.
        let _ = self.port.flush_tx_nb();
    }

    fn try_receive(&mut self) -> Option<u8> {
        self.port.read_byte().ok()
    }
}

/// Both ports at once: text goes to both, what is typed comes from either.
pub struct UsbAndUart {
    usb: Usb,
    uart: Option<Uart<'static, Blocking>>,
    watchdog: Rwdt,
    /// True once the watchdog counts: from the first feeding on, behind the self-test.
    is_watched: bool,
}

impl UsbAndUart {
    /// Starts both ports. UART 0 has the chip's own pins for it, which the boot ROM writes to as well.
    pub fn new(
        usb: USB_DEVICE<'static>,
        (uart, tx, rx): (UART0<'static>, GPIO21<'static>, GPIO20<'static>),
        rtc: LPWR<'static>,
    ) -> Self {
        // 115,200 baud, 8 bits, no parity: the default, which the HAL never refuses.
        let uart = Uart::new(uart, Config::default()).ok().map(|uart| uart.with_tx(tx).with_rx(rx));
        Self { usb: Usb::new(usb), uart, watchdog: Rtc::new(rtc).rwdt, is_watched: false }
    }
}

impl Port for UsbAndUart {
    fn send(&mut self, mut bytes: &[u8]) {
        self.usb.send(bytes);
        let Some(uart) = &mut self.uart else { return };
        while let Some(rest) = uart.write(bytes).ok().and_then(|n| bytes.get(n..)).filter(|rest| !rest.is_empty()) {
            bytes = rest;
        }
    }

    fn try_receive(&mut self) -> Option<u8> {
        let uart = &mut self.uart;
        self.usb.try_receive().or_else(|| {
            let mut byte = [0];
            // Damaged bytes are dropped; the user types them again.
            let n = uart.as_mut()?.read_buffered(&mut byte).ok()?;
            (n == 1).then_some(byte[0])
        })
    }

    fn feed(&mut self) {
        if !self.is_watched {
            self.watchdog.set_timeout(RwdtStage::Stage0, WATCHDOG_TIME);
            self.watchdog.enable();
            self.is_watched = true;
        }
        self.watchdog.feed();
    }

    fn noise(&mut self) -> Option<u64> {
        // Without radio the generator may repeat itself; the moment at which a person pressed Enter does not.
        let random = Rng::new().random();
        Some((u64::from(random) << 32) ^ Instant::now().duration_since_epoch().as_micros())
    }

    fn micros(&mut self) -> Option<u64> {
        Some(Instant::now().duration_since_epoch().as_micros())
    }
}
