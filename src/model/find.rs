//! Looks tensors up by their names, and checks them.

use core::fmt::Write as _;

use nearfield_kernels::arena::view;
use nearfield_kernels::block::gguf_type_name;
use nearfield_kernels::{Layout, Matrix, TILE_ROWS, WeightType};

use super::LoadError;
use crate::gguf::{Gguf, TensorInfo};
use crate::shape::{MAX_LAYERS, Shape};
use crate::tensor::{Form, GlobalSlot, LayerSlot, Presence};

/// Types that can run, for [`LoadError::TensorType`].
const TYPES: &str = if WeightType::ALL.len() == WeightType::N_KNOWN {
    "F32, F16, BF16, Q8_0, Q4_0, Q4_1, Q5_0, Q5_1, Q2_K to Q6_K, IQ1_S to IQ4_XS, TQ1_0, TQ2_0, MXFP4"
} else {
    "F32, F16, BF16, Q8_0 or one of a feature that is built in: legacy, legacy_1, k, iq4, rare"
};

/// A tensor whose form and type were checked.
#[derive(Clone, Copy, Debug)]
pub(super) struct Found<'f> {
    pub(super) ty: WeightType,
    pub(super) layout: Layout,
    pub(super) offset: u64,
    /// Bytes of the tensor; empty if it lies in a storage.
    pub(super) bytes: &'f [u8],
}

impl<'f> Found<'f> {
    /// Views the bytes as floats; [`Finder::check`] saw that they are F32 and aligned.
    pub(super) fn vector(self) -> &'f [f32] {
        view(self.bytes).unwrap_or_default()
    }

    /// Splits the rows into halves; `None` if the number of bytes is odd.
    fn halves(self) -> Option<[Self; 2]> {
        let (first, second) = self.bytes.split_at_checked(self.bytes.len() / 2)?;
        let behind = Self { offset: self.offset + first.len() as u64, bytes: second, ..self };
        (first.len() == second.len()).then_some([Self { bytes: first, ..self }, behind])
    }

    /// Views the bytes as a matrix; `None` if their number does not fit the form and type, which [`Finder::check`] rules out.
    pub(super) fn matrix(self, form: Form) -> Option<Matrix<'f>> {
        let [n_cols, n_rows] = form.dims();
        Matrix::new(self.ty, n_rows as usize, n_cols as usize, self.bytes)?.in_layout(self.layout)
    }
}

/// Tensors of a layer.
pub(super) struct FoundLayer<'f> {
    /// Tensor of each slot.
    pub(super) slots: [Option<Found<'f>>; LayerSlot::N],
    /// Number of tensors in the file: one may hold two slots.
    pub(super) n_tensors: usize,
}

/// Gate and up of a layer that has both in one tensor, gate first, and their biases if it has any.
#[derive(Clone, Copy, Default)]
struct Halves<'f> {
    weights: Option<[Found<'f>; 2]>,
    biases: Option<[Found<'f>; 2]>,
}

impl<'f> Halves<'f> {
    /// Half that belongs to a slot.
    fn of(&self, slot: LayerSlot) -> Option<Found<'f>> {
        let (halves, half) = match slot {
            LayerSlot::FfnGate => (self.weights, 0),
            LayerSlot::FfnUp => (self.weights, 1),
            LayerSlot::FfnGateBias => (self.biases, 0),
            LayerSlot::FfnUpBias => (self.biases, 1),
            _ => return None,
        };
        halves.and_then(|halves| halves.get(half).copied())
    }
}

fn broken(layer: usize, slot: LayerSlot) -> LoadError {
    LoadError::TensorBytes { layer: Some(layer), name: slot.name() }
}

/// Looks tensors up and checks them.
pub(super) struct Finder<'f> {
    pub(super) gguf: Gguf<'f>,
    pub(super) shape: Shape,
}

