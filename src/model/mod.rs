//! A model: proof that every tensor of a GGUF file is there, of the right shape and of a type that can run.
//!
//! The weights stay where they are. A `Model` borrows the file ([`find`] looks its tensors up and checks them). A session finds
//! the tensors of a layer through [`LayerTable`], which it keeps in its arena.

mod error;
mod find;
mod layers;

use nearfield_kernels::Matrix;

use crate::gguf::{Gguf, TensorInfo};
use crate::shape::Shape;
use crate::stream::Window;
use crate::tensor::{GlobalSlot, LayerSlot};

pub use error::LoadError;
pub(crate) use layers::{LayerTable, Weights};

use find::{Finder, Found};
use layers::{ABSENT, n_slots};

/// A linear layer, `y = W x + b`.
#[derive(Clone, Copy, Debug)]
pub struct Linear<'f> {
    /// `[n_rows, n_cols]`: W.
    pub weight: Matrix<'f>,
    /// `[n_rows]`: b.
    pub bias: Option<&'f [f32]>,
}

/// Scale and shift of a norm, each as long as a row.
#[derive(Clone, Copy, Debug)]
pub struct NormWeights<'f> {
    /// Scale.
    pub weight: &'f [f32],
    /// Shift.
    pub bias: Option<&'f [f32]>,
}

/// The three projections of attention.
#[derive(Clone, Copy, Debug)]
pub enum Qkv<'f> {
    /// A single matrix: the rows of Q, then K, then V.
    Fused(Linear<'f>),
    /// Three matrices.
    Split([Linear<'f>; 3]),
}

impl<'f> Qkv<'f> {
    /// The one matrix or three, in the order Q, K, V.
    pub fn linears(&self) -> &[Linear<'f>] {
        match self {
            Self::Fused(fused) => core::slice::from_ref(fused),
            Self::Split(linears) => linears,
        }
    }
}

/// Weights of one layer.
#[derive(Clone, Copy, Debug)]
#[allow(missing_docs)]
pub struct Layer<'f> {
    pub attn_norm: NormWeights<'f>,
    pub qkv: Qkv<'f>,
    /// `[n_embd]`: norm over all queries of a token together.
    pub q_norm: Option<NormWeights<'f>>,
    /// `[n_embd_kv]`: norm over all keys of a token together.
    pub k_norm: Option<NormWeights<'f>>,
    pub attn_output: Linear<'f>,
    pub ffn_norm: NormWeights<'f>,
    pub ffn_gate: Option<Linear<'f>>,
    pub ffn_up: Linear<'f>,
    pub ffn_down: Linear<'f>,
}

/// Weights behind the layers of a decoder; of an encoder, token types and the weights of a score.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Head<'f> {
    Decoder {
        /// Norm before the output.
        output_norm: NormWeights<'f>,
        /// `[n_vocab, n_embd]`: the output projection; the embedding if the file has no `output.weight`.
        output: Matrix<'f>,
    },
    Encoder {
        /// `[n_token_types, n_embd]`: vectors that are added to the embeddings.
        token_types: Option<Matrix<'f>>,
        /// `[n_embd, n_embd]`: for a score, applied to the first token's row, then tanh.
        cls: Option<Linear<'f>>,
        /// `[1, n_embd]`: for a score, the last layer.
        cls_output: Option<Linear<'f>>,
    },
}

/// A checked model, borrowed from the bytes of its file.
#[derive(Clone, Copy, Debug)]
pub struct Model<'f> {
    gguf: Gguf<'f>,
    shape: Shape,
    /// `[n_vocab, n_embd]`: embedding of each token.
    pub(crate) token_embd: Matrix<'f>,
    /// `[n_positions, n_embd]`: vector that is added to the embedding at each position.
    pub(crate) position_embd: Option<Matrix<'f>>,
    /// Norm after the embedding.
    pub(crate) token_embd_norm: Option<NormWeights<'f>>,
    pub(crate) head: Head<'f>,
}

impl<'f> Model<'f> {
    /// Checks the file and borrows it. Reads the tables, norms and biases, never the matrices.
    ///
    /// # Errors
    /// [`LoadError`] names the key or tensor at fault, what was expected and what was found.
    pub fn from_gguf(file: &'f [u8]) -> Result<Self, LoadError> {
        Self::from_tables(Gguf::parse(file)?)
    }

