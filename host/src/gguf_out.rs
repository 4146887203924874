//! Writer of GGUF files: the tables first, then the tensors' bytes as they come, so that no file needs memory of its size.
//!
//! ```text
//! let mut file = GgufOut::default();
//! file.copy_meta(&gguf);                                        // or none
//! file.meta("general.file_type", Value::U32(7));                // replaces the value of a key that is there
//! file.meta_array("tokenizer.ggml.scores", ValueType::F32, scores.iter().map(|&x| Value::F32(x)));
//! file.tensor("token_embd.weight", &[n_cols, n_rows], WeightType::Q8_0)?;
//! file.write(path, force, "converting", &monitor, |data| {      // the name of the task
//!     data.begin("token_embd.weight")?;                         // in the order in which they were named above
//!     pieces.try_for_each(|piece| data.put(piece))              // as many bytes as the type and the dimensions say
//! })?;
//! ```
//!
//! The version is 3, as `nearfield::gguf` describes it. The file gets its name when it is whole; see
//! [`OutputFile::create_new`].

use std::io::Write;
use std::path::Path;

use memmap2::MmapOptions;
use nearfield::Gguf;
use nearfield::gguf::{Array, Value, ValueType};
use nearfield::kernels::WeightType;

use crate::error::{Context, Result, ensure};
use crate::monitor::{Monitor, Progress, Unit};
use crate::output_file::OutputFile;

/// Alignment of the tensors without `general.alignment`, in bytes.
const ALIGNMENT: u64 = 32;

/// Limit of sizes in bytes; no file is as large.
const MAX_BYTES: u64 = 1 << 60;

/// Tables of a file.
#[derive(Debug, Default)]
pub struct GgufOut {
    /// Keys, each with the bytes of its value in the file.
    entries: Vec<(String, Vec<u8>)>,
    alignment: Option<u64>,
    tensors: Vec<Tensor>,
}

#[derive(Debug)]
struct Tensor {
    name: String,
    dims: Vec<u64>,
    ty: WeightType,
    n_bytes: u64,
}

impl GgufOut {
    /// Sets the value of a key.
    pub fn meta(&mut self, key: &str, value: Value<'_>) {
        if key == "general.alignment" {
            self.alignment = value.as_u64();
        }
        let mut bytes = Vec::new();
        put_typed(&mut bytes, value);
        match self.entries.iter_mut().find(|(found, _)| found == key) {
            Some((_, old)) => *old = bytes,
            None => self.entries.push((key.into(), bytes)),
        }
    }

