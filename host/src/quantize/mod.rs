//! Quantization: a model file with its weights in another type.
//!
//! `target` chooses the type of each tensor; `rows` and the modules that it uses make the blocks; `tensor` takes the
//! tensors through them piece by piece; `importance` gives the weights of the columns' errors. All else in the file stays as
//! it is.

#[cfg(test)]
mod errors;
mod fit;
mod importance;
mod k;
mod legacy;
mod rows;
mod target;
mod tensor;
pub(crate) mod unfit;

use std::collections::BTreeMap;
use std::path::PathBuf;

use half::f16;
use nearfield::gguf::Value;
use nearfield::kernels::{self, Layout, Matrix, WeightType};
use nearfield::{Gguf, TensorInfo};
use nearfield_kernels::block::gguf_type_name;

use crate::count::Count;
use crate::engine::n_cores;
use crate::error::{Context, Result, bail};
use crate::gguf_out::{Data, GgufOut};
use crate::model_file::ModelFile;
use crate::monitor::Monitor;
use crate::output_file::OutputFile;

use importance::Importances;
pub use target::{Policy, Target};
pub use tensor::{Quantized, Quantizer};
pub use unfit::Unfit;

/// Bytes of a tensor that are copied at a time.
const COPIED: usize = 1 << 20;
/// Value of `general.quantization_version`: of the blocks, which have not changed since GGUF has this key. Source: ggml,
/// `GGML_QNT_VERSION`.
const QUANTIZATION_VERSION: u32 = 2;

/// Paths and settings of a quantization.
#[derive(Clone, Debug)]
pub struct Quantization {
    /// Path of the model, best in F16 or F32.
    pub input: PathBuf,
    /// Path of the new file.
    pub output: PathBuf,
    /// Type of the weights.
    pub ty: Target,
    /// Path of an importance matrix: errors count more in the columns that it found to matter more.
    pub imatrix: Option<PathBuf>,
    /// True if all matrices get one type.
    pub pure: bool,
    /// Number of threads; the file is the same for any. `None`: one for each core.
    pub n_threads: Option<usize>,
    /// True if an existing file is replaced.
    pub force: bool,
}

/// Result of a quantization.
#[derive(Clone, Debug)]
pub struct QuantizedFile {
    /// Name of the file that was read.
    pub input: String,
    /// Number of weights in it.
    pub n_weights: u64,
    /// Size of the file that was read, in bytes.
    pub n_bytes_read: u64,
    /// Size of the new file in bytes.
    pub n_bytes_written: u64,
}

/// Reads the model and writes the new file, tensor by tensor.
///
/// # Errors
/// When a file cannot be read or written, when a tensor has a type that cannot be read or weights that are not finite, and when
/// the importance matrix is another model's.
pub fn quantize(args: &Quantization, monitor: &Monitor) -> Result<QuantizedFile> {
    let file = ModelFile::open(Some(args.input.clone()), monitor)?;
    let importances = args.imatrix.as_deref().map(Importances::read).transpose()?;
    OutputFile::check_new(&args.output, args.force)?;
    let gguf = file.gguf()?;
    let policy = policy(&gguf, args);
    let mut jobs: Vec<Job<'_>> = gguf
        .tensors()
        .map(|tensor| Job::new(&gguf, tensor, &policy))
        .collect::<Result<_>>()
        .context(file.name.clone())?;
    if let Some(importances) = &importances {
        weigh(&mut jobs, importances, monitor)?;
    }
    let mut out = GgufOut::default();
    out.copy_meta(&gguf);
    out.meta("general.file_type", Value::U32(args.ty.file_type));
    out.meta("general.quantization_version", Value::U32(QUANTIZATION_VERSION));
    if let Some(Importances { file, imatrix }) = &importances {
        out.meta("quantize.imatrix.file", Value::String(file.as_bytes()));
        if let Some(dataset) = imatrix.datasets.first() {
            out.meta("quantize.imatrix.dataset", Value::String(dataset.as_bytes()));
        }
        out.meta("quantize.imatrix.entries_count", Value::U32(imatrix.inputs.len() as u32));
        if let Some(n_chunks) = imatrix.n_chunks {
            out.meta("quantize.imatrix.chunks_count", Value::U32(n_chunks));
        }
    }
    for job in &jobs {
        out.tensor(job.tensor.name, job.dims(), job.ty).context(file.name.clone())?;
    }
    warn(&jobs, monitor);
    let mut quantizer = Quantizer::new(args.n_threads.unwrap_or_else(n_cores)).context("cannot start threads")?;
    let n_bytes = out.write(&args.output, args.force, "quantizing", monitor, |data| {
        jobs.iter().try_for_each(|job| job.write(&file.name, &mut quantizer, monitor, data))
    })?;
    let n_weights: u64 = jobs.iter().map(Job::n_weights).sum();
    let n_bytes_read = file.n_bytes();
    Ok(QuantizedFile { input: file.name, n_weights, n_bytes_read, n_bytes_written: n_bytes })
}

/// Policy of types by this file's metadata and the arguments.
fn policy(gguf: &Gguf<'_>, args: &Quantization) -> Policy {
    let arch = match gguf.get("general.architecture") {
        Some(Value::String(bytes)) => String::from_utf8_lossy(bytes).into_owned(),
        _ => String::new(),
    };
    let count = |suffix| gguf.get_joined(&arch, suffix).and_then(Value::as_u64);
    let n_head = count(".attention.head_count");
    let n_head_kv = count(".attention.head_count_kv").or(n_head);
    let n_gqa = n_head.zip(n_head_kv).and_then(|(n, n_kv)| n.checked_div(n_kv)).unwrap_or(1);
    let names = gguf.tensors().map(|tensor| tensor.name);
    Policy::new(args.ty, args.pure, &arch, n_gqa, names).with_importances(args.imatrix.is_some())
}

