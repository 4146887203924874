//! Boards as the model of their speed sees them. docs/boards-speed.md has the sources in words.

use super::Range;
use super::counts::{self, Counts};

/// Core of a board.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Core {
    /// Cortex-M0+ with the multiplier of one cycle.
    M0Plus,
    /// Cortex-M4F.
    M4,
    /// Cortex-M33.
    M33,
    /// Cortex-M7.
    M7,
    /// Cortex-A53.
    A53,
}

/// CoreMark/MHz of Arm's product pages: the same source, a compiler of the same maker.
const COREMARK_M4: f64 = 3.42;
const COREMARK_M33: f64 = 4.02;
const COREMARK_M7: f64 = 5.01;

impl Core {
    /// Cycles of a token if no memory made the core wait.
    pub fn cycles(self, counts: &Counts) -> Range {
        let m4 = m4_cycles(counts);
        match self {
            // Cortex-M0+ TRM (DDI 0484), table 3-1: accesses and taken branches take two cycles.
            Self::M0Plus => Range::exact(counts.instructions + counts.reads + counts.writes + counts.taken),
            Self::M4 => m4,
            // Arm publishes no cycles of the M33 and M7: those of the M4, by the ratio of CoreMark/MHz; the M33's at most those of the M4.
            Self::M33 => Range::new(m4.least * COREMARK_M4 / COREMARK_M33, m4.most),
            Self::M7 => m4.times(COREMARK_M4 / COREMARK_M7),
            // An assumption: two instructions in a cycle at best, and loops of NEON products that reach between 0.7 and 1.4 cycles each.
            Self::A53 => Range::new(0.7, 1.4).times(counts.instructions),
        }
    }
}

/// Cycles of a Cortex-M4F: TRM (DDI 0439), table 3-1, and for the FPU table 7-1. Loads take two cycles, those behind another load one;
/// a taken branch one to three more than one; fused products three, quotients and roots fourteen; stores one, by the write buffer.
fn m4_cycles(counts: &Counts) -> Range {
    let Counts { instructions, reads, behind, taken, fma, div, .. } = counts;
    let others = instructions + reads - behind + 13.0 * div;
    Range::new(others + taken + fma, others + 3.0 * taken + 2.0 * fma)
}

/// Cycles for which a core waits for a line that its cache does not have.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Memory {
    /// Line of code.
    pub code: Range,
    /// Line of code right behind the one fetched before.
    pub code_next: Range,
    /// Line of weights and constants.
    pub data: Range,
    /// Line of weights and constants right behind the one fetched before.
    pub data_next: Range,
    /// Line of RAM that is not as fast as the core.
    pub ram: Range,
}

impl Memory {
    /// Memory whose lines all take as long.
    const fn lines(line: Range) -> Self {
        Self { code: line, code_next: line, data: line, data_next: line, ram: Range::ZERO }
    }

    /// Cycles of waiting for code, and for variables.
    pub fn code(&self, counts: &Counts) -> Range {
        let jumps = self.code.times(counts.code - counts.code_next);
        jumps.plus(self.code_next.times(counts.code_next)).plus(self.ram.times(counts.ram))
    }

    /// Cycles of waiting for weights, and for constants.
    pub fn weights(&self, counts: &Counts) -> Range {
        self.data.times(counts.data - counts.data_next).plus(self.data_next.times(counts.data_next))
    }
}

/// Board with its clock, core and memory.
#[derive(Clone, Copy, Debug)]
pub struct Part {
    /// Name of the board.
    pub board: &'static str,
    /// Clock in MHz, as the firmware sets it.
    pub megahertz: f64,
    /// Number of cores that share the matrices.
    pub n_cores: f64,
    /// Core.
    pub core: Core,
    /// Memory.
    pub memory: Memory,
    /// Counts of a token on this board.
    pub counts: fn() -> Option<Counts>,
}

const NO_WAIT: Range = Range::ZERO;