    /// Sets the value of a key to an array of elements of one type.
    ///
    /// # Panics
    /// When an element is of another type.
    pub fn meta_array<'v>(&mut self, key: &str, ty: ValueType, items: impl IntoIterator<Item = Value<'v>>) {
        let (mut body, mut len) = (Vec::new(), 0);
        for item in items {
            assert!(item.ty() == ty, "{key} is an array of {}, not {}", ty.name(), item.ty().name());
            put_value(&mut body, item);
            len += 1;
        }
        self.meta(key, Value::Array(Array { ty, len, body: &body }));
    }

    /// Copies all metadata of another file; of a key that occurs twice the first value counts, as for readers.
    pub fn copy_meta(&mut self, gguf: &Gguf<'_>) {
        for (key, value) in gguf.entries() {
            if !self.entries.iter().any(|(found, _)| found == key) {
                self.meta(key, value);
            }
        }
    }

    /// Adds a tensor: its dimensions, fastest first (columns, rows, ...), and its type.
    ///
    /// # Errors
    /// When a tensor of that name exists, its rows are not whole blocks, or it is larger than any file.
    pub fn tensor(&mut self, name: &str, dims: &[u64], ty: WeightType) -> Result<()> {
        ensure!(self.tensors.iter().all(|tensor| tensor.name != name), "there are two tensors called {name}");
        let (n_cols, block_len) = (dims.first().copied().unwrap_or(1), ty.block_len() as u64);
        let fits = n_cols.is_multiple_of(block_len);
        ensure!(fits, "{name}: rows of {n_cols} weights are not whole blocks of {block_len}, the {ty} ones");
        let n_bytes = (n_cols / block_len).checked_mul(ty.block_bytes() as u64);
        let n_bytes = dims.iter().skip(1).try_fold(n_bytes.unwrap_or(u64::MAX), |n, &dim| n.checked_mul(dim));
        // With this limit no sum of sizes overflows.
        let n_before: u64 = self.tensors.iter().map(|tensor| tensor.n_bytes).sum();
        let n_bytes = n_bytes.filter(|&n| n < MAX_BYTES && n_before < MAX_BYTES);
        let n_bytes = n_bytes.with_context(|| format!("{name}: a tensor of {dims:?} is larger than any file"))?;
        self.tensors.push(Tensor { name: name.into(), dims: dims.into(), ty, n_bytes });
        Ok(())
    }

    /// Calls `check` with the bytes of the file as if all weights were zero. Zero weights are never written and take no memory.
    ///
    /// # Errors
    /// Any error of `check`, which is not called where there is no address space for the whole file.
    pub fn checked(&self, check: impl FnOnce(&[u8]) -> Result<()>) -> Result<()> {
        let alignment = self.alignment()?;
        let header = self.header(alignment);
        let n_bytes = usize::try_from(header.len() as u64 + self.n_data(alignment));
        let map = n_bytes.ok().and_then(|n| MmapOptions::new().len(n).no_reserve_swap().map_anon().ok());
        let Some(mut map) = map else { return Ok(()) };
        if let Some(tables) = map.get_mut(..header.len()) {
            tables.copy_from_slice(&header);
        }
        check(&map)
    }

    fn alignment(&self) -> Result<u64> {
        let alignment = self.alignment.unwrap_or(ALIGNMENT);
        let is_usual = alignment.is_power_of_two() && alignment <= 1 << 20;
        ensure!(is_usual, "general.alignment is {alignment}, not a power of two up to 2^20");
        Ok(alignment)
    }

    /// Bytes of all tensors with their padding.
    fn n_data(&self, alignment: u64) -> u64 {
        self.tensors.iter().map(|tensor| tensor.n_bytes.next_multiple_of(alignment)).sum()
    }

    /// Writes the file with the tensors' bytes that `data` puts, and returns its size in bytes. An existing file is replaced
    /// only with `force`; `what` names the work for its progress.
    ///
    /// # Errors
    /// When a file of that name exists, it cannot be written, the monitor asks for an end, or `data` puts other bytes than were
    /// announced.
    pub fn write(
        &self,
        path: &Path,
        force: bool,
        what: &'static str,
        monitor: &Monitor,
        data: impl FnOnce(&mut Data<'_>) -> Result<()>,
    ) -> Result<u64> {
        let alignment = self.alignment()?;
        let header = self.header(alignment);
        let n_data = self.n_data(alignment);
        let n_bytes = header.len() as u64 + n_data;
        OutputFile::create_new(path, n_bytes, force)?.write(|out| {
            out.write_all(&header)?;
            let progress = monitor.begin(what, Unit::Bytes, n_data);
            let rest = self.tensors.iter();
            let mut out = Data { out, alignment, monitor, progress, rest, name: "", n_put: 0, n_left: 0, n_padding: 0 };
            data(&mut out)?;
            out.end()
        })?;
        Ok(n_bytes)
    }

    /// All bytes before the data, padded.
    fn header(&self, alignment: u64) -> Vec<u8> {
        let mut out = b"GGUF".to_vec();
        out.extend(3_u32.to_le_bytes());
        out.extend((self.tensors.len() as u64).to_le_bytes());
        out.extend((self.entries.len() as u64).to_le_bytes());
        for (key, value) in &self.entries {
            put_string(&mut out, key.as_bytes());
            out.extend(value);
        }
        let mut offset = 0_u64;
        for Tensor { name, dims, ty, n_bytes } in &self.tensors {
            put_string(&mut out, name.as_bytes());
            out.extend((dims.len() as u32).to_le_bytes());
            dims.iter().for_each(|n| out.extend(n.to_le_bytes()));
            out.extend((*ty as u32).to_le_bytes());
            out.extend(offset.to_le_bytes());
            offset += n_bytes.next_multiple_of(alignment);
        }
        out.resize(out.len().next_multiple_of(alignment as usize), 0);
        out
    }
}

/// Writer of the tensors' bytes, in the order in which the tensors were added.
pub struct Data<'w> {
    out: &'w mut (dyn Write + Send),
    alignment: u64,
    monitor: &'w Monitor,
    progress: Progress,
    rest: std::slice::Iter<'w, Tensor>,
    /// Current tensor, the number of its bytes that are missing, and of the zeros behind it.
    name: &'w str,
    n_left: u64,
    n_padding: u64,
    /// Number of bytes put so far, of all tensors.
    n_put: u64,
}

