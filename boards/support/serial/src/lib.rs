//! Boards on a desk: prompts over a serial port.
//!
//! The boards differ in the clock and the port of their chip. Their own folders set these up and pass a [`Port`]. With the feature
//! `embassy` the clock is embassy's, and logs and panics go to a debug probe; other boards have a clock in their `Port`, and a panic
//! handler that calls [`report`].
#![no_std]

use core::fmt::{self, Write as _};
use core::panic::PanicInfo;

use nearfield::{Executor, Line, SessionConfig, kernels};
use nearfield_boards::{
    Board, Commander, GrammarImage, Halt, Image, Led, Memory, StackUse, TextModel, answer_prompts, power_on, send_lines,
};
#[cfg(feature = "embassy")]
use {defmt_rtt as _, panic_probe as _};

/// Greatest number of tokens that are generated for a prompt.
const N_TOKENS: usize = 400;

/// Serial port that text goes to and a person types on.
pub trait Port {
    /// Sends bytes.
    fn send(&mut self, bytes: &[u8]);

    /// Byte that was typed, without waiting; `None` if there is none, or if the port can only wait.
    fn try_receive(&mut self) -> Option<u8>;

    /// Tells the board's watchdog, if it has one, that the program goes on: called between two passes and while a byte is waited for.
    fn feed(&mut self) {}

    /// Number of inputs that each kernel is tried on at power-on, for a second or two.
    fn self_test_cases(&self) -> u64 {
        16
    }

    /// Bits that differ each time; `None` without a source of noise.
    fn noise(&mut self) -> Option<u64> {
        None
    }

    /// Microseconds since a fixed moment: by embassy's clock, where the board has that.
    fn micros(&mut self) -> Option<u64> {
        #[cfg(feature = "embassy")]
        return Some(embassy_time::Instant::now().as_micros());
        #[cfg(not(feature = "embassy"))]
        None
    }

    /// Next byte that is typed, waited for.
    fn receive(&mut self) -> u8 {
        loop {
            if let Some(byte) = self.try_receive() {
                return byte;
            }
            self.feed();
        }
    }
}

/// Port of functions that send bytes and wait for one.
impl<S: FnMut(&[u8]), R: FnMut() -> u8> Port for (S, R) {
    fn send(&mut self, bytes: &[u8]) {
        (self.0)(bytes);
    }

    fn try_receive(&mut self) -> Option<u8> {
        None
    }

    fn receive(&mut self) -> u8 {
        (self.1)()
    }
}

struct Serial<P> {
    name: &'static str,
    port: P,
}

impl<P: Port> fmt::Write for Serial<P> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        send_lines(text, |bytes| self.port.send(bytes));
        Ok(())
    }
}

impl<P: Port> Board for Serial<P> {
    fn name(&self) -> &'static str {
        self.name
    }

    fn read(&mut self) -> Option<u8> {
        Some(self.port.receive())
    }

    fn self_test_cases(&self) -> u64 {
        self.port.self_test_cases()
    }

    fn between_passes(&mut self) {
        self.port.feed();
    }

    fn noise(&mut self) -> Option<u64> {
        self.port.noise().or_else(|| self.micros())
    }

    fn typed(&mut self) -> Option<u8> {
        self.port.try_receive()
    }

    fn micros(&mut self) -> Option<u64> {
        self.port.micros()
    }

    fn stack(&self) -> Option<StackUse> {
        Some(nearfield_processor::stack_use())
    }
}

/// Tests the kernels, then generates a text for each line that is typed. Returns never: after an error, its message and its
/// code, the board waits to be reset.
pub fn main<const LINES: usize>(
    name: &'static str,
    image: &Image,
    config: SessionConfig,
    executor: &dyn Executor,
    memory: &mut Memory<LINES>,
    port: impl Port,
) -> ! {
    run(Serial { name, port }, image, config, executor, memory, |serial, model| answer_prompts(serial, model, N_TOKENS))
}

/// Tests the kernels, then lets the model give a command to an LED for each line that is typed. Returns never, as [`main`].
///
/// - `matcher`: memory of [`GrammarImage::matcher_lines`]
pub fn commands<const LINES: usize>(
    name: &'static str,
    (image, grammar): (&Image, &GrammarImage),
    config: SessionConfig,
    executor: &dyn Executor,
    (memory, matcher): (&mut Memory<LINES>, &mut [Line]),
    led: impl Led,
    port: impl Port,
) -> ! {
    run(Serial { name, port }, image, config, executor, memory, |serial, model| {
        Commander::new(model, grammar, matcher, led)?.obey_prompts(serial)
    })
}

fn run<P: Port, const LINES: usize>(
    mut serial: Serial<P>,
    image: &Image,
    config: SessionConfig,
    executor: &dyn Executor,
    memory: &mut Memory<LINES>,
    then: impl FnOnce(&mut Serial<P>, &mut TextModel<'_, '_, '_>) -> Result<(), Halt>,
) -> ! {
    power_on(&mut serial, image, config, kernels::best(), executor, memory, then);
    loop {
        serial.port.feed();
    }
}

/// Reports a panic over the port, and waits for a reset.
pub fn report(info: &PanicInfo<'_>, port: impl Port) -> ! {
    let mut serial = Serial { name: "", port };
    let _ = write!(serial, "\n{info}\n");
    loop {
        serial.port.feed();
    }
}
