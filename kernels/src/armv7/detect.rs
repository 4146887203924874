//! Detection of NEON with fused products. Source: Linux, `arch/arm/include/uapi/asm/hwcap.h`.

use core::ffi::c_ulong;

const AT_HWCAP: c_ulong = 16;
/// NEON, with 32 registers of 64 bits.
const HWCAP_NEON: c_ulong = 1 << 12;
/// Fused products and half-precision numbers.
const HWCAP_VFPV4: c_ulong = 1 << 16;

unsafe extern "C" {
    fn getauxval(entry: c_ulong) -> c_ulong;
}

/// True for Cortex-A5 (with NEON), A7, A15, A17 and every 64-bit core that runs 32-bit programs.
pub(super) fn neon() -> bool {
    // SAFETY: `getauxval` of the C library takes any number, and returns zero for an entry that it does not know.
    let features = unsafe { getauxval(AT_HWCAP) };
    features & HWCAP_NEON != 0 && features & HWCAP_VFPV4 != 0
}
