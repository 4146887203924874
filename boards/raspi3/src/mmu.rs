//! An identity mapping with caches. Without the MMU every access is as slow as to a device and must be aligned, and the exclusive
//! accesses that atomics need may not work.
//!
//! Arm Architecture Reference Manual for A-profile, D8 (translation) and the registers named.

use core::arch::asm;

/// One level of the translation: 512 descriptors.
#[repr(C, align(4096))]
struct Table([u64; 512]);

/// 1 GiB a descriptor.
static mut LEVEL_1: Table = Table([0; 512]);
/// 2 MiB a descriptor.
static mut LEVEL_2: Table = Table([0; 512]);

/// Where the devices begin; the memory below it is ordinary.
const DEVICES: u64 = 0x3f00_0000;

// Descriptor bits: valid block, attribute index, accessed, shareable, not executable.
const BLOCK: u64 = 1;
const TABLE: u64 = 3;
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

/// Writes the tables: the first 2 GiB, each address to itself. Core 0 alone, before [`enable`].
///
/// # Safety
/// No core has the MMU on, and no other core runs.
pub unsafe fn build() {
    let level_1 = (&raw mut LEVEL_1).cast::<u64>();
    let level_2 = (&raw mut LEVEL_2).cast::<u64>();
    // SAFETY: both tables have 512 entries, and by the function's condition nobody else looks at them.
    unsafe {
        for i in 0..512 {
            let address = (i as u64) << 21;
            let kind = if address < DEVICES { NORMAL } else { DEVICE };
            level_2.add(i).write_volatile(address | kind);
        }
        level_1.write_volatile(level_2 as u64 | TABLE);
        level_1.add(1).write_volatile(1 << 30 | DEVICE);
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
