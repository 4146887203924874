//! Element-wise operations.

use crate::contract::require;

/// `x += y`
///
/// # Panics
/// When the lengths differ.
#[inline]
pub fn add(x: &mut [f32], y: &[f32]) {
    require(x.len() == y.len(), "vectors of one length");
    for (x, y) in x.iter_mut().zip(y) {
        *x += y;
    }
}

/// `x = x * y`
///
/// # Panics
/// When the lengths differ.
#[inline]
pub fn multiply(x: &mut [f32], y: &[f32]) {
    require(x.len() == y.len(), "vectors of one length");
    for (x, y) in x.iter_mut().zip(y) {
        *x *= y;
    }
}

/// `x *= factor`
#[inline]
pub fn scale(x: &mut [f32], factor: f32) {
    for x in x {
        *x *= factor;
    }
}

/// Raises to at least `-limit`, then lowers to at most `limit`; a NaN, which compares with neither, stays.
#[inline]
pub fn clamp(x: &mut [f32], limit: f32) {
    for x in x {
        let raised = if -limit > *x { -limit } else { *x };
        *x = if limit < raised { limit } else { raised };
    }
}
