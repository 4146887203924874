//! GGUF files, read in place.
//!
//! The file, little-endian throughout (versions 2 and 3):
//! 1. `GGUF`, version `u32`, number of tensors `u64`, number of metadata entries `u64`;
//! 2. each entry: key (string), type `u32`, value; a string is a `u64` length and bytes;
//! 3. each tensor: name (string), number of dimensions `u32`, dimensions `u64` (the first runs fastest), type `u32`,
//!    offset `u64` from the start of the data;
//! 4. the data, from the next multiple of `general.alignment` on (32 if the key is missing).
//!
//! Source: ggml, `docs/gguf.md`.
//!
//! After [`Gguf::parse`] returned `Ok`, no read from the tables can fail or panic, and every reader of GGUF finds the same in
//! them: ambiguous files are refused, as by ggml. Such a file has a key or a tensor twice, an empty key, tensors that overlap
//! or leave gaps, or data without the last padding. Here tensors are only checked to lie inside the file;
//! [`Model`](crate::Model) checks their names, shapes and types.

mod cursor;
mod error;
mod long_arrays;
mod names;
mod pieces;
mod resident;
mod tensor;
mod value;

use crate::const_math::attempt;
use cursor::Cursor;
pub use error::{GgufError, Name};
use long_arrays::LongArrays;
use names::{Group, Seen};
pub use pieces::Pieces;
use tensor::MAX_DIMS;
pub use tensor::TensorInfo;
pub use value::{Array, Value, ValueType};

/// Greatest number of tensors. The limit keeps loading linear in practice (lookups walk the table).
const MAX_TENSORS: u64 = 16_384;
/// Greatest number of metadata entries; published files have a hundred.
const MAX_ENTRIES: u64 = 16_384;
/// Greatest length of a key in bytes. Source: ggml, `docs/gguf.md`.
const MAX_KEY: u64 = 65_535;
const KEY: &str = "a metadata key";
/// Alignment of the data in bytes if `general.alignment` is missing.
const DEFAULT_ALIGNMENT: usize = 32;
/// Greatest alignment of the data in bytes, far above that of any published file.
const MAX_ALIGNMENT: u64 = 1 << 20;

/// A GGUF file whose tables were checked.
#[derive(Clone, Copy, Debug)]
pub struct Gguf<'f> {
    /// The whole file; of a file in pieces, its tables; of one that is partly in memory, that part.
    file: &'f [u8],
    version: u32,
    n_entries: u64,
    entries_at: usize,
    long_arrays: LongArrays,
    n_tensors: u64,
    tensors_at: usize,
    data_at: usize,
    n_data: u64,
    /// Source of the data, if they are not in `file`.
    pieces: Option<&'f dyn Pieces>,
    /// Number of layers whose data are in memory, from the first on; `None` for all of a whole file.
    n_layers_resident: Option<usize>,
}

/// Length of a file whose bytes are not all at hand.
#[derive(Clone, Copy, Debug)]
enum Length {
    /// Bytes that are at hand, which are all.
    AtHand,
    /// Bytes of the data.
    Data(u64),
    /// Bytes of the file.
    File(u64),
}

impl<'f> Gguf<'f> {
    /// Reads and checks the tables; the weights stay where they are. A `const fn`, for boards.
    ///
    /// # Errors
    /// [`GgufError`] for anything that is not a well-formed file of version 2 or 3 with all tensors inside it.
    pub const fn parse(file: &'f [u8]) -> Result<Self, GgufError> {
        match Self::parse_partly(file) {
            (gguf, None) => Ok(gguf),
            (_, Some(error)) => Err(error),
        }
    }

    /// Reads as much of the tables as can be read, and returns the error of the rest, for programs that inspect broken files.
    /// Only without an error do all tensors lie inside the file; otherwise [`data`](Self::data) may be `None`.
    pub const fn parse_partly(file: &'f [u8]) -> (Self, Option<GgufError>) {
        Self::parse_tables(file, Length::AtHand)
    }

    /// Reads as [`parse_partly`](Self::parse_partly) does, of a file whose data may lie outside `file`.
    const fn parse_tables(file: &'f [u8], length: Length) -> (Self, Option<GgufError>) {
        let mut gguf = Self {
            file,
            version: 0,
            n_entries: 0,
            entries_at: 0,
            long_arrays: LongArrays::NONE,
            n_tensors: 0,
            tensors_at: 0,
            data_at: file.len(),
            n_data: 0,
            pieces: None,
            n_layers_resident: None,
        };
        match gguf.read(length) {
            Ok(()) => (gguf, None),
            Err(error) => (gguf, Some(error)),
        }
    }

