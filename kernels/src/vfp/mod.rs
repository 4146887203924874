//! Kernels on the floating-point unit of 32-bit Arm processors, which `cortex_m` and `armv7` share: the definitions, written for one
//! multiplier and 32 registers of one number each. Vectors of these processors flush subnormals; the unit does not.
//!
//! - [`floats`]: rows of floats; [`matmul`]: products of float weights; [`attention`]: scores and biases, norms of stored rows
//! - [`math`], [`norm`], [`quantize`]: all other kernels

/// Directives that let assembly use the unit's instructions: for Linux the target is an older processor, and `detect` sees the unit
/// before anything here runs. A firmware is compiled for its processor.
#[cfg(target_os = "linux")]
macro_rules! unit {
    () => {
        ".arch armv7-a\n.fpu neon-vfpv4"
    };
}
#[cfg(not(target_os = "linux"))]
macro_rules! unit {
    () => {
        ""
    };
}
#[cfg(target_os = "linux")]
pub(crate) use unit;

pub(crate) mod attention;
pub(crate) mod floats;
pub(crate) mod math;
pub(crate) mod matmul;
pub(crate) mod norm;
pub(crate) mod quantize;
