//! Metadata values: thirteen types, arrays of them, arrays of arrays.

use super::GgufError;
use super::cursor::{Cursor, split_off};
use super::long_arrays::LongArrays;
use crate::const_math::attempt;

/// Greatest depth of arrays in arrays: enough for any published file, and small enough for a small stack.
const MAX_NESTING: u32 = 4;

/// Type of a metadata value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[allow(missing_docs)]
#[repr(u32)]
pub enum ValueType {
    U8 = 0,
    I8 = 1,
    U16 = 2,
    I16 = 3,
    U32 = 4,
    I32 = 5,
    F32 = 6,
    Bool = 7,
    String = 8,
    Array = 9,
    U64 = 10,
    I64 = 11,
    F64 = 12,
}

impl ValueType {
    const fn read(cursor: &mut Cursor<'_>) -> Result<Self, GgufError> {
        let at = cursor.at() as u64;
        Ok(match attempt!(cursor.u32("a value's type")) {
            0 => Self::U8,
            1 => Self::I8,
            2 => Self::U16,
            3 => Self::I16,
            4 => Self::U32,
            5 => Self::I32,
            6 => Self::F32,
            7 => Self::Bool,
            8 => Self::String,
            9 => Self::Array,
            10 => Self::U64,
            11 => Self::I64,
            12 => Self::F64,
            found => return Err(GgufError::ValueType { at, found }),
        })
    }

    /// Bytes of one element; `None` for strings and arrays, whose size is in the file.
    const fn bytes(self) -> Option<u64> {
        match self {
            Self::U8 | Self::I8 | Self::Bool => Some(1),
            Self::U16 | Self::I16 => Some(2),
            Self::U32 | Self::I32 | Self::F32 => Some(4),
            Self::U64 | Self::I64 | Self::F64 => Some(8),
            Self::String | Self::Array => None,
        }
    }

    /// Name of the type in messages.
    pub const fn name(self) -> &'static str {
        match self {
            Self::U8 => "u8",
            Self::I8 => "i8",
            Self::U16 => "u16",
            Self::I16 => "i16",
            Self::U32 => "u32",
            Self::I32 => "i32",
            Self::F32 => "f32",
            Self::Bool => "bool",
            Self::String => "string",
            Self::Array => "array",
            Self::U64 => "u64",
            Self::I64 => "i64",
            Self::F64 => "f64",
        }
    }
}

/// A metadata value, in place.
#[derive(Clone, Copy, Debug, PartialEq)]
#[allow(missing_docs)]
pub enum Value<'f> {
    U8(u8),
    I8(i8),
    U16(u16),
    I16(i16),
    U32(u32),
    I32(i32),
    U64(u64),
    I64(i64),
    F32(f32),
    F64(f64),
    Bool(bool),
    /// Bytes that need not be UTF-8.
    String(&'f [u8]),
    Array(Array<'f>),
}

/// An array value: `len` elements of one type, one after the other in `body`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Array<'f> {
    /// Type of the elements.
    pub ty: ValueType,
    /// Number of elements.
    pub len: u64,
    /// Bytes of the elements, as they lie in the file.
    pub body: &'f [u8],
}

impl<'f> Value<'f> {
    /// Reads a value that was checked before. Arrays in `long_arrays` are not walked over again.
    pub(super) const fn read(
        cursor: &mut Cursor<'f>,
        file: &'f [u8],
        long_arrays: &LongArrays,
    ) -> Result<Self, GgufError> {
        let ty = attempt!(ValueType::read(cursor));
        Self::read_as(ty, cursor, file, long_arrays, Bools::Checked)
    }

    /// Reads and checks a value for the first time, including the truth values in arrays.
    pub(super) const fn check(cursor: &mut Cursor<'f>, file: &'f [u8]) -> Result<Self, GgufError> {
        let ty = attempt!(ValueType::read(cursor));
        Self::read_as(ty, cursor, file, &LongArrays::NONE, Bools::Unknown)
    }

    const fn read_as(
        ty: ValueType,
        cursor: &mut Cursor<'f>,
        file: &'f [u8],
        long_arrays: &LongArrays,
        bools: Bools,
    ) -> Result<Self, GgufError> {
        const WHAT: &str = "a metadata value";
        Ok(match ty {
            ValueType::U8 => Self::U8(attempt!(cursor.u8(WHAT))),
            ValueType::I8 => Self::I8(attempt!(cursor.u8(WHAT)) as i8),
            ValueType::U16 => Self::U16(attempt!(cursor.u16(WHAT))),
            ValueType::I16 => Self::I16(attempt!(cursor.u16(WHAT)) as i16),
            ValueType::U32 => Self::U32(attempt!(cursor.u32(WHAT))),
            ValueType::I32 => Self::I32(attempt!(cursor.u32(WHAT)) as i32),
            ValueType::U64 => Self::U64(attempt!(cursor.u64(WHAT))),
            ValueType::I64 => Self::I64(attempt!(cursor.u64(WHAT)) as i64),
            ValueType::F32 => Self::F32(f32::from_bits(attempt!(cursor.u32(WHAT)))),
            ValueType::F64 => Self::F64(f64::from_bits(attempt!(cursor.u64(WHAT)))),
            ValueType::Bool => Self::Bool(attempt!(read_bool(cursor))),
            ValueType::String => Self::String(attempt!(cursor.string(WHAT))),
            ValueType::Array => {
                let ty = attempt!(ValueType::read(cursor));
                let len = attempt!(cursor.u64("an array's length"));
                let start = cursor.at();
                match long_arrays.n_bytes(start) {
                    Some(n_bytes) => _ = attempt!(cursor.take(n_bytes as u64, WHAT)),
                    None => attempt!(skip(ty, len, cursor, 1, bools)),
                }
                let needs = (cursor.at() - start) as u64;
                let Some(body) = split_off(file, start, cursor.at() - start) else {
                    return Err(GgufError::Truncated { what: WHAT, at: start as u64, needs, has: 0 });
                };
                Self::Array(Array { ty, len, body })
            }
        })
    }

