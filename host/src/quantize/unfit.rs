//! Weights that a type cannot hold.

use std::fmt;

use half::{bf16, f16};
use nearfield::kernels::WeightType;

/// Error of a weight that a type cannot hold.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Unfit {
    /// Type that cannot hold it.
    pub ty: WeightType,
    /// Index of the weight.
    pub at: usize,
    /// Value of the weight.
    pub weight: f32,
}

impl fmt::Display for Unfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { ty, weight, .. } = self;
        match weight.is_finite() {
            true => write!(f, "a weight of {weight:e}, and {ty} holds none beyond {:e}", limit(*ty)),
            false => write!(f, "a weight is {weight}: the model is broken"),
        }
    }
}

impl std::error::Error for Unfit {}

/// Largest weight that a type can hold: for most, that of the f16 scale.
pub fn limit(ty: WeightType) -> f32 {
    match ty {
        WeightType::F32 => f32::MAX,
        WeightType::BF16 => bf16::MAX.to_f32(),
        _ => f16::MAX.to_f32(),
    }
}
