//! Packing of a model file: its matrices get interleaved rows, with every tensor as long as before and new type numbers. A
//! packed file also has the tokenizer's index in its metadata.
//!
//! For the layout see `nearfield::kernels::layout`. The file is cut into units that can be made in any order, at the same time.

use std::ops::Range;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use nearfield::gguf::{Value, ValueType};
use nearfield::kernels::{Layout, WeightType};
use nearfield::tokenizer::Vocab;
use nearfield::{Gguf, Line, TensorInfo};
use nearfield_kernels::TILE_ROWS;
use nearfield_kernels::layout::interleave;

use crate::error::{Result, ensure};
use crate::monitor::{Monitor, Progress, Unit as Counted};

/// Bytes of a unit, unless a row tile is larger.
const UNIT_BYTES: usize = 1 << 20;

/// Plan of a packed file.
pub struct Packing<'f> {
    gguf: Gguf<'f>,
    /// Tables, with the new type numbers.
    header: Vec<u8>,
    /// Row tiles of the matrices, by their place.
    tiles: Vec<Tiles>,
}

/// Rows of a matrix that become row tiles.
struct Tiles {
    ty: WeightType,
    /// Range of the tiles in the data.
    bytes: Range<usize>,
    tile_bytes: usize,
}

/// Part of the packed file.
pub enum Unit {
    /// Tables, and their number of bytes.
    Tables(usize),
    /// Range of the data that stays as it is.
    Plain(Range<usize>),
    /// Whole row tiles, by their place in the data.
    Tiles {
        /// Type of the weights.
        ty: WeightType,
        /// Range in the data.
        bytes: Range<usize>,
        /// Bytes of one row tile.
        tile_bytes: usize,
    },
}

impl Unit {
    /// Number of bytes of the unit.
    pub fn n_bytes(&self) -> usize {
        match self {
            Self::Tables(n_bytes) => *n_bytes,
            Self::Plain(bytes) | Self::Tiles { bytes, .. } => bytes.len(),
        }
    }
}

impl<'f> Packing<'f> {
    /// True if no matrix is left whose rows could be interleaved.
    pub fn is_done(gguf: &Gguf<'_>) -> bool {
        Tiles::of_all(gguf).next().is_none()
    }

    /// Plans the packed file; an error if tensors overlap.
    pub fn new(gguf: &Gguf<'f>) -> Result<Self> {
        let mut header = gguf.tables().to_vec();
        let mut tiles = Vec::new();
        for (tensor, found) in Tiles::of_all(gguf) {
            let at = tensor.type_at() as usize;
            header[at..at + 4].copy_from_slice(&Layout::Interleaved.to_gguf(found.ty).to_le_bytes());
            tiles.push(found);
        }
        tiles.sort_by_key(|tiles| tiles.bytes.start);
        let apart = tiles.is_sorted_by(|a, b| a.bytes.end <= b.bytes.start);
        ensure!(apart, "two tensors lie in one another: the rows of neither can be interleaved");
        Ok(Self { gguf: *gguf, header, tiles })
    }

    /// Adds the tokenizer's index to the metadata, under [`Vocab::INDEX_KEY`]. May be called once.
    pub fn with_index(mut self, gguf: &Gguf<'_>, index: impl Iterator<Item = u8>) -> Self {
        let end = gguf.tensors_at();
        let tables_end = gguf.tensors().last().map_or(end, |tensor| tensor.end() as usize);
        let tensors = self.header[end..tables_end].to_vec();
        // The number of entries follows the magic, the version and the number of tensors.
        self.header[16..24].copy_from_slice(&(gguf.n_entries() + 1).to_le_bytes());
        self.header.truncate(end);
        self.header.extend((Vocab::INDEX_KEY.len() as u64).to_le_bytes());
        self.header.extend(Vocab::INDEX_KEY.as_bytes());
        self.header.extend((ValueType::Array as u32).to_le_bytes());
        self.header.extend((ValueType::U8 as u32).to_le_bytes());
        let n_bytes_at = self.header.len();
        let body_at = n_bytes_at + 8;
        self.header.resize(body_at.next_multiple_of(Line::BYTES), 0);
        self.header.extend(index);
        let n_bytes = (self.header.len() - body_at) as u64;
        self.header[n_bytes_at..body_at].copy_from_slice(&n_bytes.to_le_bytes());
        self.header.extend(tensors);
        self.header.resize(self.header.len().next_multiple_of(gguf.alignment()), 0);
        self
    }

    /// Number of bytes of the packed file.
    pub fn n_bytes(&self) -> usize {
        self.header.len() + self.gguf.n_data() as usize
    }

    /// Number of matrices whose rows are interleaved.
    pub fn n_matrices(&self) -> usize {
        self.tiles.len()
    }

    /// Units, in the order of the file.
    pub fn units(&self) -> Vec<Unit> {
        let mut units = vec![Unit::Tables(self.header.len())];
        let plain = |bytes: Range<usize>| steps(bytes, UNIT_BYTES).map(Unit::Plain);
        let mut at = 0;
        for &Tiles { ty, ref bytes, tile_bytes } in &self.tiles {
            units.extend(plain(at..bytes.start));
            let step = tile_bytes * (UNIT_BYTES / tile_bytes).max(1);
            units.extend(steps(bytes.clone(), step).map(|bytes| Unit::Tiles { ty, bytes, tile_bytes }));
            at = bytes.end;
        }
        units.extend(plain(at..self.gguf.n_data() as usize));
        units
    }

