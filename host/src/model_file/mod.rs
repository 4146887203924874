//! Bytes of a model: a file, mapped, or part of the binary.

mod kind;
mod map;
pub mod packing;
mod split;

use std::path::{Path, PathBuf};
use std::sync::Once;

use memmap2::Mmap;
use nearfield::gguf::Value;
use nearfield::kernels::{self, Kernels, Layout, Matrix};
use nearfield::tokenizer::{Tokenizer, Vocab};
use nearfield::{Gguf, GgufError, Line, Model, ModelId, TensorInfo};

use crate::error::{Context, Error, Result};
use crate::memory::{Memory, allocate};
use crate::monitor::{Monitor, Unit};
use crate::text;

use packing::Packing;
use split::SplitFile;

pub use kind::is_snapshot;
pub(crate) use map::{map, map_input};

/// Condition for interleaving weights as they are loaded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Repack {
    /// Interleave where the kernels are faster with it and memory suffices.
    #[default]
    Auto,
    /// Interleave always.
    On,
    /// Interleave never: the file is used in place.
    Off,
}

/// Bytes aligned to 64, as the library needs them.
#[repr(C, align(64))]
struct Aligned<B: ?Sized>(B);

/// Story model that is part of the binary.
static BUILT_IN: &Aligned<[u8]> = &Aligned(*include_bytes!("../../../models/stories.gguf"));

/// Bytes of a model and their source.
#[derive(Debug)]
pub struct ModelFile {
    /// Path or name, for messages.
    pub name: String,
    bytes: Bytes,
    monitor: Monitor,
}

#[derive(Debug)]
enum Bytes {
    BuiltIn(&'static [u8]),
    Mapped(Mmap),
    /// Several files; the name of the first is the model's.
    Split(SplitFile),
    /// Copy of the file with interleaved rows, and its length in bytes.
    Repacked(Memory, usize),
}

impl ModelFile {
    /// Opens the file at `path`, or the built-in model; `monitor` gets notes and progress.
    ///
    /// # Errors
    /// When the file cannot be opened, and when it is a part of a split file whose other parts are missing.
    pub fn open(path: Option<PathBuf>, monitor: &Monitor) -> Result<Self> {
        match path {
            None => Ok(Self::built_in(monitor)),
            Some(path) => {
                let name = path.display().to_string();
                let bytes = map_input(&path).with_context(|| format!("cannot open {name}"))?;
                let bytes = match SplitFile::open(&path, bytes).with_context(|| name.clone())? {
                    Ok(split) => Bytes::Split(split),
                    Err(whole) => Bytes::Mapped(whole),
                };
                Ok(Self { bytes, name, monitor: monitor.clone() })
            }
        }
    }

    fn built_in(monitor: &Monitor) -> Self {
        Self { bytes: Bytes::BuiltIn(&BUILT_IN.0), name: "the built-in model".into(), monitor: monitor.clone() }
    }

    /// Monitor that gets notes and progress.
    pub fn monitor(&self) -> &Monitor {
        &self.monitor
    }

    /// Identity of the model, as long as its weights are in the file's order. Reads all bytes.
    pub fn id(&self) -> ModelId {
        ModelId::of_pieces(self.pieces())
    }

    /// Name of the file without its folder.
    pub fn short_name(&self) -> &str {
        Path::new(&self.name).file_name().and_then(|name| name.to_str()).unwrap_or(&self.name)
    }

    /// Bytes of the first file, or the only one, with all tables of a whole file.
    pub fn first(&self) -> &[u8] {
        match &self.bytes {
            Bytes::BuiltIn(bytes) => bytes,
            Bytes::Mapped(bytes) => bytes,
            Bytes::Split(split) => split.first(),
            Bytes::Repacked(lines, len) => &Line::bytes(lines)[..*len],
        }
    }

    /// All bytes, in pieces that are contiguous: one, or several for a split file.
    pub fn pieces(&self) -> impl Iterator<Item = &[u8]> {
        let (whole, split) = match &self.bytes {
            Bytes::Split(split) => (None, Some(split)),
            _ => (Some(self.first()), None),
        };
        whole.into_iter().chain(split.into_iter().flat_map(SplitFile::pieces))
    }

