//! Bytes that are not a GGUF file.

use nearfield::gguf::{Name, ValueType};
use nearfield::{Gguf, GgufError, LoadError, Model, ShapeError};

use super::{assert_error, load, parts};
use crate::common::file::File;
use crate::common::model::{Parts, Stored};
use crate::common::reference::gguf_writer::Value;

/// A name in an error.
fn name(name: &str) -> Name {
    Name::new(name)
}

/// `file` with `new` in place of the bytes at `at`.
fn patched(file: &File, at: usize, new: &[u8]) -> Vec<u8> {
    let mut bytes = file.bytes().to_vec();
    bytes[at..at + new.len()].copy_from_slice(new);
    bytes
}

/// Where the fields of a tensor's entry stand in the file.
struct Entry {
    start: usize,
    n_dims: usize,
    dims: usize,
    ty: usize,
    offset: usize,
}

fn entry(file: &File, name: &str) -> Entry {
    let at = file.bytes().windows(name.len()).position(|window| window == name.as_bytes()).expect(name);
    let n_dims = at + name.len();
    let n = file.bytes()[n_dims] as usize;
    Entry { start: at - 8, n_dims, dims: n_dims + 4, ty: n_dims + 4 + 8 * n, offset: n_dims + 8 + 8 * n }
}

