//! A PC without an operating system: from the BIOS to 64-bit mode with all vector registers, serial ports, exceptions.
//!
//! [`boot.s`](../src/boot.s) comes from the disk and ends in the `start` that [`entry!`] makes. Interrupts stay off, so that
//! nothing uses the stack below its pointer (the red zone of the x86-64 ABI) but the code itself; exceptions do, and end here.
#![no_std]

mod exceptions;
mod memory;
mod serial;

use core::arch::{asm, global_asm};
use core::fmt::{self, Write};
use core::panic::PanicInfo;

use nearfield_boards::{Board, StackUse};

use serial::{COM1, COM2};

global_asm!(include_str!("boot.s"));

/// Where `boot.s` ends: `entry!(FUNCTION)`, of one core, interrupts off.
#[macro_export]
macro_rules! entry {
    ($main:path) => {
        #[unsafe(no_mangle)]
        extern "C" fn start() -> ! {
            $main($crate::Pc::set_up())
        }
    };
}

/// The machine, as the story loop sees it.
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
