//! Model files in parts, `NAME-00001-of-00003.gguf`: the first has the metadata, each has tensors, all are mapped.
//!
//! The tables are merged in memory to those of one file, without the keys of the split; the data stay in the parts. Source:
//! llama.cpp, `llama-gguf-split`, and `src/llama-arch.cpp` for the keys.

use std::ops::Range;
use std::path::{Path, PathBuf};

use memmap2::Mmap;
use nearfield::Gguf;
use nearfield::gguf::{Pieces, Value};

use super::map::map_input;
use crate::error::{Context, Result, bail, ensure};
use crate::gguf_out::{put_entry, put_string};
use crate::lfs_pointer;

const NUMBER: &str = "split.no";
const COUNT: &str = "split.count";
const N_TENSORS: &str = "split.tensors.count";

/// All parts of a split file.
#[derive(Debug)]
pub struct SplitFile {
    /// Tables of the whole file, up to the beginning of its data.
    tables: Vec<u8>,
    parts: Vec<Part>,
}

#[derive(Debug)]
struct Part {
    bytes: Mmap,
    /// Range of the part's data in its bytes.
    data: Range<usize>,
    at: u64,
}

/// Number of parts of a split file by its tables; `None` for a whole file.
fn n_parts(gguf: &Gguf<'_>) -> Option<u64> {
    gguf.get(COUNT).and_then(Value::as_u64).filter(|&n| n > 1)
}

/// Names of the parts of a split file.
struct Names {
    folder: PathBuf,
    stem: String,
    count: u64,
}

impl Names {
    /// Names for a message, where the stem is not known.
    fn any(count: u64) -> Self {
        Self { folder: PathBuf::new(), stem: "NAME".into(), count }
    }

    /// Names of all parts by that of part `no`, from 0 on; `None` for a path that is not named like a part.
    fn of(path: &Path, no: u64, count: u64) -> Option<Self> {
        let name = path.file_name()?.to_str()?;
        let stem = name.strip_suffix(&ending(no, count))?;
        Some(Self { folder: path.parent()?.to_owned(), stem: stem.to_owned(), count })
    }

    fn name(&self, no: u64) -> String {
        format!("{}{}", self.stem, ending(no, self.count))
    }

    fn path(&self, no: u64) -> PathBuf {
        self.folder.join(self.name(no))
    }
}

fn ending(no: u64, count: u64) -> String {
    format!("-{:05}-of-{count:05}.gguf", no + 1)
}

impl SplitFile {
    /// Opens all parts of the file that begins with `first`, found at `path`. Gives `first` back if it is whole or no GGUF
    /// file.
    pub fn open(path: &Path, first: Mmap) -> Result<Result<Self, Mmap>> {
        let (gguf, _) = Gguf::parse_partly(&first);
        let Some(count) = n_parts(&gguf) else { return Ok(Err(first)) };
        let no = gguf.get(NUMBER).and_then(Value::as_u64);
        let no = no.with_context(|| format!("a part of a file in {count} parts that does not say which ({NUMBER})"))?;
        ensure!(no < count, "{NUMBER} is {no}, of {count} parts");
        let names = Names::of(path, no, count);
        if no > 0 {
            let name = names.unwrap_or_else(|| Names::any(count)).path(0);
            let name = name.display();
            bail!("part {} of {count} of a split file: give the first, {name}", no + 1);
        }
        let names = names.with_context(|| {
            let pattern = Names::any(count).name(0);
            format!("the first of {count} parts, which are found by its name: it has to be {pattern}")
        })?;
        let n_tensors = match gguf.get(N_TENSORS) {
            None => None,
            Some(n) => Some(n.as_u64().with_context(|| format!("{N_TENSORS} is no count of tensors"))?),
        };
        let mut split = Self { tables: Vec::new(), parts: vec![Part::new(first, 0)?] };
        for no in 1..count {
            let path = names.path(no);
            split.push(&path, no, count).with_context(|| format!("part {} of {count}, {}", no + 1, path.display()))?;
        }
        let found: u64 = split.parts.iter().map(|part| part.gguf().n_tensors()).sum();
        if let Some(n) = n_tensors {
            ensure!(found == n, "the parts have {found} tensors, not {n} ({N_TENSORS}): they do not belong together");
        }
        split.tables = split.merged();
        Ok(Ok(split))
    }

