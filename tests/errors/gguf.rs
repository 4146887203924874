//! Bytes that are no GGUF file.

use nearfield::{GgufError, LoadError, Model, ShapeError};

use crate::common::file::File;
use crate::common::reference::gguf_writer::Value;
use crate::{assert_error, load, parts};

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
    let n_data = {
        let model = Model::from_gguf(file.bytes()).expect("right");
        let ends = model.gguf().tensors().map(|t| t.offset + t.n_bytes().expect("known"));
        ends.max().expect("tensors").next_multiple_of(32)
    };
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
    let n_entries = 65_537_u64;
    let cases: Vec<(&str, Vec<u8>, GgufError, &[&str])> = vec![
        (
            "an empty file",
            vec![],
            GgufError::Truncated { what: "the header", at: 0, needs: 4, has: 0 },
            &["header", "4", "0"],
        ),
        ("another magic", patched(&file, 0, b"GGML"), GgufError::Magic { found: *b"GGML" }, &["GGML", "GGUF"]),
        ("version 1", patched(&file, 4, &[1]), GgufError::Version { found: 1 }, &["version 1", "2 and 3"]),
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
            &["65537 metadata entries", "65536"],
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
            "five dimensions",
            patched(&file, up.n_dims, &[5]),
            GgufError::Dimensions { at: up.start as u64, found: 5 },
            &["5 dimensions", "4"],
        ),
        (
            "dimensions that overflow",
            patched(&file, up.dims, &(1_u64 << 63).to_le_bytes()),
            GgufError::TensorSize { at: up.start as u64 },
            &["overflow", "blocks"],
        ),
        (
            "half a block",
            patched(&file, up.ty, &[12]),
            GgufError::TensorSize { at: up.start as u64 },
            &["overflow", "blocks"],
        ),
        (
            "a tensor outside",
            patched(&file, up.offset, &(n_data - 4).to_le_bytes()),
            GgufError::TensorBounds { at: up.start as u64, end: n_data - 4 + 96 * 64 * 4, has: n_data },
            &["ends at", "has"],
        ),
        (
            "an offset that overflows",
            patched(&file, up.offset, &u64::MAX.to_le_bytes()),
            GgufError::TensorBounds { at: up.start as u64, end: u64::MAX, has: n_data },
            &["18446744073709551615"],
        ),
    ];
    for (what, file, want, words) in cases {
        assert_error(what, LoadError::Shape(ShapeError::Gguf(want)), load(File::new(&file).bytes()), words);
    }
}
