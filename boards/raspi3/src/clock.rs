//! The processor's clock, which the video core's firmware sets: 600 MHz after power-on.
//!
//! <https://github.com/raspberrypi/firmware/wiki/Mailbox-property-interface>, and BCM2835 ARM Peripherals, 1.3 (barriers between devices).

use core::arch::asm;
use core::hint::spin_loop;

use crate::devices;

const MAILBOX: usize = 0xb880;
const READ: usize = MAILBOX;
const STATUS: usize = MAILBOX + 0x18;
const WRITE: usize = MAILBOX + 0x20;
/// STATUS: no room to write; nothing to read.
const FULL: u32 = 1 << 31;
const EMPTY: u32 = 1 << 30;
/// Channel of the properties, in the lowest four bits of a message's address.
const PROPERTIES: u32 = 8;
/// Code of a request, and of a reply that is complete.
const REQUEST: u32 = 0;
const DONE: u32 = 0x8000_0000;

const GET_MAX_CLOCK_RATE: u32 = 0x0003_0004;
const SET_CLOCK_RATE: u32 = 0x0003_8002;
/// Clock of the processor.
const ARM: u32 = 3;

/// Message with one property of three words.
#[repr(C, align(16))]
struct Message([u32; 9]);

/// Asks for the greatest clock that the firmware allows, and returns what it then is, in MHz; `None` where nobody answers.
///
/// # Safety
/// Core 0 with its caches off: the video core reads and writes the message in memory.
pub unsafe fn raise() -> Option<u32> {
    let most = property(GET_MAX_CLOCK_RATE, [ARM, 0, 0])?;
    // The last word: "turbo" settings go with it.
    property(SET_CLOCK_RATE, [ARM, most, 0]).map(|hertz| hertz / 1_000_000)
}

/// Value of a property after a request: the second word of the reply.
fn property(tag: u32, [id, value, option]: [u32; 3]) -> Option<u32> {
    let mut message = Message([0; 9]);
    let words = (&raw mut message.0).cast::<u32>();
    for (i, word) in [size_of::<Message>() as u32, REQUEST, tag, 12, 0, id, value, option, 0].into_iter().enumerate() {
        // SAFETY: one of the message's nine words. With the caches off memory is of the device type, which takes no access wider than
        // the alignment; a copy of the whole array may be made of such.
        unsafe { words.add(i).write_volatile(word) };
    }
    while read(STATUS) & FULL != 0 {
        spin_loop();
    }
    barrier();
    // SAFETY: the mailbox takes the address of a message; the video core changes these nine words, which live until it has answered.
    unsafe { devices::write(WRITE, words.addr() as u32 | PROPERTIES) };
    loop {
        while read(STATUS) & EMPTY != 0 {
            spin_loop();
        }
        if read(READ) & 0xf == PROPERTIES {
            break;
        }
    }
    barrier();
    // SAFETY: two of the message's nine words, one by one as above; volatile, since the video core has written them.
    let (code, value) = unsafe { (words.add(1).read_volatile(), words.add(6).read_volatile()) };
    (code == DONE && value > 0).then_some(value)
}

fn read(register: usize) -> u32 {
    // SAFETY: a register of the mailbox, aligned; reading it changes no memory.
    unsafe { devices::read(register) }
}

fn barrier() {
    // SAFETY: orders accesses.
    unsafe { asm!("dsb sy", options(nostack, preserves_flags)) };
}
