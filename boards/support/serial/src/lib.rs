//! Boards on a desk: prompts over a serial port, logs over the debug probe.
//!
//! The boards differ in the clock and the port of their chip. Their own folders set these up and pass functions that send and
//! receive a byte.
#![no_std]

use core::fmt;

use embassy_time::Instant;
use nearfield::{Inline, SessionConfig, kernels};
use nearfield_boards::{Board, Image, Memory, StackUse, answer_prompts, power_on};
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
    let mut serial = Serial { name, send, receive };
    power_on(&mut serial, image, config, kernels::best(), &Inline, memory, |serial, model| {
        answer_prompts(serial, model, N_TOKENS)
    });
    loop {
        cortex_m::asm::wfi();
    }
}