    /// Reads the tables in their order, so that after an error everything before it is there.
    const fn read(&mut self, length: Length) -> Result<(), GgufError> {
        let mut cursor = Cursor::new(self.file, 0);
        let magic = attempt!(cursor.u32("the header")).to_le_bytes();
        if !matches!(&magic, b"GGUF") {
            return Err(GgufError::Magic { found: magic });
        }
        self.version = attempt!(cursor.u32("the header"));
        match self.version {
            2 | 3 => {}
            // The magic is four bytes in either order, the numbers are not.
            found if found != 0 && found & 0xffff == 0 => {
                return Err(GgufError::BigEndian { version: found.swap_bytes() });
            }
            found => return Err(GgufError::Version { found }),
        }
        let n_tensors = attempt!(cursor.u64("the header"));
        let n_entries = attempt!(cursor.u64("the header"));
        if n_tensors > MAX_TENSORS {
            return Err(GgufError::TooMany { what: "tensors", found: n_tensors, limit: MAX_TENSORS });
        }
        if n_entries > MAX_ENTRIES {
            return Err(GgufError::TooMany { what: "metadata entries", found: n_entries, limit: MAX_ENTRIES });
        }
        self.entries_at = cursor.at();
        while self.n_entries < n_entries {
            attempt!(cursor.name(KEY, MAX_KEY));
            if let Value::Array(array) = attempt!(Value::check(&mut cursor, self.file)) {
                self.long_arrays.note(&array, cursor.at());
            }
            self.n_entries += 1;
        }
        attempt!(self.check_keys());
        let alignment = match self.get("general.alignment") {
            None => DEFAULT_ALIGNMENT as u64,
            Some(Value::U32(n)) => n as u64,
            Some(value) => return Err(GgufError::AlignmentType { found: value.ty() }),
        };
        if !alignment.is_power_of_two() || alignment > MAX_ALIGNMENT {
            return Err(GgufError::Alignment { found: alignment });
        }
        self.tensors_at = cursor.at();
        while self.n_tensors < n_tensors {
            attempt!(TensorInfo::read(&mut cursor));
            self.n_tensors += 1;
        }
        attempt!(self.check_names());
        // A file without weights may end early.
        self.data_at = match cursor.at().checked_next_multiple_of(alignment as usize) {
            Some(at) if at < self.file.len() => at,
            _ => self.file.len(),
        };
        self.n_data = match length {
            Length::AtHand => (self.file.len() - self.data_at) as u64,
            Length::Data(n) => n,
            Length::File(n) => n.saturating_sub(self.data_at as u64),
        };
        self.check_tensors(alignment)
    }

    const fn check_keys(&self) -> Result<(), GgufError> {
        let (n_groups, mut number, mut n_alike) = (names::n_groups(self.n_entries), 0, 0);
        while number < n_groups {
            let mut group = Group::new(number, n_groups);
            let mut cursor = Cursor::new(self.file, self.entries_at);
            let mut i = 0;
            while i < self.n_entries {
                let again = cursor.at() as u64;
                let key = attempt!(cursor.name(KEY, MAX_KEY));
                attempt!(Value::read(&mut cursor, self.file, &self.long_arrays));
                let seen = group.add(key.as_bytes());
                if matches!(seen, Seen::Perhaps)
                    && let Some((first, _)) = self.find("", key)
                    && first != again
                {
                    return Err(GgufError::DuplicateKey { key: Name::new(key), first, again });
                }
                attempt!(check_hashes(seen, &mut n_alike));
                i += 1;
            }
            number += 1;
        }
        Ok(())
    }

    const fn check_names(&self) -> Result<(), GgufError> {
        let (n_groups, mut number, mut n_alike) = (names::n_groups(self.n_tensors), 0, 0);
        while number < n_groups {
            let mut group = Group::new(number, n_groups);
            let mut cursor = self.tensor_cursor();
            let mut i = 0;
            while i < self.n_tensors {
                let tensor = attempt!(TensorInfo::read(&mut cursor));
                let seen = group.add(tensor.name.as_bytes());
                if matches!(seen, Seen::Perhaps)
                    && let Some(TensorInfo { at: first, .. }) = self.tensor(tensor.name, "")
                    && first != tensor.at
                {
                    let name = Name::new(tensor.name);
                    return Err(GgufError::DuplicateTensor { name, first, again: tensor.at });
                }
                attempt!(check_hashes(seen, &mut n_alike));
                i += 1;
            }
            number += 1;
        }
        Ok(())
    }

    /// Checks that each tensor begins where the one before it ends, up to the alignment, and that the last one's padding is
    /// there.
    const fn check_tensors(&self, alignment: u64) -> Result<(), GgufError> {
        let has = self.n_data;
        let mut cursor = self.tensor_cursor();
        let (mut expected, mut is_known, mut i) = (0, true, 0);
        while i < self.n_tensors {
            let tensor = attempt!(TensorInfo::read(&mut cursor));
            let found = tensor.offset;
            // Behind a tensor of an unknown type, whose length is also unknown, any aligned place may be the right one.
            let is_right = found == expected || !is_known && found > expected && found.is_multiple_of(alignment);
            if !is_right {
                return Err(GgufError::TensorOffset { name: Name::new(tensor.name), found, expected });
            }
            let n_bytes = attempt!(tensor.size());
            is_known = n_bytes.is_some();
            let n_bytes = match n_bytes {
                Some(n) => n,
                None => 0,
            };
            let end = match found.saturating_add(n_bytes).checked_next_multiple_of(alignment) {
                Some(end) => end,
                None => u64::MAX,
            };
            if end > has {
                return Err(GgufError::TensorBounds { name: Name::new(tensor.name), end, has });
            }
            expected = end;
            i += 1;
        }
        Ok(())
    }

