//! Error of a file that is not a model that can run.

use core::fmt;

use nearfield_kernels::block::gguf_type_reordered;

use crate::gguf::GgufError;
use crate::shape::ShapeError;

/// Error of a file that is not a model that can run.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum LoadError {
    /// The header does not describe such a model.
    Shape(ShapeError),
    /// A tensor is missing.
    MissingTensor {
        /// Layer of the tensor; `None` if it belongs to none.
        layer: Option<usize>,
        /// Name of the tensor, without the layer.
        name: &'static str,
    },
    /// The bytes of a tensor are not as many as its size and type say, or not all in the file.
    /// [`Gguf::parse`](crate::Gguf::parse) refuses such files, so the file was written to since, or read by
    /// [`Gguf::parse_partly`](crate::Gguf::parse_partly) alone.
    TensorBytes {
        /// Layer of the tensor; `None` if it belongs to none.
        layer: Option<usize>,
        /// Name of the tensor, without the layer.
        name: &'static str,
    },
    /// A tensor of an encoder is not in memory: only layers of decoders come from a [`Storage`](crate::Storage).
    NotResident {
        /// Layer of the tensor; `None` if it belongs to none.
        layer: Option<usize>,
        /// Name of the tensor, without the layer.
        name: &'static str,
    },
    /// A tensor that this family does not use: running without it would give wrong answers.
    UnusedTensor {
        /// Name of the tensor (cut off when very long).
        name: heapless::String<48>,
    },
    /// A tensor has other dimensions than the header says.
    TensorShape {
        /// Layer of the tensor; `None` if it belongs to none.
        layer: Option<usize>,
        /// Name of the tensor, without the layer.
        name: &'static str,
        /// The dimensions by the header: `[n_cols, n_rows]`, GGUF's order.
        want: [u64; 2],
        /// The dimensions in the file.
        found: [u64; 4],
    },
    /// A tensor's weight type cannot run.
    TensorType {
        /// Layer of the tensor; `None` if it belongs to none.
        layer: Option<usize>,
        /// Name of the tensor, without the layer.
        name: &'static str,
        /// Types that can run.
        want: &'static str,
        /// GGUF's name of the type in the file.
        found: &'static str,
        /// GGUF's number of the type.
        number: u32,
    },
    /// A vector of floats is not aligned to 4 bytes in memory: the file has to be loaded at such an address.
    Misaligned {
        /// Layer of the tensor; `None` if it belongs to none.
        layer: Option<usize>,
        /// Name of the tensor, without the layer.
        name: &'static str,
    },
    /// A number of a norm or a bias is NaN or infinite, which would make all results so.
    NotFinite {
        /// Layer of the tensor; `None` if it belongs to none.
        layer: Option<usize>,
        /// Name of the tensor, without the layer.
        name: &'static str,
        /// Index of the first such element.
        index: usize,
    },
}

impl From<ShapeError> for LoadError {
    fn from(error: ShapeError) -> Self {
        Self::Shape(error)
    }
}

impl From<GgufError> for LoadError {
    fn from(error: GgufError) -> Self {
        Self::Shape(ShapeError::Gguf(error))
    }
}

/// A tensor's full name.
struct TensorName(Option<usize>, &'static str);

impl fmt::Display for TensorName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(layer) => write!(f, "blk.{layer}.{}", self.1),
            None => f.write_str(self.1),
        }
    }
}

impl fmt::Display for LoadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Shape(ref error) => error.fmt(f),
            Self::MissingTensor { layer, name } => write!(f, "the tensor {} is missing", TensorName(layer, name)),
            Self::TensorBytes { layer, name } => {
                write!(f, "the bytes of the tensor {} are not all in the file", TensorName(layer, name))
            }
            Self::NotResident { layer, name } => {
                write!(f, "the tensor {} is not in memory, where an encoder needs it", TensorName(layer, name))
            }
            Self::UnusedTensor { ref name } => {
                write!(f, "the tensor {name} is not part of this architecture as it is supported")
            }
            Self::TensorShape { layer, name, want, found } => {
                let name = TensorName(layer, name);
                write!(f, "the tensor {name} is {} x {}", found[0], found[1])?;
                if found[2..] != [1, 1] {
                    write!(f, " x {} x {}", found[2], found[3])?;
                }
                write!(f, ", not {} x {}", want[0], want[1])
            }
            Self::TensorType { layer, name, want, found, number } => {
                let name = TensorName(layer, name);
                write!(f, "the tensor {name} has type {found} ({number}): {want} can run")?;
                match gguf_type_reordered(number) {
                    Some(ty) => write!(
                        f,
                        "; quantize the original again, to {ty}: weights are reordered as they are loaded, or by `nearfield pack`"
                    ),
                    None => Ok(()),
                }
            }
            Self::Misaligned { layer, name } => {
                write!(f, "the tensor {} is not aligned to 4 bytes in memory", TensorName(layer, name))
            }
            Self::NotFinite { layer, name, index } => {
                let name = TensorName(layer, name);
                write!(f, "the tensor {name} is NaN or infinite at index {index}: the model is broken")
            }
        }
    }
}

impl core::error::Error for LoadError {}
