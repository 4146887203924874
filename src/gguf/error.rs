//! Error of bytes that are not a GGUF file that can be read.

use core::fmt::{self, Write};

use super::value::ValueType;
use super::{MAX_ALIGNMENT, MAX_DIMS};

/// A key or a tensor's name in an error: all of a name that is read, the beginning of a longer one.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Name {
    bytes: [u8; Self::MAX],
    len: u8,
}

impl Name {
    /// Greatest number of bytes that are kept.
    pub const MAX: usize = 63;

    /// Keeps as much of `name` as fits, in whole characters.
    pub const fn new(name: &str) -> Self {
        // Written so that the compiler sees that no index is out of bounds.
        let (mut bytes, mut len, mut i, mut rest) = ([0; Self::MAX], 0, 0, name.as_bytes());
        while let Some((byte, behind)) = rest.split_first() {
            let begins_character = *byte & 0xc0 != 0x80;
            if begins_character {
                len = i;
            }
            if i == Self::MAX {
                return Self { bytes, len: len as u8 };
            }
            bytes[i] = *byte;
            i += 1;
            rest = behind;
        }
        Self { bytes, len: i as u8 }
    }

    /// Text of the name.
    pub fn as_str(&self) -> &str {
        self.bytes.get(..self.len.into()).and_then(|bytes| core::str::from_utf8(bytes).ok()).unwrap_or_default()
    }
}

impl fmt::Display for Name {
    /// Writes the name on one line; control characters and line separators are escaped.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_str().chars().try_for_each(|c| match c {
            '\u{2028}' | '\u{2029}' => c.escape_unicode().fmt(f),
            c if c.is_control() => c.escape_unicode().fmt(f),
            c => f.write_char(c),
        })
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_str().fmt(f)
    }
}

#[cfg(feature = "defmt")]
impl defmt::Format for Name {
    fn format(&self, f: defmt::Formatter<'_>) {
        defmt::write!(f, "{=str}", self.as_str());
    }
}

/// Error of bytes that are not a GGUF file that can be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum GgufError {
    /// The file does not begin with `GGUF`.
    Magic {
        /// First bytes of the file.
        found: [u8; 4],
    },
    /// The version is neither 2 nor 3.
    Version {
        /// The version in the file.
        found: u32,
    },
    /// The numbers in the file have their highest byte first.
    BigEndian {
        /// The version in the file.
        version: u32,
    },
    /// The file ends before something in it does.
    Truncated {
        /// The thing that is cut off.
        what: &'static str,
        /// Offset of its start.
        at: u64,
        /// Bytes that it needs.
        needs: u64,
        /// Bytes that are left.
        has: u64,
    },
    /// More of something than any real file has.
    TooMany {
        /// The things that are too many.
        what: &'static str,
        /// The number in the file.
        found: u64,
        /// The largest number that is read.
        limit: u64,
    },
    /// An unknown type of metadata value.
    ValueType {
        /// Offset of the type.
        at: u64,
        /// The number in the file.
        found: u32,
    },
    /// A truth value that is neither 0 nor 1.
    Bool {
        /// Offset of the truth value.
        at: u64,
        /// The byte in the file.
        found: u8,
    },
    /// Arrays nested too deep.
    Nesting {
        /// Offset of the innermost array.
        at: u64,
        /// The depth that is read.
        limit: u32,
    },
    /// A key or tensor name that is not UTF-8.
    NotUtf8 {
        /// The kind of name.
        what: &'static str,
        /// Offset of the name.
        at: u64,
    },
    /// A key or tensor name without a byte.
    EmptyName {
        /// The kind of name.
        what: &'static str,
        /// Offset of the name.
        at: u64,
    },
    /// A key or tensor name that is longer than GGUF allows.
    LongName {
        /// The kind of name.
        what: &'static str,
        /// Offset of the name.
        at: u64,
        /// Length of the name in bytes.
        found: u64,
        /// Greatest length in bytes.
        limit: u64,
    },
    /// A key that stands twice, so that its value is ambiguous.
    DuplicateKey {
        /// The key.
        key: Name,
        /// Offset of the first entry.
        first: u64,
        /// Offset of the other entry.
        again: u64,
    },
    /// Two tensors of one name.
    DuplicateTensor {
        /// The name.
        name: Name,
        /// Offset of the first tensor's entry.
        first: u64,
        /// Offset of the other tensor's entry.
        again: u64,
    },
    /// `general.alignment` is not a power of two up to 2^20.
    Alignment {
        /// The value in the file.
        found: u64,
    },
    /// `general.alignment` is not a `u32`.
    AlignmentType {
        /// Type of the value.
        found: ValueType,
    },
    /// A tensor with more than four dimensions.
    Dimensions {
        /// Name of the tensor.
        name: Name,
        /// The number in the file.
        found: u32,
    },
    /// The dimensions of a tensor multiply to more than can be counted, or to rows of broken blocks.
    TensorSize {
        /// Name of the tensor.
        name: Name,
    },
    /// A tensor does not begin where the one before it ends: it overlaps that one, or bytes of unknown meaning lie between.
    TensorOffset {
        /// Name of the tensor.
        name: Name,
        /// Offset of the tensor in the data.
        found: u64,
        /// End of the tensor before it and of its padding.
        expected: u64,
    },
    /// A tensor that does not lie inside the data, or whose padding does not.
    TensorBounds {
        /// Name of the tensor.
        name: Name,
        /// End of the tensor and its padding, counted from the start of the data.
        end: u64,
        /// Bytes of data in the file.
        has: u64,
    },
    /// A tensor that lies in two pieces of the data.
    TensorPieces {
        /// Name of the tensor.
        name: Name,
    },
    /// The part of a file that is in memory has another length than the tensors there.
    Resident {
        /// Bytes of the tables and these tensors.
        want: u64,
        /// Bytes of the part.
        found: u64,
    },
    /// A file is partly in memory, and the feature `stream` is not built in.
    StreamFeature,
}

