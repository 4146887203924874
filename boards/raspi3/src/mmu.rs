//! An identity mapping with caches. Without the MMU every access is as slow as to a device and must be aligned, and the exclusive
//! accesses that atomics need may not work.
//!
//! Arm Architecture Reference Manual for A-profile, D8 (translation) and the registers named.

use core::arch::asm;

use crate::devices;

/// One level of the translation: 512 descriptors.
#[repr(C, align(4096))]
struct Table([u64; 512]);

/// 1 GiB a descriptor.
static mut LEVEL_1: Table = Table([0; 512]);
/// 2 MiB a descriptor.
static mut LEVEL_2: Table = Table([0; 512]);
/// 4 KiB a descriptor: the 2 MiB with the stacks.
static mut LEVEL_3: Table = Table([0; 512]);

/// Pages of the stack of a core, by the linker script.
const STACK_PAGES: usize = 0x40000 >> 12;
const N_STACKS: usize = 4;

/// End of the memory that is mapped: image, arena and stacks lie below. A Zero 2 W has 512 MiB, of which the video core takes a part.
const MEMORY_END: u64 = 0x0400_0000;
/// Where the devices of a Pi 3 begin.
const DEVICES: u64 = devices::BCM2837 as u64;
/// 1 GiB with the devices of a Pi 4.
const DEVICES_PI4: usize = devices::BCM2711 >> 30;

// Descriptor bits: valid block, attribute index, accessed, shareable, not executable.
const BLOCK: u64 = 1;
const TABLE: u64 = 3;
/// At the last level.
const PAGE: u64 = 3;
const ATTRIBUTE_DEVICE: u64 = 1 << 2;
const INNER_SHAREABLE: u64 = 3 << 8;
const ACCESSED: u64 = 1 << 10;
const NEVER_EXECUTE: u64 = 3 << 53;

const NORMAL: u64 = BLOCK | ACCESSED | INNER_SHAREABLE;
const DEVICE: u64 = BLOCK | ACCESSED | ATTRIBUTE_DEVICE | NEVER_EXECUTE;

/// Attribute 0: ordinary memory, write-back; attribute 1: device, nothing gathered, reordered or acknowledged early.
const MAIR: u64 = 0x00ff;
/// 39 bits of address from TTBR0, cached walks, inner shareable; TTBR1 off; 36 bits of physical address.
const TCR: u64 = 25 | 1 << 8 | 1 << 10 | 3 << 12 | 1 << 23 | 1 << 32;
/// MMU, data cache, instruction cache.
const SCTLR: u64 = 1 | 1 << 2 | 1 << 12;

/// Writes the tables: the first 64 MiB and the devices, each address to itself, but for the lowest page of each stack, where an
/// overflow faults. Core 0 alone, before [`enable`].
///
/// # Safety
/// No core has the MMU on, and no other core runs.
pub unsafe fn build() {
    let level_1 = (&raw mut LEVEL_1).cast::<u64>();
    let level_2 = (&raw mut LEVEL_2).cast::<u64>();
    let level_3 = (&raw mut LEVEL_3).cast::<u64>();
    unsafe extern "C" {
        static __stacks_start: u8;
    }
    let stacks = (&raw const __stacks_start).addr();
    // SAFETY: the tables have 512 entries, `stacks` is a multiple of 2 MiB below 1 GiB (both by the linker script), and by the function's
    // condition nobody else looks at them.
    unsafe {
        for i in 0..512 {
            let address = (i as u64) << 21;
            let descriptor = match address {
                ..MEMORY_END => address | NORMAL,
                DEVICES.. => address | DEVICE,
                _ => 0,
            };
            level_2.add(i).write_volatile(descriptor);
        }
        for page in 0..512 {
            let is_guard = page % STACK_PAGES == 0 && page < N_STACKS * STACK_PAGES;
            let address = (stacks + (page << 12)) as u64;
            level_3.add(page).write_volatile(if is_guard { 0 } else { address | NORMAL | PAGE });
        }
        level_2.add(stacks >> 21).write_volatile(level_3 as u64 | TABLE);
        level_1.write_volatile(level_2 as u64 | TABLE);
        level_1.add(1).write_volatile(1 << 30 | DEVICE);
        level_1.add(DEVICES_PI4).write_volatile((DEVICES_PI4 as u64) << 30 | DEVICE);
    }
}

/// Turns MMU and caches of this core on.
///
/// # Safety
/// [`build`] was called, and its writes are in memory (they are: they were made with the caches off).
pub unsafe fn enable() {
    // SAFETY: the tables map every address that the program uses to itself, so nothing moves under it.
    unsafe {
        asm!(
            "dsb sy",
            "msr mair_el1, {mair}",
            "msr tcr_el1, {tcr}",
            "msr ttbr0_el1, {table}",
            "tlbi vmalle1",
            "ic iallu",
            "dsb sy",
            "isb",
            "mrs {t}, sctlr_el1",
            "orr {t}, {t}, {sctlr}",
            // Unaligned accesses are not trapped: quantized blocks lie as they lie in the file.
            "bic {t}, {t}, #2",
            "msr sctlr_el1, {t}",
            "isb",
            mair = in(reg) MAIR,
            tcr = in(reg) TCR,
            table = in(reg) &raw const LEVEL_1,
            sctlr = in(reg) SCTLR,
            t = out(reg) _,
        );
    }
}
