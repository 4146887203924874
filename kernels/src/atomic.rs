//! Integers that workers share.
//!
//! Where the processor has no compare-and-swap (ARMv6-M, RISC-V without the A extension), they are those of `portable-atomic`, and the
//! firmware says how they exclude each other by a feature of that crate: `critical-section`, or `unsafe-assume-single-core`.

#[cfg(target_has_atomic = "ptr")]
pub use core::sync::atomic::{AtomicU32, AtomicUsize};
#[cfg(not(target_has_atomic = "ptr"))]
pub use portable_atomic::{AtomicU32, AtomicUsize};
