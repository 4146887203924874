//! Serial port, clock and noise.

use core::task::Poll;

use nearfield_serial::Port;
use teensy4_bsp::hal::gpt::{ClockSource, Gpt, Mode};
use teensy4_bsp::hal::trng::Trng;

use crate::usb;

/// Time in microseconds without a byte taken after which a host that has opened the port counts as one that does not read.
const PATIENCE: u64 = 100_000;

/// Serial port over USB.
pub struct Serial {
    /// `None` for the message of a panic, as the noise.
    clock: Option<Micros>,
    noise: Option<Trng>,
    /// True once a host that has opened the port did not read for [`PATIENCE`], until something is typed.
    is_stalled: bool,
}

impl Serial {
    pub fn new(timer: Gpt, noise: Trng) -> Self {
        Self { clock: Some(Micros::start(timer)), noise: Some(noise), is_stalled: false }
    }

    /// Port for the message of a panic.
    pub fn of_a_panic() -> Self {
        Self { clock: None, noise: None, is_stalled: true }
    }
}

impl Port for Serial {
    /// Waits only while a terminal reads more slowly than the text comes; else the newest text replaces the oldest.
    fn send(&mut self, mut bytes: &[u8]) {
        let mut since = self.micros();
        while !bytes.is_empty() {
            let n = usb::try_send(bytes);
            bytes = bytes.get(n..).unwrap_or_default();
            let now = self.micros();
            if n > 0 {
                since = now;
            } else if !usb::is_open() || self.is_stalled {
                usb::drop_oldest();
            } else {
                self.is_stalled = now.zip(since).is_none_or(|(now, since)| now - since > PATIENCE);
            }
        }
    }

    fn try_receive(&mut self) -> Option<u8> {
        // A terminal that sends reads, too.
        usb::try_receive().inspect(|_| self.is_stalled = self.clock.is_none())
    }

    fn noise(&mut self) -> Option<u64> {
        // The generator may still be collecting noise: the seed then is the moment at which Enter was pressed.
        match self.noise.as_mut()?.next_u32() {
            Poll::Ready(Ok(noise)) => Some(noise.into()),
            _ => None,
        }
    }

    fn micros(&mut self) -> Option<u64> {
        Some(self.clock.as_mut()?.now())
    }
}

/// Counter of microseconds.
struct Micros {
    timer: Gpt,
    /// Microseconds until the counter last began anew.
    before: u64,
    last: u32,
}

impl Micros {
    fn start(mut timer: Gpt) -> Self {
        // The peripheral clock, which `board::t41` sets to 1 MHz.
        timer.set_clock_source(ClockSource::PeripheralClock);
        timer.set_divider(1);
        timer.set_mode(Mode::FreeRunning);
        timer.enable();
        Self { timer, before: 0, last: 0 }
    }

    /// Microseconds; right if less than 71 minutes pass between two calls.
    fn now(&mut self) -> u64 {
        let now = self.timer.count();
        if now < self.last {
            self.before += 1 << 32;
        }
        self.last = now;
        self.before + u64::from(now)
    }
}