impl<'f> Finder<'f> {
    pub(super) fn find(&self, slot: GlobalSlot) -> Result<Option<Found<'f>>, LoadError> {
        let tensor = self.gguf.tensor("", slot.name());
        self.resolve(None, slot.name(), slot.form(&self.shape), slot.presence(&self.shape), tensor)
    }

    /// Finds and checks the tensors of a layer, in one pass over the file's table, which may be long.
    pub(super) fn find_layer(&self, layer: usize) -> Result<FoundLayer<'f>, LoadError> {
        let prefix = layer_prefix(layer);
        let mut tensors = [None; LayerSlot::N];
        for tensor in self.gguf.tensors() {
            let name = tensor.name.strip_prefix(prefix.as_str());
            if let Some(&slot) = LayerSlot::ALL.iter().find(|slot| name == Some(slot.name())) {
                tensors[slot as usize].get_or_insert(tensor);
            }
        }
        let fused = tensors[LayerSlot::AttnQkv as usize].is_some();
        let halves = self.split_gate(layer, &mut tensors)?;
        let mut all_found = [None; LayerSlot::N];
        for ((found, &slot), tensor) in all_found.iter_mut().zip(LayerSlot::ALL).zip(tensors) {
            let presence = slot.presence(&self.shape, fused);
            *found = match halves.of(slot) {
                None => self.resolve(Some(layer), slot.name(), slot.form(&self.shape), presence, tensor)?,
                half => half,
            };
        }
        // An optional norm with a bias has a weight, too.
        let is_there = |slot: LayerSlot| all_found.get(slot as usize).is_some_and(Option::is_some);
        for (weight, bias) in LayerSlot::OPTIONAL_NORMS {
            if is_there(bias) && !is_there(weight) {
                return Err(LoadError::MissingTensor { layer: Some(layer), name: weight.name() });
            }
        }
        let n_shared = halves.weights.iter().count() + halves.biases.iter().count();
        let n_tensors = all_found.iter().flatten().count() - n_shared;
        Ok(FoundLayer { slots: all_found, n_tensors })
    }

    /// Splits an encoder's `ffn_up` that holds gate and up, `[2 n_ff, n_embd]`, as llama.cpp's converter writes Jina's models
    /// since June 2025. The gate is the half that goes through the activation: the second one in a model with norms of queries
    /// and keys (the code model and the rerankers), the first one in all others. Source: the two published forms of the code,
    /// `jina-bert-implementation` and `jina-bert-v2-qk-post-norm`.
    fn split_gate(
        &self,
        layer: usize,
        tensors: &mut [Option<TensorInfo<'f>>; LayerSlot::N],
    ) -> Result<Halves<'f>, LoadError> {
        use LayerSlot as S;
        let n_both = 2 * self.shape.n_ff;
        let Some(up) = tensors[S::FfnUp as usize].filter(|up| up.dims[1] == n_both as u64) else {
            return Ok(Halves::default());
        };
        if !self.shape.arch.is_encoder() || tensors[S::FfnGate as usize].is_some() {
            return Ok(Halves::default());
        }
        let gate_is_second = tensors[S::AttnQNorm as usize].is_some();
        let halves = |found: Found<'f>| {
            let halves = found.halves();
            if gate_is_second { halves.map(|[first, second]| [second, first]) } else { halves }
        };
        let form = Form::Matrix { n_rows: n_both, n_cols: self.shape.n_embd };
        let both = self.check(Some(layer), S::FfnUp.name(), form, up)?;
        // An interleaved matrix cannot be split within a row tile.
        let is_cut = both.layout == Layout::Interleaved && !self.shape.n_ff.is_multiple_of(TILE_ROWS);
        let ([gate, up], false) = (halves(both).ok_or(broken(layer, S::FfnUp))?, is_cut) else {
            let found = gguf_type_name(up.ty);
            return Err(LoadError::TensorType {
                layer: Some(layer),
                name: S::FfnUp.name(),
                want: "two matrices in plain rows",
                found,
                number: up.ty,
            });
        };
        let bias = tensors[S::FfnUpBias as usize].filter(|_| tensors[S::FfnGateBias as usize].is_none());
        let biases = match bias.map(|bias| self.check(Some(layer), S::FfnUpBias.name(), Form::Vector(n_both), bias)) {
            None => None,
            Some(both) => Some(halves(both?).ok_or(broken(layer, S::FfnUpBias))?),
        };
        Ok(Halves { weights: Some([gate, up]), biases })
    }

    fn resolve(
        &self,
        layer: Option<usize>,
        name: &'static str,
        form: Form,
        presence: Presence,
        tensor: Option<TensorInfo<'f>>,
    ) -> Result<Option<Found<'f>>, LoadError> {
        match (tensor, presence) {
            (None, Presence::Required) => Err(LoadError::MissingTensor { layer, name }),
            // A forbidden tensor that is there is not counted as used, which `from_gguf` reports.
            (None, _) | (_, Presence::Forbidden) => Ok(None),
            (Some(tensor), _) => self.check(layer, name, form, tensor).map(Some),
        }
    }

    fn check(
        &self,
        layer: Option<usize>,
        name: &'static str,
        form: Form,
        tensor: TensorInfo<'f>,
    ) -> Result<Found<'f>, LoadError> {
        let want = form.dims();
        if tensor.dims != [want[0], want[1], 1, 1] {
            return Err(LoadError::TensorShape { layer, name, want, found: tensor.dims });
        }
        let type_error =
            |want| LoadError::TensorType { layer, name, want, found: gguf_type_name(tensor.ty), number: tensor.ty };
        let (ty, layout) = Layout::from_gguf(tensor.ty).ok_or(type_error(TYPES))?;
        if matches!(form, Form::Vector(_)) && ty != WeightType::F32 {
            return Err(type_error("F32"));
        }
        if !self.gguf.is_resident(&tensor) {
            if self.shape.arch.is_encoder() {
                return Err(LoadError::NotResident { layer, name });
            }
            // A stream's windows begin at multiples of a block, in buffers that are aligned.
            let at = (self.gguf.data_at() as u64).wrapping_add(tensor.offset);
            if matches!(form, Form::Vector(_)) && !at.is_multiple_of(4) {
                return Err(LoadError::Misaligned { layer, name });
            }
            return Ok(Found { ty, layout, offset: tensor.offset, bytes: &[] });
        }
        let bytes = tensor.n_bytes().and_then(|n| self.gguf.data(tensor.offset, n));
        let bytes = bytes.ok_or(LoadError::TensorBytes { layer, name })?;
        if matches!(form, Form::Vector(_)) {
            let vector = view::<f32>(bytes).ok_or(LoadError::Misaligned { layer, name })?;
            if let Some(index) = vector.iter().position(|x| !x.is_finite()) {
                return Err(LoadError::NotFinite { layer, name, index });
            }
        }
        Ok(Found { ty, layout, offset: tensor.offset, bytes })
    }

    /// Error for the first tensor that no slot takes.
    pub(super) fn unused(&self) -> LoadError {
        let mut seen = Seen::default();
        for tensor in self.gguf.tensors() {
            seen.insert(tensor.name);
        }
        let fused = |layer: usize| seen.contains(layer, LayerSlot::AttnQkv);
        let is_used = |name: &str| match slot_of(name) {
            Some(Slot::Global(slot)) => slot.presence(&self.shape) != Presence::Forbidden,
            Some(Slot::Layer(layer, slot)) => {
                layer < self.shape.n_layer && slot.presence(&self.shape, fused(layer)) != Presence::Forbidden
            }
            None => false,
        };
        // Each name stands once, so a tensor is left over if fewer were taken than the file has.
        let unused = self.gguf.tensors().find(|tensor| !is_used(tensor.name));
        LoadError::UnusedTensor { name: cut_off(unused.map_or("", |tensor| tensor.name)) }
    }
}

