//! How the rows of a document become one vector.

use nearfield_kernels::{KV_BLOCK, Kernels, KvRows};

use crate::gguf::{Gguf, Value};
use crate::steps::rows;

/// How the rows of a document become one vector.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Pooling {
    /// Their mean.
    Mean,
    /// The first row.
    Cls,
    /// The last row.
    Last,
    /// In each column the largest.
    Max,
}

impl Pooling {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Mean, Self::Cls, Self::Last, Self::Max];

    /// The word for it on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Mean => "mean",
            Self::Cls => "cls",
            Self::Last => "last",
            Self::Max => "max",
        }
    }

    /// What a file wants by `{arch}.pooling_type`; the mean if it does not say. `None` if it wants a score, or no pooling.
    pub fn of_file(gguf: &Gguf<'_>, arch: &'static str) -> Option<Self> {
        // `llama_pooling_type` of llama.cpp; 0 is none, 4 a score.
        match gguf.get_joined(arch, ".pooling_type").map(Value::as_u64) {
            None | Some(Some(1)) => Some(Self::Mean),
            Some(Some(2)) => Some(Self::Cls),
            Some(Some(3)) => Some(Self::Last),
            Some(_) => None,
        }
    }

    /// `out` (`[n_embd]`) becomes the vector of the rows `x` (`[n, n_embd]`); `sum` is as long and for its use.
    pub(crate) fn pool(self, kernels: &dyn Kernels, x: &[f32], sum: &mut [f32], out: &mut [f32]) -> Option<()> {
        let n_embd = out.len();
        match self {
            Self::Mean => {
                // A sum for each block of rows keeps the rounding of n rows at that of n / 32.
                out.fill(0.0);
                for block in x.chunks(KV_BLOCK * n_embd.max(1)) {
                    sum.fill(0.0);
                    rows(block, n_embd).for_each(|row| kernels.add(sum, row));
                    kernels.add(out, sum);
                }
                kernels.scale(out, 1.0 / (x.len() / n_embd.max(1)) as f32);
            }
            Self::Cls => out.copy_from_slice(x.get(..n_embd)?),
            Self::Last => out.copy_from_slice(x.get(x.len().checked_sub(n_embd)?..)?),
            Self::Max => {
                out.copy_from_slice(x.get(..n_embd)?);
                for row in rows(x, n_embd).skip(1) {
                    for (max, &x) in out.iter_mut().zip(row) {
                        *max = if x > *max { x } else { *max };
                    }
                }
            }
        }
        Some(())
    }
}

/// `x / |x|`; as it is, where that is no number.
pub(crate) fn normalize(kernels: &dyn Kernels, x: &mut [f32]) {
    let norm = libm::sqrtf(kernels.sum_squares(KvRows::F32(x), x.len()));
    if norm > 0.0 && norm.is_finite() {
        kernels.scale(x, 1.0 / norm);
    }
}
