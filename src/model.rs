//! A model: proof that every tensor of a GGUF file is there, of the right shape and of a type that can run.
//!
//! The weights stay where they are. A `Model` borrows the file; its layers are found again through [`LayerTable`], which
//! a session keeps in its arena.

use core::fmt;
use core::fmt::Write as _;

use nearfield_kernels::arena::view;
use nearfield_kernels::block::gguf_type_name;
use nearfield_kernels::{Layout, Matrix, WeightType};

use crate::gguf::{Gguf, GgufError, TensorInfo};
use crate::shape::{MAX_LAYERS, Shape, ShapeError};
use crate::tensor::{Form, GlobalSlot, LayerSlot, Presence};

/// `y = W x + b`.
#[derive(Clone, Copy, Debug)]
pub struct Linear<'f> {
    /// W, `[n_rows, n_cols]`.
    pub weight: Matrix<'f>,
    /// b, `[n_rows]`.
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
    /// One matrix: the rows of Q, then K, then V.
    Fused(Linear<'f>),
    /// Three matrices.
    Split([Linear<'f>; 3]),
}

impl<'f> Qkv<'f> {
    /// The one or three, in the order of their rows.
    pub fn linears(&self) -> &[Linear<'f>] {
        match self {
            Self::Fused(fused) => core::slice::from_ref(fused),
            Self::Split(linears) => linears,
        }
    }
}

/// The weights of one layer.
#[derive(Clone, Copy, Debug)]
#[allow(missing_docs)]
pub struct Layer<'f> {
    pub attn_norm: NormWeights<'f>,
    pub qkv: Qkv<'f>,
    /// Of all queries of a token together: `[n_embd]`.
    pub q_norm: Option<NormWeights<'f>>,
    /// Of all keys of a token together: `[n_embd_kv]`.
    pub k_norm: Option<NormWeights<'f>>,
    pub attn_output: Linear<'f>,
    pub ffn_norm: NormWeights<'f>,
    pub ffn_gate: Option<Linear<'f>>,
    pub ffn_up: Linear<'f>,
    pub ffn_down: Linear<'f>,
}

/// What a model has beside its layers and its embedding.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Head<'f> {
    Decoder {
        /// Norm before the output.
        output_norm: NormWeights<'f>,
        /// `[n_vocab, n_embd]`; the embedding again when the file has no `output.weight`.
        output: Matrix<'f>,
    },
    Encoder {
        /// `[n_token_types, n_embd]`
        token_types: Option<Matrix<'f>>,
        /// For a score, of the first token's row: `[n_embd, n_embd]`, then tanh.
        cls: Option<Linear<'f>>,
        /// `[1, n_embd]`
        cls_output: Option<Linear<'f>>,
    },
}

/// Why a file is no model that can run.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum LoadError {
    /// The header does not describe one.
    Shape(ShapeError),
    /// A tensor is missing.
    MissingTensor {
        /// Its layer.
        layer: Option<usize>,
        /// Its name, without the layer.
        name: &'static str,
    },
    /// A tensor that this family does not use: running without it would give wrong answers.
    UnusedTensor {
        /// Its name (cut off when very long).
        name: heapless::String<48>,
    },
    /// A tensor that stands twice.
    DuplicateTensor {
        /// Its name.
        name: heapless::String<48>,
    },
    /// A tensor has other dimensions than the header says.
    TensorShape {
        /// Its layer.
        layer: Option<usize>,
        /// Its name, without the layer.
        name: &'static str,
        /// `[n_cols, n_rows]`, GGUF's order.
        want: [u64; 2],
        /// The dimensions in the file.
        found: [u64; 4],
    },
    /// A tensor's weight type cannot run.
    TensorType {
        /// Its layer.
        layer: Option<usize>,
        /// Its name, without the layer.
        name: &'static str,
        /// What can.
        want: &'static str,
        /// GGUF's name of the type in the file.
        found: &'static str,
        /// GGUF's number of it.
        number: u32,
    },
    /// A vector of floats is not aligned to 4 bytes in memory: the file has to be loaded at such an address.
    Misaligned {
        /// Its layer.
        layer: Option<usize>,
        /// Its name, without the layer.
        name: &'static str,
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
            Self::UnusedTensor { ref name } => {
                write!(f, "the tensor {name} is not part of this architecture as it is supported")
            }
            Self::DuplicateTensor { ref name } => write!(f, "the tensor {name} stands twice in the file"),
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
                write!(f, "the tensor {name} has type {found} ({number}): {want} can run")
            }
            Self::Misaligned { layer, name } => {
                write!(f, "the tensor {} is not aligned to 4 bytes in memory", TensorName(layer, name))
            }
        }
    }
}

