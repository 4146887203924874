//! Tensors: looked up by their names, and checked.

use core::fmt::Write as _;

use nearfield_kernels::arena::view;
use nearfield_kernels::block::gguf_type_name;
use nearfield_kernels::{Layout, Matrix, WeightType};

use super::LoadError;
use crate::gguf::{Gguf, TensorInfo};
use crate::shape::{MAX_LAYERS, Shape};
use crate::tensor::{Form, GlobalSlot, LayerSlot, Presence};

/// What [`LoadError::TensorType`] says can run.
const TYPES: &str = if cfg!(feature = "rare") {
    "F32, F16, BF16, Q8_0, Q4_0, Q4_1, Q5_0, Q5_1, Q2_K to Q6_K, IQ1_S to IQ4_XS, TQ1_0, TQ2_0, MXFP4"
} else {
    "F32, F16, BF16, Q8_0, Q4_0, Q4_1, Q5_0, Q5_1, Q2_K to Q6_K, IQ4_NL, IQ4_XS"
};

/// A tensor that has the form it should.
#[derive(Clone, Copy, Debug)]
pub(super) struct Found<'f> {
    pub(super) ty: WeightType,
    pub(super) layout: Layout,
    pub(super) offset: u64,
    pub(super) bytes: &'f [u8],
}

impl<'f> Found<'f> {
    /// The bytes as floats: `find` saw that they are F32 and aligned.
    pub(super) fn vector(self) -> &'f [f32] {
        view(self.bytes).unwrap_or_default()
    }

    /// The bytes as a matrix; `None` if they are not as many as its form and type say, which `check` saw.
    pub(super) fn matrix(self, form: Form) -> Option<Matrix<'f>> {
        let [n_cols, n_rows] = form.dims();
        Matrix::new(self.ty, n_rows as usize, n_cols as usize, self.bytes)?.in_layout(self.layout)
    }
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

    /// The tensors of a layer, by slot. One pass over the file's table, which may be long.
    pub(super) fn find_layer(&self, layer: usize) -> Result<[Option<Found<'f>>; LayerSlot::N], LoadError> {
        let prefix = layer_prefix(layer);
        let mut tensors = [None; LayerSlot::N];
        for tensor in self.gguf.tensors() {
            let name = tensor.name.strip_prefix(prefix.as_str());
            if let Some(&slot) = LayerSlot::ALL.iter().find(|slot| name == Some(slot.name())) {
                tensors[slot as usize].get_or_insert(tensor);
            }
        }
        let fused = tensors[LayerSlot::AttnQkv as usize].is_some();
        let mut all_found = [None; LayerSlot::N];
        for ((found, &slot), tensor) in all_found.iter_mut().zip(LayerSlot::ALL).zip(tensors) {
            let presence = slot.presence(&self.shape, fused);
            *found = self.resolve(Some(layer), slot.name(), slot.form(&self.shape), presence, tensor)?;
        }
        // A norm that may be left out is left out whole.
        let is_there = |slot: LayerSlot| all_found.get(slot as usize).is_some_and(Option::is_some);
        for (weight, bias) in LayerSlot::OPTIONAL_NORMS {
            if is_there(bias) && !is_there(weight) {
                return Err(LoadError::MissingTensor { layer: Some(layer), name: weight.name() });
            }
        }
        Ok(all_found)
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
        let bytes = tensor.n_bytes().and_then(|n| self.gguf.data(tensor.offset, n));
        // `Gguf::parse` saw that tensors of known types lie in the file.
        let bytes = bytes.ok_or(LoadError::MissingTensor { layer, name })?;
        if matches!(form, Form::Vector(_)) {
            if ty != WeightType::F32 {
                return Err(type_error("F32"));
            }
            let vector = view::<f32>(bytes).ok_or(LoadError::Misaligned { layer, name })?;
            if let Some(index) = vector.iter().position(|x| !x.is_finite()) {
                return Err(LoadError::NotFinite { layer, name, index });
            }
        }
        Ok(Found { ty, layout, offset: tensor.offset, bytes })
    }

    /// The error for the first tensor that no slot takes, or that is not the first to be taken.
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
        if let Some(tensor) = self.gguf.tensors().find(|tensor| !is_used(tensor.name)) {
            return LoadError::UnusedTensor { name: cut_off(tensor.name) };
        }
        let mut seen = Seen::default();
        let twice = self.gguf.tensors().find(|tensor| !seen.insert(tensor.name));
        LoadError::DuplicateTensor { name: cut_off(twice.map_or("", |tensor| tensor.name)) }
    }
}

/// Where a tensor belongs by its name.
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

/// A set of slots: a bit each.
struct Seen {
    globals: u32,
    layers: [u32; MAX_LAYERS as usize],
}

impl Default for Seen {
    fn default() -> Self {
        const { assert!(LayerSlot::N <= 32) };
        Self { globals: 0, layers: [0; MAX_LAYERS as usize] }
    }
}

impl Seen {
    /// Whether the name is new; names without a slot always are.
    fn insert(&mut self, name: &str) -> bool {
        let (bits, slot) = match slot_of(name) {
            Some(Slot::Global(slot)) => (Some(&mut self.globals), slot as usize),
            Some(Slot::Layer(layer, slot)) => (self.layers.get_mut(layer), slot as usize),
            None => return true,
        };
        let Some(bits) = bits else { return true };
        let is_new = *bits & 1 << slot == 0;
        *bits |= 1 << slot;
        is_new
    }

    fn contains(&self, layer: usize, slot: LayerSlot) -> bool {
        self.layers.get(layer).is_some_and(|bits| bits & 1 << slot as usize != 0)
    }
}

/// As much of a name as fits.
fn cut_off(name: &str) -> heapless::String<48> {
    let mut start = heapless::String::new();
    for c in name.chars() {
        if start.push(c).is_err() {
            break;
        }
    }
    start
}

/// `blk.N.`
fn layer_prefix(layer: usize) -> heapless::String<16> {
    let mut prefix = heapless::String::new();
    // 16 characters hold any layer up to the limit of `Shape`.
    let _ = write!(prefix, "blk.{layer}.");
    prefix
}

/// `blk.N.rest` as `(N, rest)`, with N written as [`layer_prefix`] writes it.
fn split_layer(name: &str) -> Option<(usize, &str)> {
    let (layer, rest) = name.strip_prefix("blk.")?.split_once('.')?;
    let layer = layer.parse().ok()?;
    name.starts_with(layer_prefix(layer).as_str()).then_some((layer, rest))
}