    /// Number of all bytes.
    pub fn n_bytes(&self) -> u64 {
        self.pieces().map(|piece| piece.len() as u64).sum()
    }

    /// Number of files.
    pub fn n_parts(&self) -> usize {
        match &self.bytes {
            Bytes::Split(split) => split.n_parts(),
            _ => 1,
        }
    }

    /// Copy of the model in memory with interleaved weights, or the file as it is: with [`Repack::Off`], with [`Repack::Auto`]
    /// where the kernels gain nothing or memory is short, and where nothing is left to interleave.
    pub fn interleaved(self, when: Repack, kernels: &dyn Kernels, n_threads: usize) -> Result<Self> {
        let worth_it = kernels.layout() == Layout::Interleaved;
        if when == Repack::Off || when == Repack::Auto && !worth_it {
            return Ok(self);
        }
        // A file that is no model is reported when it is used.
        let Ok(gguf) = self.gguf() else { return Ok(self) };
        if Packing::is_done(&gguf) {
            return Ok(self);
        }
        let made = Packing::new(&gguf).and_then(|packing| {
            let n_bytes = packing.n_bytes();
            let mut lines = allocate(n_bytes)?.in_large_pages();
            packing.make_all(&mut Line::bytes_mut(&mut lines)[..n_bytes], n_threads, &self.monitor)?;
            Ok(Bytes::Repacked(lines, n_bytes))
        });
        match made {
            Ok(bytes) => Ok(Self { bytes, name: self.name, monitor: self.monitor }),
            Err(error) if when == Repack::Auto && !error.is_cancelled() => {
                self.monitor.note(format_args!("the weights stay in the file's order: {error:#}"));
                Ok(self)
            }
            Err(error) => Err(error.context(self.name)),
        }
    }

    /// Bytes of memory that interleaved weights take, besides the file; `None` if the file is used in place.
    pub fn interleaved_bytes(&self) -> Option<usize> {
        match &self.bytes {
            Bytes::Repacked(_, len) => Some(*len),
            Bytes::BuiltIn(_) | Bytes::Mapped(_) | Bytes::Split(_) => None,
        }
    }

    /// Model of the file.
    pub fn model(&self) -> Result<Model<'_>> {
        Model::from_tables(self.gguf()?).map_err(|error| self.named(error.into()))
    }

    /// Error with the name of the file. For a file that is no model, the message says what kind it is.
    fn named(&self, error: Error) -> Error {
        let broken = Gguf::parse_partly(self.first()).1.is_some();
        if let Some(cut) = kind::cut_file(Path::new(&self.name)).filter(|_| broken) {
            return error.context(format!("{}: {cut}", self.name));
        }
        let instead = match Gguf::parse_partly(self.first()) {
            (_, Some(GgufError::Magic { .. })) => kind::instead_of_gguf(self.first()),
            (gguf, None) => kind::instead_of_model(&gguf).map(Into::into),
            (_, Some(_)) if kind::is_unfinished(Path::new(&self.name)) => {
                return error.context(format!("{}: by its name it is still being fetched", self.name));
            }
            (_, Some(_)) => None,
        };
        match instead {
            Some(instead) => Error::Invalid(format!("{}: no model: {instead}", self.name)),
            None => error.context(self.name.clone()),
        }
    }

