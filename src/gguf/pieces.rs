//! A file's data in pieces, such as those of a split file, which lie in several files.

use core::fmt;

use super::error::{GgufError, Name};
use super::{Gguf, Length};

/// Data that do not lie together in memory.
///
/// Source: llama.cpp, `llama-gguf-split`: the data of its parts `NAME-00001-of-00003.gguf` follow each other.
pub trait Pieces: fmt::Debug + Sync {
    /// Returns the bytes from `offset` of all data on, as many as lie together; none past the end.
    fn data_from(&self, offset: u64) -> &[u8];
}

impl<'f> Gguf<'f> {
    /// Reads and checks tables whose data lie elsewhere: `tables` is a file up to the start of its data.
    ///
    /// # Errors
    /// Errors of [`parse`](Self::parse), and [`GgufError::TensorPieces`] for a tensor that does not lie in one piece.
    pub fn parse_in_pieces(tables: &'f [u8], pieces: &'f dyn Pieces) -> Result<Self, GgufError> {
        let mut n_data = 0;
        loop {
            match pieces.data_from(n_data).len() as u64 {
                0 => break,
                n => n_data = n_data.saturating_add(n),
            }
        }
        let (mut gguf, error) = Self::parse_tables(tables, Length::Data(n_data));
        if let Some(error) = error {
            return Err(error);
        }
        gguf.pieces = Some(pieces);
        for tensor in gguf.tensors() {
            let n_bytes = tensor.n_bytes().unwrap_or(0);
            if gguf.data(tensor.offset, n_bytes).is_none() {
                return Err(GgufError::TensorPieces { name: Name::new(tensor.name) });
            }
        }
        Ok(gguf)
    }

    /// Bytes before the data: header, metadata, tensors' entries and padding.
    pub fn tables(&self) -> &'f [u8] {
        self.file.get(..self.data_at).unwrap_or_default()
    }

    /// Bytes of the data.
    pub const fn n_data(&self) -> u64 {
        self.n_data
    }

    /// Bytes of the data from `offset` on, as many as lie together: in a file that was not split, all of them. Of a file that is
    /// [partly in memory](Self::parse_resident), bytes of the data there.
    pub fn data_from(&self, offset: u64) -> &'f [u8] {
        match self.pieces {
            Some(pieces) => pieces.data_from(offset),
            None => {
                let data = self.file.get(self.data_at..).unwrap_or_default();
                usize::try_from(offset).ok().and_then(|start| data.get(start..)).unwrap_or_default()
            }
        }
    }

    /// `n_bytes` of the data from `offset` on; `None` if they are not all in memory, in one piece. Of a file that is partly in memory, bytes of one
    /// tensor with its padding.
    pub fn data(&self, offset: u64, n_bytes: u64) -> Option<&'f [u8]> {
        self.data_at_place(self.place(offset, n_bytes)?, n_bytes)
    }

    /// `n_bytes` of the data in memory from [`place`](Self::place) on; `None` if they are not all there, in one piece.
    pub(crate) fn data_at_place(&self, place: u64, n_bytes: u64) -> Option<&'f [u8]> {
        self.data_from(place).get(..usize::try_from(n_bytes).ok()?)
    }
}
