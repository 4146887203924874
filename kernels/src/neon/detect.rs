//! Detection of instructions beyond NEON: those that the target promises, or that the system reports at run time.

/// `FEAT_DotProd`
pub(super) fn dotprod() -> bool {
    cfg!(target_feature = "dotprod") || system::dotprod()
}

/// `FEAT_I8MM`
pub(super) fn i8mm() -> bool {
    cfg!(target_feature = "i8mm") || system::i8mm()
}

/// Source: Linux, `arch/arm64/include/uapi/asm/hwcap.h` and `Documentation/arch/arm64/elf_hwcaps.rst`.
#[cfg(any(target_os = "linux", target_os = "android"))]
mod system {
    use core::ffi::c_ulong;

    const AT_HWCAP: c_ulong = 16;
    const AT_HWCAP2: c_ulong = 26;
    const HWCAP_ASIMDDP: c_ulong = 1 << 20;
    const HWCAP2_I8MM: c_ulong = 1 << 13;

    unsafe extern "C" {
        fn getauxval(entry: c_ulong) -> c_ulong;
    }

    pub(super) fn dotprod() -> bool {
        // SAFETY: `getauxval` of the C library takes any number, and returns zero for an entry that it does not know.
        unsafe { getauxval(AT_HWCAP) & HWCAP_ASIMDDP != 0 }
    }

    pub(super) fn i8mm() -> bool {
        // SAFETY: as above.
        unsafe { getauxval(AT_HWCAP2) & HWCAP2_I8MM != 0 }
    }
}

/// Source: Apple, "Determining instruction set characteristics".
#[cfg(target_vendor = "apple")]
mod system {
    use core::ffi::{CStr, c_char, c_int, c_void};

    unsafe extern "C" {
        fn sysctlbyname(
            name: *const c_char,
            old: *mut c_void,
            old_len: *mut usize,
            new: *mut c_void,
            new_len: usize,
        ) -> c_int;
    }

    pub(super) fn dotprod() -> bool {
        has(c"hw.optional.arm.FEAT_DotProd")
    }

    pub(super) fn i8mm() -> bool {
        has(c"hw.optional.arm.FEAT_I8MM")
    }

    fn has(name: &CStr) -> bool {
        let (mut value, mut len): (c_int, _) = (0, size_of::<c_int>());
        // SAFETY: `name` ends in zero, `value` has `len` writable bytes, and nothing is set.
        let status =
            unsafe { sysctlbyname(name.as_ptr(), (&raw mut value).cast(), &raw mut len, core::ptr::null_mut(), 0) };
        status == 0 && value != 0
    }
}

/// Systems without a query: bare metal, where the target names all features, and systems that nobody has added yet.
#[cfg(not(any(target_os = "linux", target_os = "android", target_vendor = "apple")))]
mod system {
    pub(super) fn dotprod() -> bool {
        false
    }

    pub(super) fn i8mm() -> bool {
        false
    }
}
