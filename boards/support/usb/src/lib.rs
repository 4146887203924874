//! Serial port over USB (CDC ACM), for any board with an embassy driver.
//!
//! [`UsbSerial::run`] is a task for an executor in an interrupt, so a text that is generated in thread mode never delays the
//! host's questions. [`UsbSerial::send`] and [`UsbSerial::try_receive`] are for thread mode. Between them are two buffers. That
//! of the text is a ring: as long as no terminal has opened the port, the newest text replaces the oldest, and a terminal that
//! opens it shows what was written last, the prompt among it.
#![no_std]

use core::sync::atomic::{AtomicBool, Ordering};

use embassy_futures::join::join4;
use embassy_sync::blocking_mutex::raw::CriticalSectionRawMutex;
use embassy_sync::pipe::Pipe;
use embassy_sync::signal::Signal;
use embassy_time::{Duration, Instant};
use embassy_usb::class::cdc_acm::{CdcAcmClass, Receiver, Sender, State};
use embassy_usb::driver::Driver;
use embassy_usb::{Builder, Config};

/// Bytes of text that a terminal shows when it opens the port.
const TEXT: usize = 1024;
/// Bytes that may be typed ahead.
const TYPED: usize = 256;
/// Bytes of a packet: the most of full-speed USB.
const PACKET: usize = 64;
/// Time without a packet taken after which a host that has opened the port counts as one that does not read.
const PATIENCE: Duration = Duration::from_millis(100);

/// Names by which a host knows the device.
#[derive(Clone, Copy, Debug)]
pub struct Identity {
    /// Vendor and product numbers.
    pub ids: (u16, u16),
    /// Product's name, for people.
    pub product: &'static str,
}

/// Memory of the USB device: descriptors and the state of the port.
pub struct UsbMemory {
    config: [u8; 96],
    bos: [u8; 16],
    control: [u8; PACKET],
    state: State<'static>,
}

impl UsbMemory {
    /// Memory before the device has started.
    #[expect(clippy::new_without_default, reason = "made once, for a static")]
    pub fn new() -> Self {
        Self { config: [0; 96], bos: [0; 16], control: [0; PACKET], state: State::new() }
    }
}

/// Serial port over USB.
pub struct UsbSerial {
    text: Pipe<CriticalSectionRawMutex, TEXT>,
    typed: Pipe<CriticalSectionRawMutex, TYPED>,
    /// True while a terminal has opened the port (DTR).
    open: AtomicBool,
    /// Given when `open` becomes true.
    opened: Signal<CriticalSectionRawMutex, ()>,
    /// True once a host that has opened the port did not read for [`PATIENCE`], until it reads again.
    stalled: AtomicBool,
}

impl UsbSerial {
    /// Port that is not connected.
    #[expect(clippy::new_without_default, reason = "made once, for a static")]
    pub const fn new() -> Self {
        Self {
            text: Pipe::new(),
            typed: Pipe::new(),
            open: AtomicBool::new(false),
            opened: Signal::new(),
            stalled: AtomicBool::new(false),
        }
    }

    /// Sends text. Waits only while a terminal reads more slowly than the text comes; else the newest text replaces the oldest.
    pub fn send(&self, mut bytes: &[u8]) {
        let mut until = None;
        while !bytes.is_empty() {
            if let Ok(n) = self.text.try_write(bytes) {
                bytes = bytes.get(n..).unwrap_or_default();
                until = None;
            } else if self.open.load(Ordering::Relaxed) && !self.stalled.load(Ordering::Relaxed) {
                let now = Instant::now();
                if now >= *until.get_or_insert(now + PATIENCE) {
                    self.stalled.store(true, Ordering::Relaxed);
                }
            } else {
                // Room for the newest.
                let _ = self.text.try_read(&mut [0; PACKET]);
            }
        }
    }

    /// Byte that was typed, without waiting; `None` if there is none.
    pub fn try_receive(&self) -> Option<u8> {
        let mut byte = [0];
        self.typed.try_read(&mut byte).ok().map(|_| byte[0])
    }

    /// Runs the device for good.
    pub async fn run<D: Driver<'static>>(&self, driver: D, memory: &'static mut UsbMemory, identity: Identity) {
        let mut config = Config::new(identity.ids.0, identity.ids.1);
        config.manufacturer = Some("nearfield");
        config.product = Some(identity.product);
        config.max_power = 100;
        let UsbMemory { config: descriptors, bos, control, state } = memory;
        let mut builder = Builder::new(driver, config, descriptors, bos, &mut [], control);
        let class = CdcAcmClass::new(&mut builder, state, PACKET as u16);
        let (sender, receiver, control) = class.split_with_control();
        let lines = async {
            loop {
                self.open.store(control.dtr(), Ordering::Relaxed);
                if control.dtr() {
                    self.opened.signal(());
                }
                control.control_changed().await;
            }
        };
        join4(builder.build().run(), lines, self.write(sender), self.read(receiver)).await;
    }

    /// Sends the text to the host, while a terminal has the port open.
    async fn write<D: Driver<'static>>(&self, mut sender: Sender<'static, D>) {
        let mut packet = [0; PACKET];
        loop {
            sender.wait_connection().await;
            while !self.open.load(Ordering::Relaxed) {
                self.opened.wait().await;
            }
            let n = self.text.read(&mut packet).await;
            let Some(bytes) = packet.get(..n).filter(|_| self.open.load(Ordering::Relaxed)) else { continue };
            // A packet shorter than the longest ends a transfer: without it, a host may wait for more.
            if sender.write_packet(bytes).await.is_ok() && n == PACKET && self.text.is_empty() {
                let _ = sender.write_packet(&[]).await;
            }
            self.stalled.store(false, Ordering::Relaxed);
        }
    }

    /// Takes what is typed. A host waits while the buffer is full.
    async fn read<D: Driver<'static>>(&self, mut receiver: Receiver<'static, D>) {
        let mut packet = [0; PACKET];
        loop {
            receiver.wait_connection().await;
            while let Ok(n) = receiver.read_packet(&mut packet).await {
                let mut bytes = packet.get(..n).unwrap_or_default();
                while !bytes.is_empty() {
                    let n = self.typed.write(bytes).await;
                    bytes = bytes.get(n..).unwrap_or_default();
                }
            }
        }
    }
}
