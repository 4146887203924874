//! Bytes that an ELF file loads.

use std::fmt;

use object::read::elf::{ElfFile, ElfFile32, ElfFile64, FileHeader, ProgramHeader};
use object::{Endianness, FileKind};

/// Bytes of a firmware by address: sorted parts that do not touch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Image {
    parts: Vec<(u32, Vec<u8>)>,
}

/// Why a file cannot be made.
#[derive(Debug)]
pub enum Error {
    /// The file is not an ELF file that can be read.
    Elf(object::Error),
    /// No byte is loaded.
    Empty,
    /// A part ends above 4 GiB.
    Address(u64),
    /// Two parts overlap at this address.
    Overlap(u32),
    /// The parts are this far apart, too far for one raw image.
    Gap(u64),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Elf(error) => write!(f, "no ELF file: {error}"),
            Self::Empty => write!(f, "nothing in the file is loaded"),
            Self::Address(end) => write!(f, "a part ends at {end:#x}, above 4 GiB"),
            Self::Overlap(address) => write!(f, "two parts overlap at {address:#x}"),
            Self::Gap(gap) => write!(f, "a gap of {gap} bytes is too large for a raw image"),
        }
    }
}

impl std::error::Error for Error {}

impl From<object::Error> for Error {
    fn from(error: object::Error) -> Self {
        Self::Elf(error)
    }
}

/// Largest gap that [`Image::raw`] fills.
const MAX_GAP: u64 = 1 << 20;

impl Image {
    /// Bytes that an ELF file loads, at the addresses where they are stored (physical addresses).
    ///
    /// # Errors
    /// [`Error`] when the file is damaged or its parts cannot be stored together.
    pub fn from_elf(file: &[u8]) -> Result<Self, Error> {
        let parts = match FileKind::parse(file)? {
            FileKind::Elf32 => loaded(&ElfFile32::<Endianness>::parse(file)?)?,
            _ => loaded(&ElfFile64::<Endianness>::parse(file)?)?,
        };
        Self::new(parts)
    }

    /// Image of parts in any order. Parts that touch become one.
    ///
    /// # Errors
    /// [`Error::Empty`], [`Error::Address`] and [`Error::Overlap`].
    pub fn new(mut parts: Vec<(u64, Vec<u8>)>) -> Result<Self, Error> {
        parts.retain(|(_, bytes)| !bytes.is_empty());
        parts.sort_by_key(|&(address, _)| address);
        let mut merged: Vec<(u32, Vec<u8>)> = Vec::new();
        for (address, bytes) in parts {
            let end = address.saturating_add(bytes.len() as u64);
            let Some(start) = u32::try_from(address).ok().filter(|_| end <= 1 << 32) else {
                return Err(Error::Address(end));
            };
            match merged.last_mut() {
                Some((at, last)) if u64::from(*at) + last.len() as u64 > address => return Err(Error::Overlap(start)),
                Some((at, last)) if u64::from(*at) + last.len() as u64 == address => last.extend(bytes),
                _ => merged.push((start, bytes)),
            }
        }
        if merged.is_empty() { Err(Error::Empty) } else { Ok(Self { parts: merged }) }
    }

    /// Parts with their addresses, sorted.
    pub fn parts(&self) -> impl Iterator<Item = (u32, &[u8])> {
        self.parts.iter().map(|(address, bytes)| (*address, &bytes[..]))
    }

    /// Bytes in pages of `size`, aligned to `size`; what no part fills is 0.
    pub fn pages(&self, size: u32) -> Vec<(u32, Vec<u8>)> {
        let mut pages: Vec<(u32, Vec<u8>)> = Vec::new();
        for (mut address, mut bytes) in self.parts() {
            while !bytes.is_empty() {
                let (base, offset) = (address - address % size, (address % size) as usize);
                if pages.last().is_none_or(|&(at, _)| at != base) {
                    pages.push((base, vec![0; size as usize]));
                }
                let n = bytes.len().min(size as usize - offset);
                if let Some((_, page)) = pages.last_mut() {
                    page[offset..offset + n].copy_from_slice(&bytes[..n]);
                }
                (address, bytes) = (address.wrapping_add(n as u32), &bytes[n..]);
            }
        }
        pages
    }

