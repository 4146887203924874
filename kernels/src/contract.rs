//! What a caller promises: lengths that belong together.
//!
//! One function panics for all of them, so that a firmware's image has one known place where kernels can, and each check
//! costs a comparison and a branch. Behind a check, nothing else should be able to: rows are cut with `chunks_exact`,
//! joined with `zip`, and fixed sizes are arrays.

/// # Panics
/// Unless `kept`; `what` says what was promised.
#[inline(always)]
pub(crate) fn require(kept: bool, what: &'static str) {
    if !kept {
        broken(what);
    }
}

/// # Panics
/// Always.
#[cold]
#[inline(never)]
pub(crate) fn broken(what: &'static str) -> ! {
    panic!("{what}");
}
