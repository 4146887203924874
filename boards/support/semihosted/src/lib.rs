//! Emulated boards that speak by semihosting: a self-test, one generated text or commands, an exit status.
//!
//! Such boards differ in their core, their start code and their memory map; the folder of each holds little else. With the argument
//! `ask` they ask for prompts, as a board on a desk does, and read them from the standard input.
#![no_std]

use core::fmt::{self, Write as _};
use core::panic::PanicInfo;

use nearfield::{Inline, Line, kernels};
use nearfield_boards::{
    Board, CONFIG, Commander, GrammarImage, Halt, Image, Layers, Led, Memory, StackUse, TextModel, answer_prompts,
    generate_once, power_on_with,
};
use semihosting::experimental::env::args;
use semihosting::io::{Read as _, Stdin, Write as _};
use semihosting::process::exit;
#[cfg(feature = "defmt")]
use {cortex_m as _, defmt_semihosting as _};

/// Prompt of every emulated board. Its text is that of `nearfield run models/pocket.gguf PROMPT -n 64 --seed 1 --kv q8_0`.
const PROMPT: &str = "Once upon a time";
const N_TOKENS: usize = 64;
/// Greatest number of tokens for a prompt that is asked for.
const N_ASKED: usize = 400;

/// Prompt of [`commands`], which are those of
/// `nearfield run models/pocket.gguf PROMPT --grammar boards/support/firmware/commands.gbnf --kv q8_0 --seed SEED`.
const COMMANDS_PROMPT: &str = "Tom was afraid of the dark. He told the lamp:";
/// Number of commands: the seeds are 1 to 8.
const N_COMMANDS: u64 = 8;

struct Semihosted {
    name: &'static str,
    out: Out,
    /// Lines for the prompt; `None` where nobody is asked.
    typed: Option<Stdin>,
}

#[cfg(not(feature = "defmt"))]
type Out = semihosting::io::Stdout;
/// Standard error: the logs have the standard output for themselves.
#[cfg(feature = "defmt")]
type Out = semihosting::io::Stderr;

impl fmt::Write for Semihosted {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.out.write_all(text.as_bytes()).map_err(|_| fmt::Error)
    }
}

impl Board for Semihosted {
    fn name(&self) -> &'static str {
        self.name
    }

    fn read(&mut self) -> Option<u8> {
        let mut byte = [0];
        match self.typed.as_mut()?.read(&mut byte) {
            Ok(1) => Some(byte[0]),
            _ => None,
        }
    }

    /// The terminal of the computer echoes.
    fn echoes(&self) -> bool {
        false
    }

    fn self_test_cases(&self) -> u64 {
        64
    }

    fn mark(&mut self) {
        nearfield_processor::mark();
    }

    fn stack(&self) -> Option<StackUse> {
        Some(nearfield_processor::stack_use())
    }
}

/// Tests the kernels, generates the text and ends the emulator: with 0, or with the code of the error.
pub fn main<const LINES: usize>(name: &'static str, image: &Image, memory: &mut Memory<LINES>) -> ! {
    run(name, image, memory, tell)
}

/// Generates the text, or one for each prompt that is asked for.
fn tell(board: &mut Semihosted, model: &mut TextModel<'_, '_, '_>) -> Result<(), Halt> {
    match board.typed {
        None => generate_once(board, model, PROMPT, N_TOKENS),
        Some(_) => answer_prompts(board, model, N_ASKED),
    }
}

/// Does what [`main`] does with a model whose `layers` may lie on a card.
pub fn streamed<const LINES: usize>(
    name: &'static str,
    image: &Image,
    memory: &mut Memory<LINES>,
    layers: Layers<'_>,
) -> ! {
    run_with(name, image, memory, Some(layers), |board, model| {
        if let Some(card) = &image.card {
            writeln!(board, "{} of the layers in flash, the others on a card", card.n_layers)?;
        }
        tell(board, model)
    })
}

/// Tests the kernels, lets the model give commands to an LED and ends the emulator: with 0, or with the code of the error.
///
/// - `matcher`: memory of [`GrammarImage::matcher_lines`]
pub fn commands<const LINES: usize>(
    name: &'static str,
    image: &Image,
    grammar: &GrammarImage,
    memory: &mut Memory<LINES>,
    matcher: &mut [Line],
    led: impl Led,
) -> ! {
    run(name, image, memory, |board, model| {
        let mut commander = Commander::new(model, grammar, matcher, led)?;
        match board.typed {
            None => commander.obey_prompt(board, COMMANDS_PROMPT, N_COMMANDS),
            Some(_) => commander.obey_prompts(board),
        }
    })
}

fn run<const LINES: usize>(
    name: &'static str,
    image: &Image,
    memory: &mut Memory<LINES>,
    then: impl FnOnce(&mut Semihosted, &mut TextModel<'_, '_, '_>) -> Result<(), Halt>,
) -> ! {
    run_with(name, image, memory, None, then)
}

fn run_with<const LINES: usize>(
    name: &'static str,
    image: &Image,
    memory: &mut Memory<LINES>,
    layers: Option<Layers<'_>>,
    then: impl FnOnce(&mut Semihosted, &mut TextModel<'_, '_, '_>) -> Result<(), Halt>,
) -> ! {
    // Without standard output no message can be written.
    #[cfg(not(feature = "defmt"))]
    let out = semihosting::io::stdout();
    #[cfg(feature = "defmt")]
    let out = semihosting::io::stderr();
    let Ok(out) = out else { exit(1) };
    let typed = typed();
    let mut board = Semihosted { name, out, typed };
    let code = power_on_with(&mut board, image, CONFIG, kernels::best(), &Inline, memory, layers, then);
    exit(code.into())
}

/// Standard input if the argument is `ask`; `None` without an argument. Any other ends the emulator with 2.
fn typed() -> Option<Stdin> {
    let Ok(words) = args::<64>() else { exit_with("the arguments are too long: there is `ask`") };
    // The first is the firmware's name.
    let mut words = (&words).skip(1);
    match (words.next(), words.next()) {
        (None, _) => None,
        (Some(Ok("ask")), None) => match semihosting::io::stdin() {
            Ok(stdin) => Some(stdin),
            Err(_) => exit_with("there is no standard input to ask"),
        },
        _ => exit_with("no such argument: there is `ask`"),
    }
}

fn exit_with(message: &str) -> ! {
    semihosting::eprintln!("{message}");
    exit(2)
}

// An exception that nobody handles. When the stack has overflowed, its pointer is outside of it: the message has the stack for itself.
#[cfg(target_arch = "arm")]
core::arch::global_asm!(
    ".pushsection .HardFault.nearfield, \"ax\"",
    ".global HardFault",
    ".type HardFault, %function",
    ".thumb_func",
    "HardFault:",
    "mrs r0, msp",
    "ldr r1, =_stack_start",
    "msr msp, r1",
    // ARMv6-M reaches 2 KiB by `b`.
    "bl nearfield_fault",
    ".ltorg",
    ".popsection",
);

/// Writes what the fault was and ends the emulator.
///
/// - `sp`: stack pointer after the fault
#[cfg(target_arch = "arm")]
#[unsafe(no_mangle)]
extern "C" fn nearfield_fault(sp: usize) -> ! {
    let what = if nearfield_processor::has_overflowed(sp) { "the stack has overflowed" } else { "of the firmware" };
    semihosting::eprintln!("fault: {what}");
    exit(1)
}

#[panic_handler]
fn panic(info: &PanicInfo<'_>) -> ! {
    semihosting::eprintln!("{info}");
    exit(1)
}
