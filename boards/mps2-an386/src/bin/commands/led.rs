//! First of the two LEDs that the FPGA image AN386 has on an MPS2 board.

use nearfield_boards::Led;

/// Register `FPGAIO->LED0` (Arm's application note AN386, "FPGA system control and I/O"): bits 0 and 1 switch the LEDs `USERLED0` and
/// `USERLED1` on, and are read back.
const LED0: *mut u32 = 0x4002_8000 as *mut u32;
/// Bit of `USERLED0`.
const USERLED0: u32 = 1 << 0;

/// The LED `USERLED0`.
pub struct UserLed0;

/// Bits of the register.
fn read() -> u32 {
    // SAFETY: AN386 has this register of 32 bits at this aligned address; reading it changes nothing.
    unsafe { LED0.read_volatile() }
}

impl Led for UserLed0 {
    fn set(&mut self, on: bool) {
        let bits = if on { read() | USERLED0 } else { read() & !USERLED0 };
        // SAFETY: the register as in `read`; writing it changes the LEDs alone. One core without interrupts runs this firmware, so the
        // other LED's bit is still the one that was read.
        unsafe { LED0.write_volatile(bits) };
    }

    fn is_on(&mut self) -> bool {
        read() & USERLED0 != 0
    }
}
