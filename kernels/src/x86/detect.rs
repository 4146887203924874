//! Detection of the features that the processor has and whose registers the system saves.

use core::arch::x86_64::{__cpuid, __cpuid_count};

// `cpufeatures` checks that the system saves the wide registers.
cpufeatures::new!(avx2_detected, "avx2", "fma");
cpufeatures::new!(avx512_detected, "avx512f", "avx512bw");

/// AVX2 and FMA, which `cpufeatures` checks, and F16C, which it does not know: bit 29 of leaf 1.
pub(super) fn avx2() -> bool {
    // SAFETY: every x86-64 has `cpuid`; newer compilers call it safe.
    #[allow(unused_unsafe)]
    let leaf = || unsafe { __cpuid(1) };
    avx2_detected::get() && leaf().ecx >> 29 & 1 == 1
}

/// AVX-VNNI, on a processor with AVX2: bit 4 of leaf 7, part 1.
pub(super) fn avx_vnni() -> bool {
    // SAFETY: as above.
    #[allow(unused_unsafe)]
    let leaf = |part| unsafe { __cpuid_count(7, part) };
    // Part 0 holds the number of the last part.
    leaf(0).eax >= 1 && leaf(1).eax >> 4 & 1 == 1
}

/// AVX-512 F and BW.
pub(super) fn avx512() -> bool {
    avx512_detected::get()
}

/// AVX-512 VNNI, on a processor with AVX-512: bit 11 of leaf 7.
pub(super) fn avx512_vnni() -> bool {
    // SAFETY: as above.
    #[allow(unused_unsafe)]
    let leaf = || unsafe { __cpuid_count(7, 0) };
    leaf().ecx >> 11 & 1 == 1
}
