//! Files of safetensors: a table in JSON and the numbers behind it.
//!
//! A file is the table's length in bytes `u64`, the table, the data, all little-endian. An entry of the table is
//! `"name": {"dtype": "F16", "shape": [rows, columns], "data_offsets": [begin, end]}`, offsets from the data's start. Tensors
//! lie one behind the other, in any order, and fill the data. `__metadata__` is no tensor but a map of strings: of tensors that
//! share their numbers `safetensors.torch.save_model` stores one, and `"name": "name of the stored one"` for each other.
//! Source: huggingface/safetensors, README, "Format", and `bindings/python/py_src/safetensors/torch.py`.
//!
//! After [`Table::parse`] every tensor lies inside the data and is as long as its shape says.

use std::collections::HashSet;
use std::fmt;
use std::ops::Range;

use half::{bf16, f16};
use serde_core::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::{Map, Value};

use crate::error::{Context, Result, bail, ensure};
use crate::lfs_pointer;

/// Greatest length of a table in bytes, as in the reference implementation.
const MAX_TABLE: u64 = 100_000_000;

/// Type of a tensor's numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dtype {
    F32,
    F16,
    BF16,
    /// Type that no weights have (masks, positions, quantized numbers), by its bits per number.
    Other(u64),
}

impl Dtype {
    fn parse(name: &str) -> Option<Self> {
        Some(match name {
            "F32" => Self::F32,
            "F16" => Self::F16,
            "BF16" => Self::BF16,
            "F4" => Self::Other(4),
            "F6_E2M3" | "F6_E3M2" => Self::Other(6),
            "BOOL" | "U8" | "I8" => Self::Other(8),
            "F8_E5M2" | "F8_E4M3" | "F8_E8M0" | "F8_E4M3FNUZ" | "F8_E5M2FNUZ" => Self::Other(8),
            "I16" | "U16" => Self::Other(16),
            "I32" | "U32" => Self::Other(32),
            "F64" | "I64" | "U64" | "C64" => Self::Other(64),
            _ => return None,
        })
    }

    /// Bits of one number.
    fn bits(self) -> u64 {
        match self {
            Self::F32 => 32,
            Self::F16 | Self::BF16 => 16,
            Self::Other(bits) => bits,
        }
    }

    /// Bytes of one float.
    pub fn bytes(self) -> usize {
        self.bits() as usize / 8
    }

    /// Reads the first `out.len()` numbers of `bytes`.
    pub fn read(self, bytes: &[u8], out: &mut [f32]) {
        fn each<const N: usize>(bytes: &[u8], out: &mut [f32], read: impl Fn([u8; N]) -> f32) {
            for (out, bytes) in out.iter_mut().zip(bytes.as_chunks().0) {
                *out = read(*bytes);
            }
        }
        match self {
            Self::F32 => each(bytes, out, f32::from_le_bytes),
            Self::F16 => each(bytes, out, |bytes| f16::from_le_bytes(bytes).to_f32()),
            Self::BF16 => each(bytes, out, |bytes| bf16::from_le_bytes(bytes).to_f32()),
            Self::Other(_) => unreachable!("only floats are read: see `Checkpoint::tensor`"),
        }
    }
}

/// Entry of the table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    pub name: String,
    pub dtype: Dtype,
    /// Name of the type in the file.
    pub dtype_name: String,
    pub shape: Vec<u64>,
    /// Range of the numbers in the file.
    pub bytes: Range<usize>,
}

/// Table of a file.
#[derive(Debug)]
pub struct Table {
    /// Entries in the order of the data.
    pub entries: Vec<Entry>,
    /// Other names of tensors, each with the name in the file.
    pub aliases: Vec<(String, String)>,
}

impl Table {
    /// Parses and checks the table of a whole file.
    pub fn parse(file: &[u8]) -> Result<Self> {
        lfs_pointer::check(file)?;
        let Some((length, rest)) = file.split_first_chunk::<8>() else {
            bail!("not a safetensors file: {} bytes, too few for a table", file.len());
        };
        let length = u64::from_le_bytes(*length);
        ensure!(length <= MAX_TABLE, "not a safetensors file: its table would have {length} bytes");
        let Some((table, data)) = rest.split_at_checked(length as usize) else {
            bail!("the file is cut off: its table has {length} bytes, {} are there", rest.len());
        };
        let Object(parsed) =
            serde_json::from_slice(table).context("not a safetensors file: its table is not a JSON object")?;
        let mut table = Map::new();
        for (key, value) in parsed {
            ensure!(!table.contains_key(&key), "{key} stands twice in the file's table");
            table.insert(key, value);
        }
        let metadata = table.remove("__metadata__");
        let data_at = file.len() - data.len();
        let mut entries = Vec::new();
        for (name, entry) in table {
            entries.push(Entry::parse(name, &entry, data_at, data.len() as u64)?);
        }
        entries.sort_by_key(|entry| (entry.bytes.start, entry.bytes.end));
        let (mut end, mut before) = (data_at, "the table");
        for Entry { name, bytes, .. } in &entries {
            ensure!(bytes.start >= end, "the tensors {before} and {name} overlap");
            ensure!(bytes.start == end, "{} bytes between {before} and {name} belong to no tensor", bytes.start - end);
            (end, before) = (bytes.end, name);
        }
        ensure!(end == file.len(), "{} bytes behind {before} belong to no tensor", file.len() - end);
        Ok(Self { aliases: aliases(metadata, &entries), entries })
    }
}

