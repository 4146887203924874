//! Where a model's bytes come from: a file, mapped, or the binary itself.

mod kind;
pub mod packing;
mod split;

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::Once;

use anyhow::{Context, Error, Result, anyhow, bail, ensure};
use memmap2::{Mmap, MmapOptions};
use nearfield::gguf::Value;
use nearfield::kernels::{self, Kernels, Layout, Matrix};
use nearfield::tokenizer::Vocab;
use nearfield::{DocumentError, Gguf, GgufError, Line, Model, ModelId, RunError, TensorInfo};

use crate::engine::{Memory, allocate};
use crate::interrupt::{self, Interrupted};
use crate::output_file;
use crate::progress::Progress;
use crate::report;

use packing::Packing;
use split::SplitFile;

/// When weights are interleaved as they are loaded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Repack {
    /// Where it makes the kernels faster and memory suffices.
    #[default]
    Auto,
    /// Always.
    On,
    /// Never: the file is used in place.
    Off,
}

/// Aligned as the library wants it.
#[repr(C, align(64))]
struct Aligned<B: ?Sized>(B);

/// The story model, part of the binary.
static BUILT_IN: &Aligned<[u8]> = &Aligned(*include_bytes!("../../../models/stories.gguf"));

/// The bytes of a model and where they came from.
#[derive(Debug)]
pub struct ModelFile {
    /// For messages.
    pub name: String,
    bytes: Bytes,
}

#[derive(Debug)]
enum Bytes {
    BuiltIn(&'static [u8]),
    Mapped(Mmap),
    /// Several files, whose first one's name is the model's.
    Split(SplitFile),
    /// Of the file, with interleaved rows.
    Repacked(Memory, usize),
}

impl ModelFile {
    /// The file at `path`, or the built-in model.
    pub fn open(path: Option<PathBuf>) -> Result<Self> {
        match path {
            None => Ok(Self::built_in()),
            Some(path) => {
                let name = path.display().to_string();
                let bytes = map_input(&path).with_context(|| format!("cannot open {name}"))?;
                let bytes = match SplitFile::open(&path, bytes).with_context(|| name.clone())? {
                    Ok(split) => Bytes::Split(split),
                    Err(whole) => Bytes::Mapped(whole),
                };
                Ok(Self { bytes, name })
            }
        }
    }

    fn built_in() -> Self {
        Self { bytes: Bytes::BuiltIn(&BUILT_IN.0), name: "the built-in model".into() }
    }

    /// What it is known by, as long as its weights are in the file's order: reads all of it.
    pub fn id(&self) -> ModelId {
        ModelId::of_pieces(self.pieces())
    }

    /// What it is called, without its folder.
    pub fn short_name(&self) -> &str {
        Path::new(&self.name).file_name().and_then(|name| name.to_str()).unwrap_or(&self.name)
    }

    /// The first file that it lies in, or the only one: its tables at least.
    pub fn first(&self) -> &[u8] {
        match &self.bytes {
            Bytes::BuiltIn(bytes) => bytes,
            Bytes::Mapped(bytes) => bytes,
            Bytes::Split(split) => split.first(),
            Bytes::Repacked(lines, len) => &Line::bytes(lines)[..*len],
        }
    }

    /// All of it, in pieces that lie together: one, but of a split file.
    pub fn pieces(&self) -> impl Iterator<Item = &[u8]> {
        let (whole, split) = match &self.bytes {
            Bytes::Split(split) => (None, Some(split)),
            _ => (Some(self.first()), None),
        };
        whole.into_iter().chain(split.into_iter().flat_map(SplitFile::pieces))
    }

    /// Bytes of all of it.
    pub fn n_bytes(&self) -> u64 {
        self.pieces().map(|piece| piece.len() as u64).sum()
    }

    /// Files that it lies in.
    pub fn n_parts(&self) -> usize {
        match &self.bytes {
            Bytes::Split(split) => split.n_parts(),
            _ => 1,
        }
    }

    /// The same model in memory, its weights in the order that the kernels read fastest, if that is asked for or, by
    /// [`Repack::Auto`], worth it; else the file as it is.
    pub fn repacked(self, when: Repack, kernels: &dyn Kernels, n_threads: usize) -> Result<Self> {
        let worth_it = kernels.layout() == Layout::Interleaved;
        if when == Repack::Off || when == Repack::Auto && !worth_it {
            return Ok(self);
        }
        // Whether the file is a model at all is said when it is used.
        let Ok(gguf) = self.gguf() else { return Ok(self) };
        if Packing::is_done(&gguf) {
            return Ok(self);
        }
        let made = Packing::new(&gguf).and_then(|packing| {
            let n_bytes = packing.n_bytes();
            let mut lines = allocate(n_bytes)?.in_large_pages();
            packing.make_all(&mut Line::bytes_mut(&mut lines)[..n_bytes], n_threads)?;
            Ok(Bytes::Repacked(lines, n_bytes))
        });
        match made {
            Ok(bytes) => Ok(Self { bytes, name: self.name }),
            Err(error) if when == Repack::Auto && !error.is::<Interrupted>() => {
                report::note(format_args!("the weights stay in the file's order: {error:#}"));
                Ok(self)
            }
            Err(error) => Err(error.context(self.name)),
        }
    }