    /// Checks a file whose tables were read before, as [`from_gguf`](Self::from_gguf) does.
    ///
    /// # Errors
    /// Errors of [`from_gguf`](Self::from_gguf).
    pub fn from_tables(gguf: Gguf<'f>) -> Result<Self, LoadError> {
        let shape = Shape::from_gguf(&gguf)?;
        let finder = Finder { gguf, shape };
        let mut n_used = 0;
        let mut global = |slot: GlobalSlot| -> Result<Option<Found<'f>>, LoadError> {
            let found = finder.find(slot)?;
            n_used += u64::from(found.is_some());
            Ok(found)
        };
        let matrix = |slot: GlobalSlot, found: Found<'f>| {
            found.matrix(slot.form(&shape)).ok_or(LoadError::TensorBytes { layer: None, name: slot.name() })
        };
        let token_embd = required(GlobalSlot::TokenEmbd, global(GlobalSlot::TokenEmbd)?)?;
        let token_embd = matrix(GlobalSlot::TokenEmbd, token_embd)?;
        let position_embd = match global(GlobalSlot::PositionEmbd)? {
            Some(found) => Some(matrix(GlobalSlot::PositionEmbd, found)?),
            None => None,
        };
        let mut norm = |weight: GlobalSlot, bias: GlobalSlot| -> Result<Option<NormWeights<'f>>, LoadError> {
            let bias = global(bias)?.map(Found::vector);
            Ok(global(weight)?.map(|weight| NormWeights { weight: weight.vector(), bias }))
        };
        let token_embd_norm = norm(GlobalSlot::TokenEmbdNorm, GlobalSlot::TokenEmbdNormBias)?;
        let head = if shape.arch.is_encoder() {
            let mut optional = |slot: GlobalSlot| -> Result<Option<Matrix<'f>>, LoadError> {
                global(slot)?.map(|found| matrix(slot, found)).transpose()
            };
            let token_types = optional(GlobalSlot::TokenTypes)?;
            let [cls, cls_output] = [optional(GlobalSlot::Cls)?, optional(GlobalSlot::ClsOutput)?];
            if cls.is_some() {
                required(GlobalSlot::ClsOutput, cls_output)?;
            }
            let mut linear = |weight: Option<Matrix<'f>>, bias| -> Result<Option<Linear<'f>>, LoadError> {
                let Some(weight) = weight else { return Ok(None) };
                Ok(Some(Linear { weight, bias: global(bias)?.map(Found::vector) }))
            };
            let cls = linear(cls, GlobalSlot::ClsBias)?;
            Head::Encoder { token_types, cls, cls_output: linear(cls_output, GlobalSlot::ClsOutputBias)? }
        } else {
            let output_norm = norm(GlobalSlot::OutputNorm, GlobalSlot::OutputNormBias)?;
            let output_norm = required(GlobalSlot::OutputNorm, output_norm)?;
            let output = match global(GlobalSlot::Output)? {
                Some(found) => matrix(GlobalSlot::Output, found)?,
                None => token_embd,
            };
            Head::Decoder { output_norm, output }
        };
        for layer in 0..shape.n_layer {
            n_used += finder.find_layer(layer)?.n_tensors as u64;
        }
        if n_used != gguf.n_tensors() {
            return Err(finder.unused());
        }
        Ok(Self { gguf, shape, token_embd, position_embd, token_embd_norm, head })
    }

    /// The model's hyperparameters.
    pub fn shape(&self) -> &Shape {
        &self.shape
    }

    /// The file's tables: metadata and tensors' entries.
    pub fn gguf(&self) -> &Gguf<'f> {
        &self.gguf
    }

    /// Weights of a decoder's `layer`; `None` if there is no such layer, or it is not in memory. The file's tables are searched, which takes time; a
    /// session keeps a table of its own.
    ///
    /// # Errors
    /// [`LoadError`] if the file changed since it was checked.
    pub fn layer(&self, layer: usize) -> Result<Option<Layer<'f>>, LoadError> {
        if layer >= self.shape.n_layer {
            return Ok(None);
        }
        let mut words = [ABSENT; LayerSlot::N];
        let words = words.get_mut(..n_slots(&self.shape)).unwrap_or_default();
        let weights = Weights { model: self, window: Window::NONE };
        Ok(LayerTable::from_layer(self, layer, words)?.layer(&weights, 0))
    }

    /// Bytes of weights that one new token reads: every matrix once, and one row of the embedding.
    pub fn bytes_per_token(&self) -> u64 {
        let tied = self.gguf.tensor(GlobalSlot::Output.name(), "").is_none();
        let is_embedding = |tensor: &TensorInfo<'_>| {
            tensor.name == GlobalSlot::TokenEmbd.name() && !tied || tensor.name == GlobalSlot::PositionEmbd.name()
        };
        self.gguf.tensors().filter(|tensor| !is_embedding(tensor)).filter_map(|tensor| tensor.n_bytes()).sum()
    }
}

fn required<T>(slot: GlobalSlot, found: Option<T>) -> Result<T, LoadError> {
    found.ok_or(LoadError::MissingTensor { layer: None, name: slot.name() })
}