    /// Tables of the file.
    pub fn gguf(&self) -> Result<Gguf<'_>> {
        let gguf = match &self.bytes {
            Bytes::Split(split) => split.gguf(),
            _ => Gguf::parse(self.first()),
        };
        gguf.map_err(|error| self.named(error.into()))
    }

    /// Tables of the file as far as they can be read, and true if that is not all.
    pub fn gguf_partly(&self) -> (Gguf<'_>, bool) {
        match self.gguf() {
            Ok(gguf) => (gguf, false),
            Err(_) => (Gguf::parse_partly(self.first()).0, true),
        }
    }

    /// Vocabulary of the file.
    pub fn vocab(&self) -> Result<Vocab<'_>> {
        self.vocab_in(&self.gguf()?)
    }

    /// Vocabulary of a file whose model was read before: its tables are not checked again.
    pub fn vocab_of<'f>(&self, model: &Model<'f>) -> Result<Vocab<'f>> {
        self.vocab_in(model.gguf())
    }

    /// Tokenizer of the file's vocabulary; `lines`, of [`index_bytes`](text::index_bytes), hold its index where the file has none.
    pub fn tokenizer<'f: 'a, 'a>(&self, vocab: Vocab<'f>, lines: &'a mut [Line]) -> Result<Tokenizer<'f, 'a>> {
        text::tokenizer(vocab, lines, &self.monitor).with_context(|| self.name.clone())
    }

    fn vocab_in<'f>(&self, gguf: &Gguf<'f>) -> Result<Vocab<'f>> {
        static TOLD: Once = Once::new();
        let vocab = Vocab::from_gguf(gguf).with_context(|| self.name.clone())?;
        if let (Some(Value::String(b"default")), Some(Value::String(arch))) =
            (gguf.get("tokenizer.ggml.pre"), gguf.get("general.architecture"))
        {
            let arch = String::from_utf8_lossy(arch);
            TOLD.call_once(|| {
                self.monitor.note(format_args!(
                    "tokenizer.ggml.pre is \"default\", the name of no tokenizer: texts are cut as published {arch} models cut them"
                ));
            });
        }
        Ok(vocab)
    }

    /// Error of a run; for values that are not finite, with the first weight that is not finite.
    pub fn explain(&self, error: Error) -> Error {
        if error.is_not_finite() { error.context(self.not_finite()) } else { error }
    }

    /// Name of the file and its first weight that is not finite, for errors of a run.
    pub fn not_finite(&self) -> String {
        match self.first_not_finite() {
            Some(weight) => format!("{}: {weight}", self.name),
            None => self.name.clone(),
        }
    }

    /// Message on the first weight that is NaN or infinite.
    fn first_not_finite(&self) -> Option<String> {
        let gguf = self.gguf().ok()?;
        gguf.tensors().find_map(|tensor| first_not_finite(&gguf, &tensor))
    }

    /// Reads the file from the disk now, with progress, so that the first token does not wait for it.
    pub fn page_in(&self) -> Result<()> {
        const PAGE: usize = 4096;
        const STEP: usize = 1024 * PAGE;
        if !matches!(self.bytes, Bytes::Mapped(_) | Bytes::Split(_)) {
            return Ok(());
        }
        let mut progress = self.monitor.begin("loading", Unit::Bytes, self.n_bytes());
        let mut n = 0;
        for step in self.pieces().flat_map(|piece| piece.chunks(STEP)) {
            self.monitor.check()?;
            for &byte in step.iter().step_by(PAGE) {
                std::hint::black_box(byte);
            }
            n += step.len() as u64;
            progress.reached(n);
        }
        Ok(())
    }
}

fn first_not_finite(gguf: &Gguf<'_>, tensor: &TensorInfo<'_>) -> Option<String> {
    let (ty, layout) = Layout::from_gguf(tensor.ty)?;
    let [n_cols, rest @ ..] = tensor.dims;
    let (n_rows, n_cols) = (rest.iter().product::<u64>() as usize, n_cols as usize);
    let bytes = gguf.data(tensor.offset, tensor.n_bytes()?)?;
    let matrix = Matrix::new(ty, n_rows, n_cols, bytes)?.in_layout(layout)?;
    let mut weights = vec![0.0; n_cols];
    (0..n_rows).find_map(|row| {
        kernels::best().dequantize_row(&matrix, row, &mut weights);
        let col = weights.iter().position(|weight| !weight.is_finite())?;
        let (name, weight) = (tensor.name, weights[col]);
        Some(format!("row {row}, column {col} of the tensor {name} is {weight}"))
    })
}
