//! GGUF files, read in place.
//!
//! The file, little-endian throughout (versions 2 and 3):
//! 1. `GGUF`, version `u32`, number of tensors `u64`, number of metadata entries `u64`;
//! 2. each entry: key (string), type `u32`, value; a string is a `u64` length and bytes;
//! 3. each tensor: name (string), number of dimensions `u32`, dimensions `u64` (the first runs fastest), type `u32`,
//!    offset `u64` from the start of the data;
//! 4. the data, from the next multiple of `general.alignment` (32 unless said) on.
//!
//! Source: ggml, `docs/gguf.md`.
//!
//! After [`Gguf::parse`] returned `Ok`, nothing read from the tables can fail or panic. What a tensor *means* is checked by
//! [`Model`](crate::Model); here only that it lies inside the file.

mod cursor;
mod long_arrays;
mod value;

use core::fmt;

use cursor::Cursor;
pub(crate) use cursor::attempt;
use long_arrays::LongArrays;
use nearfield_kernels::Layout;
pub use value::{Array, Value, ValueType};

/// Tensors a file may have: keeps loading linear in practice (lookups walk the table).
const MAX_TENSORS: u64 = 16_384;
/// Metadata entries a file may have.
const MAX_ENTRIES: u64 = 65_536;
/// Where a file says nothing else.
const DEFAULT_ALIGNMENT: usize = 32;
/// Alignment of the data that is accepted: far above any.
const MAX_ALIGNMENT: u64 = 1 << 20;
/// Dimensions of a tensor, as in ggml.
const MAX_DIMS: usize = 4;

/// Why the bytes are not a GGUF file that can be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum GgufError {
    /// The file does not begin with `GGUF`.
    Magic {
        /// Its first bytes.
        found: [u8; 4],
    },
    /// Not version 2 or 3.
    Version {
        /// The version in the file.
        found: u32,
    },
    /// The file ends before something in it does.
    Truncated {
        /// What is cut off.
        what: &'static str,
        /// Offset of its start.
        at: u64,
        /// Bytes it needs.
        needs: u64,
        /// Bytes that are left.
        has: u64,
    },
    /// More of something than any real file has.
    TooMany {
        /// Of what.
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
    /// Arrays nested too deep.
    Nesting {
        /// Offset of the innermost.
        at: u64,
        /// The depth that is read.
        limit: u32,
    },
    /// A key or tensor name that is not UTF-8.
    NotUtf8 {
        /// Which.
        what: &'static str,
        /// Its offset.
        at: u64,
    },
    /// `general.alignment` is not a power of two up to 2^20.
    Alignment {
        /// The value in the file; 0 when it is no unsigned integer.
        found: u64,
    },
    /// A tensor with more than four dimensions.
    Dimensions {
        /// Offset of the tensor's entry.
        at: u64,
        /// The number in the file.
        found: u32,
    },
    /// The dimensions of a tensor multiply to more than can be counted, or to rows of broken blocks.
    TensorSize {
        /// Offset of the tensor's entry.
        at: u64,
    },
    /// A tensor that does not lie inside the data.
    TensorBounds {
        /// Offset of the tensor's entry.
        at: u64,
        /// End of the tensor, counted from the start of the data.
        end: u64,
        /// Bytes of data in the file.
        has: u64,
    },
}

impl fmt::Display for GgufError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Magic { found } => {
                write!(f, "not a GGUF file: it begins with {:?}, not \"GGUF\"", found.escape_ascii_text())
            }
            Self::Version { found } => write!(f, "GGUF version {found}: versions 2 and 3 can be read"),
            Self::Truncated { what, at, needs, has } => {
                write!(f, "the file ends too early: {what} at byte {at} needs {needs} bytes, {has} are left")
            }
            Self::TooMany { what, found, limit } => write!(f, "{found} {what}: at most {limit} are read"),
            Self::ValueType { at, found } => write!(f, "unknown metadata type {found} at byte {at}"),
            Self::Nesting { at, limit } => write!(f, "arrays nested deeper than {limit} at byte {at}"),
            Self::NotUtf8 { what, at } => write!(f, "{what} at byte {at} is not UTF-8"),
            Self::Alignment { found } => {
                write!(f, "general.alignment is {found}, not a power of two up to {MAX_ALIGNMENT}")
            }
            Self::Dimensions { at, found } => {
                write!(f, "the tensor at byte {at} has {found} dimensions: at most {MAX_DIMS} are read")
            }
            Self::TensorSize { at } => {
                write!(f, "the dimensions of the tensor at byte {at} overflow or are not a whole number of blocks")
            }
            Self::TensorBounds { at, end, has } => {
                write!(f, "the tensor at byte {at} ends at byte {end} of the data, which has {has}")
            }
        }
    }
}

