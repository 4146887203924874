//! Table of the places of all layers' tensors.

use core::ops::Range;

use nearfield_kernels::{Layout, WeightType};

use super::find::{Finder, Found};
use super::{Layer, Linear, LoadError, Model, NormWeights, Qkv};
use crate::shape::Shape;
use crate::stream::{Window, blocks_of};
use crate::tensor::LayerSlot;

/// Places of the tensors of each layer: a word for each slot that the architecture may use. The table lies in a session's
/// arena, so that a step need not search the file's tables.
#[derive(Debug)]
pub(crate) struct LayerTable<'a> {
    words: &'a mut [u64],
}

/// Weights of a model: those in memory, and those of a layer that a stream brought.
#[derive(Clone, Copy)]
pub(crate) struct Weights<'m, 'f> {
    pub(crate) model: &'m Model<'f>,
    pub(crate) window: Window<'f>,
}

/// Number of slots of a layer that the architecture may use; they are the first ones.
pub(super) const fn n_slots(shape: &Shape) -> usize {
    if shape.arch.is_encoder() { LayerSlot::N } else { LayerSlot::N_DECODER }
}

/// Word of a slot without a tensor.
pub(super) const ABSENT: u64 = u64::MAX;
/// Bit of a word that is set if the matrix is interleaved. The tensor's place lies above it.
const INTERLEAVED: u64 = 1 << 7;
/// Bit of a word that is set if the tensor is not in memory: its place is the offset in the data of the file. The type's number lies below it.
const STREAMED: u64 = 1 << 6;

/// A word of the table.
#[derive(Clone, Copy)]
struct Word {
    ty: WeightType,
    layout: Layout,
    is_streamed: bool,
    /// Place of the tensor in the data in memory, or in those of the file.
    place: u64,
    n_bytes: u64,
}

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
                *word = found.map_or(ABSENT, |found| {
                    let (place, streamed) = match model.gguf.place(found.offset, 0) {
                        Some(place) => (place, 0),
                        None => (found.offset, STREAMED),
                    };
                    let layout = if found.layout == Layout::Interleaved { INTERLEAVED } else { 0 };
                    // Offsets are below 2^56: a file is not longer.
                    place << 8 | layout | streamed | found.ty as u64
                });
            }
        }
        Ok(Self { words })
    }

    fn word(&self, model: &Model<'_>, layer: usize, slot: LayerSlot) -> Option<Word> {
        let word = *self.words.get(layer * n_slots(&model.shape) + slot as usize)?;
        if word == ABSENT {
            return None;
        }
        let layout = if word & INTERLEAVED == 0 { Layout::Plain } else { Layout::Interleaved };
        let ty = WeightType::from_gguf((word & (STREAMED - 1)) as u32)?;
        let [n_cols, n_rows] = slot.form(&model.shape).dims();
        let n_bytes = ty.row_bytes(n_cols as usize)? as u64 * n_rows;
        Some(Word { ty, layout, is_streamed: word & STREAMED != 0, place: word >> 8, n_bytes })
    }

    /// Range of the file, in whole blocks, with the tensors of a layer that are not in memory; `None` if all are.
    pub(crate) fn streamed(&self, model: &Model<'_>, layer: usize) -> Option<Range<u64>> {
        if model.gguf.is_whole() {
            return None;
        }
        let words = LayerSlot::ALL.iter().take(n_slots(&model.shape)).filter_map(|&slot| self.word(model, layer, slot));
        let at = model.gguf.data_at() as u64;
        blocks_of(words.filter(|word| word.is_streamed).map(|word| at + word.place..at + word.place + word.n_bytes))
    }

    fn find<'f>(&self, weights: &Weights<'_, 'f>, layer: usize, slot: LayerSlot) -> Option<Found<'f>> {
        let gguf = &weights.model.gguf;
        let Word { ty, layout, is_streamed, place, n_bytes } = self.word(weights.model, layer, slot)?;
        let bytes = if is_streamed {
            weights.window.get(gguf.data_at() as u64 + place, n_bytes)?
        } else {
            gguf.data_at_place(place, n_bytes)?
        };
        Some(Found { ty, layout, offset: place, bytes })
    }

    fn vector<'f>(&self, weights: &Weights<'_, 'f>, layer: usize, slot: LayerSlot) -> Option<&'f [f32]> {
        self.find(weights, layer, slot).map(Found::vector)
    }

    /// Norm of `layer`; `None` if the layer does not have it.
    pub(crate) fn norm<'f>(
        &self,
        weights: &Weights<'_, 'f>,
        layer: usize,
        weight: LayerSlot,
        bias: LayerSlot,
    ) -> Option<NormWeights<'f>> {
        let weight = self.vector(weights, layer, weight)?;
        Some(NormWeights { weight, bias: self.vector(weights, layer, bias) })
    }

    /// Matrix of `layer` and its bias; `None` if the layer does not have the matrix.
    pub(crate) fn linear<'f>(
        &self,
        weights: &Weights<'_, 'f>,
        layer: usize,
        weight: LayerSlot,
        bias: LayerSlot,
    ) -> Option<Linear<'f>> {
        let weight = self.find(weights, layer, weight)?.matrix(weight.form(&weights.model.shape))?;
        Some(Linear { weight, bias: self.vector(weights, layer, bias) })
    }

    /// Weights of a decoder's `layer`; `None` if the table was not made from this model.
    pub(crate) fn layer<'f>(&self, weights: &Weights<'_, 'f>, layer: usize) -> Option<Layer<'f>> {
        use LayerSlot as S;
        let norm = |weight, bias| self.norm(weights, layer, weight, bias);
        let linear = |weight, bias| self.linear(weights, layer, weight, bias);
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
