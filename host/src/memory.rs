//! Memory for arenas.

use std::ops::{Deref, DerefMut};

use memmap2::MmapMut;
use nearfield::Line;

use crate::bytes::Bytes;
use crate::error::{Context, Result};

/// Zeroed memory; pages that are never written take no room.
#[derive(Debug)]
pub struct Memory(MmapMut);

impl Memory {
    /// Advises the system to use large pages, which make reading from one end to the other faster. A large page that is touched
    /// takes room as a whole.
    pub fn in_large_pages(self) -> Self {
        // Advice that is not taken changes nothing.
        #[cfg(target_os = "linux")]
        let _ = self.0.advise(memmap2::Advice::HugePage);
        self
    }
}

impl Deref for Memory {
    type Target = [Line];

    fn deref(&self) -> &[Line] {
        Line::whole(&self.0)
    }
}

impl DerefMut for Memory {
    fn deref_mut(&mut self) -> &mut [Line] {
        Line::whole_mut(&mut self.0)
    }
}

/// Allocates memory for an arena of `bytes` bytes, rounded up to whole lines.
pub fn allocate(bytes: usize) -> Result<Memory> {
    let map = MmapMut::map_anon(bytes.next_multiple_of(Line::BYTES));
    map.map(Memory).with_context(|| format!("no memory for an arena of {}", Bytes(bytes as u64)))
}