impl Data<'_> {
    /// Begins the tensor `name`, which has to be the next one.
    pub fn begin(&mut self, name: &str) -> Result<()> {
        self.pad()?;
        let next = self.rest.next();
        let expected = next.map_or("none", |tensor| &tensor.name);
        let Some(tensor) = next.filter(|tensor| tensor.name == name) else {
            crate::error::bail!("the next tensor of the file is {expected}, not {name}")
        };
        self.name = &tensor.name;
        self.n_left = tensor.n_bytes;
        self.n_padding = tensor.n_bytes.next_multiple_of(self.alignment) - tensor.n_bytes;
        Ok(())
    }

    /// Puts the next bytes of the tensor.
    pub fn put(&mut self, bytes: &[u8]) -> Result<()> {
        self.monitor.check()?;
        let n = bytes.len() as u64;
        ensure!(n <= self.n_left, "{}: {} bytes more than the tensor has", self.name, n - self.n_left);
        self.out.write_all(bytes)?;
        self.n_left -= n;
        self.n_put += n;
        self.progress.reached(self.n_put);
        Ok(())
    }

    fn pad(&mut self) -> Result<()> {
        ensure!(self.n_left == 0, "{}: {} bytes of the tensor are missing", self.name, self.n_left);
        let n = std::mem::take(&mut self.n_padding);
        self.out.write_all(&vec![0; n as usize])?;
        self.n_put += n;
        Ok(())
    }

    /// Pads the last tensor, too, since llama.cpp reads whole paddings, and checks that no tensor is missing.
    fn end(mut self) -> Result<()> {
        self.pad()?;
        match self.rest.next() {
            Some(tensor) => crate::error::bail!("{}: the tensor is missing", tensor.name),
            None => Ok(()),
        }
    }
}

/// Appends a string in GGUF's form.
pub fn put_string(out: &mut Vec<u8>, bytes: &[u8]) {
    out.extend((bytes.len() as u64).to_le_bytes());
    out.extend(bytes);
}

/// Appends an entry of the metadata in GGUF's form.
pub fn put_entry(out: &mut Vec<u8>, key: &str, value: Value<'_>) {
    put_string(out, key.as_bytes());
    put_typed(out, value);
}

/// Appends a value's type and the value.
fn put_typed(out: &mut Vec<u8>, value: Value<'_>) {
    out.extend((value.ty() as u32).to_le_bytes());
    put_value(out, value);
}

/// Appends a value without its type.
fn put_value(out: &mut Vec<u8>, value: Value<'_>) {
    match value {
        Value::U8(x) => out.push(x),
        Value::I8(x) => out.extend(x.to_le_bytes()),
        Value::U16(x) => out.extend(x.to_le_bytes()),
        Value::I16(x) => out.extend(x.to_le_bytes()),
        Value::U32(x) => out.extend(x.to_le_bytes()),
        Value::I32(x) => out.extend(x.to_le_bytes()),
        Value::U64(x) => out.extend(x.to_le_bytes()),
        Value::I64(x) => out.extend(x.to_le_bytes()),
        Value::F32(x) => out.extend(x.to_le_bytes()),
        Value::F64(x) => out.extend(x.to_le_bytes()),
        Value::Bool(x) => out.push(u8::from(x)),
        Value::String(bytes) => put_string(out, bytes),
        Value::Array(array) => {
            out.extend((array.ty as u32).to_le_bytes());
            out.extend(array.len.to_le_bytes());
            out.extend(array.body);
        }
    }
}

#[cfg(test)]
#[allow(dead_code)]
#[path = "../../tests/reference/gguf_writer.rs"]
mod literal;

#[cfg(test)]
mod tests {
    use super::literal::{Value as Literal, Writer};
    use super::*;

    /// Names and bytes of tensors.
    type Tensors<'t> = [(&'t str, &'t [u8])];

    /// Bytes of a file with the tables of `file` and the given tensors.
    fn written(file: &GgufOut, data: &Tensors<'_>) -> Result<Vec<u8>> {
        let folder = tempfile::tempdir()?;
        let path = folder.path().join("out.gguf");
        let result = file.write(&path, false, "testing", &Monitor::silent(), |out| {
            data.iter().try_for_each(|(name, bytes)| {
                out.begin(name)?;
                bytes.chunks(7).try_for_each(|piece| out.put(piece))
            })
        });
        let n_files = std::fs::read_dir(folder.path())?.count();
        assert_eq!(n_files, usize::from(result.is_ok()), "a whole file or none");
        let n_bytes = result?;
        let bytes = std::fs::read(path)?;
        assert_eq!(bytes.len() as u64, n_bytes);
        Ok(bytes)
    }