impl fmt::Display for GgufError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Magic { found } => {
                write!(f, "not a GGUF file: it begins with \"{}\", not \"GGUF\"", found.escape_ascii_text())
            }
            Self::Version { found } => {
                write!(f, "GGUF version {found}: versions 2 and 3 can be read")?;
                match found {
                    0 | 1 => f.write_str("; convert the model anew"),
                    _ => Ok(()),
                }
            }
            Self::BigEndian { version } => write!(
                f,
                "a big-endian GGUF file of version {version}: little-endian ones can be read \
                 (gguf_convert_endian.py FILE little turns it, from llama.cpp's gguf-py)"
            ),
            Self::Truncated { what, at, needs, has } => {
                write!(f, "the file ends too early: {what} at byte {at} needs {needs} bytes, {has} are left")
            }
            Self::TooMany { what, found, limit } => write!(f, "{found} {what}: at most {limit} are read"),
            Self::ValueType { at, found } => write!(f, "unknown metadata type {found} at byte {at}"),
            Self::Bool { at, found } => write!(f, "the truth value at byte {at} is {found}, neither 0 nor 1"),
            Self::Nesting { at, limit } => write!(f, "arrays nested deeper than {limit} at byte {at}"),
            Self::NotUtf8 { what, at } => write!(f, "{what} at byte {at} is not UTF-8"),
            Self::EmptyName { what, at } => write!(f, "{what} at byte {at} is empty"),
            Self::LongName { what, at, found, limit } => {
                write!(f, "{what} at byte {at} has {found} bytes: at most {limit} are read")
            }
            Self::DuplicateKey { key, first, again } => {
                write!(f, "the key {key} stands twice: at byte {first} and at byte {again}")
            }
            Self::DuplicateTensor { name, first, again } => {
                write!(f, "the tensor {name} stands twice: its entries are at byte {first} and at byte {again}")
            }
            Self::Alignment { found } => {
                write!(f, "general.alignment is {found}, not a power of two up to {MAX_ALIGNMENT}")
            }
            Self::AlignmentType { found } => write!(f, "general.alignment is of type {}, not u32", found.name()),
            Self::Dimensions { name, found } => {
                write!(f, "the tensor {name} has {found} dimensions: at most {MAX_DIMS} are read")
            }
            Self::TensorSize { name } => {
                write!(f, "the dimensions of the tensor {name} overflow or are not a whole number of blocks")
            }
            Self::TensorOffset { name, found, expected } => {
                let why = if found < expected { "overlaps" } else { "leaves a gap behind" };
                write!(f, "the tensor {name} lies at byte {found} of the data, not {expected}: it {why} the one before")
            }
            Self::TensorBounds { name, end, has } => {
                write!(
                    f,
                    "the tensor {name} ends at byte {end} of the data (padding included), which has {has}: \
                     the file is cut short"
                )
            }
            Self::TensorPieces { name } => write!(f, "the tensor {name} does not lie in one piece of the data"),
            Self::StreamFeature => {
                f.write_str("a file of which memory holds a part needs the feature `stream` of nearfield")
            }
            Self::Resident { want, found } => {
                write!(f, "the part of the file in memory has {found} bytes, its tables and tensors have {want}")
            }
        }
    }
}

impl core::error::Error for GgufError {}

/// Text of a file's first bytes.
trait EscapeAscii {
    fn escape_ascii_text(&self) -> heapless::String<16>;
}

impl EscapeAscii for [u8; 4] {
    fn escape_ascii_text(&self) -> heapless::String<16> {
        // Four bytes escape to at most sixteen characters (`\xff` each).
        self.escape_ascii().map(char::from).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_cut_between_characters() {
        const AT_COMPILE_TIME: Name = Name::new("blk.0.attn_q.weight");
        assert_eq!(AT_COMPILE_TIME.as_str(), "blk.0.attn_q.weight");
        let long = "é".repeat(40);
        assert_eq!(Name::new(&long).as_str(), "é".repeat(31));
        assert_eq!(heapless::format!(64; "{}", Name::new("a\u{1b}b")).unwrap(), "a\\u{1b}b");
    }
}
