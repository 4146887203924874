//! Where the devices lie. Those that the firmware uses are the same on all boards, at other addresses.

use core::arch::asm;

/// Devices of the BCM2837 (Pi 3, 3B+, Zero 2 W) as its processors see them: BCM2837 ARM Peripherals, 1.2.3.
pub const BCM2837: usize = 0x3f00_0000;
/// Devices of the BCM2711 (Pi 4, 400), in its "low peripheral mode", in which the Pi's firmware starts it: BCM2711 ARM Peripherals, 1.2.4.
pub const BCM2711: usize = 0xfe00_0000;

/// Part number of the Cortex-A72 in `MIDR_EL1`: its Technical Reference Manual, 4.3.1.
const CORTEX_A72: u64 = 0xd08;

/// True on a Pi 4, by its processor.
pub fn is_pi4() -> bool {
    let id: u64;
    // SAFETY: reads a register.
    unsafe { asm!("mrs {}, midr_el1", out(reg) id, options(nomem, nostack, preserves_flags)) };
    id >> 4 & 0xfff == CORTEX_A72
}

/// Address of the device whose offset is `offset`.
fn address(offset: usize) -> *mut u32 {
    ((if is_pi4() { BCM2711 } else { BCM2837 }) + offset) as *mut u32
}

/// Register of a device.
///
/// # Safety
/// `offset` is that of an aligned register, and reading it changes no memory.
pub unsafe fn read(offset: usize) -> u32 {
    // SAFETY: by the function's condition.
    unsafe { address(offset).read_volatile() }
}

/// Writes a register of a device.
///
/// # Safety
/// `offset` is that of an aligned register, and what the device then does to memory is what the caller means.
pub unsafe fn write(offset: usize, value: u32) {
    // SAFETY: by the function's condition.
    unsafe { address(offset).write_volatile(value) }
}