/// Pairs of `__metadata__` that are aliases: a name without a tensor, and the name of a tensor.
fn aliases(metadata: Option<Value>, entries: &[Entry]) -> Vec<(String, String)> {
    let Some(Value::Object(metadata)) = metadata else { return Vec::new() };
    let names: HashSet<&str> = entries.iter().map(|entry| entry.name.as_str()).collect();
    let pairs = metadata.into_iter().filter_map(|(name, value)| Some((name, value.as_str()?.to_owned())));
    pairs.filter(|(name, stored)| !names.contains(name.as_str()) && names.contains(stored.as_str())).collect()
}

/// Keys and values of a JSON object, in its order; keys may repeat.
struct Object(Vec<(String, Value)>);

impl<'de> Deserialize<'de> for Object {
    fn deserialize<D: Deserializer<'de>>(json: D) -> Result<Self, D::Error> {
        struct Entries;

        impl<'de> Visitor<'de> for Entries {
            type Value = Object;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Object, M::Error> {
                let mut entries = Vec::new();
                while let Some(entry) = map.next_entry()? {
                    entries.push(entry);
                }
                Ok(Object(entries))
            }
        }

        json.deserialize_map(Entries)
    }
}

impl Entry {
    fn parse(name: String, entry: &Value, data_at: usize, data_len: u64) -> Result<Self> {
        let dtype_name = entry.get("dtype").and_then(Value::as_str);
        let dtype_name = dtype_name.with_context(|| format!("the tensor {name} has no dtype"))?.to_owned();
        let dtype = Dtype::parse(&dtype_name)
            .with_context(|| format!("the tensor {name} is of type {dtype_name}, which is not known"))?;
        let shape = counts(entry.get("shape")).with_context(|| format!("the tensor {name} has no shape"))?;
        let offsets = counts(entry.get("data_offsets"));
        let Some([begin, end]) = offsets.as_deref() else { bail!("the tensor {name} has no data_offsets") };
        let (begin, end) = (*begin, *end);
        ensure!(begin <= end, "the tensor {name} ends at {end}, before its begin at {begin}");
        ensure!(
            end <= data_len,
            "the file is cut off: the tensor {name} ends at byte {end} of the data, {data_len} are there"
        );
        let n_bits = shape.iter().try_fold(dtype.bits(), |n, &dim| n.checked_mul(dim));
        let n_bytes = n_bits.with_context(|| format!("the tensor {name} is too large: {shape:?}"))?.div_ceil(8);
        ensure!(
            n_bytes == end - begin,
            "the tensor {name} has {} bytes: {shape:?} in {dtype_name} are {n_bytes}",
            end - begin
        );
        // Both are at most the file's length, which is in memory.
        let bytes = data_at + begin as usize..data_at + end as usize;
        Ok(Self { name, dtype, dtype_name, shape, bytes })
    }
}