    /// Makes a unit in `out`, which has its length.
    pub fn make(&self, unit: &Unit, out: &mut [u8]) {
        match unit {
            Unit::Tables(_) => out.copy_from_slice(&self.header),
            Unit::Plain(bytes) => {
                // The range may begin in one piece of a split file's data and end in another.
                let mut done = 0;
                while done < out.len() {
                    let plain = self.gguf.data_from((bytes.start + done) as u64);
                    let n = plain.len().min(out.len() - done);
                    assert!(n > 0, "the file has become shorter");
                    out[done..done + n].copy_from_slice(&plain[..n]);
                    done += n;
                }
            }
            Unit::Tiles { ty, bytes, tile_bytes } => {
                let plain = self.gguf.data(bytes.start as u64, bytes.len() as u64);
                let tiles = plain.unwrap_or_default().chunks_exact(*tile_bytes);
                for (plain, out) in tiles.zip(out.chunks_exact_mut(*tile_bytes)) {
                    interleave(*ty, plain, out);
                }
            }
        }
    }

    /// Makes the whole file in memory, with `n_threads` threads and progress.
    pub fn make_all(&self, out: &mut [u8], n_threads: usize, monitor: &Monitor) -> Result<()> {
        let mut parts = Vec::new();
        let mut rest = out;
        for unit in self.units() {
            let (part, behind) = rest.split_at_mut(unit.n_bytes());
            parts.push((unit, part));
            rest = behind;
        }
        let mut progress = monitor.begin("interleaving rows", Counted::Bytes, self.n_bytes() as u64);
        let (queue, done) = (Mutex::new(parts.into_iter()), AtomicU64::new(0));
        let next = || queue.lock().unwrap_or_else(|broken| broken.into_inner()).next();
        let work = |mut reached: Option<&mut Progress>| {
            while let Some((unit, part)) = if monitor.is_cancelled() { None } else { next() } {
                self.make(&unit, part);
                let n = done.fetch_add(unit.n_bytes() as u64, Ordering::Relaxed) + unit.n_bytes() as u64;
                if let Some(progress) = &mut reached {
                    progress.reached(n);
                }
            }
        };
        thread::scope(|scope| {
            for _ in 1..n_threads {
                scope.spawn(|| work(None));
            }
            work(Some(&mut progress));
        });
        monitor.check()
    }
}

impl Tiles {
    /// All tensors that have row tiles.
    fn of_all<'f>(gguf: &Gguf<'f>) -> impl Iterator<Item = (TensorInfo<'f>, Self)> {
        // An embedding that is no output is read row by row.
        let is_looked_up =
            |tensor: &TensorInfo<'_>| tensor.name == "token_embd.weight" && gguf.tensor("output.weight", "").is_some();
        let n_ff = match gguf.get("general.architecture") {
            Some(Value::String(arch)) => std::str::from_utf8(arch)
                .ok()
                .and_then(|arch| gguf.get_joined(arch, ".feed_forward_length").and_then(Value::as_u64)),
            _ => None,
        };
        // Gate and up in one matrix are read as two, and no row tile may have rows of both.
        let is_cut = move |tensor: &TensorInfo<'_>| {
            let is_half = |n_ff: u64| tensor.dims[1] == 2 * n_ff && !n_ff.is_multiple_of(TILE_ROWS as u64);
            tensor.name.ends_with(".ffn_up.weight") && n_ff.is_some_and(is_half)
        };
        let tensors = gguf.tensors().filter(move |tensor| !is_looked_up(tensor) && !is_cut(tensor));
        tensors.filter_map(|tensor| Some((tensor, Self::of(&tensor)?)))
    }

    /// Row tiles of a tensor. `None` for a vector, a type that is never interleaved, too few rows, or interleaved rows.
    fn of(tensor: &TensorInfo<'_>) -> Option<Self> {
        let (ty, Layout::Plain) = Layout::from_gguf(tensor.ty)? else { return None };
        let [n_cols, n_rows, 1, 1] = tensor.dims else { return None };
        let row_bytes = ty.row_bytes(usize::try_from(n_cols).ok()?)?;
        let n_tiles = usize::try_from(n_rows).ok()? / TILE_ROWS;
        if !ty.can_interleave() || n_tiles == 0 || row_bytes == 0 {
            return None;
        }
        // `Gguf::parse` has checked that the tensor lies in the file.
        let start = tensor.offset as usize;
        let tile_bytes = TILE_ROWS * row_bytes;
        Some(Self { ty, bytes: start..start + n_tiles * tile_bytes, tile_bytes })
    }
}

/// Cuts a range in steps, the last one shorter.
fn steps(range: Range<usize>, step: usize) -> impl Iterator<Item = Range<usize>> {
    range.clone().step_by(step).map(move |start| start..range.end.min(start + step))
}
