//! Commands for an LED: a text of the model that is held to a grammar, so that whatever the model writes can be carried out.
//!
//! ```text
//!  prompt ─▶ TextModel, held to commands.gbnf ─▶ " blink 12." ─▶ Command ─▶ Led
//! ```

use core::fmt;

use nearfield::{Line, Matcher};

use crate::board::Board;
use crate::generate::TextModel;
use crate::grammar::GrammarImage;
use crate::halt::Halt;
use crate::prompt::Prompt;

/// Room for the text of a command: the longest is ` blink 99.`.
const MAX_TEXT: usize = 16;

/// Command, as a text of the grammar `commands.gbnf` states it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Command {
    /// Turns the LED on or off.
    Led {
        /// True to turn it on.
        on: bool,
    },
    /// Changes the LED's state and changes it back.
    Blink {
        /// Number of times, 1 to 99.
        n: u8,
    },
}

impl Command {
    /// Command of a text of the grammar, such as ` led on.` or ` blink 12.`; `None` for other texts.
    pub fn parse(text: &str) -> Option<Self> {
        match text.strip_prefix(' ')?.strip_suffix('.')?.split_once(' ')? {
            ("led", "on") => Some(Self::Led { on: true }),
            ("led", "off") => Some(Self::Led { on: false }),
            ("blink", n) if !n.starts_with(['0', '+']) => {
                n.parse().ok().filter(|n| (1..=99).contains(n)).map(|n| Self::Blink { n })
            }
            _ => None,
        }
    }

    /// Carries the command out.
    pub fn carry_out(self, led: &mut impl Led) {
        match self {
            Self::Led { on } => led.set(on),
            Self::Blink { n } => {
                for _ in 0..2 * u32::from(n) {
                    let on = led.is_on();
                    led.set(!on);
                    led.hold();
                }
            }
        }
    }
}

impl fmt::Display for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Led { on: true } => f.write_str("led on"),
            Self::Led { on: false } => f.write_str("led off"),
            Self::Blink { n } => write!(f, "blink {n}"),
        }
    }
}

/// LED at a pin.
pub trait Led {
    /// Turns the LED on or off.
    fn set(&mut self, on: bool);

    /// True if the LED is on, as the pin's register says.
    fn is_on(&mut self) -> bool;

    /// Waits long enough for an eye to see a change; returns at once where nobody looks.
    fn hold(&mut self) {}
}

/// Model that gives commands to an LED.
#[derive(Debug)]
pub struct Commander<'c, 'm, 'f, 'a, L> {
    model: &'c mut TextModel<'m, 'f, 'a>,
    matcher: Matcher<'static, 'static, 'c>,
    matcher_bytes: usize,
    led: L,
}

impl<'c, 'm, 'f, 'a, L: Led> Commander<'c, 'm, 'f, 'a, L> {
    /// Holds a model's texts to the grammar in flash, and turns the LED off.
    ///
    /// - `lines`: memory of the matcher, [`GrammarImage::matcher_lines`]
    ///
    /// # Errors
    /// Errors of [`GrammarImage::matcher`].
    pub fn new(
        model: &'c mut TextModel<'m, 'f, 'a>,
        grammar: &GrammarImage,
        lines: &'c mut [Line],
        mut led: L,
    ) -> Result<Self, Halt> {
        led.set(false);
        let matcher_bytes = size_of_val(lines);
        let matcher = grammar.matcher(model.vocab(), lines)?;
        Ok(Self { model, matcher, matcher_bytes, led })
    }

    /// Lets the model follow `prompt` with a command, carries it out, and writes the command and the LED's state to the board.
    ///
    /// # Errors
    /// [`Halt`] when the board cannot be written to or the model fails, [`Halt::NoCommand`] when the context is too short for a
    /// command.
    pub fn obey<B: Board>(&mut self, board: &mut B, prompt: &[u8], seed: u64) -> Result<Command, Halt> {
        let mut text = heapless::String::<MAX_TEXT>::new();
        self.model.generate_held(board, prompt, &mut self.matcher, seed, &mut text)?;
        let command = Command::parse(&text).ok_or(Halt::NoCommand)?;
        command.carry_out(&mut self.led);
        writeln!(board, "{command}: the LED is {}", if self.led.is_on() { "on" } else { "off" })?;
        Ok(command)
    }

    /// Obeys one prompt with the seeds 1 to `n`, as emulated boards do, and writes the use of memory.
    ///
    /// # Errors
    /// Errors of [`obey`](Self::obey).
    pub fn obey_prompt<B: Board>(&mut self, board: &mut B, prompt: &str, n: u64) -> Result<(), Halt> {
        writeln!(board, "{prompt}")?;
        for seed in 1..=n {
            self.obey(board, prompt.as_bytes(), seed)?;
        }
        writeln!(board, "arena {} bytes, matcher {} bytes", self.model.arena_bytes(), self.matcher_bytes)?;
        if let Some(stack) = board.stack() {
            writeln!(board, "stack {stack}")?;
        }
        Ok(())
    }

    /// Obeys each prompt that is typed, until no more can be typed. The seed of the first is 1, of each next one more.
    ///
    /// # Errors
    /// Errors of [`obey`](Self::obey).
    pub fn obey_prompts<B: Board>(&mut self, board: &mut B) -> Result<(), Halt> {
        for seed in 1.. {
            let Some(prompt) = Prompt::ask(board)? else { return Ok(()) };
            self.obey(board, prompt.bytes(), seed)?;
        }
        Ok(())
    }
}
