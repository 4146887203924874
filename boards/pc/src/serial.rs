//! The serial ports of a PC (16550 and its kin), 115,200 baud, sending only.
//!
//! Registers: National Semiconductor, PC16550D data sheet, section 8.

use core::arch::asm;
use core::fmt;
use core::hint::spin_loop;

/// The first serial port, for text.
pub const COM1: Serial = Serial { port: 0x3f8 };
/// The second, for the code at the end.
pub const COM2: Serial = Serial { port: 0x2f8 };

/// Line status: room for a byte to send.
const ROOM: u8 = 1 << 5;
/// Line status: all bytes are sent.
const SENT: u8 = 1 << 6;

/// Writes a byte to an I/O port.
///
/// # Safety
/// What listens there does not touch the program's memory.
pub unsafe fn write_port(port: u16, byte: u8) {
    // SAFETY: by the function's condition.
    unsafe { asm!("out dx, al", in("dx") port, in("al") byte, options(nomem, nostack, preserves_flags)) };
}

/// A serial port.
#[derive(Clone, Copy)]
pub struct Serial {
    port: u16,
}

impl Serial {
    /// Sets the port up.
    pub fn set_up(self) {
        // No interrupts; the divisor of 115,200 baud, 1; 8 bits, no parity, 1 stop bit; queues on; ready.
        for (register, byte) in [(1, 0x00), (3, 0x80), (0, 1), (1, 0), (3, 0x03), (2, 0x07), (4, 0x03)] {
            // SAFETY: a register of a serial port, which touches no memory.
            unsafe { write_port(self.port + register, byte) };
        }
    }

    /// Sends a byte, once there is room.
    pub fn send(self, byte: u8) {
        self.wait_for(ROOM);
        // SAFETY: a register of a serial port, which touches no memory.
        unsafe { write_port(self.port, byte) };
    }

    /// Waits until all bytes are sent.
    pub fn flush(self) {
        self.wait_for(SENT);
    }

    /// Waits for a bit of the line status. Where there is no such port, all of them are set.
    fn wait_for(self, bit: u8) {
        loop {
            let status: u8;
            // SAFETY: a register of a serial port: reading it touches no memory.
            unsafe {
                asm!("in al, dx", in("dx") self.port + 5, out("al") status, options(nomem, nostack, preserves_flags))
            };
            if status & bit != 0 {
                return;
            }
            spin_loop();
        }
    }
}

impl fmt::Write for Serial {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        text.bytes().for_each(|byte| self.send(byte));
        Ok(())
    }
}
