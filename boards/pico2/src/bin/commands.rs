//! Raspberry Pi Pico 2: a command for the LED after each prompt that is typed, from a text that a grammar in flash holds the model to.
#![no_std]
#![no_main]

use cortex_m_rt::entry;
use embassy_rp::gpio::{Level, Output};
use embassy_time::{Duration, block_for};
use nearfield::{Line, MatcherConfig};
use nearfield_boards::{CONFIG, GrammarImage, Image, Led, Memory, grammar, image, plan};
use nearfield_pico2::{IDENTITY, NAME};
use nearfield_rp::{Serial, continuous_reads, cores};
use static_cell::{ConstStaticCell, StaticCell};

static IMAGE: Image = image!();
static GRAMMAR: GrammarImage = grammar!(MatcherConfig::SMALL);

/// All memory that changes but the stack: exactly what the plans say.
static MEMORY: ConstStaticCell<Memory<{ plan(&IMAGE, &CONFIG).n_lines() }>> = ConstStaticCell::new(Memory::ZERO);
static MATCHER: ConstStaticCell<[Line; GRAMMAR.matcher_lines()]> =
    ConstStaticCell::new([Line::ZERO; GRAMMAR.matcher_lines()]);

static LED: StaticCell<Output<'static>> = StaticCell::new();

/// LED of the board, at GP25, which stays an output for good.
struct OnBoard(&'static mut Output<'static>);

// Not inlined: embassy-rp asserts that pins have two banks, and the code around it has no branch that panics.
impl Led for OnBoard {
    #[inline(never)]
    fn set(&mut self, on: bool) {
        self.0.set_level(if on { Level::High } else { Level::Low });
    }

    #[inline(never)]
    fn is_on(&mut self) -> bool {
        self.0.is_set_high()
    }

    fn hold(&mut self) {
        block_for(Duration::from_millis(150));
    }
}

#[entry]
fn main() -> ! {
    let p = embassy_rp::init(embassy_rp::config::Config::default());
    let led = OnBoard(LED.init(Output::new(p.PIN_25, Level::Low)));
    continuous_reads();
    let serial = Serial::new(p.USB, p.WATCHDOG, (p.UART0, p.PIN_0, p.PIN_1), IDENTITY);
    let (image, memory) = ((&IMAGE, &GRAMMAR), (MEMORY.take(), &mut MATCHER.take()[..]));
    nearfield_serial::commands(NAME, image, CONFIG, cores(p.CORE1), memory, led, serial)
}