    /// Converts a value of any integer type to an unsigned number; `None` for negative numbers and other types.
    pub const fn as_u64(self) -> Option<u64> {
        Some(match self {
            Self::U8(x) => x as u64,
            Self::U16(x) => x as u64,
            Self::U32(x) => x as u64,
            Self::U64(x) => x,
            Self::I8(x) if x >= 0 => x as u64,
            Self::I16(x) if x >= 0 => x as u64,
            Self::I32(x) if x >= 0 => x as u64,
            Self::I64(x) if x >= 0 => x as u64,
            _ => return None,
        })
    }

    /// Converts an `f32` or `f64` to `f32`; `None` for other types.
    pub const fn as_f32(self) -> Option<f32> {
        match self {
            Self::F32(x) => Some(x),
            Self::F64(x) => Some(x as f32),
            _ => None,
        }
    }

    /// Type of the value.
    pub const fn ty(self) -> ValueType {
        match self {
            Self::U8(_) => ValueType::U8,
            Self::I8(_) => ValueType::I8,
            Self::U16(_) => ValueType::U16,
            Self::I16(_) => ValueType::I16,
            Self::U32(_) => ValueType::U32,
            Self::I32(_) => ValueType::I32,
            Self::U64(_) => ValueType::U64,
            Self::I64(_) => ValueType::I64,
            Self::F32(_) => ValueType::F32,
            Self::F64(_) => ValueType::F64,
            Self::Bool(_) => ValueType::Bool,
            Self::String(_) => ValueType::String,
            Self::Array(_) => ValueType::Array,
        }
    }
}

/// State of an array's truth values. Checking them takes a step for each.
#[derive(Clone, Copy, Debug)]
enum Bools {
    Checked,
    Unknown,
}

/// A truth value: 0 or 1. Source: ggml, `docs/gguf.md` ("anything else is invalid").
const fn read_bool(cursor: &mut Cursor<'_>) -> Result<bool, GgufError> {
    let at = cursor.at() as u64;
    match attempt!(cursor.u8("a metadata value")) {
        0 => Ok(false),
        1 => Ok(true),
        found => Err(GgufError::Bool { at, found }),
    }
}

/// Moves over `len` elements. The loop is bounded by the file: each string or array takes at least eight of its bytes, each
/// truth value one.
const fn skip(ty: ValueType, len: u64, cursor: &mut Cursor<'_>, depth: u32, bools: Bools) -> Result<(), GgufError> {
    const WHAT: &str = "an array's elements";
    if matches!((ty, bools), (ValueType::Bool, Bools::Unknown)) {
        // An array that is cut off gives that error first, as any other array does.
        let mut behind = *cursor;
        attempt!(behind.take(len, WHAT));
        while cursor.at() < behind.at() {
            attempt!(read_bool(cursor));
        }
        return Ok(());
    }
    if let Some(bytes) = ty.bytes() {
        // A product that overflows is more than any file holds.
        attempt!(cursor.take(len.saturating_mul(bytes), WHAT));
        return Ok(());
    }
    if depth > MAX_NESTING {
        return Err(GgufError::Nesting { at: cursor.at() as u64, limit: MAX_NESTING });
    }
    let mut i = 0;
    if matches!(ty, ValueType::String) {
        // Strings have a loop of their own, for speed: vocabularies have hundreds of thousands.
        while i < len {
            attempt!(cursor.string(WHAT));
            i += 1;
        }
        return Ok(());
    }
    while i < len {
        let ty = attempt!(ValueType::read(cursor));
        let len = attempt!(cursor.u64("an array's length"));
        attempt!(skip(ty, len, cursor, depth + 1, bools));
        i += 1;
    }
    Ok(())
}

impl<'f> Array<'f> {
    /// Iterates over the elements, in order.
    pub fn iter(self) -> impl Iterator<Item = Value<'f>> {
        let mut cursor = Cursor::new(self.body, 0);
        let value = move |_| Value::read_as(self.ty, &mut cursor, self.body, &LongArrays::NONE, Bools::Checked).ok();
        (0..self.len).map_while(value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_of_each_type_are_read_unless_negative() {
        for (value, number) in [
            (Value::U8(u8::MAX), u8::MAX.into()),
            (Value::U16(u16::MAX), u16::MAX.into()),
            (Value::U32(u32::MAX), u32::MAX.into()),
            (Value::U64(u64::MAX), u64::MAX),
            (Value::I8(i8::MAX), i8::MAX as u64),
            (Value::I16(i16::MAX), i16::MAX as u64),
            (Value::I32(i32::MAX), i32::MAX as u64),
            (Value::I64(i64::MAX), i64::MAX as u64),
        ] {
            assert_eq!((value.as_u64(), value.as_f32()), (Some(number), None), "{value:?}");
        }
        for zero in [Value::I8(0), Value::I16(0), Value::I32(0), Value::I64(0)] {
            assert_eq!(zero.as_u64(), Some(0), "{zero:?}");
        }
        for negative in [Value::I8(-1), Value::I16(-1), Value::I32(-1), Value::I64(-1)] {
            assert_eq!(negative.as_u64(), None, "{negative:?}");
        }
        for other in [Value::F32(1.0), Value::F64(1.0), Value::Bool(true), Value::String(b"1")] {
            assert_eq!(other.as_u64(), None, "{other:?}");
        }
        assert_eq!([Value::F32(0.1), Value::F64(0.1)].map(Value::as_f32), [Some(0.1); 2]);
    }
}