/// Slot of a tensor by its name.
#[derive(Clone, Copy, Debug)]
enum Slot {
    Global(GlobalSlot),
    Layer(usize, LayerSlot),
}

fn slot_of(name: &str) -> Option<Slot> {
    let global = GlobalSlot::ALL.iter().find(|slot| slot.name() == name);
    global.map(|&slot| Slot::Global(slot)).or_else(|| {
        let (layer, rest) = split_layer(name)?;
        let slot = LayerSlot::ALL.iter().find(|slot| slot.name() == rest)?;
        (layer < MAX_LAYERS as usize).then_some(Slot::Layer(layer, *slot))
    })
}

/// A set of slots of layers, one bit for each.
struct Seen {
    layers: [u32; MAX_LAYERS as usize],
}

impl Default for Seen {
    fn default() -> Self {
        const { assert!(LayerSlot::N <= 32) };
        Self { layers: [0; MAX_LAYERS as usize] }
    }
}

impl Seen {
    /// Adds the slot of a name; names that belong to no layer are ignored.
    fn insert(&mut self, name: &str) {
        if let Some(Slot::Layer(layer, slot)) = slot_of(name)
            && let Some(bits) = self.layers.get_mut(layer)
        {
            *bits |= 1 << slot as usize;
        }
    }

    fn contains(&self, layer: usize, slot: LayerSlot) -> bool {
        self.layers.get(layer).is_some_and(|bits| bits & 1 << slot as usize != 0)
    }
}

/// A name, cut off where it does not fit.
fn cut_off(name: &str) -> heapless::String<48> {
    let mut start = heapless::String::new();
    for c in name.chars() {
        if start.push(c).is_err() {
            break;
        }
    }
    start
}

/// Prefix `blk.N.` of the names in a layer.
fn layer_prefix(layer: usize) -> heapless::String<16> {
    let mut prefix = heapless::String::new();
    // 16 characters hold any layer up to the limit of `Shape`.
    let _ = write!(prefix, "blk.{layer}.");
    prefix
}

/// Splits `blk.N.rest` into `(N, rest)`; `None` if N is not written as by [`layer_prefix`].
fn split_layer(name: &str) -> Option<(usize, &str)> {
    let (layer, rest) = name.strip_prefix("blk.")?.split_once('.')?;
    let layer = layer.parse().ok()?;
    name.starts_with(layer_prefix(layer).as_str()).then_some((layer, rest))
}
