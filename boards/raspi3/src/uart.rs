//! The PL011 serial port at GPIO 14 (out) and 15 (in), 115,200 baud. BCM2837 ARM Peripherals, chapters 6 and 13.

use core::fmt;

use crate::devices;

const GPIO: usize = 0x20_0000;
const GPFSEL1: usize = GPIO + 0x04;
const UART: usize = 0x20_1000;
const DR: usize = UART;
const FR: usize = UART + 0x18;
const IBRD: usize = UART + 0x24;
const FBRD: usize = UART + 0x28;
const LCRH: usize = UART + 0x2c;
const CR: usize = UART + 0x30;
/// FR: nothing has come; no room to send.
const RX_EMPTY: u32 = 1 << 4;
const TX_FULL: u32 = 1 << 5;

fn read(register: usize) -> u32 {
    // SAFETY: a register of a device of this board, aligned; reading it changes no memory.
    unsafe { devices::read(register) }
}

fn write(register: usize, value: u32) {
    // SAFETY: a register of a device of this board, aligned; the devices written to here touch no memory.
    unsafe { devices::write(register, value) }
}

/// The serial port, set up.
pub struct Uart(());

impl Uart {
    /// Sets the port up. config.txt has to say `dtoverlay=disable-bt`, else the port belongs to Bluetooth.
    pub fn new() -> Self {
        write(CR, 0);
        // GPIO 14 and 15: function ALT0 (4).
        write(GPFSEL1, read(GPFSEL1) & !(0o77 << 12) | 0o44 << 12);
        // 48 MHz / (16 * 115,200) = 26 + 3/64.
        write(IBRD, 26);
        write(FBRD, 3);
        // 8 bits, queues on; port, sending and receiving on.
        write(LCRH, 0x70);
        write(CR, 0x301);
        Self(())
    }

    /// The next byte, waited for.
    pub fn read(&mut self) -> u8 {
        loop {
            if let Some(byte) = self.typed() {
                return byte;
            }
            core::hint::spin_loop();
        }
    }

    /// A byte that has come already.
    pub fn typed(&mut self) -> Option<u8> {
        (read(FR) & RX_EMPTY == 0).then(|| read(DR) as u8)
    }
}

impl fmt::Write for Uart {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for byte in text.bytes() {
            while read(FR) & TX_FULL != 0 {
                core::hint::spin_loop();
            }
            write(DR, byte.into());
        }
        Ok(())
    }
}
