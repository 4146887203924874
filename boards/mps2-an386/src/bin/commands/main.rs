//! Commands for an LED on QEMU's machine `mps2-an386`: the pocket model's texts are held to a grammar in flash, and the LED obeys.
#![no_std]
#![no_main]

mod led;

use cortex_m_rt::entry;
use led::UserLed0;
use nearfield::{Line, MatcherConfig};
use nearfield_boards::{CONFIG, GrammarImage, Image, Memory, grammar, image, plan};
use static_cell::ConstStaticCell;

static IMAGE: Image = image!(in ".model");
static GRAMMAR: GrammarImage = grammar!(MatcherConfig::SMALL);

/// All memory that changes but the stack: exactly what the plans say.
static MEMORY: ConstStaticCell<Memory<{ plan(&IMAGE, &CONFIG).n_lines() }>> = ConstStaticCell::new(Memory::ZERO);
static MATCHER: ConstStaticCell<[Line; GRAMMAR.matcher_lines()]> =
    ConstStaticCell::new([Line::ZERO; GRAMMAR.matcher_lines()]);

#[entry]
fn main() -> ! {
    nearfield_semihosted::commands("mps2-an386 (Cortex-M4F)", &IMAGE, &GRAMMAR, MEMORY.take(), MATCHER.take(), UserLed0)
}
