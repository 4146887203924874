//! Exceptions. Each is a fault of the firmware: it is reported with its place, and the machine stops.
//!
//! Intel SDM, volume 3A, sections 6.10 (the table), 6.14 (in 64-bit mode) and 6.15 (the numbers).

use core::arch::asm;
use core::fmt::Write;
use core::mem::size_of;

use crate::end;
use crate::serial::COM1;

const N_EXCEPTIONS: usize = 32;
/// `boot.s`: bytes of code for each.
const ENTRY: u64 = 16;
/// `boot.s`: the 64-bit code segment.
const CODE_SEGMENT: u64 = 0x18;
/// Present, a 64-bit interrupt gate, on the stack of exceptions (IST 1, by `boot.s`).
const GATE: u64 = 0x8e01;

/// The interrupt descriptor table: two words for each exception.
static mut TABLE: [[u64; 2]; N_EXCEPTIONS] = [[0; 2]; N_EXCEPTIONS];

/// From here on an exception ends in [`exception`].
pub fn catch() {
    unsafe extern "C" {
        static exceptions: u8;
    }
    #[repr(C, packed)]
    struct Pointer {
        limit: u16,
        base: u64,
    }
    let first = &raw const exceptions as u64;
    let table = (&raw mut TABLE).cast::<[u64; 2]>();
    for i in 0..N_EXCEPTIONS {
        let entry = first + ENTRY * i as u64;
        let low = entry & 0xffff | CODE_SEGMENT << 16 | GATE << 32 | (entry >> 16 & 0xffff) << 48;
        // SAFETY: in the table, which the processor reads from the next instruction but one on, and nobody else.
        unsafe { table.add(i).write_volatile([low, entry >> 32]) };
    }
    let pointer = Pointer { limit: (size_of::<[[u64; 2]; N_EXCEPTIONS]>() - 1) as u16, base: table as u64 };
    // SAFETY: the table is complete and stays.
    unsafe { asm!("lidt [{}]", in(reg) &raw const pointer, options(readonly, nostack, preserves_flags)) };
}

/// Stack as `boot.s` and the processor leave it.
#[repr(C)]
struct Frame {
    number: u64,
    error: u64,
    rip: u64,
}

#[unsafe(no_mangle)]
extern "C" fn exception(frame: &Frame) -> ! {
    let Frame { number, error, rip } = frame;
    let address: u64;
    // SAFETY: reads a register: the address of a page fault.
    unsafe { asm!("mov {}, cr2", out(reg) address, options(nomem, nostack, preserves_flags)) };
    let _ = writeln!({ COM1 }, "\r\nexception {number}, error {error:#x}, at {rip:#x}, address {address:#x}");
    end(1)
}
