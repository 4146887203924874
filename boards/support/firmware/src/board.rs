//! Interface of a board: text in and out, time, and the use of its stack.

use core::fmt;

/// Board as the code from power-on to a text sees it. Text written to it goes to its serial port.
pub trait Board: fmt::Write {
    /// Name of the board and its processor, for people.
    fn name(&self) -> &'static str;

    /// Next byte typed, waited for; `None` where nobody can type, or will any more. A board with a watchdog feeds it while it waits.
    fn read(&mut self) -> Option<u8>;

    /// Byte that was typed already, without waiting; `None` if none was, and where what is typed comes from a file.
    fn typed(&mut self) -> Option<u8> {
        None
    }

    /// True if a terminal shows what is typed only when the board sends it back.
    fn echoes(&self) -> bool {
        true
    }

    /// Called between two passes through the model, of which each takes a second at most: a watchdog is fed here.
    fn between_passes(&mut self) {}

    /// Bits that differ each time, for a seed; `None` where nothing is random, as in an emulator. Without a source of its own, a board
    /// has the moment at which a person pressed Enter.
    fn noise(&mut self) -> Option<u64> {
        self.micros()
    }

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

/// Sends a text to a terminal by `send`. A terminal needs a carriage return before each line feed; the model writes line feeds alone.
pub fn send_lines(text: &str, mut send: impl FnMut(&[u8])) {
    for line in text.split_inclusive('\n') {
        match line.strip_suffix('\n') {
            Some(line) if !line.ends_with('\r') => {
                send(line.as_bytes());
                send(b"\r\n");
            }
            _ => send(line.as_bytes()),
        }
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