impl core::error::Error for LoadError {}

/// A checked model, borrowed from the bytes of its file.
#[derive(Clone, Copy, Debug)]
pub struct Model<'f> {
    gguf: Gguf<'f>,
    shape: Shape,
    /// Embedding of each token, `[n_vocab, n_embd]`.
    pub(crate) token_embd: Matrix<'f>,
    /// What is added to it at each position, `[n_positions, n_embd]`.
    pub(crate) position_embd: Option<Matrix<'f>>,
    /// Norm after the embedding.
    pub(crate) token_embd_norm: Option<NormWeights<'f>>,
    pub(crate) head: Head<'f>,
}

impl<'f> Model<'f> {
    /// Checks the file and borrows it. Looks at the tables only, never at the weights.
    ///
    /// # Errors
    /// [`LoadError`] names the key or tensor at fault, what was expected and what was found.
    pub fn from_gguf(file: &'f [u8]) -> Result<Self, LoadError> {
        let gguf = Gguf::parse(file)?;
        let shape = Shape::from_gguf(&gguf)?;
        let finder = Finder { gguf, shape };
        let mut n_used = 0;
        let mut global = |slot: GlobalSlot| -> Result<Option<Found<'f>>, LoadError> {
            let found = finder.find(slot)?;
            n_used += u64::from(found.is_some());
            Ok(found)
        };
        let token_embd =
            global(GlobalSlot::TokenEmbd)?.and_then(|found| found.matrix(GlobalSlot::TokenEmbd.form(&shape)));
        let token_embd = required(None, GlobalSlot::TokenEmbd.name(), token_embd)?;
        let position_embd =
            global(GlobalSlot::PositionEmbd)?.and_then(|found| found.matrix(GlobalSlot::PositionEmbd.form(&shape)));
        let mut norm = |weight: GlobalSlot, bias: GlobalSlot| -> Result<Option<NormWeights<'f>>, LoadError> {
            let bias = global(bias)?.map(Found::vector);
            Ok(global(weight)?.map(|weight| NormWeights { weight: weight.vector(), bias }))
        };
        let token_embd_norm = norm(GlobalSlot::TokenEmbdNorm, GlobalSlot::TokenEmbdNormBias)?;
        let head = if shape.arch.is_encoder() {
            let mut matrix = |slot: GlobalSlot| -> Result<Option<Matrix<'f>>, LoadError> {
                let found = global(slot)?;
                found.map(|found| required(None, slot.name(), found.matrix(slot.form(&shape)))).transpose()
            };
            let token_types = matrix(GlobalSlot::TokenTypes)?;
            let [cls, cls_output] = [matrix(GlobalSlot::Cls)?, matrix(GlobalSlot::ClsOutput)?];
            if cls.is_some() {
                required(None, GlobalSlot::ClsOutput.name(), cls_output)?;
            }
            let mut linear = |weight: Option<Matrix<'f>>, bias| -> Result<Option<Linear<'f>>, LoadError> {
                let Some(weight) = weight else { return Ok(None) };
                Ok(Some(Linear { weight, bias: global(bias)?.map(Found::vector) }))
            };
            let cls = linear(cls, GlobalSlot::ClsBias)?;
            Head::Encoder { token_types, cls, cls_output: linear(cls_output, GlobalSlot::ClsOutputBias)? }
        } else {
            let output_norm = norm(GlobalSlot::OutputNorm, GlobalSlot::OutputNormBias)?;
            let output_norm = required(None, GlobalSlot::OutputNorm.name(), output_norm)?;
            let output = match global(GlobalSlot::Output)? {
                Some(found) => {
                    required(None, GlobalSlot::Output.name(), found.matrix(GlobalSlot::Output.form(&shape)))?
                }
                None => token_embd,
            };
            Head::Decoder { output_norm, output }
        };
        for layer in 0..shape.n_layer {
            n_used += finder.find_layer(layer)?.iter().flatten().count() as u64;
        }
        if n_used != gguf.n_tensors() {
            return Err(finder.unused());
        }
        Ok(Self { gguf, shape, token_embd, position_embd, token_embd_norm, head })
    }

    /// The model's numbers.
    pub fn shape(&self) -> &Shape {
        &self.shape
    }

    /// The file's tables: metadata and tensors.
    pub fn gguf(&self) -> &Gguf<'f> {
        &self.gguf
    }

    /// The weights of a decoder's `layer`; `None` if there is no such layer. They are looked for in the file's tables, which takes time:
    /// a session keeps a table of its own.
    ///
    /// # Errors
    /// [`LoadError`] when the file changed since it was checked.
    pub fn layer(&self, layer: usize) -> Result<Option<Layer<'f>>, LoadError> {
        if layer >= self.shape.n_layer {
            return Ok(None);
        }
        let mut words = [ABSENT; LayerSlot::N];
        let words = words.get_mut(..n_slots(&self.shape)).unwrap_or_default();
        Ok(LayerTable::from_layer(self, layer, words)?.layer(self, 0))
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

