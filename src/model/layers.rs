//! Table of the places of all layers' tensors.

use nearfield_kernels::{Layout, WeightType};

use super::find::{Finder, Found};
use super::{Layer, Linear, LoadError, Model, NormWeights, Qkv};
use crate::shape::Shape;
use crate::tensor::LayerSlot;

/// Places of the tensors of each layer: a word for each slot that the architecture may use. The table lies in a session's
/// arena, so that a step need not search the file's tables.
#[derive(Debug)]
pub(crate) struct LayerTable<'a> {
    words: &'a mut [u64],
}

/// Number of slots of a layer that the architecture may use; they are the first ones.
pub(super) const fn n_slots(shape: &Shape) -> usize {
    if shape.arch.is_encoder() { LayerSlot::N } else { LayerSlot::N_DECODER }
}

/// Word of a slot without a tensor.
pub(super) const ABSENT: u64 = u64::MAX;
/// Bit of a word that is set if the matrix is interleaved. The type's number lies below it, the tensor's offset above.
const INTERLEAVED: u64 = 1 << 7;

impl<'a> LayerTable<'a> {
    /// Words of the table.
    pub(crate) const fn len(shape: &Shape) -> Option<usize> {
        shape.n_layer.checked_mul(n_slots(shape))
    }

    /// Fills `words` (of [`len`](Self::len)) for all layers of the model.
    pub(crate) fn new(model: &Model<'_>, words: &'a mut [u64]) -> Result<Self, LoadError> {
        Self::from_layer(model, 0, words)
    }

    /// Fills `words` for the layers from `first` on, which is layer 0 of the table.
    pub(super) fn from_layer(model: &Model<'_>, first: usize, words: &'a mut [u64]) -> Result<Self, LoadError> {
        let finder = Finder { gguf: model.gguf, shape: model.shape };
        for (layer, words) in words.chunks_exact_mut(n_slots(&model.shape)).enumerate() {
            for (found, word) in finder.find_layer(first + layer)?.slots.iter().zip(words) {
                // Offsets are below 2^56: they lie in a slice.
                let layout = |found: Found<'_>| u64::from(found.layout == Layout::Interleaved) * INTERLEAVED;
                *word = found.map_or(ABSENT, |found| found.offset << 8 | layout(found) | found.ty as u64);
            }
        }
        Ok(Self { words })
    }

    fn find<'f>(&self, model: &Model<'f>, layer: usize, slot: LayerSlot) -> Option<Found<'f>> {
        let word = *self.words.get(layer * n_slots(&model.shape) + slot as usize)?;
        if word == ABSENT {
            return None;
        }
        let layout = if word & INTERLEAVED == 0 { Layout::Plain } else { Layout::Interleaved };
        let ty = WeightType::from_gguf((word & (INTERLEAVED - 1)) as u32)?;
        let offset = word >> 8;
        let [n_cols, n_rows] = slot.form(&model.shape).dims();
        let n_bytes = ty.row_bytes(n_cols as usize)? as u64 * n_rows;
        Some(Found { ty, layout, offset, bytes: model.gguf.data(offset, n_bytes)? })
    }

    fn vector<'f>(&self, model: &Model<'f>, layer: usize, slot: LayerSlot) -> Option<&'f [f32]> {
        self.find(model, layer, slot).map(Found::vector)
    }

    /// Norm of `layer`; `None` if the layer does not have it.
    pub(crate) fn norm<'f>(
        &self,
        model: &Model<'f>,
        layer: usize,
        weight: LayerSlot,
        bias: LayerSlot,
    ) -> Option<NormWeights<'f>> {
        let weight = self.vector(model, layer, weight)?;
        Some(NormWeights { weight, bias: self.vector(model, layer, bias) })
    }

    /// Matrix of `layer` and its bias; `None` if the layer does not have the matrix.
    pub(crate) fn linear<'f>(
        &self,
        model: &Model<'f>,
        layer: usize,
        weight: LayerSlot,
        bias: LayerSlot,
    ) -> Option<Linear<'f>> {
        let weight = self.find(model, layer, weight)?.matrix(weight.form(&model.shape))?;
        Some(Linear { weight, bias: self.vector(model, layer, bias) })
    }

    /// Weights of a decoder's `layer`; `None` if the table was not made from this model.
    pub(crate) fn layer<'f>(&self, model: &Model<'f>, layer: usize) -> Option<Layer<'f>> {
        use LayerSlot as S;
        let norm = |weight, bias| self.norm(model, layer, weight, bias);
        let linear = |weight, bias| self.linear(model, layer, weight, bias);
        let qkv = match linear(S::AttnQkv, S::AttnQkvBias) {
            Some(fused) => Qkv::Fused(fused),
            None => Qkv::Split([
                linear(S::AttnQ, S::AttnQBias)?,
                linear(S::AttnK, S::AttnKBias)?,
                linear(S::AttnV, S::AttnVBias)?,
            ]),
        };
        Some(Layer {
            attn_norm: norm(S::AttnNorm, S::AttnNormBias)?,
            qkv,
            q_norm: norm(S::AttnQNorm, S::AttnQNormBias),
            k_norm: norm(S::AttnKNorm, S::AttnKNormBias),
            attn_output: linear(S::AttnOutput, S::AttnOutputBias)?,
            ffn_norm: norm(S::FfnNorm, S::FfnNormBias)?,
            ffn_gate: linear(S::FfnGate, S::FfnGateBias),
            ffn_up: linear(S::FfnUp, S::FfnUpBias)?,
            ffn_down: linear(S::FfnDown, S::FfnDownBias)?,
        })
    }
}
