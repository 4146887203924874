//! STM32F4 boards: prompts over a serial port, or, in QEMU, one text and an exit status. The image is the same for both.
//!
//! - [`clocks`]: the core's frequency and the flash; [`usart`]: the serial port; [`timer`]: time; [`watchdog`]: a reset when it hangs
#![no_std]

mod clocks;
mod register;
mod timer;
mod usart;
mod watchdog;

use core::fmt::{self, Write as _};
use core::panic::PanicInfo;

use nearfield::{Inline, SessionConfig, kernels};
use nearfield_boards::{Board, Image, Memory, StackUse, answer_prompts, generate_once, power_on, send_lines};

use clocks::Clocks;
use timer::Micros;
use usart::Usart;

/// Prompt in the emulator. Its text is that of `nearfield run models/pocket.gguf PROMPT -n 64 --seed 1 --kv q8_0`.
const PROMPT: &str = "Once upon a time";
/// Number of tokens there.
const N_EMULATED: usize = 64;
/// Greatest number of tokens that are generated for a prompt on a board.
const N_TOKENS: usize = 400;

/// Chip, and the serial port of its boards.
#[derive(Clone, Copy, Debug)]
pub struct Chip {
    clocks: Clocks,
    usart: Usart,
}

impl Chip {
    /// STM32F405 and F407 at 168 MHz, with USART3 at PB10 (out) and PB11 (in).
    pub const F405: Self = Self { clocks: clocks::F405, usart: usart::USART3 };
    /// STM32F411 at 100 MHz, with USART1 at PA9 (out) and PA10 (in).
    pub const F411: Self = Self { clocks: clocks::F411, usart: usart::USART1 };
}

struct F4 {
    name: &'static str,
    usart: Usart,
    /// `None` in the emulator, where no clock tells true time.
    micros: Option<Micros>,
}

impl fmt::Write for F4 {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        send_lines(text, |bytes| self.usart.send(bytes));
        Ok(())
    }
}

impl Board for F4 {
    fn name(&self) -> &'static str {
        self.name
    }

    fn read(&mut self) -> Option<u8> {
        loop {
            if let Some(byte) = self.usart.received() {
                return Some(byte);
            }
            self.between_passes();
        }
    }

    fn typed(&mut self) -> Option<u8> {
        // The emulator's one text is not stopped.
        self.micros.as_ref().and_then(|_| self.usart.received())
    }

    fn between_passes(&mut self) {
        if self.micros.is_some() {
            watchdog::feed();
        }
    }

    fn micros(&mut self) -> Option<u64> {
        self.micros.as_mut().map(Micros::now)
    }

    fn mark(&mut self) {
        nearfield_processor::mark();
    }

    fn stack(&self) -> Option<StackUse> {
        Some(nearfield_processor::stack_use())
    }
}

/// Tests the kernels, then generates a text for each line that is typed. Returns never: after an error, its message and its code, the
/// board waits to be reset. In the emulator one text is generated, and the emulator ends with 0, or with the code of the error.
///
/// - `crystal`: frequency of the board's crystal in MHz, 4 to 26; the clocks follow the internal oscillator without it
pub fn main<const LINES: usize>(
    name: &'static str,
    chip: Chip,
    crystal: Option<u32>,
    image: &Image,
    config: SessionConfig,
    memory: &mut Memory<LINES>,
) -> ! {
    let is_emulated = clocks::are_missing();
    let clocks = if is_emulated { chip.clocks } else { chip.clocks.start(crystal) };
    chip.usart.start(&clocks);
    let mut board = F4 { name, usart: chip.usart, micros: (!is_emulated).then(|| Micros::start(&clocks)) };
    if clocks.core != chip.clocks.core {
        let _ = writeln!(board, "the PLL does not start: the core runs at {} MHz", clocks.core);
    }
    let code =
        power_on(&mut board, image, config, kernels::best(), &Inline, memory, |board, model| match is_emulated {
            true => generate_once(board, model, PROMPT, N_EMULATED),
            false => {
                watchdog::start();
                answer_prompts(board, model, N_TOKENS)
            }
        });
    end(code)
}

/// The emulator ends with the code; a board waits to be reset.
fn end(code: u8) -> ! {
    if clocks::are_missing() {
        semihosting::process::exit(code.into());
    }
    loop {
        watchdog::feed();
    }
}

/// Reports a panic over the serial port, if that was started.
#[panic_handler]
fn panic(info: &PanicInfo<'_>) -> ! {
    if let Some(usart) = Usart::started() {
        let _ = write!(F4 { name: "", usart, micros: None }, "\n{info}\n");
    }
    end(1)
}