#[test]
fn gguf_errors() {
    let file = parts().file();
    let len = file.bytes().len();
    let at = |name| entry(&file, name);
    let first_key = 24;
    let first_type = first_key + 8 + "general.architecture".len();
    let up = at("blk.0.ffn_up.weight");
    let data = |offset: u64| (len as u64) - offset;
    let model = Model::from_gguf(file.bytes()).expect("right");
    let n_data = (len - model.gguf().data_at()) as u64;
    let up_at = model.gguf().tensor("blk.0.ffn_up", ".weight").expect("a tensor").offset;
    let nested = (0..6).fold(Value::Array(0, vec![]), |inner, _| Value::Array(9, vec![inner]));
    let nested = parts().set("x", nested).file();
    let nested_at = {
        let at = nested
            .bytes()
            .windows(1)
            .enumerate()
            .position(|(i, _)| nested.bytes()[i..].starts_with(b"\x01\0\0\0\0\0\0\0x"));
        // The key, its type, then a type and a length for each array that is entered.
        (at.expect("the key") + 9 + 4 + 12 * 5) as u64
    };
    let n_tensors = 16_385_u64;
    let n_entries = 16_385_u64;
    let cases: Vec<(&str, Vec<u8>, GgufError, &[&str])> = vec![
        (
            "an empty file",
            vec![],
            GgufError::Truncated { what: "the header", at: 0, needs: 4, has: 0 },
            &["header", "4", "0"],
        ),
        ("another magic", patched(&file, 0, b"GGML"), GgufError::Magic { found: *b"GGML" }, &["GGML", "GGUF"]),
        (
            "version 1",
            patched(&file, 4, &[1]),
            GgufError::Version { found: 1 },
            &["version 1", "2 and 3", "convert the model anew"],
        ),
        ("version 0", patched(&file, 4, &[0]), GgufError::Version { found: 0 }, &["version 0", "2 and 3"]),
        (
            "a file of a machine of the other kind",
            patched(&file, 4, &3_u32.to_be_bytes()),
            GgufError::BigEndian { version: 3 },
            &["big-endian", "version 3", "little-endian", "gguf_convert_endian.py"],
        ),
        ("version 4", patched(&file, 4, &[4]), GgufError::Version { found: 4 }, &["version 4", "2 and 3"]),
        (
            "cut off",
            file.bytes()[..20].to_vec(),
            GgufError::Truncated { what: "the header", at: 16, needs: 8, has: 4 },
            &["header", "16", "8", "4"],
        ),
        (
            "a long key",
            patched(&file, first_key, &u64::MAX.to_le_bytes()),
            GgufError::Truncated { what: "a metadata key", at: 32, needs: u64::MAX, has: data(32) },
            &["key", "32", "18446744073709551615"],
        ),
        (
            "many tensors",
            patched(&file, 8, &n_tensors.to_le_bytes()),
            GgufError::TooMany { what: "tensors", found: n_tensors, limit: n_tensors - 1 },
            &["16385 tensors", "16384"],
        ),
        (
            "many entries",
            patched(&file, 16, &n_entries.to_le_bytes()),
            GgufError::TooMany { what: "metadata entries", found: n_entries, limit: n_entries - 1 },
            &["16385 metadata entries", "16384"],
        ),
        (
            "an unknown type",
            patched(&file, first_type, &[13]),
            GgufError::ValueType { at: first_type as u64, found: 13 },
            &["type 13"],
        ),
        (
            "arrays in arrays",
            nested.bytes().to_vec(),
            GgufError::Nesting { at: nested_at, limit: 4 },
            &["deeper than 4"],
        ),
        (
            "a key of other bytes",
            patched(&file, first_key + 8, &[0xff]),
            GgufError::NotUtf8 { what: "a metadata key", at: first_key as u64 },
            &["key", "24", "UTF-8"],
        ),
        (
            "a name of other bytes",
            patched(&file, up.start + 8, &[0xff]),
            GgufError::NotUtf8 { what: "a tensor's name", at: up.start as u64 },
            &["tensor's name", "UTF-8"],
        ),
        (
            "an odd alignment",
            parts().set("general.alignment", Value::U32(48)).file().bytes().to_vec(),
            GgufError::Alignment { found: 48 },
            &["48", "power of two"],
        ),
        (
            "a large alignment",
            parts().set("general.alignment", Value::U32(1 << 21)).file().bytes().to_vec(),
            GgufError::Alignment { found: 1 << 21 },
            &["2097152", "1048576"],
        ),
        (
            "an alignment of another type",
            parts().set("general.alignment", Value::string("32")).file().bytes().to_vec(),
            GgufError::AlignmentType { found: ValueType::String },
            &["general.alignment", "string, not u32"],
        ),
        (
            "a negative alignment",
            parts().set("general.alignment", Value::I32(-32)).file().bytes().to_vec(),
            GgufError::AlignmentType { found: ValueType::I32 },
            &["i32, not u32"],
        ),
        (
            "five dimensions",
            patched(&file, up.n_dims, &[5]),
            GgufError::Dimensions { name: name("blk.0.ffn_up.weight"), found: 5 },
            &["blk.0.ffn_up.weight has 5 dimensions", "4"],
        ),
        (
            "dimensions that overflow",
            patched(&file, up.dims, &(1_u64 << 63).to_le_bytes()),
            GgufError::TensorSize { name: name("blk.0.ffn_up.weight") },
            &["blk.0.ffn_up.weight", "overflow", "blocks"],
        ),
        (
            "dimensions of an unknown type that overflow",
            patched(&file, up.dims, &[&(1_u64 << 57).to_le_bytes()[..], &96_u64.to_le_bytes(), &[100]].concat()),
            GgufError::TensorSize { name: name("blk.0.ffn_up.weight") },
            &["overflow"],
        ),
        (
            "half a block",
            patched(&file, up.ty, &[12]),
            GgufError::TensorSize { name: name("blk.0.ffn_up.weight") },
            &["overflow", "blocks"],
        ),
        (
            "the last tensor cut off",
            file.bytes()[..len - 64].to_vec(),
            GgufError::TensorBounds { name: name("output_norm.weight"), end: n_data, has: n_data - 64 },
            &["output_norm.weight", "ends at byte", "has", "cut short"],
        ),
        (
            "a tensor that overlaps the one before",
            patched(&file, up.offset, &(up_at - 32).to_le_bytes()),
            GgufError::TensorOffset { name: name("blk.0.ffn_up.weight"), found: up_at - 32, expected: up_at },
            &["blk.0.ffn_up.weight", "overlaps"],
        ),
        (
            "a gap",
            patched(&file, up.offset, &(up_at + 32).to_le_bytes()),
            GgufError::TensorOffset { name: name("blk.0.ffn_up.weight"), found: up_at + 32, expected: up_at },
            &["blk.0.ffn_up.weight", "gap"],
        ),
        (
            "an offset that overflows",
            patched(&file, up.offset, &u64::MAX.to_le_bytes()),
            GgufError::TensorOffset { name: name("blk.0.ffn_up.weight"), found: u64::MAX, expected: up_at },
            &["18446744073709551615"],
        ),
    ];
    for (what, file, want, words) in cases {
        assert_error(what, LoadError::Shape(ShapeError::Gguf(want)), load(File::new(&file).bytes()), words);
    }
}

