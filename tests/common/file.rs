//! A file in memory, aligned as a mapping would be.

/// The bytes of a file, at an address that is a multiple of 64.
#[derive(Debug)]
pub struct File {
    bytes: Vec<u8>,
    start: usize,
    len: usize,
}

impl Clone for File {
    /// Copies into a new buffer, whose alignment may differ.
    fn clone(&self) -> Self {
        Self::new(self.bytes())
    }
}

impl File {
    pub fn new(file: &[u8]) -> Self {
        let mut bytes = vec![0; file.len() + 64];
        let start = bytes.as_ptr().align_offset(64);
        bytes[start..][..file.len()].copy_from_slice(file);
        Self { bytes, start, len: file.len() }
    }

    pub fn bytes(&self) -> &[u8] {
        &self.bytes[self.start..][..self.len]
    }

    pub fn bytes_mut(&mut self) -> &mut [u8] {
        &mut self.bytes[self.start..][..self.len]
    }
}
