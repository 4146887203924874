//! Contract checks: a caller promises that the lengths it passes belong together.
//!
//! A single function panics for all checks, so that a firmware's image has one known place where kernels can panic, and each check
//! costs a comparison and a branch. Nothing else behind a check should be able to panic: rows are cut with `chunks_exact`,
//! joined with `zip`, and fixed sizes are arrays.

/// Checks one promise of a caller.
///
/// # Panics
/// Unless `kept`; `what` names the promise.
#[inline(always)]
pub(crate) fn require(kept: bool, what: &'static str) {
    if !kept {
        broken(what);
    }
}

/// Panics for a broken promise.
///
/// # Panics
/// Always.
#[cold]
#[inline(never)]
pub(crate) fn broken(what: &'static str) -> ! {
    panic!("{what}");
}
