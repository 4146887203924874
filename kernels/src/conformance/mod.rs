//! Checks that an ISA gives the bits of the definitions: one property for each kernel, on inputs drawn from a seed.
//!
//! The checks need no allocation and no test harness, so that a host, a board and an emulator run the same code:
//!
//! ```
//! use nearfield_kernels::{available, conformance};
//!
//! let mut scratch = conformance::Scratch::new();
//! for isa in available() {
//!     for seed in 0..3 {
//!         conformance::check(isa, seed, &mut scratch).unwrap();
//!     }
//! }
//! ```
//!
//! A mismatch names its seed; [`check`] with that seed alone finds it again.

mod attention;
mod draw;
mod matrix;
mod vector;

use core::fmt;

pub use draw::Rng;

use crate::block::BlockQ8;
use crate::{Arena, Digits, Kernels, WeightType};

/// First number in which an ISA differs from the definition.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Mismatch {
    /// Kernel, by the name of its method.
    pub kernel: &'static str,
    /// Weight type, for kernels that have weights.
    pub weights: Option<WeightType>,
    /// ISA, by its [`Kernels::name`].
    pub isa: &'static str,
    /// Seed of the case, for [`check`].
    pub seed: u64,
    /// Lengths of the case, outermost first; 0 where there are fewer.
    pub shape: [usize; 3],
    /// Index in the output (a returned number counts as the last).
    pub index: usize,
    /// Number that the definition gives.
    pub want: f32,
    /// Number that the ISA gives.
    pub got: f32,
}

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { kernel, weights, isa, seed, shape, index, want, got } = self;
        write!(f, "{kernel}")?;
        if let Some(weights) = weights {
            write!(f, " of {weights}")?;
        }
        let (want_bits, got_bits) = (want.to_bits(), got.to_bits());
        write!(
            f,
            " by {isa}: number {index} is {} ({got_bits:#010x}), not {} ({want_bits:#010x})",
            Digits(*got),
            Digits(*want)
        )?;
        let [a, b, c] = shape;
        write!(f, ", for lengths {a}, {b}, {c} and seed {seed}")
    }
}

impl core::error::Error for Mismatch {}

/// Bytes of weights in a [`Scratch`].
const WEIGHT_BYTES: usize = 20 * 1024;
/// Floats of stored rows.
const FLOATS: usize = 33 * 130 + 16;
/// Floats of activations, queries and vectors: 17 tokens of 129 columns are the most.
const X: usize = 17 * 130 + 16;
/// Floats of one output: five blocks of 256 are the most.
const OUTPUTS: usize = 5 * 256 + 16;
/// Blocks of activations of one operand.
const BLOCKS: usize = 17 * 18 + 4;
/// Scales of the groups of two operands.
const SCALES: usize = 2 * 33 * 5;

/// Memory of the checks: about 81 KiB. A board takes it from its arena, before a session does.
#[derive(Debug)]
#[repr(C)]
pub struct Scratch {
    weights: [u8; WEIGHT_BYTES],
    x: [f32; X],
    y: [f32; FLOATS],
    want: [f32; OUTPUTS],
    got: [f32; OUTPUTS],
    blocks: [BlockQ8; BLOCKS],
    quants: [i8; FLOATS],
    halves: [u16; FLOATS],
    scales: [u16; SCALES],
}

impl Scratch {
    /// Takes the memory from an arena; `None` if it does not fit. The former content does not matter.
    pub fn take<'a>(arena: &mut Arena<'a>) -> Option<&'a mut Self> {
        arena.take(1)?.first_mut()
    }

    /// Creates memory of zeros.
    pub const fn new() -> Self {
        Self {
            weights: [0; WEIGHT_BYTES],
            x: [0.0; X],
            y: [0.0; FLOATS],
            want: [0.0; OUTPUTS],
            got: [0.0; OUTPUTS],
            blocks: [BlockQ8 { d: 0.0, sums: [0; 2], qs: [0; 32] }; BLOCKS],
            quants: [0; FLOATS],
            halves: [0; FLOATS],
            scales: [0; SCALES],
        }
    }
}

impl Default for Scratch {
    fn default() -> Self {
        Self::new()
    }
}

/// Input of a property: the ISA, the seed of the case and the numbers drawn from it.
struct Case<'a> {
    isa: &'a dyn Kernels,
    seed: u64,
    rng: Rng,
    scratch: &'a mut Scratch,
}

type Property = fn(&mut Case<'_>) -> Result<(), Mismatch>;

/// Properties, one for each kernel.
const PROPERTIES: &[Property] = &[
    matrix::quantize_q8,
    matrix::matmul,
    matrix::dequantize_row,
    vector::layer_norm,
    vector::rms_norm,
    vector::add,
    vector::multiply,
    vector::clamp,
    vector::gelu_tanh,
    vector::gelu_erf,
    vector::silu,
    vector::exp,
    vector::scale,
    vector::subnormals,
    attention::store_kv,
    attention::sum_squares,
    attention::score_block,
    attention::exp_block,
    attention::accumulate_block,
    attention::attend_block,
];

/// Runs one case of every property.
///
/// # Errors
/// The first number in which the ISA differs from the definition.
pub fn check(isa: &dyn Kernels, seed: u64, scratch: &mut Scratch) -> Result<(), Mismatch> {
    PROPERTIES.iter().try_for_each(|property| property(&mut Case { isa, seed, rng: Rng::new(seed), scratch }))
}

/// Description of a case, for a mismatch.
struct Subject {
    kernel: &'static str,
    weights: Option<WeightType>,
    isa: &'static str,
    seed: u64,
    shape: [usize; 3],
}

impl Case<'_> {
    fn subject(&self, kernel: &'static str, shape: [usize; 3]) -> Subject {
        Subject { kernel, weights: None, isa: self.isa.name(), seed: self.seed, shape }
    }
}

impl Subject {
    /// Compares two outputs, which need the same bits, or NaN at the same places.
    fn compare(&self, want: &[f32], got: &[f32]) -> Result<(), Mismatch> {
        assert_eq!(want.len(), got.len());
        let same = |want: f32, got: f32| want.to_bits() == got.to_bits() || want.is_nan() && got.is_nan();
        match want.iter().zip(got).position(|(&want, &got)| !same(want, got)) {
            None => Ok(()),
            Some(index) => Err(self.mismatch(index, want[index], got[index])),
        }
    }

    fn mismatch(&self, index: usize, want: f32, got: f32) -> Mismatch {
        let &Self { kernel, weights, isa, seed, shape } = self;
        Mismatch { kernel, weights, isa, seed, shape, index, want, got }
    }
}