    /// Bytes of memory that the weights take, besides the file.
    pub fn repacked_bytes(&self) -> Option<usize> {
        match &self.bytes {
            Bytes::Repacked(_, len) => Some(*len),
            Bytes::BuiltIn(_) | Bytes::Mapped(_) | Bytes::Split(_) => None,
        }
    }

    /// The model in it.
    pub fn model(&self) -> Result<Model<'_>> {
        Model::from_tables(self.gguf()?).map_err(|error| self.named(error.into()))
    }

    /// An error of the file with its name. Of one that is something else than a model, it says what instead.
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
            Some(instead) => anyhow!("{}: no model: {instead}", self.name),
            None => error.context(self.name.clone()),
        }
    }

    /// The tables in it.
    pub fn gguf(&self) -> Result<Gguf<'_>> {
        let gguf = match &self.bytes {
            Bytes::Split(split) => split.gguf(),
            _ => Gguf::parse(self.first()),
        };
        gguf.map_err(|error| self.named(error.into()))
    }

    /// As much of the tables as can be read, and whether that is not all.
    pub fn gguf_partly(&self) -> (Gguf<'_>, bool) {
        match self.gguf() {
            Ok(gguf) => (gguf, false),
            Err(_) => (Gguf::parse_partly(self.first()).0, true),
        }
    }

    /// The vocabulary in it.
    pub fn vocab(&self) -> Result<Vocab<'_>> {
        self.vocab_in(&self.gguf()?)
    }

    /// The same of a file whose model was read before: its tables are not checked again.
    pub fn vocab_of<'f>(&self, model: &Model<'f>) -> Result<Vocab<'f>> {
        self.vocab_in(model.gguf())
    }

    fn vocab_in<'f>(&self, gguf: &Gguf<'f>) -> Result<Vocab<'f>> {
        static TOLD: Once = Once::new();
        let vocab = Vocab::from_gguf(gguf).with_context(|| self.name.clone())?;
        if let (Some(Value::String(b"default")), Some(Value::String(arch))) =
            (gguf.get("tokenizer.ggml.pre"), gguf.get("general.architecture"))
        {
            let arch = String::from_utf8_lossy(arch);
            TOLD.call_once(|| {
                report::note(format_args!(
                    "tokenizer.ggml.pre is \"default\", the name of no tokenizer: texts are cut as published {arch} models cut them"
                ));
            });
        }
        Ok(vocab)
    }

    /// An error of running the model; where numbers are not finite, with the first weight that is not.
    pub fn explain(&self, error: Error) -> Error {
        let not_finite = matches!(error.downcast_ref(), Some(RunError::NotFinite { .. }))
            || matches!(error.downcast_ref(), Some(DocumentError::NotFinite));
        if !not_finite {
            return error;
        }
        match self.first_not_finite() {
            Some(weight) => error.context(format!("{}: {weight}", self.name)),
            None => error.context(self.name.clone()),
        }
    }

    /// The first weight that is NaN or infinite, in words.
    fn first_not_finite(&self) -> Option<String> {
        let gguf = self.gguf().ok()?;
        gguf.tensors().find_map(|tensor| first_not_finite(&gguf, &tensor))
    }

    /// Reads the file from the disk now, with a bar if that takes long, and not piece by piece during the first token.
    pub fn page_in(&self) -> Result<(), Interrupted> {
        const PAGE: usize = 4096;
        const STEP: usize = 1024 * PAGE;
        if !matches!(self.bytes, Bytes::Mapped(_) | Bytes::Split(_)) {
            return Ok(());
        }
        let mut progress = Progress::of_bytes("loading", self.n_bytes());
        let mut n = 0;
        for step in self.pieces().flat_map(|piece| piece.chunks(STEP)) {
            interrupt::check()?;
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

/// The bytes of a file that no output may replace.
pub fn map_input(path: &Path) -> Result<Mmap> {
    let bytes = map(path)?;
    output_file::protect(path);
    Ok(bytes)
}

/// The bytes of a file, which is not empty.
pub fn map(path: &Path) -> Result<Mmap> {
    // Before it is opened: opening a pipe would wait for a writer.
    let metadata = fs::metadata(path)?;
    if metadata.is_dir() {
        bail!("{}", kind::folder(path).unwrap_or_else(|| "a folder, not a file".into()));
    }
    ensure!(metadata.is_file(), "not a file");
    ensure!(metadata.len() > 0, "the file is empty");
    let file = File::open(path)?;
    // SAFETY: strictly, Rust has no word for memory that another process changes, and no program that maps files can rule that
    // out. What it means here: the map is private and read only, so nothing of ours reaches the file. A program that writes to
    // the file may change what we read; every read is bounds-checked and any bytes are valid weights, so that gives an error or
    // wrong text. If the file is cut short meanwhile, reading past its new end stops this process (SIGBUS). A model that is
    // replaced the usual way, by a new file under its name, changes nothing.
    Ok(unsafe { MmapOptions::new().map_copy_read_only(&file) }?)
}