    /// Version of the file: 2 or 3.
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

    /// Metadata value of `key`.
    pub const fn get(&self, key: &str) -> Option<Value<'f>> {
        self.get_joined("", key)
    }

    /// Metadata value of the key `prefix` + `suffix`.
    pub const fn get_joined(&self, prefix: &str, suffix: &str) -> Option<Value<'f>> {
        match self.find(prefix, suffix) {
            Some((_, value)) => Some(value),
            None => None,
        }
    }

    /// Finds the first entry of the key `prefix` + `suffix`: its offset in the file, and its value.
    const fn find(&self, prefix: &str, suffix: &str) -> Option<(u64, Value<'f>)> {
        let mut cursor = Cursor::new(self.file, self.entries_at);
        let mut i = 0;
        while i < self.n_entries {
            let at = cursor.at() as u64;
            // Keys were checked to be UTF-8 before.
            let Ok(key) = cursor.string(KEY) else { return None };
            match Value::read(&mut cursor, self.file, &self.long_arrays) {
                Ok(value) if is_joined(key, prefix, suffix) => return Some((at, value)),
                Ok(_) => i += 1,
                Err(_) => return None,
            }
        }
        None
    }

    /// Iterates over the metadata, in the order of the file.
    pub fn entries(&self) -> impl Iterator<Item = (&'f str, Value<'f>)> + use<'f> {
        let (file, long_arrays) = (self.file, self.long_arrays);
        let mut cursor = Cursor::new(file, self.entries_at);
        (0..self.n_entries).map_while(move |_| read_entry(&mut cursor, file, &long_arrays).ok())
    }

    /// Iterates over the tensors, in the order of the file.
    pub fn tensors(&self) -> impl Iterator<Item = TensorInfo<'f>> + use<'f> {
        let mut cursor = self.tensor_cursor();
        (0..self.n_tensors).map_while(move |_| TensorInfo::read(&mut cursor).ok())
    }

    /// Cursor at the first tensor's entry.
    const fn tensor_cursor(&self) -> Cursor<'f> {
        Cursor::new(self.file, self.tensors_at)
    }

    /// Finds the tensor called `prefix` + `suffix`.
    pub const fn tensor(&self, prefix: &str, suffix: &str) -> Option<TensorInfo<'f>> {
        let mut cursor = self.tensor_cursor();
        let mut i = 0;
        while i < self.n_tensors {
            let mut entry = cursor;
            let Ok(name) = TensorInfo::skip(&mut cursor) else { return None };
            if is_joined(name, prefix, suffix) {
                return match TensorInfo::read(&mut entry) {
                    Ok(tensor) => Some(tensor),
                    Err(_) => None,
                };
            }
            i += 1;
        }
        None
    }

    /// Offset in the file of the first tensor's entry, at the end of the metadata.
    pub const fn tensors_at(&self) -> usize {
        self.tensors_at
    }

    /// Alignment of the data in bytes: `general.alignment`, or 32.
    pub const fn alignment(&self) -> usize {
        match self.get("general.alignment") {
            Some(Value::U32(n)) => n as usize,
            _ => DEFAULT_ALIGNMENT,
        }
    }

    /// Offset of the data in the file, from which tensors' offsets count.
    pub const fn data_at(&self) -> usize {
        self.data_at
    }
}

const fn read_entry<'f>(
    cursor: &mut Cursor<'f>,
    file: &'f [u8],
    long_arrays: &LongArrays,
) -> Result<(&'f str, Value<'f>), GgufError> {
    let key = attempt!(cursor.name(KEY, MAX_KEY));
    Ok((key, attempt!(Value::read(cursor, file, long_arrays))))
}

/// Refuses files whose names were chosen to make the search for equal ones long.
const fn check_hashes(seen: Seen, n_alike: &mut u64) -> Result<(), GgufError> {
    *n_alike += match seen {
        Seen::No => 0,
        Seen::Perhaps => 1,
        Seen::NoRoom => names::MAX_ALIKE + 1,
    };
    if *n_alike > names::MAX_ALIKE {
        return Err(GgufError::TooMany {
            what: "names with the same hashes",
            found: *n_alike,
            limit: names::MAX_ALIKE,
        });
    }
    Ok(())
}

/// True if `text` is `prefix` followed by `suffix`.
const fn is_joined(text: &[u8], prefix: &str, suffix: &str) -> bool {
    // Most names differ in length. The sum of two lengths in memory never overflows.
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
