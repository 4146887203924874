//! Definitions of all kernels, one function each. They are never tuned: everything else is compared with them.
//!
//! Two results are the same when their bits are, or when both are NaN (which NaN is left to the machine).

mod activation;
mod attention;
mod dequantize;
mod dot;
mod elementwise;
mod math;
mod matmul;
mod norm;
mod peak;
mod quantize;
mod reduce;

pub use activation::{gelu_erf, gelu_tanh, silu};
pub use attention::{accumulate_block, attend_block, exp_block, score_block, sum_squares};
pub use dequantize::dequantize_row;
pub use dot::*;
pub use elementwise::{add, clamp, multiply, scale};
pub use math::{exp, normal_cdf};
pub use matmul::matmul;
pub use norm::{layer_norm, rms_norm};
pub use peak::int8_peak;
pub use quantize::{QuantizedProbs, quantize_block, quantize_probs, quantize_q8, store_kv};
pub use reduce::{CHAINS, LANES, fused, fused_sum, strided_sum, tree, tree_of_chains};

pub(crate) use math::constants;
// Parts of the definitions that ISAs share; on some machines no ISA uses them.
#[allow(unused_imports)]
pub(crate) use attention::{QUERY, SEEN, assert_block, assert_query, assert_rows, distance_of, unpack_quants};
#[allow(unused_imports)]
pub(crate) use norm::{inverse_root, rescale, standardize};
#[allow(unused_imports)]
pub(crate) use quantize::{AMAX_MIN, ROW};

use crate::Kernels;

/// Definitions as an ISA, which any processor can run.
struct Scalar(());

/// Definitions, for a choice among ISAs.
pub(crate) static DEFINITIONS: &dyn Kernels = &Scalar(());

pub(crate) fn detect() -> Option<&'static dyn Kernels> {
    Some(DEFINITIONS)
}

impl Kernels for Scalar {
    fn name(&self) -> &'static str {
        "scalar"
    }
}