    fn push(&mut self, path: &Path, no: u64, count: u64) -> Result<()> {
        let before = self.parts.last().map_or(0, |part| part.at + part.data.len() as u64);
        let bytes = map_input(path)?;
        lfs_pointer::check(&bytes)?;
        let part = Part::new(bytes, before)?;
        let gguf = part.gguf();
        let [found_no, found_count] = [NUMBER, COUNT].map(|key| gguf.get(key).and_then(Value::as_u64));
        let is_it = found_no == Some(no) && found_count == Some(count);
        let shown = |n: Option<u64>| n.map_or("none".into(), |n| n.to_string());
        ensure!(is_it, "says that it is another: {NUMBER} is {}, {COUNT} {}", shown(found_no), shown(found_count));
        let [first, found] = [&self.parts[0].gguf(), &gguf].map(Gguf::alignment);
        ensure!(found == first, "its data are aligned to {found} bytes, those of the first part to {first}");
        self.parts.push(part);
        Ok(())
    }

    /// Merges the tables to those of one file. Parts that do not match are found when the result is parsed.
    fn merged(&self) -> Vec<u8> {
        let first = self.parts[0].gguf();
        let mut entries = Vec::new();
        let mut n_entries = 0_u64;
        for (key, value) in first.entries().filter(|(key, _)| ![NUMBER, COUNT, N_TENSORS].contains(key)) {
            put_entry(&mut entries, key, value);
            n_entries += 1;
        }
        let mut tensors = Vec::new();
        let mut n_tensors = 0_u64;
        for part in &self.parts {
            for tensor in part.gguf().tensors() {
                put_string(&mut tensors, tensor.name.as_bytes());
                tensors.extend((tensor.n_dims as u32).to_le_bytes());
                tensor.dims[..tensor.n_dims].iter().for_each(|n| tensors.extend(n.to_le_bytes()));
                tensors.extend(tensor.ty.to_le_bytes());
                tensors.extend((part.at + tensor.offset).to_le_bytes());
                n_tensors += 1;
            }
        }
        let mut out = b"GGUF".to_vec();
        out.extend(first.version().to_le_bytes());
        out.extend(n_tensors.to_le_bytes());
        out.extend(n_entries.to_le_bytes());
        out.extend(entries);
        out.extend(tensors);
        out.resize(out.len().next_multiple_of(first.alignment()), 0);
        out
    }

    /// Tables of the whole file.
    pub fn gguf(&self) -> Result<Gguf<'_>, nearfield::GgufError> {
        Gguf::parse_in_pieces(&self.tables, self)
    }

    /// Bytes of the first part.
    pub fn first(&self) -> &[u8] {
        self.parts.first().map_or(&[], |part| &part.bytes)
    }

    /// Bytes of the whole file: its tables, and the data of each part.
    pub fn pieces(&self) -> impl Iterator<Item = &[u8]> {
        [&self.tables[..]].into_iter().chain(self.parts.iter().map(Part::data))
    }

    /// Number of parts.
    pub fn n_parts(&self) -> usize {
        self.parts.len()
    }
}

impl Part {
    /// Part whose data begin at byte `at` of the whole file's data.
    fn new(bytes: Mmap, at: u64) -> Result<Self> {
        let gguf = Gguf::parse(&bytes)?;
        // Bytes behind the last tensor are no data of the whole file. A tensor of unknown type takes all bytes that follow.
        let n_data = match gguf.tensors().last().map(|last| (last.offset, last.n_bytes())) {
            None => 0,
            Some((_, None)) => gguf.n_data(),
            Some((offset, Some(n))) => (offset + n).next_multiple_of(gguf.alignment() as u64),
        };
        let data = gguf.data_at()..gguf.data_at() + n_data as usize;
        Ok(Self { bytes, data, at })
    }

    fn data(&self) -> &[u8] {
        self.bytes.get(self.data.clone()).unwrap_or_default()
    }

    /// Tables of the part, which were checked before. If the file was changed since, as many as can be read.
    fn gguf(&self) -> Gguf<'_> {
        Gguf::parse_partly(&self.bytes).0
    }
}

impl Pieces for SplitFile {
    fn data_from(&self, offset: u64) -> &[u8] {
        // Parts without tensors have no data, and begin where the next one does.
        let i = self.parts.partition_point(|part| part.at + part.data.len() as u64 <= offset);
        let Some(part) = self.parts.get(i) else { return &[] };
        part.data().get((offset - part.at) as usize..).unwrap_or_default()
    }
}