    /// File with one entry of each type, and arrays of arrays.
    fn literal() -> Writer {
        let nested = Literal::Array(9, vec![Literal::i32s(&[1, -2]), Literal::strings(&["a".into(), "é".into()])]);
        let entries = [
            ("u8", Literal::U8(200)),
            ("i8", Literal::I8(-3)),
            ("u16", Literal::U16(60_000)),
            ("i16", Literal::I16(-30_000)),
            ("u32", Literal::U32(4_000_000_000)),
            ("i32", Literal::I32(-5)),
            ("f32", Literal::F32(0.1)),
            ("bool", Literal::Bool(true)),
            ("string", Literal::string("text")),
            ("strings", Literal::strings(&["x".into(), String::new()])),
            ("nested", nested),
            ("empty", Literal::Array(6, vec![])),
            ("u64", Literal::U64(u64::MAX)),
            ("i64", Literal::I64(i64::MIN)),
            ("f64", Literal::F64(1e300)),
        ];
        entries.into_iter().fold(Writer::new(3).alignment(64), |file, (key, value)| file.meta(key, value))
    }

    #[test]
    fn it_writes_what_the_literal_writer_writes() {
        let (a, b) = (vec![1; 2 * 3 * 34], vec![2; 5 * 4]);
        let want = literal().tensor("a", &[3, 64], 8, a.clone()).tensor("b", &[5], 0, b.clone()).finish();
        let mut file = GgufOut::default();
        file.copy_meta(&Gguf::parse(&want).unwrap());
        file.tensor("a", &[64, 3], WeightType::Q8_0).unwrap();
        file.tensor("b", &[5], WeightType::F32).unwrap();
        assert!(written(&file, &[("a", &a), ("b", &b)]).unwrap() == want);
    }

    #[test]
    fn values_and_arrays_are_set_and_replaced() {
        let mut file = GgufOut::default();
        file.meta("general.alignment", Value::U64(8));
        file.meta("general.alignment", Value::U32(16));
        file.meta("name", Value::String(b"first"));
        file.meta_array("scores", ValueType::F32, [0.5, -1.0].map(Value::F32));
        file.meta_array("tokens", ValueType::String, ["a", "bc"].map(|text| Value::String(text.as_bytes())));
        file.meta("name", Value::String(b"second"));
        let want = Writer::new(3)
            .alignment(16)
            .meta("name", Literal::string("second"))
            .meta("scores", Literal::Array(6, vec![Literal::F32(0.5), Literal::F32(-1.0)]))
            .meta("tokens", Literal::strings(&["a".into(), "bc".into()]));
        assert!(written(&file, &[]).unwrap() == want.finish());
    }

    #[test]
    fn other_bytes_than_were_named_are_an_error() {
        let mut file = GgufOut::default();
        file.tensor("a", &[2, 2], WeightType::F16).unwrap();
        file.tensor("b", &[2], WeightType::F32).unwrap();
        let cases: [(&Tensors<'_>, &str); 6] = [
            (&[], "a: the tensor is missing"),
            (&[("a", &[0; 8])], "b: the tensor is missing"),
            (&[("b", &[0; 8])], "the next tensor of the file is a, not b"),
            (&[("a", &[0; 8]), ("b", &[0; 8]), ("c", &[])], "the next tensor of the file is none, not c"),
            (&[("a", &[0; 6]), ("b", &[0; 8])], "a: 2 bytes of the tensor are missing"),
            (&[("a", &[0; 9])], "a: 1 bytes more than the tensor has"),
        ];
        for (data, want) in cases {
            assert_eq!(written(&file, data).unwrap_err().to_string(), want);
        }
    }

    #[test]
    fn tensors_that_cannot_be() {
        let mut file = GgufOut::default();
        file.tensor("a", &[32], WeightType::Q4_0).unwrap();
        let cases: [(&str, &[u64], WeightType, &str); 3] = [
            ("a", &[32], WeightType::F32, "there are two tensors called a"),
            ("b", &[48], WeightType::Q4_0, "b: rows of 48 weights are not whole blocks of 32, the Q4_0 ones"),
            (
                "b",
                &[1 << 40, 1 << 30],
                WeightType::F32,
                "b: a tensor of [1099511627776, 1073741824] is larger than any",
            ),
        ];
        for (name, dims, ty, want) in cases {
            let error = file.tensor(name, dims, ty).unwrap_err().to_string();
            assert!(error.starts_with(want), "{error}");
        }
        let mut file = GgufOut::default();
        file.meta("general.alignment", Value::U32(3));
        assert_eq!(
            written(&file, &[]).unwrap_err().to_string(),
            "general.alignment is 3, not a power of two up to 2^20"
        );
    }
}
