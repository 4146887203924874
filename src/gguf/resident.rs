//! Files of which memory holds a part: the tables, the tensors outside the layers, and the first layers. The other layers lie in a
//! [`Storage`](crate::Storage).

use super::error::{GgufError, Name};
use super::{Gguf, Length, TensorInfo};
use crate::const_math::attempt;

/// Greatest length of a file in bytes: sums of offsets never overflow, and fit a word of the layer table.
const MAX_FILE: u64 = 1 << 48;

impl<'f> Gguf<'f> {
    /// Reads and checks the tables of a file of `n_bytes` bytes, of which `resident` is the part in memory. A `const fn`, for boards.
    ///
    /// The part is the file without the data of its layers from `n_layers` on: the tables with their padding, then the data of all other
    /// tensors in their order, each from the next multiple of the alignment on. [`resident_data`](Self::resident_data) has its ranges in the file.
    ///
    /// # Errors
    /// Errors of [`parse`](Self::parse), [`GgufError::Resident`] for a part of another length, and
    /// [`GgufError::StreamFeature`] without the feature `stream`.
    pub const fn parse_resident(resident: &'f [u8], n_bytes: u64, n_layers: usize) -> Result<Self, GgufError> {
        if !cfg!(feature = "stream") {
            return Err(GgufError::StreamFeature);
        }
        let n_bytes = if n_bytes < MAX_FILE { n_bytes } else { MAX_FILE };
        let mut gguf = match Self::parse_tables(resident, Length::File(n_bytes)) {
            (gguf, None) => gguf,
            (_, Some(error)) => return Err(error),
        };
        gguf.n_layers_resident = Some(n_layers);
        let alignment = gguf.alignment() as u64;
        let (mut cursor, mut i, mut end) = (gguf.tensor_cursor(), 0, gguf.data_at as u64);
        while i < gguf.n_tensors {
            let tensor = attempt!(TensorInfo::read(&mut cursor));
            if tensor.n_bytes().is_none() {
                return Err(GgufError::TensorSize { name: Name::new(tensor.name) });
            }
            if gguf.is_resident(&tensor) {
                // The sizes were added up to less than the file's length before.
                end += padded(&tensor, alignment);
            }
            i += 1;
        }
        // Tables that end early have no padding.
        let is_padded = gguf.data_at.is_multiple_of(gguf.alignment());
        if end != resident.len() as u64 || !is_padded {
            return Err(GgufError::Resident { want: end, found: resident.len() as u64 });
        }
        Ok(gguf)
    }

    /// True if the whole file is in memory.
    pub const fn is_whole(&self) -> bool {
        !cfg!(feature = "stream") || self.n_layers_resident.is_none()
    }

    /// True if the tensor's data are in memory.
    pub const fn is_resident(&self, tensor: &TensorInfo<'_>) -> bool {
        match (self.n_layers_resident, self.is_whole()) {
            (Some(n_layers), false) => match tensor.layer() {
                Some(layer) => layer < n_layers,
                None => true,
            },
            _ => true,
        }
    }

    /// Range in the file of each tensor's data, with its padding, that a part with the first `n_layers` layers holds behind the tables.
    pub fn resident_data(&self, n_layers: usize) -> impl Iterator<Item = core::ops::Range<u64>> {
        let (alignment, data_at) = (self.alignment() as u64, self.data_at as u64);
        let is_there = move |tensor: &TensorInfo<'_>| tensor.layer().is_none_or(|layer| layer < n_layers);
        self.tensors().filter(is_there).map(move |tensor| {
            let at = data_at.saturating_add(tensor.offset);
            at..at.saturating_add(padded(&tensor, alignment))
        })
    }

    /// Start of a layer's first tensor in the file and end of its last one; `None` if there is no such layer, or it lies beyond
    /// [any file](Self::parse_resident).
    pub(crate) const fn layer_data(&self, layer: usize) -> Option<(u64, u64)> {
        let (mut cursor, mut i, mut range) = (self.tensor_cursor(), 0, None);
        while i < self.n_tensors {
            let Ok(tensor) = TensorInfo::read(&mut cursor) else { return None };
            if matches!(tensor.layer(), Some(found) if found == layer) {
                let start = (self.data_at as u64).saturating_add(tensor.offset);
                let n = match tensor.n_bytes() {
                    Some(n) => n,
                    None => 0,
                };
                let end = start.saturating_add(n);
                if end > MAX_FILE {
                    return None;
                }
                range = match range {
                    Some((first, last)) => {
                        Some((if start < first { start } else { first }, if end > last { end } else { last }))
                    }
                    None => Some((start, end)),
                };
            }
            i += 1;
        }
        range
    }

    /// Place in memory, counted from the start of the data there, of `n_bytes` of a tensor's data from
    /// `offset` on; `None` if they lie in the storage, or beyond the tensor.
    pub(crate) fn place(&self, offset: u64, n_bytes: u64) -> Option<u64> {
        if self.is_whole() {
            return Some(offset);
        }
        let (alignment, mut place) = (self.alignment() as u64, 0);
        for tensor in self.tensors() {
            let (n, is_resident) = (padded(&tensor, alignment), self.is_resident(&tensor));
            match offset.checked_sub(tensor.offset) {
                Some(within) if within < n => {
                    return (is_resident && n_bytes <= n - within).then_some(place + within);
                }
                _ if is_resident => place += n,
                _ => {}
            }
        }
        None
    }
}

/// Bytes of a tensor's data with its padding; 0 for an unknown type.
///
/// - `alignment`: a power of two
const fn padded(tensor: &TensorInfo<'_>, alignment: u64) -> u64 {
    match tensor.n_bytes() {
        // Sizes have 63 bits at most, and alignments 20.
        Some(n) => n.wrapping_add(alignment.wrapping_sub(1)) & !alignment.wrapping_sub(1),
        None => 0,
    }
}
