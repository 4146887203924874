//! What a board gives: text in and out, time, and what is known of its stack.

use core::fmt;

/// A board, as the story loop sees it. What is written to it goes to its serial port.
pub trait Board: fmt::Write {
    /// The board and its processor, for people.
    fn name(&self) -> &'static str;

    /// The next byte typed, waited for; `None` where nobody can type.
    fn read(&mut self) -> Option<u8>;

    /// Microseconds since some moment; `None` where no clock tells true time, as in an emulator.
    fn micros(&mut self) -> Option<u64> {
        None
    }

    /// Inputs that each kernel is tried on at power-on: a few take a second or two on the smallest board.
    fn self_test_cases(&self) -> u64 {
        16
    }

    /// Executed where a counter of instructions is to look: before and after the self-test, after the first token and
    /// after each further one.
    fn mark(&mut self) {}

    /// How much of the stack was ever used; `None` where it was not painted.
    fn stack(&self) -> Option<StackUse> {
        None
    }
}

/// The high-water mark of a stack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct StackUse {
    /// Bytes that were used at most.
    pub used: usize,
    /// Bytes there are.
    pub size: usize,
}

impl fmt::Display for StackUse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {} bytes", self.used, self.size)
    }
}
