//! Boards on a desk: prompts over a serial port, logs over the debug probe.
//!
//! The boards differ in the clock and the port of their chip. Their own folders set these up and pass functions that send and
//! receive a byte.
#![no_std]

use core::fmt;

use embassy_time::Instant;
use nearfield::{Inline, Line, SessionConfig, kernels};
use nearfield_boards::{
    Board, Commander, GrammarImage, Halt, Image, Led, Memory, StackUse, TextModel, answer_prompts, power_on,
};
use {defmt_rtt as _, panic_probe as _};

/// Greatest number of tokens that are generated for a prompt.
const N_TOKENS: usize = 400;

struct Serial<S, R> {
    name: &'static str,
    send: S,
    receive: R,
}

impl<S: FnMut(&[u8]), R> fmt::Write for Serial<S, R> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        // A terminal needs a carriage return before each line feed; the model writes line feeds alone.
        for line in text.split_inclusive('\n') {
            match line.strip_suffix('\n') {
                Some(line) if !line.ends_with('\r') => {
                    (self.send)(line.as_bytes());
                    (self.send)(b"\r\n");
                }
                _ => (self.send)(line.as_bytes()),
            }
        }
        Ok(())
    }
}

impl<S: FnMut(&[u8]), R: FnMut() -> u8> Board for Serial<S, R> {
    fn name(&self) -> &'static str {
        self.name
    }

    fn read(&mut self) -> Option<u8> {
        Some((self.receive)())
    }

    fn micros(&mut self) -> Option<u64> {
        Some(Instant::now().as_micros())
    }

    fn stack(&self) -> Option<StackUse> {
        Some(nearfield_cortex_m::stack_use())
    }
}

/// Tests the kernels, then generates a text for each line that is typed. Returns never: after an error, its message and its
/// code, the board waits to be reset.
pub fn main<const LINES: usize>(
    name: &'static str,
    image: &Image,
    config: SessionConfig,
    memory: &mut Memory<LINES>,
    send: impl FnMut(&[u8]),
    receive: impl FnMut() -> u8,
) -> ! {
    run(Serial { name, send, receive }, image, config, memory, |serial, model| answer_prompts(serial, model, N_TOKENS))
}

/// Tests the kernels, then lets the model give a command to an LED for each line that is typed. Returns never, as [`main`].
///
/// - `matcher`: memory of [`GrammarImage::matcher_lines`]
pub fn commands<const LINES: usize>(
    name: &'static str,
    (image, grammar): (&Image, &GrammarImage),
    config: SessionConfig,
    (memory, matcher): (&mut Memory<LINES>, &mut [Line]),
    led: impl Led,
    send: impl FnMut(&[u8]),
    receive: impl FnMut() -> u8,
) -> ! {
    run(Serial { name, send, receive }, image, config, memory, |serial, model| {
        Commander::new(model, grammar, matcher, led)?.obey_prompts(serial)
    })
}

fn run<S: FnMut(&[u8]), R: FnMut() -> u8, const LINES: usize>(
    mut serial: Serial<S, R>,
    image: &Image,
    config: SessionConfig,
    memory: &mut Memory<LINES>,
    then: impl FnOnce(&mut Serial<S, R>, &mut TextModel<'_, '_, '_>) -> Result<(), Halt>,
) -> ! {
    power_on(&mut serial, image, config, kernels::best(), &Inline, memory, then);
    loop {
        cortex_m::asm::wfi();
    }
}
