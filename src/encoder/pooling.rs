//! Pooling: makes one vector of a document's rows.

use nearfield_kernels::{KV_BLOCK, Kernels, KvRows};

use crate::gguf::{Gguf, Value};
use crate::planned::Planned;
use crate::steps::rows;

/// Rule that makes one vector of a document's rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Pooling {
    /// Mean of the rows.
    Mean,
    /// The first row.
    Cls,
    /// The last row.
    Last,
    /// Largest number in each column.
    Max,
}

impl Pooling {
    /// All rules.
    pub const ALL: [Self; 4] = [Self::Mean, Self::Cls, Self::Last, Self::Max];

    /// Name on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Mean => "mean",
            Self::Cls => "cls",
            Self::Last => "last",
            Self::Max => "max",
        }
    }

    /// Reads `{arch}.pooling_type`; the mean if the key is missing. `None` if the file asks for a score, or for no pooling.
    pub fn of_file(gguf: &Gguf<'_>, arch: &'static str) -> Option<Self> {
        // Numbers are those of llama.cpp's `llama_pooling_type`; 0 is none, 4 a score.
        match gguf.get_joined(arch, ".pooling_type").map(Value::as_u64) {
            None | Some(Some(1)) => Some(Self::Mean),
            Some(Some(2)) => Some(Self::Cls),
            Some(Some(3)) => Some(Self::Last),
            Some(_) => None,
        }
    }

    /// Computes the vector `out` (`[n_embd]`) of the rows `x` (`[n, n_embd]`); `sum` (`[n_embd]`) is scratch memory.
    pub(crate) fn pool(self, kernels: &dyn Kernels, x: &[f32], sum: &mut [f32], out: &mut [f32]) -> Planned {
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

/// Computes `x / |x|`; leaves `x` unchanged if its norm is 0 or not finite.
pub(crate) fn normalize(kernels: &dyn Kernels, x: &mut [f32]) {
    let norm = libm::sqrtf(kernels.sum_squares(KvRows::F32(x), x.len()));
    if norm > 0.0 && norm.is_finite() {
        kernels.scale(x, 1.0 / norm);
    }
}