    /// Bytes from the first address on as they lie in memory; gaps are 0.
    ///
    /// # Errors
    /// [`Error::Gap`] when parts are further apart than 1 MiB.
    pub fn raw(&self) -> Result<Vec<u8>, Error> {
        let mut raw = Vec::new();
        let start = self.parts().next().map_or(0, |(address, _)| address);
        for (address, bytes) in self.parts() {
            let gap = u64::from(address - start) - raw.len() as u64;
            if gap > MAX_GAP {
                return Err(Error::Gap(gap));
            }
            raw.resize((address - start) as usize, 0);
            raw.extend_from_slice(bytes);
        }
        Ok(raw)
    }
}

/// Parts that an ELF file loads from its bytes.
fn loaded<H: FileHeader<Endian = Endianness>>(elf: &ElfFile<'_, H>) -> Result<Vec<(u64, Vec<u8>)>, Error> {
    let endian = elf.endian();
    let mut parts = Vec::new();
    for header in elf.elf_program_headers() {
        if header.p_type(endian) == object::elf::PT_LOAD {
            let bytes = header.data(endian, elf.data()).map_err(|()| Error::Address(header.p_paddr(endian).into()))?;
            parts.push((header.p_paddr(endian).into(), bytes.to_vec()));
        }
    }
    Ok(parts)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// ELF file for 32-bit Arm with one program header for each part: address in memory, address in the file's image, bytes.
    fn elf(parts: &[(u32, u32, &[u8])]) -> Vec<u8> {
        let half = |value: u16| value.to_le_bytes();
        let word = |value: u32| value.to_le_bytes();
        let mut file = b"\x7fELF\x01\x01\x01\0\0\0\0\0\0\0\0\0".to_vec();
        file.extend([half(2), half(40)].concat());
        file.extend([word(1), word(0x1000_0101), word(52), word(0), word(0)].concat());
        file.extend([half(52), half(32), half(parts.len() as u16), half(40), half(0), half(0)].concat());
        let mut offset = 52 + 32 * parts.len() as u32;
        for &(memory, stored, bytes) in parts {
            let n = bytes.len() as u32;
            file.extend([1, offset, memory, stored, n, n, 5, 4].map(word).concat());
            offset += n;
        }
        file.extend(parts.iter().flat_map(|(.., bytes)| bytes.iter()));
        file
    }

    #[test]
    fn bytes_lie_where_they_are_stored() {
        // Variables are stored behind the code, and copied to memory at the start.
        let file = elf(&[
            (0x2000_0000, 0x1000_0104, &[5, 6]),
            (0x1000_0100, 0x1000_0100, &[1, 2, 3, 4]),
            (0x2000_0002, 0, &[]),
        ]);
        let image = Image::from_elf(&file).unwrap();
        assert_eq!(image.parts().collect::<Vec<_>>(), [(0x1000_0100, &[1, 2, 3, 4, 5, 6][..])]);
    }

    #[test]
    fn a_raw_image_has_zeros_between_parts() {
        let image = Image::new(vec![(0x8_0000, vec![1]), (0x8_0004, vec![2, 3])]).unwrap();
        assert_eq!(image.raw().unwrap(), [1, 0, 0, 0, 2, 3]);
        let far = Image::new(vec![(0, vec![1]), (0x2000_0000, vec![2])]).unwrap();
        assert!(matches!(far.raw(), Err(Error::Gap(gap)) if gap == 0x1fff_ffff));
    }

    #[test]
    fn files_that_cannot_be_stored_are_refused() {
        assert!(matches!(Image::from_elf(b"GGUF"), Err(Error::Elf(_))));
        assert!(matches!(Image::from_elf(&elf(&[])), Err(Error::Empty)));
        assert!(matches!(Image::from_elf(&elf(&[(0, 8, &[1, 2]), (0, 9, &[3])])), Err(Error::Overlap(9))));
        assert!(matches!(Image::from_elf(&elf(&[(0, !0, &[1, 2])])), Err(Error::Address(end)) if end == (1 << 32) + 1));
        let whole = elf(&[(0, 0, &[1, 2, 3])]);
        assert!((0..whole.len()).all(|n| Image::from_elf(&whole[..n]).is_err()));
    }
}