/// Two wait states for a word, three for a line of the cache, which has code alone: nRF52840 product specification, "CPU", W_FLASH and
/// W_FLASHCACHE.
const NRF52840: Part = Part {
    board: "nrf52840-dk",
    megahertz: 64.0,
    n_cores: 1.0,
    core: Core::M4,
    memory: Memory { data: Range::exact(2.0), data_next: Range::exact(2.0), ..Memory::lines(Range::exact(3.0)) },
    counts: || counts::of("nrf52840-dk"),
};

/// Five wait states for 16 bytes; a line of code behind another was prefetched, in part at least. RM0090, 3.4 and 3.5.
const STM32F405: Part = Part {
    board: "stm32f405",
    megahertz: 168.0,
    n_cores: 1.0,
    core: Core::M4,
    memory: Memory { code_next: Range::new(0.0, 5.0), ..Memory::lines(Range::exact(5.0)) },
    counts: || counts::of("stm32f405"),
};

/// Boards with a firmware for a desk.
static PARTS: &[Part] = &[
    // 28 clocks of the flash for 8 bytes (32 bits of address and mode by four lines, 4 clocks of waiting, 64 bits by four lines), each two of
    // the core's, and at most 8 cycles of the cache and the interface. RP2040 datasheet, 2.6.3 and 4.10; boot2_w25q080.S.
    Part {
        board: "pico",
        megahertz: 133.0,
        n_cores: 2.0,
        core: Core::M0Plus,
        memory: Memory::lines(Range::new(56.0, 64.0)),
        counts: || counts::of("pico"),
    },
    // The same 28 clocks, and 16 for a line that goes on where the last one ended: the chip stays selected for 64 cycles (COOLDOWN).
    // RP2350 datasheet, 12.14; boards/support/rp/src/qmi.rs.
    Part {
        board: "pico2",
        megahertz: 150.0,
        n_cores: 2.0,
        core: Core::M33,
        memory: Memory {
            code_next: Range::new(32.0, 40.0),
            data_next: Range::new(32.0, 40.0),
            ..Memory::lines(Range::new(56.0, 64.0))
        },
        counts: || counts::of("pico2"),
    },
    NRF52840,
    Part { board: "nrf52840-usb", ..NRF52840 },
    // nRF52833 product specification: the same clock, core and flash.
    Part { board: "microbit-v2", ..NRF52840 },
    STM32F405,
    // Three wait states: RM0383, 3.3 and 3.4.
    Part {
        board: "stm32f411",
        megahertz: 100.0,
        memory: Memory { code_next: Range::new(0.0, 3.0), ..Memory::lines(Range::exact(3.0)) },
        ..STM32F405
    },
    // A line has 32 bytes and comes over a bus of 64 bits at half of the core's clock. Flash: 4 wait states and 4 words are 9 clocks of the bus
    // at least, and with the way there and back 16 at most; RAM: 4 and 10. RM0433, 2.1 and 4.3.8, table 17.
    Part {
        board: "nucleo-h743zi",
        megahertz: 480.0,
        n_cores: 1.0,
        core: Core::M7,
        memory: Memory { ram: Range::new(8.0, 20.0), ..Memory::lines(Range::new(18.0, 32.0)) },
        counts: || counts::of("nucleo-h743zi"),
    },
    // 64 bytes at 1.5 to 2.5 GB/s, of 3.6 that its memory (32 bits, 900 million a second) has at most: 31 to 51 cycles. An assumption.
    Part {
        board: "raspi3",
        megahertz: 1200.0,
        n_cores: 4.0,
        core: Core::A53,
        memory: Memory { data_next: Range::new(31.0, 51.0), ..Memory::lines(NO_WAIT) },
        counts: counts::of_raspi3,
    },
];

/// Figures of the board of this name.
pub fn find(board: &str) -> Option<&'static Part> {
    PARTS.iter().find(|part| part.board == board)
}
