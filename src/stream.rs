//! Layers that lie outside memory: a storage brings them through two buffers, the next one while one is computed.
//!
//! ```text
//!   storage   ── layer 1 ──▶ buffer A ── layer 3 ──▶ buffer A ...
//!                            ── layer 2 ──▶ buffer B ── layer 4 ──▶ buffer B ...
//!   kernels                  ── layer 1 ──    ── layer 2 ──    ── layer 3 ──
//! ```

use core::fmt;
use core::ops::Range;

use nearfield_kernels::Line;

use crate::checksum::{Checksum, Words};
use crate::const_math::max;
use crate::gguf::Gguf;
use crate::planned::Planned;
use crate::session::RunError;
use crate::shape::MAX_LAYERS;

/// Source of a model's layers that are not in memory: a card, a flash chip behind a bus, a file.
pub trait Storage: Send {
    /// Reads bytes of the model file into `to`, and calls `work` once.
    ///
    /// `work` computes the layer before this one, for which the bytes are not needed. A storage that can read by itself, by DMA or on
    /// another core, starts to read, calls `work` and waits; any other reads first, or calls `work` first. Where `work` was not called, or
    /// was called again, the session makes it one call.
    ///
    /// - `at`: place in the file, a multiple of [`BLOCK`](StreamPlan::BLOCK), as is the length of `to`. The last block of the file may
    ///   end beyond it; what lies there does not matter.
    ///
    /// # Errors
    /// [`StorageError`], at which the pass ends with [`RunError::Storage`].
    fn read(&mut self, at: u64, to: &mut [u8], work: &mut dyn FnMut()) -> Result<(), StorageError>;
}

/// Error of a [`Storage`]: a number of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct StorageError(pub u32);

impl fmt::Display for StorageError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "error {} of the storage", self.0)
    }
}

impl core::error::Error for StorageError {}

/// Memory that the layers of a file take which are not in memory, and what each pass reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub struct StreamPlan {
    /// Bytes of one of the two buffers: the longest layer, in whole blocks.
    pub buffer: usize,
    /// Bytes that each pass reads, of one token or of many, after the first; 0 if all layers but two are in memory.
    pub per_pass: u64,
}

impl StreamPlan {
    /// Bytes of a block of the storage: a sector of cards and disks.
    pub const BLOCK: u64 = 512;

    /// Plans the buffers for a file of which the first `n_layers` layers stay in memory. A `const fn`, for boards.
    pub const fn new(gguf: &Gguf<'_>, n_layers: usize) -> Self {
        let mut plan = Self { buffer: 0, per_pass: 0 };
        let mut layer = n_layers;
        while layer < MAX_LAYERS as usize
            && let Some((start, end)) = gguf.layer_data(layer)
        {
            let (start, end) = whole_blocks(start, end);
            let n = end - start;
            // A layer beyond all addresses fits no memory.
            plan.buffer = max(plan.buffer, if n > usize::MAX as u64 { usize::MAX } else { n as usize });
            plan.per_pass = plan.per_pass.saturating_add(n);
            layer += 1;
        }
        // Two layers stay in their buffers.
        if layer <= n_layers.saturating_add(2) {
            plan.per_pass = 0;
        }
        plan
    }

    /// Lines of both buffers.
    pub const fn n_lines(&self) -> usize {
        2 * (self.buffer / Line::BYTES)
    }
}

/// Range with its ends moved outwards to whole blocks.
const fn whole_blocks(start: u64, end: u64) -> (u64, u64) {
    (start - start % StreamPlan::BLOCK, end.next_multiple_of(StreamPlan::BLOCK))
}

/// A storage with two buffers, through which a session gets its layers ([`Session::with_stream`](crate::Session::with_stream)).
pub struct Stream<'m> {
    storage: &'m mut dyn Storage,
    buffers: [Buffer<'m>; 2],
}

impl fmt::Debug for Stream<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stream").field("buffer", &self.buffer_bytes()).finish_non_exhaustive()
    }
}

impl<'m> Stream<'m> {
    const BLOCK: usize = StreamPlan::BLOCK as usize;

    /// Creates a stream with its buffers in `lines`, of which there have to be [`StreamPlan::n_lines`].
    pub fn new(storage: &'m mut dyn Storage, lines: &'m mut [Line]) -> Self {
        let (first, second) = lines.split_at_mut(lines.len() / 2);
        Self { storage, buffers: [first, second].map(|lines| Buffer { bytes: Line::bytes_mut(lines), range: 0..0 }) }
    }

