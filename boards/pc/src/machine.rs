//! The machine: serial ports, the arguments on the disk, the end.

use core::arch::asm;
use core::ffi::CStr;
use core::fmt::{self, Write};
use core::panic::PanicInfo;

use nearfield_boards::{Board, StackUse};

use crate::exceptions;
use crate::serial::{self, COM1, COM2};

/// The machine as a board.
pub struct Pc(());

impl Pc {
    /// Sets the serial ports up and catches exceptions.
    pub fn set_up() -> Self {
        COM1.set_up();
        COM2.set_up();
        exceptions::catch();
        Self(())
    }
}

impl fmt::Write for Pc {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        { COM1 }.write_str(text)
    }
}

impl Board for Pc {
    fn name(&self) -> &'static str {
        "pc (x86-64)"
    }

    fn read(&mut self) -> Option<u8> {
        None
    }

    fn self_test_cases(&self) -> u64 {
        64
    }

    fn stack(&self) -> Option<StackUse> {
        const PAINT: u64 = 0xcccc_cccc_cccc_cccc;
        unsafe extern "C" {
            static __stack_start: u64;
            static __stack_end: u64;
        }
        let (bottom, end) = (&raw const __stack_start, &raw const __stack_end);
        let size = end as usize - bottom as usize;
        // SAFETY: the stack, by the linker script; volatile, since its upper part changes.
        let untouched = (0..size / 8).take_while(|&i| unsafe { bottom.add(i).read_volatile() } == PAINT).count();
        Some(StackUse { used: size - 8 * untouched, size })
    }
}

/// Arguments of this start, which the runner wrote to their place in the boot sector.
pub fn arguments() -> &'static str {
    unsafe extern "C" {
        #[link_name = "arguments"]
        static BYTES: [u8; 126];
    }
    // SAFETY: by `boot.s`; nothing changes them.
    let bytes = unsafe { &BYTES };
    CStr::from_bytes_until_nul(bytes).ok().and_then(|text| text.to_str().ok()).unwrap_or_default()
}

/// The end: `code` goes to COM2, where an emulator's caller looks for it; Bochs ends, a PC waits to be switched off.
pub fn end(code: u8) -> ! {
    COM2.send(code);
    COM1.flush();
    COM2.flush();
    for byte in *b"Shutdown" {
        // SAFETY: Bochs ends with the last letter; a PC has nothing at this port.
        unsafe { serial::write_port(0x8900, byte) };
    }
    loop {
        // SAFETY: waits; interrupts are off.
        unsafe { asm!("hlt", options(nomem, nostack)) };
    }
}

#[panic_handler]
fn panic(info: &PanicInfo<'_>) -> ! {
    let _ = writeln!({ COM1 }, "\r\n{info}");
    end(1)
}