impl core::error::Error for GgufError {}

/// The first bytes of a file as text.
trait EscapeAscii {
    fn escape_ascii_text(&self) -> heapless::String<16>;
}

impl EscapeAscii for [u8; 4] {
    fn escape_ascii_text(&self) -> heapless::String<16> {
        // Four bytes escape to at most sixteen characters (`\xff` each).
        self.escape_ascii().map(char::from).collect()
    }
}

/// A tensor as the file describes it.
#[derive(Clone, Copy, Debug)]
pub struct TensorInfo<'f> {
    /// For example `blk.0.attn_qkv.weight`.
    pub name: &'f str,
    /// Number of dimensions; those past it are 1.
    pub n_dims: usize,
    /// Dimensions, fastest first: `[n_cols, n_rows, ...]`.
    pub dims: [u64; MAX_DIMS],
    /// The number of the weight type and its layout (see [`Layout::from_gguf`]), which the runtime may not know.
    pub ty: u32,
    /// Offset from the start of the data.
    pub offset: u64,
    /// Offset of this entry in the file.
    at: u64,
}

impl TensorInfo<'_> {
    /// Offset in the file of what follows this entry.
    pub const fn end(&self) -> u64 {
        self.type_at() + 4 + 8
    }

    /// Offset in the file of the type's number.
    pub const fn type_at(&self) -> u64 {
        // The entry: name with its length, number of dimensions, dimensions, type, offset.
        self.at + 8 + self.name.len() as u64 + 4 + 8 * self.n_dims as u64
    }

    /// Bytes of the tensor; `None` for a type that the runtime cannot read.
    pub const fn n_bytes(&self) -> Option<u64> {
        match self.size() {
            Ok(n) => n,
            Err(_) => None,
        }
    }

    /// `Ok(None)` for an unknown type.
    const fn size(&self) -> Result<Option<u64>, GgufError> {
        let error = Err(GgufError::TensorSize { at: self.at });
        let Some((ty, _)) = Layout::from_gguf(self.ty) else { return Ok(None) };
        let block_len = ty.block_len() as u64;
        if !self.dims[0].is_multiple_of(block_len) {
            return error;
        }
        let Some(mut n) = (self.dims[0] / block_len).checked_mul(ty.block_bytes() as u64) else { return error };
        let mut i = 1;
        while i < MAX_DIMS {
            n = match n.checked_mul(self.dims[i]) {
                Some(n) => n,
                None => return error,
            };
            i += 1;
        }
        Ok(Some(n))
    }
}

/// A GGUF file whose tables were checked.
#[derive(Clone, Copy, Debug)]
pub struct Gguf<'f> {
    file: &'f [u8],
    version: u32,
    n_entries: u64,
    entries_at: usize,
    long_arrays: LongArrays,
    n_tensors: u64,
    tensors_at: usize,
    data_at: usize,
}