fn required<T>(layer: Option<usize>, name: &'static str, found: Option<T>) -> Result<T, LoadError> {
    found.ok_or(LoadError::MissingTensor { layer, name })
}

/// A tensor that has the form it should.
#[derive(Clone, Copy, Debug)]
struct Found<'f> {
    ty: WeightType,
    layout: Layout,
    offset: u64,
    bytes: &'f [u8],
}

impl<'f> Found<'f> {
    /// The bytes as floats: `find` saw that they are F32 and aligned.
    fn vector(self) -> &'f [f32] {
        view(self.bytes).unwrap_or_default()
    }

    /// The bytes as a matrix; `None` if they are not as many as its form and type say, which `check` saw.
    fn matrix(self, form: Form) -> Option<Matrix<'f>> {
        let [n_cols, n_rows] = form.dims();
        Matrix::new(self.ty, n_rows as usize, n_cols as usize, self.bytes)?.in_layout(self.layout)
    }
}

/// Looks tensors up and checks them.
struct Finder<'f> {
    gguf: Gguf<'f>,
    shape: Shape,
}

impl<'f> Finder<'f> {
    fn find(&self, slot: GlobalSlot) -> Result<Option<Found<'f>>, LoadError> {
        let tensor = self.gguf.tensor("", slot.name());
        self.resolve(None, slot.name(), slot.form(&self.shape), slot.presence(&self.shape), tensor)
    }

    /// The tensors of a layer, by slot. One pass over the file's table, which may be long.
    fn find_layer(&self, layer: usize) -> Result<[Option<Found<'f>>; LayerSlot::N], LoadError> {
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
        let (ty, layout) = Layout::from_gguf(tensor.ty)
            .ok_or(type_error("F32, F16, BF16, Q8_0, Q4_0, Q4_1, Q5_0, Q5_1, Q2_K to Q6_K"))?;
        let bytes = tensor.n_bytes().and_then(|n| self.gguf.data(tensor.offset, n));
        // `Gguf::parse` saw that tensors of known types lie in the file.
        let bytes = bytes.ok_or(LoadError::MissingTensor { layer, name })?;
        if matches!(form, Form::Vector(_)) {
            if ty != WeightType::F32 {
                return Err(type_error("F32"));
            }
            view::<f32>(bytes).ok_or(LoadError::Misaligned { layer, name })?;
        }
        Ok(Found { ty, layout, offset: tensor.offset, bytes })
    }

    /// The error for the first tensor that no slot takes, or that is not the first to be taken.
    fn unused(&self) -> LoadError {
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

/// Where the tensors of each layer lie: a word for each slot that the architecture may use, in a session's arena, so that a
/// step need not search the file's tables.
#[derive(Debug)]
pub(crate) struct LayerTable<'a> {
    words: &'a mut [u64],
}

/// Slots of a layer that the architecture may use: the first so many.
const fn n_slots(shape: &Shape) -> usize {
    if shape.arch.is_encoder() { LayerSlot::N } else { LayerSlot::N_DECODER }
}

/// A slot without a tensor.
const ABSENT: u64 = u64::MAX;
/// The bit of a word that says so; the type's number lies below it, the offset above.
const INTERLEAVED: u64 = 1 << 7;

impl<'a> LayerTable<'a> {
    /// Words of the table.
    pub(crate) const fn len(shape: &Shape) -> Option<usize> {
        shape.n_layer.checked_mul(n_slots(shape))
    }

    /// Fills `words` (of [`len`](Self::len)) for the model.
    pub(crate) fn new(model: &Model<'_>, words: &'a mut [u64]) -> Result<Self, LoadError> {
        Self::from_layer(model, 0, words)
    }

    /// For the layers from `first` on, which then is layer 0.
    fn from_layer(model: &Model<'_>, first: usize, words: &'a mut [u64]) -> Result<Self, LoadError> {
        let finder = Finder { gguf: model.gguf, shape: model.shape };
        for (layer, words) in words.chunks_exact_mut(n_slots(&model.shape)).enumerate() {
            for (found, word) in finder.find_layer(first + layer)?.iter().zip(words) {
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

    /// A norm of `layer`, if it has it.
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

    /// A matrix of `layer` and its bias, if it has it.
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

    /// The weights of a decoder's `layer`; `None` if the table was not made from this model.
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