    /// Reads the first `n_bytes` of the storage, block by block or as much as a buffer holds, and computes their
    /// [`checksum`](crate::checksum): that of the model file, if the storage has the right one.
    ///
    /// # Errors
    /// Errors of the storage.
    pub fn checksum(&mut self, n_bytes: u64) -> Result<u32, StorageError> {
        let [Buffer { bytes, range }, _] = &mut self.buffers;
        *range = 0..0;
        let mut block = [0; Self::BLOCK];
        let whole = bytes.len() - bytes.len() % Self::BLOCK;
        let part = bytes.get_mut(..whole).filter(|part| !part.is_empty()).unwrap_or(&mut block);
        let (mut words, mut at) = (Words::behind(Checksum::EMPTY), 0);
        while at < n_bytes {
            let n_left = usize::try_from(n_bytes - at).unwrap_or(usize::MAX);
            let n = part.len().min(n_left.checked_next_multiple_of(Self::BLOCK).unwrap_or(usize::MAX));
            let part = part.get_mut(..n).unwrap_or_default();
            self.storage.read(at, part, &mut || ())?;
            words.push(part.get(..n.min(n_left)).unwrap_or_default());
            at += n as u64;
        }
        Ok(words.get())
    }

    /// Bytes of each buffer.
    pub(crate) fn buffer_bytes(&self) -> usize {
        self.buffers.iter().map(|buffer| buffer.bytes.len()).min().unwrap_or(0)
    }

    /// Calls `work` with the bytes of `now`, which begin at a multiple of a block, and reads those of `next` meanwhile.
    pub(crate) fn run(
        &mut self,
        now: Range<u64>,
        next: Range<u64>,
        work: impl FnOnce(Window<'_>) -> Planned,
    ) -> Result<(), RunError> {
        let [current, other] = &mut self.buffers;
        current.read(self.storage, &now, &mut || ())?;
        let (mut work, mut done) = (Some(work), None);
        let mut work = || {
            if let Some(work) = work.take() {
                done = work(current.window());
            }
        };
        if next != now {
            other.read(self.storage, &next, &mut work)?;
        }
        work();
        if next != now {
            self.buffers.reverse();
        }
        done.ok_or(RunError::Broken)
    }
}

/// One of the two buffers, with bytes of the file.
struct Buffer<'m> {
    bytes: &'m mut [u8],
    /// Range of the file that was read; empty at first and after an error.
    range: Range<u64>,
}

impl Buffer<'_> {
    fn read(&mut self, storage: &mut dyn Storage, range: &Range<u64>, work: &mut dyn FnMut()) -> Result<(), RunError> {
        if self.range == *range {
            return Ok(());
        }
        self.range = 0..0;
        let n = usize::try_from(range.end - range.start).ok();
        let bytes = n.and_then(|n| self.bytes.get_mut(..n)).ok_or(RunError::Broken)?;
        storage.read(range.start, bytes, work).map_err(|error| RunError::Storage { at: range.start, error })?;
        self.range = range.clone();
        Ok(())
    }

    fn window(&self) -> Window<'_> {
        Window { at: self.range.start, bytes: self.bytes }
    }
}

/// Bytes of a file from a place on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Window<'w> {
    at: u64,
    bytes: &'w [u8],
}

impl<'w> Window<'w> {
    /// The window of layers that are in memory.
    pub(crate) const NONE: Self = Self { at: 0, bytes: &[] };

    /// `n_bytes` of the file from `at` on; `None` if they are not all there.
    pub(crate) fn get(&self, at: u64, n_bytes: u64) -> Option<&'w [u8]> {
        let start = usize::try_from(at.checked_sub(self.at)?).ok()?;
        self.bytes.get(start..)?.get(..usize::try_from(n_bytes).ok()?)
    }
}

/// Range of whole blocks of the file with all bytes from the first of `parts` to the last; `None` without parts.
pub(crate) fn blocks_of(parts: impl Iterator<Item = Range<u64>>) -> Option<Range<u64>> {
    let all = parts.reduce(|a, b| a.start.min(b.start)..a.end.max(b.end))?;
    let (start, end) = whole_blocks(all.start, all.end);
    Some(start..end)
}
