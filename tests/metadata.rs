//! Metadata looked up by key, also behind many and long arrays of strings; a key may stand once only.

use crate::common::reference::gguf_writer::{Value, Writer};
use nearfield::gguf::Value as Found;
use nearfield::{Gguf, GgufError};
use proptest::prelude::*;

/// `n` strings, which differ from those of another `seed`.
fn words(seed: usize, n: usize) -> Vec<String> {
    (0..n).map(|i| format!("{seed}.{}", "x".repeat((seed + i) % 7))).collect()
}

/// Arrays of arrays of strings.
fn nested(seed: usize, n: usize) -> Value {
    Value::Array(9, (0..n).map(|i| Value::strings(&words(seed, i % 3))).collect())
}

fn strings_of(value: Option<Found<'_>>) -> Vec<String> {
    let Some(Found::Array(array)) = value else { panic!("{value:?}") };
    let strings = array.iter().map(|string| match string {
        Found::String(bytes) => String::from_utf8(bytes.to_vec()).unwrap(),
        other => panic!("{other:?}"),
    });
    strings.collect()
}

#[test]
fn behind_more_arrays_than_are_remembered() {
    // Arrays of growing, falling and mixed lengths.
    for lengths in
        [[1, 2, 3, 4, 5, 6, 7, 8, 9, 100], [100, 9, 8, 7, 6, 5, 4, 3, 2, 1], [5, 0, 5, 50, 0, 1, 50, 5, 70, 2]]
    {
        let mut writer = Writer::new(3);
        for (i, &n) in lengths.iter().enumerate() {
            writer = writer
                .meta(&format!("words.{i}"), Value::strings(&words(i, n)))
                .meta(&format!("nested.{i}"), nested(i, n))
                .meta(&format!("number.{i}"), Value::U32(i as u32));
        }
        let file = writer.meta("last", Value::U32(77)).finish();
        let gguf = Gguf::parse(&file).unwrap();
        for (i, &n) in lengths.iter().enumerate() {
            assert_eq!(strings_of(gguf.get(&format!("words.{i}"))), words(i, n), "{i} of {lengths:?}");
            assert_eq!(gguf.get_joined("number", &format!(".{i}")), Some(Found::U32(i as u32)));
            let Some(Found::Array(array)) = gguf.get(&format!("nested.{i}")) else { panic!("{i} of {lengths:?}") };
            let inner: Vec<_> = array.iter().map(|inner| strings_of(Some(inner))).collect();
            assert_eq!(inner, (0..n).map(|j| words(i, j % 3)).collect::<Vec<_>>());
        }
        assert_eq!(gguf.get("last"), Some(Found::U32(77)));
        assert_eq!([gguf.get("absent"), gguf.get("las"), gguf.get("lastly"), gguf.get("")], [None; 4]);
        assert_eq!(gguf.entries().count(), 31);
    }
}

#[test]
fn many_entries() {
    let mut writer = Writer::new(3);
    for i in 0..5_000 {
        writer = writer.meta(&format!("key.{i}"), Value::strings(&words(i, i % 5)));
    }
    let file = writer.finish();
    let gguf = Gguf::parse(&file).unwrap();
    for i in (0..5_000).step_by(499).chain([4_999]) {
        assert_eq!(strings_of(gguf.get(&format!("key.{i}"))), words(i, i % 5));
    }
}

/// The header, and the places of the entries, are those that were written.
#[test]
fn places_are_those_in_the_file() {
    for (version, alignment) in [(2, None), (3, Some(8)), (3, Some(64))] {
        let writer = alignment.into_iter().fold(Writer::new(version), Writer::alignment);
        let writer = writer.meta("a", Value::Bool(true)).tensor("matrix", &[3, 5], 0, vec![1; 60]);
        let file = writer.tensor("row", &[40], 1, vec![2; 80]).tensor("one", &[], 0, vec![3; 4]).finish();
        let gguf = Gguf::parse(&file).unwrap();
        assert_eq!((gguf.version(), gguf.alignment() as u32), (version, alignment.unwrap_or(32)));
        let mut at = gguf.tensors_at();
        for (tensor, (name, ty, n_bytes)) in gguf.tensors().zip([("matrix", 0_u32, 60), ("row", 1, 80), ("one", 0, 4)])
        {
            let entry = [&(name.len() as u64).to_le_bytes()[..], name.as_bytes()].concat();
            assert!(file[at..].starts_with(&entry), "{name}");
            let [type_at, end] = [tensor.type_at(), tensor.end()].map(|at| at as usize);
            assert_eq!(file[type_at..end], [&ty.to_le_bytes()[..], &tensor.offset.to_le_bytes()].concat(), "{name}");
            assert_eq!(gguf.data(tensor.offset, n_bytes).map(<[u8]>::len), Some(n_bytes as usize));
            at = end;
        }
        assert_eq!(gguf.data_at(), at.next_multiple_of(gguf.alignment()));
        assert_eq!(file.len() - gguf.data_at(), gguf.n_data() as usize);
    }
}