/// Where a key or a tensor's name begins, with its length: all places.
fn places(file: &[u8], name: &str) -> Vec<u64> {
    let bytes = [&(name.len() as u64).to_le_bytes()[..], name.as_bytes()].concat();
    (0..file.len()).filter(|&at| file[at..].starts_with(&bytes)).map(|at| at as u64).collect()
}

fn with_key(key: &str, value: Value) -> File {
    let mut parts = parts();
    parts.metadata.push((key.into(), value));
    parts.file()
}

fn with_tensor(name: &str) -> File {
    let mut parts = parts();
    let tensor = Stored { name: name.into(), ..parts.tensor("output_norm.weight").clone() };
    parts.tensors.push(tensor);
    parts.file()
}

/// Files that can be read in two ways. Source: ggml, `gguf_init_from_file_impl` in `gguf.cpp`, and `docs/gguf.md`.
#[test]
fn ambiguous_files_are_refused() {
    let (key, tensor) = ("mpt.block_count", "blk.1.ffn_up.weight");
    let (key_twice, tensor_twice) = (with_key(key, Value::U32(1)), with_tensor(tensor));
    let [keys, tensors] = [places(key_twice.bytes(), key), places(tensor_twice.bytes(), tensor)];
    let (empty_key, empty_name) = (with_key("", Value::U32(1)), with_tensor(""));
    let names_at = places(parts().file().bytes(), "output_norm.weight")[0] + 18 + 8 + 4 + 8 + 4 + 8;
    let keys_at = places(parts().file().bytes(), "token_embd.weight")[0];
    let (long_key, long_name) = ("k".repeat(65_536), "n".repeat(64));
    // Behind the key: the type.
    let bool_at = keys_at + 8 + 1 + 4;
    let bools = |bytes: &[u8]| Value::Array(7, bytes.iter().map(|&byte| Value::U8(byte)).collect());
    let mut bad_bool = with_key("x", Value::Bool(true));
    bad_bool.bytes_mut()[bool_at as usize] = 255;
    let cases: Vec<(&str, File, GgufError, &[&str])> = vec![
        (
            "a key twice",
            key_twice,
            GgufError::DuplicateKey { key: name(key), first: keys[0], again: keys[1] },
            &["mpt.block_count stands twice"],
        ),
        (
            "a tensor twice",
            tensor_twice,
            GgufError::DuplicateTensor { name: name(tensor), first: tensors[0], again: tensors[1] },
            &["blk.1.ffn_up.weight stands twice"],
        ),
        (
            "an empty key",
            empty_key,
            GgufError::EmptyName { what: "a metadata key", at: keys_at },
            &["metadata key", "empty"],
        ),
        (
            "an empty name",
            empty_name,
            GgufError::EmptyName { what: "a tensor's name", at: names_at },
            &["tensor's name", "empty"],
        ),
        (
            "a long key",
            with_key(&long_key, Value::U32(1)),
            GgufError::LongName { what: "a metadata key", at: keys_at, found: 65_536, limit: 65_535 },
            &["65536 bytes", "65535"],
        ),
        (
            "a long name",
            with_tensor(&long_name),
            GgufError::LongName { what: "a tensor's name", at: names_at, found: 64, limit: 63 },
            &["64 bytes", "63"],
        ),
        (
            "a truth value that is neither",
            bad_bool,
            GgufError::Bool { at: bool_at, found: 255 },
            &["255", "neither 0 nor 1"],
        ),
        (
            "one in an array",
            with_key("x", bools(&[0, 1, 1, 2, 0])),
            // Before the elements: their type, their number.
            GgufError::Bool { at: bool_at + 12 + 3, found: 2 },
            &["is 2, neither 0 nor 1"],
        ),
        (
            "one in an array of arrays",
            with_key("x", Value::Array(9, vec![bools(&[1, 0]), bools(&[7])])),
            GgufError::Bool { at: bool_at + 12 + 12 + 2 + 12, found: 7 },
            &["is 7"],
        ),
    ];
    for (what, file, want, words) in cases {
        assert_error(what, LoadError::Shape(ShapeError::Gguf(want)), load(file.bytes()), words);
    }
}