/// Sets the importances of each matrix that is quantized.
fn weigh(jobs: &mut [Job<'_>], importances: &Importances, monitor: &Monitor) -> Result<()> {
    let (mut n_quantized, mut missing) = (0, Vec::new());
    for job in jobs.iter_mut().filter(|job| job.ty.is_quantized() && job.ty != job.rows.ty()) {
        n_quantized += 1;
        job.importance = importances.of(job.tensor.name, job.rows.n_cols() as u64)?;
        if job.importance.is_none() {
            missing.push(job.tensor.name);
        }
    }
    importances.tell(n_quantized, &missing, monitor)
}

/// Tensor, with its new type.
struct Job<'f> {
    tensor: TensorInfo<'f>,
    /// All rows, in two dimensions.
    rows: Matrix<'f>,
    bytes: &'f [u8],
    ty: WeightType,
    /// Type that the tensor should have had, if its rows were whole blocks.
    instead_of: Option<WeightType>,
    /// Importances of its columns, if they are known. `[n_cols]`
    importance: Option<Vec<f32>>,
}

impl<'f> Job<'f> {
    fn new(gguf: &Gguf<'f>, tensor: TensorInfo<'f>, policy: &Policy) -> Result<Self> {
        let TensorInfo { name, ty: number, .. } = tensor;
        let from = match Layout::from_gguf(number) {
            Some((ty, Layout::Plain)) => ty,
            Some((_, Layout::Interleaved)) => bail!("it is packed: quantize the file that it was packed from"),
            None => bail!("the tensor {name} has type {} ({number}), which cannot be read", gguf_type_name(number)),
        };
        // `Gguf::parse` has checked that the tensor lies in the file.
        let bytes = tensor.n_bytes().and_then(|n| gguf.data(tensor.offset, n)).unwrap_or_default();
        let [n_cols, rest @ ..] = tensor.dims;
        let rows = Matrix::new(from, rest.iter().product::<u64>() as usize, n_cols as usize, bytes);
        let rows = rows.with_context(|| format!("the tensor {name} has rows of broken blocks"))?;
        let is_vector = rest == [1; 3];
        let (ty, instead_of) = match policy.tensor_type(name, &tensor.dims) {
            Some(choice) => (choice.ty, choice.instead_of),
            None if is_vector => (WeightType::F32, None),
            None => (from, None),
        };
        Ok(Self { tensor, rows, bytes, ty, instead_of, importance: None })
    }

    fn dims(&self) -> &[u64] {
        &self.tensor.dims[..self.tensor.n_dims]
    }

    fn n_weights(&self) -> u64 {
        self.rows.n_rows() as u64 * self.rows.n_cols() as u64
    }

    fn write(&self, file: &str, quantizer: &mut Quantizer, monitor: &Monitor, data: &mut Data<'_>) -> Result<()> {
        data.begin(self.tensor.name)?;
        let name = &format!("{file}: {}", self.tensor.name);
        let [n_rows, n_cols] = [self.rows.n_rows(), self.rows.n_cols()].map(|n| n as u64);
        let importance = self.importance.as_deref();
        let to = |ty| Quantized { name, ty, n_rows, n_cols, importance };
        let read = |row, col, out: &mut [f32]| self.read(row, col, out);
        if self.ty != self.rows.ty() {
            return quantizer.tensor(&to(self.ty), read, |bytes| data.put(bytes));
        }
        // Bytes are copied, once all their weights are seen to be finite.
        quantizer.tensor(&to(WeightType::F32), read, |_| monitor.check())?;
        self.bytes.chunks(COPIED).try_for_each(|bytes| data.put(bytes))
    }

    /// Reads weights of a row from column `col` on, which begins a block.
    fn read(&self, row: u64, col: u64, out: &mut [f32]) -> Result<()> {
        let ty = self.rows.ty();
        let [at, n] = [col as usize, out.len()].map(|n_cols| ty.row_bytes(n_cols));
        let bytes = at.zip(n).and_then(|(at, n)| self.rows.row(row as usize).get(at..)?.get(..n));
        let bytes = bytes.context("a row of broken blocks")?;
        match ty {
            WeightType::F32 => floats(bytes, out, f32::from_le_bytes),
            WeightType::F16 => floats(bytes, out, |bytes| f16::from_le_bytes(bytes).to_f32()),
            _ => {
                let part = Matrix::new(ty, 1, out.len(), bytes).context("a row of broken blocks")?;
                kernels::best().dequantize_row(&part, 0, out);
            }
        }
        Ok(())
    }
}

fn floats<const N: usize>(bytes: &[u8], out: &mut [f32], float: impl Fn([u8; N]) -> f32) {
    for (out, &bytes) in out.iter_mut().zip(bytes.as_chunks().0) {
        *out = float(bytes);
    }
}

/// Notes limits of the result: weights that were quantized before, and types that a tensor could not have.
fn warn(jobs: &[Job<'_>], monitor: &Monitor) {
    let (mut twice, mut instead) = (0, BTreeMap::<_, usize>::new());
    for job in jobs {
        twice += usize::from(job.rows.ty().is_quantized() && job.ty.is_quantized() && job.ty != job.rows.ty());
        if let Some(wanted) = job.instead_of {
            *instead.entry((wanted.name(), job.ty.name())).or_default() += 1;
        }
    }
    if twice > 0 {
        let tensors = Count(twice, "tensor");
        monitor.note(format_args!("warning: {tensors} quantized a second time: both errors add up"));
    }
    for ((wanted, ty), n) in instead {
        monitor.note(format_args!(
            "warning: {} with rows that are not whole blocks of {wanted}: now in {ty}",
            Count(n, "tensor")
        ));
    }
}
