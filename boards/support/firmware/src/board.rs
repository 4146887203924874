//! Interface of a board: text in and out, time, and the use of its stack.

use core::fmt;

/// Board as the code from power-on to a text sees it. Text written to it goes to its serial port.
pub trait Board: fmt::Write {
    /// Name of the board and its processor, for people.
    fn name(&self) -> &'static str;

    /// Next byte typed, waited for; `None` where nobody can type.
    fn read(&mut self) -> Option<u8>;

    /// Microseconds since a fixed moment; `None` where no clock tells true time, as in an emulator.
    fn micros(&mut self) -> Option<u64> {
        None
    }

    /// Number of inputs that each kernel is tried on at power-on; a few take a second or two on the smallest board.
    fn self_test_cases(&self) -> u64 {
        16
    }

    /// Marks a place for a counter of instructions: before and after the self-test, after the first token and after each
    /// further one.
    fn mark(&mut self) {}

    /// High-water mark of the stack; `None` where the stack was not painted.
    fn stack(&self) -> Option<StackUse> {
        None
    }
}

/// High-water mark of a stack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct StackUse {
    /// Greatest number of bytes that were in use.
    pub used: usize,
    /// Size of the stack in bytes.
    pub size: usize,
}

impl fmt::Display for StackUse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {} bytes", self.used, self.size)
    }
}