impl<'f> Gguf<'f> {
    /// Reads and checks the tables; the weights stay where they are. A `const fn`, for boards.
    ///
    /// # Errors
    /// [`GgufError`] for anything that is not a well-formed file of version 2 or 3 with all tensors inside it.
    pub const fn parse(file: &'f [u8]) -> Result<Self, GgufError> {
        let mut cursor = Cursor::new(file, 0);
        let magic = attempt!(cursor.u32("the header")).to_le_bytes();
        if !matches!(&magic, b"GGUF") {
            return Err(GgufError::Magic { found: magic });
        }
        let version = attempt!(cursor.u32("the header"));
        if version != 2 && version != 3 {
            return Err(GgufError::Version { found: version });
        }
        let n_tensors = attempt!(cursor.u64("the header"));
        let n_entries = attempt!(cursor.u64("the header"));
        if n_tensors > MAX_TENSORS {
            return Err(GgufError::TooMany { what: "tensors", found: n_tensors, limit: MAX_TENSORS });
        }
        if n_entries > MAX_ENTRIES {
            return Err(GgufError::TooMany { what: "metadata entries", found: n_entries, limit: MAX_ENTRIES });
        }
        let entries_at = cursor.at();
        let mut long_arrays = LongArrays::NONE;
        let mut i = 0;
        while i < n_entries {
            if let (_, Value::Array(array)) = attempt!(read_entry(&mut cursor, file, &LongArrays::NONE)) {
                long_arrays.note(&array, cursor.at());
            }
            i += 1;
        }
        let tensors_at = cursor.at();
        let mut gguf = Self { file, version, n_entries, entries_at, long_arrays, n_tensors, tensors_at, data_at: 0 };
        let alignment = match gguf.get("general.alignment") {
            None => DEFAULT_ALIGNMENT,
            Some(value) => match value.as_u64() {
                Some(n) if n.is_power_of_two() && n <= MAX_ALIGNMENT => n as usize,
                Some(found) => return Err(GgufError::Alignment { found }),
                None => return Err(GgufError::Alignment { found: 0 }),
            },
        };
        let mut i = 0;
        while i < n_tensors {
            attempt!(read_tensor(&mut cursor));
            i += 1;
        }
        // The next multiple of a power of two. `at <= file.len() <= isize::MAX` and the alignment is at most 2^20: no overflow.
        // A file without weights may end early.
        let data_at = (cursor.at() + (alignment - 1)) & !(alignment - 1);
        gguf.data_at = if data_at > file.len() { file.len() } else { data_at };
        match gguf.check_tensors() {
            Ok(()) => Ok(gguf),
            Err(error) => Err(error),
        }
    }

    const fn check_tensors(&self) -> Result<(), GgufError> {
        let has = (self.file.len() - self.data_at) as u64;
        let mut cursor = Cursor::new(self.file, self.tensors_at);
        let mut i = 0;
        while i < self.n_tensors {
            let tensor = attempt!(read_tensor(&mut cursor));
            // Of an unknown type only the start can be checked.
            let n_bytes = match attempt!(tensor.size()) {
                Some(n) => n,
                None => 0,
            };
            let end = tensor.offset.saturating_add(n_bytes);
            if end > has {
                return Err(GgufError::TensorBounds { at: tensor.at, end, has });
            }
            i += 1;
        }
        Ok(())
    }

    /// 2 or 3.
    pub const fn version(&self) -> u32 {
        self.version
    }

    /// Number of metadata entries.
    pub const fn n_entries(&self) -> u64 {
        self.n_entries
    }

    /// Number of tensors.
    pub const fn n_tensors(&self) -> u64 {
        self.n_tensors
    }