fn counts(value: Option<&Value>) -> Option<Vec<u64>> {
    value?.as_array()?.iter().map(Value::as_u64).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(table: &str, n_data: usize) -> Vec<u8> {
        [&(table.len() as u64).to_le_bytes()[..], table.as_bytes(), &vec![0; n_data]].concat()
    }

    #[test]
    fn a_table_is_read() {
        let table = r#"{"__metadata__":{"format":"pt","c":"a","a":"b","d":"none"},"b":{"dtype":"F16","shape":[2,3],"data_offsets":[4,16]},
            "a":{"dtype":"F32","shape":[],"data_offsets":[0,4]}}"#;
        let file = file(table, 16);
        let Table { entries, aliases } = Table::parse(&file).unwrap();
        // A tensor's name is no alias, and neither is a name that leads to no tensor.
        assert_eq!(aliases, [("c".to_owned(), "a".to_owned())]);
        let names: Vec<&str> = entries.iter().map(|entry| &entry.name[..]).collect();
        assert_eq!(names, ["a", "b"]);
        assert_eq!(entries[1].shape, [2, 3]);
        assert_eq!(entries[1].bytes, file.len() - 12..file.len());
    }

    #[test]
    fn what_lies_is_refused() {
        let cases = [
            (r#"[]"#, "not a safetensors file: its table is not a JSON object"),
            (r#"{"a":{"shape":[1],"data_offsets":[0,4]}}"#, "the tensor a has no dtype"),
            (
                r#"{"a":{"dtype":"Q4","shape":[1],"data_offsets":[0,4]}}"#,
                "the tensor a is of type Q4, which is not known",
            ),
            (r#"{"a":{"dtype":"F32","data_offsets":[0,4]}}"#, "the tensor a has no shape"),
            (r#"{"a":{"dtype":"F32","shape":[-1],"data_offsets":[0,4]}}"#, "the tensor a has no shape"),
            (r#"{"a":{"dtype":"F32","shape":[1]}}"#, "the tensor a has no data_offsets"),
            (
                r#"{"a":{"dtype":"F32","shape":[1],"data_offsets":[4,0]}}"#,
                "the tensor a ends at 0, before its begin at 4",
            ),
            (
                r#"{"a":{"dtype":"F32","shape":[4],"data_offsets":[4,20]}}"#,
                "the file is cut off: the tensor a ends at byte 20 of the data, 16 are there",
            ),
            (
                r#"{"a":{"dtype":"F32","shape":[3],"data_offsets":[0,16]}}"#,
                "the tensor a has 16 bytes: [3] in F32 are 12",
            ),
            (
                r#"{"a":{"dtype":"F32","shape":[4294967296,4294967296],"data_offsets":[0,16]}}"#,
                "the tensor a is too large: [4294967296, 4294967296]",
            ),
            (
                r#"{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"b":{"dtype":"F32","shape":[2],"data_offsets":[4,12]}}"#,
                "the tensors a and b overlap",
            ),
            (
                r#"{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"b":{"dtype":"F32","shape":[1],"data_offsets":[12,16]}}"#,
                "4 bytes between a and b belong to no tensor",
            ),
            (
                r#"{"a":{"dtype":"F32","shape":[3],"data_offsets":[4,16]}}"#,
                "4 bytes between the table and a belong to no tensor",
            ),
            (r#"{"a":{"dtype":"F32","shape":[3],"data_offsets":[0,12]}}"#, "4 bytes behind a belong to no tensor"),
            (
                r#"{"a":{"dtype":"F32","shape":[4],"data_offsets":[0,16]},"\u0061":{"dtype":"F32","shape":[4],"data_offsets":[0,16]}}"#,
                "a stands twice in the file's table",
            ),
        ];
        for (table, want) in cases {
            assert_eq!(Table::parse(&file(table, 16)).unwrap_err().to_string(), want, "{table}");
        }
        let whole = file(r#"{"a":{"dtype":"F32","shape":[4],"data_offsets":[0,16]}}"#, 16);
        assert!(Table::parse(&whole).is_ok());
        for len in 0..whole.len() {
            assert!(Table::parse(&whole[..len]).is_err(), "{len} bytes");
        }
        assert!(Table::parse(&u64::MAX.to_le_bytes()).unwrap_err().to_string().contains("18446744073709551615"));
    }

    #[test]
    fn tensors_of_no_numbers_and_of_parts_of_bytes() {
        let table = r#"{"a":{"dtype":"F16","shape":[0,3],"data_offsets":[0,0]},"b":{"dtype":"F4","shape":[3],"data_offsets":[0,2]},
            "c":{"dtype":"F32","shape":[0],"data_offsets":[2,2]}}"#;
        let entries = Table::parse(&file(table, 2)).unwrap().entries;
        let lengths: Vec<usize> = entries.iter().map(|entry| entry.bytes.len()).collect();
        assert_eq!(lengths, [0, 2, 0]);
    }

    #[test]
    fn only_keys_of_the_outermost_object_are_told_apart() {
        let why = |json: &str| Table::parse(&file(json, 0)).unwrap_err().to_string();
        assert_eq!(why(r#"{"a":{"a":1,"b":["a",{"b":2}]},"b":"a","\"":"c"}"#), "the tensor \" has no dtype");
        assert_eq!(why(r#"{"a":{"b":1},"b":{},"c":[1],"b":3}"#), "b stands twice in the file's table");
        assert_eq!(why(r#"{"\\\"":0 , "\\\"" : 1}"#), "\\\" stands twice in the file's table");
        assert_eq!(why(r#"{"__metadata__":{},"__metadata__":{}}"#), "__metadata__ stands twice in the file's table");
    }

    #[test]
    fn numbers_are_read_in_all_types() {
        let mut out = [0.0; 2];
        Dtype::F32.read(&[0, 0, 128, 63, 0, 0, 0, 192], &mut out);
        assert_eq!(out, [1.0, -2.0]);
        Dtype::F16.read(&[0, 0x3c, 0, 0xc0], &mut out);
        assert_eq!(out, [1.0, -2.0]);
        Dtype::BF16.read(&[0x80, 0x3f, 0, 0xc0], &mut out);
        assert_eq!(out, [1.0, -2.0]);
    }
}