/// A file that is cut short anywhere, even in the padding of its last tensor, is refused; bytes behind the end are ignored.
#[test]
fn all_data_has_to_be_there() {
    // 48 floats: 192 bytes, a multiple of 32; 3 more of another tensor are not.
    let mut parts = parts();
    let tensor = Stored { name: "x".into(), shape: vec![3], ty: 0, bytes: vec![0; 12] };
    parts.tensors.push(tensor);
    let whole = parts.file();
    let whole = whole.bytes();
    assert!(Gguf::parse(whole).is_ok());
    assert!(Gguf::parse(&[whole, b"more"].concat()).is_ok());
    for n_missing in 1..=32 {
        let error = Gguf::parse(&whole[..whole.len() - n_missing]).unwrap_err();
        let GgufError::TensorBounds { name: found, end, has } = error else { panic!("{error}") };
        assert_eq!((found.as_str(), end - has), ("x", n_missing as u64));
    }
}

/// A tensor of an unknown type has an unknown length, so the next tensor may begin at any aligned place.
#[test]
fn the_length_of_unknown_types_is_not_known() {
    let at = |offset: u64| {
        let mut parts = Parts { tensors: vec![], ..parts() };
        let tensor = |name: &str, ty| Stored { name: name.into(), shape: vec![8], ty, bytes: vec![0; 64] };
        parts.tensors = vec![tensor("test.a", 1000), tensor("test.b", 0), tensor("test.c", 0)];
        let file = parts.file();
        let b = entry(&file, "test.b");
        // The writer puts `b` behind the 64 bytes of `a`, and `c` at 128; 32 bytes are `b` in truth.
        let c = entry(&file, "test.c");
        let file = File::new(&patched(&file, b.offset, &offset.to_le_bytes()));
        Gguf::parse(&patched(&file, c.offset, &offset.wrapping_add(32).to_le_bytes())).map(|_| ())
    };
    for right in [0, 32, 64, 128] {
        assert_eq!(at(right), Ok(()), "{right}");
    }
    assert_eq!(at(8), Err(GgufError::TensorOffset { name: name("test.b"), found: 8, expected: 0 }));
    assert_eq!(at(160), Err(GgufError::TensorBounds { name: name("test.c"), end: 224, has: 192 }));
    let last = u64::MAX - 31;
    assert_eq!(at(last), Err(GgufError::TensorBounds { name: name("test.b"), end: u64::MAX, has: 192 }));
}

/// Reads as much of a broken file as possible, as `inspect` does.
#[test]
fn what_can_be_read_of_a_broken_file() {
    let file = parts().file();
    let n_entries = Gguf::parse(file.bytes()).unwrap().n_entries();
    let partly = |bytes: &[u8]| {
        let (gguf, error) = Gguf::parse_partly(bytes);
        assert_eq!(
            [gguf.entries().count(), gguf.tensors().count()],
            [gguf.n_entries(), gguf.n_tensors()].map(|n| n as usize)
        );
        (gguf.n_entries(), gguf.n_tensors(), error)
    };
    let whole = partly(file.bytes());
    assert_eq!((whole.0, whole.2), (n_entries, None));
    let (entries, tensors, error) = partly(&file.bytes()[..file.bytes().len() - 1]);
    assert_eq!((entries, tensors), (n_entries, whole.1));
    assert!(matches!(error, Some(GgufError::TensorBounds { .. })));
    let up = entry(&file, "blk.0.ffn_up.weight");
    let (entries, tensors, error) = partly(&file.bytes()[..up.ty]);
    assert_eq!(entries, n_entries);
    assert!((1..whole.1).contains(&tensors));
    assert!(matches!(error, Some(GgufError::Truncated { what: "a tensor's type", .. })));
    let third = places(file.bytes(), "mpt.context_length")[0] as usize;
    let (entries, tensors, error) = partly(&file.bytes()[..third + 3]);
    assert!(entries > 0 && entries < n_entries && tensors == 0);
    assert!(matches!(error, Some(GgufError::Truncated { what: "a metadata key", .. })));
    assert_eq!(partly(b"GG").0, 0);
}