    /// The metadata value of `key`; the first, should the key stand twice.
    pub const fn get(&self, key: &str) -> Option<Value<'f>> {
        self.get_joined("", key)
    }

    /// The metadata value of the key `prefix` + `suffix`.
    pub const fn get_joined(&self, prefix: &str, suffix: &str) -> Option<Value<'f>> {
        let mut cursor = Cursor::new(self.file, self.entries_at);
        let mut i = 0;
        while i < self.n_entries {
            // That keys are UTF-8 was seen when they were checked.
            let Ok(key) = cursor.string("a metadata key") else { return None };
            match Value::read(&mut cursor, self.file, &self.long_arrays) {
                Ok(value) if is_joined(key, prefix, suffix) => return Some(value),
                Ok(_) => i += 1,
                Err(_) => return None,
            }
        }
        None
    }

    /// The metadata, in the order of the file.
    pub fn entries(&self) -> impl Iterator<Item = (&'f str, Value<'f>)> + use<'f> {
        let (file, long_arrays) = (self.file, self.long_arrays);
        let mut cursor = Cursor::new(file, self.entries_at);
        (0..self.n_entries).map_while(move |_| read_entry(&mut cursor, file, &long_arrays).ok())
    }

    /// The tensors, in the order of the file.
    pub fn tensors(&self) -> impl Iterator<Item = TensorInfo<'f>> + use<'f> {
        let mut cursor = Cursor::new(self.file, self.tensors_at);
        (0..self.n_tensors).map_while(move |_| read_tensor(&mut cursor).ok())
    }

    /// The tensor called `prefix` + `suffix`; the first, should the name stand twice.
    pub const fn tensor(&self, prefix: &str, suffix: &str) -> Option<TensorInfo<'f>> {
        let mut cursor = Cursor::new(self.file, self.tensors_at);
        let mut i = 0;
        while i < self.n_tensors {
            let mut entry = cursor;
            let Ok(name) = cursor.string("a tensor's name") else { return None };
            if is_joined(name, prefix, suffix) {
                return match read_tensor(&mut entry) {
                    Ok(tensor) => Some(tensor),
                    Err(_) => None,
                };
            }
            // Of the others nothing but their length counts: dimensions, type and offset.
            let Ok(n_dims) = cursor.u32("a tensor's dimensions") else { return None };
            if cursor.take(8 * n_dims as u64 + 4 + 8, "a tensor").is_err() {
                return None;
            }
            i += 1;
        }
        None
    }

    /// Offset in the file of the first tensor's entry: where the metadata ends.
    pub const fn tensors_at(&self) -> usize {
        self.tensors_at
    }

    /// What the data's offset is a multiple of: `general.alignment`, or 32.
    pub const fn alignment(&self) -> usize {
        match self.get("general.alignment") {
            Some(value) => match value.as_u64() {
                Some(n) => n as usize,
                None => DEFAULT_ALIGNMENT,
            },
            None => DEFAULT_ALIGNMENT,
        }
    }

    /// Offset of the data in the file: what tensors count from.
    pub const fn data_at(&self) -> usize {
        self.data_at
    }

    /// `n_bytes` of the data from `offset` on; `None` if they are not all there.
    pub fn data(&self, offset: u64, n_bytes: u64) -> Option<&'f [u8]> {
        let start = usize::try_from(offset).ok()?;
        let n = usize::try_from(n_bytes).ok()?;
        self.file.get(self.data_at..)?.get(start..)?.get(..n)
    }
}

const fn read_entry<'f>(
    cursor: &mut Cursor<'f>,
    file: &'f [u8],
    long_arrays: &LongArrays,
) -> Result<(&'f str, Value<'f>), GgufError> {
    let key = attempt!(cursor.name("a metadata key"));
    Ok((key, attempt!(Value::read(cursor, file, long_arrays))))
}

const fn read_tensor<'f>(cursor: &mut Cursor<'f>) -> Result<TensorInfo<'f>, GgufError> {
    let at = cursor.at() as u64;
    let name = attempt!(cursor.name("a tensor's name"));
    let found = attempt!(cursor.u32("a tensor's dimensions"));
    if found as usize > MAX_DIMS {
        return Err(GgufError::Dimensions { at, found });
    }
    let n_dims = found as usize;
    let mut dims = [1; MAX_DIMS];
    let mut i = 0;
    while i < n_dims {
        dims[i] = attempt!(cursor.u64("a tensor's dimensions"));
        i += 1;
    }
    let ty = attempt!(cursor.u32("a tensor's type"));
    let offset = attempt!(cursor.u64("a tensor's offset"));
    Ok(TensorInfo { name, n_dims, dims, ty, offset, at })
}

/// Whether `text` is `prefix` followed by `suffix`.
const fn is_joined(text: &[u8], prefix: &str, suffix: &str) -> bool {
    // Most are told apart by that. Two texts in memory never have so many bytes that their sum overflows.
    if text.len() != prefix.len() + suffix.len() {
        return false;
    }
    let (mut text, mut prefix, mut suffix) = (text, prefix.as_bytes(), suffix.as_bytes());
    while let Some((want, rest)) = prefix.split_first() {
        match text.split_first() {
            Some((found, after)) if *found == *want => (text, prefix) = (after, rest),
            _ => return false,
        }
    }
    while let Some((want, rest)) = suffix.split_first() {
        match text.split_first() {
            Some((found, after)) if *found == *want => (text, suffix) = (after, rest),
            _ => return false,
        }
    }
    text.is_empty()
}