/// A file ends its tables where its counts say, even if entries seem to follow.
#[test]
fn what_looks_like_an_entry_in_the_data_is_none() {
    // Entry of a float without dimensions.
    let entry = [&4_u64.to_le_bytes()[..], b"fake", &[0; 4 + 4 + 8]].concat();
    let n_without_padding = (1..=8).filter(|&n| {
        let name = "x".repeat(n);
        let file = Writer::new(3).alignment(8).tensor(&name, &[7], 0, entry.clone()).finish();
        let gguf = Gguf::parse(&file).unwrap();
        assert!(gguf.data_from(0).starts_with(&entry));
        assert_eq!(gguf.tensor(&name, "").map(|tensor| tensor.dims[0]), Some(7));
        assert!(gguf.tensor("fa", "ke").is_none(), "{n}");
        gguf.tensors().next().unwrap().end() == gguf.data_at() as u64
    });
    assert_eq!(n_without_padding.count(), 1);
}

#[test]
fn limits_belong_to_what_is_read() {
    let counted = |n_tensors: u64, n_entries: u64| {
        let header = [b"GGUF\x03\0\0\0", &n_tensors.to_le_bytes()[..], &n_entries.to_le_bytes()].concat();
        Gguf::parse(&header).unwrap_err()
    };
    for error in [counted(16_384, 0), counted(0, 16_384)] {
        assert!(matches!(error, GgufError::Truncated { .. }), "{error}");
    }
    let gguf = |alignment| Gguf::parse(&Writer::new(3).alignment(alignment).finish()).map(|gguf| gguf.alignment());
    assert_eq!(gguf(1 << 20), Ok(1 << 20));
    assert_eq!(gguf(1 << 21), Err(GgufError::Alignment { found: 1 << 21 }));
}

/// A value of any kind that the reader skips in a way of its own.
fn value() -> impl Strategy<Value = Value> {
    prop_oneof![
        any::<u8>().prop_map(Value::U8),
        any::<u64>().prop_map(Value::U64),
        ".{0,9}".prop_map(Value::String),
        prop::collection::vec(any::<i32>(), 0..20).prop_map(|items| Value::i32s(&items)),
        prop::collection::vec(".{0,9}", 0..40).prop_map(|items| Value::strings(&items)),
        (0..9_usize, 0..9_usize).prop_map(|(seed, n)| nested(seed, n)),
    ]
}

proptest! {
    #[test]
    fn a_key_has_the_value_of_its_entry(entries in prop::collection::btree_map("[ab]{1,3}", value(), 0..30)) {
        let writer = entries.iter().fold(Writer::new(3), |writer, (key, value)| writer.meta(key, value.clone()));
        let file = writer.finish();
        let gguf = Gguf::parse(&file).unwrap();
        prop_assert_eq!(gguf.entries().count(), entries.len());
        for (key, value) in &entries {
            let found = gguf.entries().find(|(found, _)| found == key).map(|(_, value)| value);
            prop_assert_eq!(gguf.get(key), found);
            prop_assert_eq!(gguf.get_joined(&key[..1], &key[1..]), found);
            prop_assert_eq!(found.map(|value| value.ty() as u32), Some(value.type_number()));
            if let (Some(Found::String(bytes)), Value::String(text)) = (found, value) {
                prop_assert_eq!(text.as_bytes(), bytes);
            }
        }
        prop_assert_eq!(gguf.get("c"), None);
    }

    /// A file is refused if and only if a key stands twice, whatever the values are.
    #[test]
    fn keys_stand_once(entries in prop::collection::vec(("[ab]{1,4}", value()), 0..9)) {
        let writer = entries.iter().fold(Writer::new(3), |writer, (key, value)| writer.meta(key, value.clone()));
        let again = (0..entries.len()).find(|&i| entries[..i].iter().any(|(key, _)| *key == entries[i].0));
        match (Gguf::parse(&writer.finish()), again) {
            (Ok(_), None) => {}
            (Err(GgufError::DuplicateKey { key, .. }), Some(i)) => prop_assert_eq!(key.as_str(), &entries[i].0),
            (found, _) => prop_assert!(false, "{:?}", found),
        }
    }
}
