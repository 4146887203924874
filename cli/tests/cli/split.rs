//! Models in several files, as llama.cpp's llama-gguf-split writes them.

use std::fs;

use nearfield::gguf::Value;
use nearfield::{Gguf, TensorInfo};

use crate::{Folder, text, tiny};

const POCKET: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../models/pocket.gguf");

fn put_string(out: &mut Vec<u8>, text: &str) {
    out.extend((text.len() as u64).to_le_bytes());
    out.extend(text.as_bytes());
}

/// Makes a part: first the metadata of the whole file, which only the first part has, then the split's own.
fn part(entries: (u64, &[u8]), [no, count, n_tensors]: [u32; 3], tensors: &[TensorInfo<'_>], data: &[u8]) -> Vec<u8> {
    let first = tensors.first().map_or(0, |tensor| tensor.offset);
    let mut out = b"GGUF\x03\0\0\0".to_vec();
    out.extend((tensors.len() as u64).to_le_bytes());
    out.extend((entries.0 + 3).to_le_bytes());
    out.extend(entries.1);
    // The types are u16, u16 and i32.
    for (key, ty, value) in [("split.no", 2_u32, no), ("split.count", 2, count), ("split.tensors.count", 5, n_tensors)]
    {
        put_string(&mut out, key);
        out.extend(ty.to_le_bytes());
        let n_bytes = if ty == 2 { 2 } else { 4 };
        out.extend(&value.to_le_bytes()[..n_bytes]);
    }
    for tensor in tensors {
        put_string(&mut out, tensor.name);
        out.extend((tensor.n_dims as u32).to_le_bytes());
        tensor.dims[..tensor.n_dims].iter().for_each(|n| out.extend(n.to_le_bytes()));
        out.extend(tensor.ty.to_le_bytes());
        out.extend((tensor.offset - first).to_le_bytes());
    }
    out.resize(out.len().next_multiple_of(32), 0);
    out.extend(data);
    out
}

/// Splits a file into parts that begin with the tensors of these numbers.
pub fn split(file: &[u8], begins: &[usize]) -> Vec<Vec<u8>> {
    let gguf = Gguf::parse(file).unwrap();
    let tensors: Vec<_> = gguf.tensors().collect();
    let count = begins.len() as u32;
    let end = |i: usize| tensors.get(i).map_or(gguf.n_data(), |tensor| tensor.offset);
    let ends = begins.iter().skip(1).copied().chain([tensors.len()]);
    let parts = begins.iter().copied().zip(ends).enumerate();
    parts
        .map(|(no, (begin, until))| {
            // Header: magic, version, two counts.
            let entries = if no == 0 { (gguf.n_entries(), &file[24..gguf.tensors_at()]) } else { (0, &[][..]) };
            let data = gguf.data(end(begin), end(until) - end(begin)).unwrap();
            part(entries, [no as u32, count, tensors.len() as u32], &tensors[begin..until], data)
        })
        .collect()
}

pub fn name(stem: &str, no: usize, count: usize) -> String {
    format!("{stem}-{:05}-of-{count:05}.gguf", no + 1)
}

fn write(folder: &Folder, stem: &str, parts: &[Vec<u8>]) -> String {
    for (no, part) in parts.iter().enumerate() {
        folder.write(&name(stem, no, parts.len()), part);
    }
    name(stem, 0, parts.len())
}

#[test]
fn all_commands_read_the_parts() {
    let f = Folder::new();
    f.write("text", "Once upon a time there was a little girl. ".repeat(20).as_bytes());
    let file = fs::read(POCKET).unwrap();
    let n_tensors = Gguf::parse(&file).unwrap().n_tensors() as usize;
    // A first part without tensors is the output of `--no-tensor-first-split`; the last part has a single tensor.
    for (stem, begins) in [("three", vec![0, 3, n_tensors - 1]), ("none-first", vec![0, 0, 7])] {
        let first = write(&f, stem, &split(&file, &begins));
        for command in [
            "run MODEL Once-upon -n 12 --seed 1 --hash --repack off",
            "run MODEL Once-upon -n 12 --seed 1 --hash --repack on --threads 2",
            "perplexity MODEL -f text --ctx 64",
            "tokenize MODEL Once-upon",
        ] {
            let [split, whole] = [first.as_str(), POCKET].map(|model| {
                let output = f.nearfield(&command.replace("MODEL", model));
                assert!(output.status.success(), "{stem}: {command}");
                let hash = text(&output.stderr).lines().filter(|line| line.starts_with("hash")).collect();
                (text(&output.stdout), hash)
            });
            let (_, hash): &(String, String) = &split;
            assert_eq!(hash.contains("logits"), command.contains("--hash"), "{command}");
            assert_eq!(split, whole, "{stem}: {command}");
        }
        let shown = f.stdout(&format!("inspect {first}"));
        assert!(shown.contains("\n  in 3 files\n") && shown.contains(&format!("\ntensors, {n_tensors}\n")), "{shown}");
    }
}

#[test]
fn what_is_written_of_a_split_file_is_one_file() {
    let f = Folder::new();
    let first = write(&f, "model", &split(&fs::read(POCKET).unwrap(), &[0, 5, 9, 10]));
    for command in ["quantize MODEL OUT Q4_0 --pure", "quantize MODEL OUT F16", "pack MODEL OUT"] {
        for (model, out) in [(first.as_str(), "of-parts.gguf"), (POCKET, "of-whole.gguf")] {
            f.stderr(&command.replace("MODEL", model).replace("OUT", out));
        }
        let [parts, whole] = ["of-parts.gguf", "of-whole.gguf"].map(|name| fs::read(f.path().join(name)).unwrap());
        assert!(parts == whole, "{command}");
        assert_eq!(Gguf::parse(&parts).unwrap().get("split.count"), None);
        ["of-parts.gguf", "of-whole.gguf"].iter().for_each(|name| fs::remove_file(f.path().join(name)).unwrap());
    }
    // A snapshot of the split model continues with the split model.
    f.stdout(&format!("run {first} Once-upon -n 4 --seed 1 --save-kv text.kv"));
    f.stdout(&format!("run {first} --load-kv text.kv -n 4 --seed 1"));
    // No part of the input is overwritten.
    for part in 0..4 {
        let part = name("model", part, 4);
        f.fails(&format!("quantize {first} {part} Q8_0 --force"), 1, &format!("cannot write {part}: "));
    }
}

#[test]
fn a_split_file_that_is_not_whole_is_an_error() {
    let f = Folder::new();
    let file = tiny::model("mpt");
    let n_tensors = Gguf::parse(&file).unwrap().n_tensors() as u32;
    let parts = split(&file, &[0, 4, 9]);
    let first = write(&f, "m", &parts);
    let [second, third] = [1, 2].map(|no| name("m", no, 3));
    let all = |model: &str, want: &str| {
        for command in ["run MODEL beep", "inspect MODEL", "quantize MODEL out.gguf Q8_0", "pack MODEL out.gguf"] {
            f.fails(&command.replace("MODEL", model), 1, &want.replace("MODEL", model));
        }
        assert!(!f.names().contains(&"out.gguf".to_owned()));
    };
    all(&second, "MODEL: part 2 of 3 of a split file: give the first, m-00001-of-00003.gguf");
    all(&third, "MODEL: part 3 of 3 of a split file: give the first, m-00001-of-00003.gguf");
    f.write("renamed.gguf", &parts[1]);
    all("renamed.gguf", "MODEL: part 2 of 3 of a split file: give the first, NAME-00001-of-00003.gguf");
    f.write("renamed.gguf", &parts[0]);
    all(
        "renamed.gguf",
        "MODEL: the first of 3 parts, which are found by its name: it has to be NAME-00001-of-00003.gguf",
    );

    let without = |part: &str, bytes: &[u8], want: &str| {
        f.write(part, bytes);
        all(&first, &format!("MODEL: {want}"));
        write(&f, "m", &parts);
    };
    fs::remove_file(f.path().join(&third)).unwrap();
    all(&first, "MODEL: part 3 of 3, m-00003-of-00003.gguf: No such file");
    without(
        &third,
        &parts[1],
        "part 3 of 3, m-00003-of-00003.gguf: says that it is another: split.no is 1, split.count 3",
    );
    without(
        &third,
        &file,
        "part 3 of 3, m-00003-of-00003.gguf: says that it is another: split.no is none, split.count none",
    );
    without(&third, b"GG", "part 3 of 3, m-00003-of-00003.gguf: the file ends too early");
    without(&second, b"", "part 2 of 3, m-00002-of-00003.gguf: the file is empty");
    let cut = &parts[1][..parts[1].len() - 32];
    without(&second, cut, "part 2 of 3, m-00002-of-00003.gguf: the tensor ");

    // Parts of two files have another number of tensors, or the same tensors twice.
    let gguf = Gguf::parse(&file).unwrap();
    let tensors: Vec<_> = gguf.tensors().collect();
    let data =
        |from: usize, to: usize| gguf.data(tensors[from].offset, tensors[to].offset - tensors[from].offset).unwrap();
    let other = part((0, &[]), [1, 3, n_tensors], &tensors[4..8], data(4, 8));
    without(
        &second,
        &other,
        &format!("the parts have {} tensors, not {n_tensors} (split.tensors.count)", n_tensors - 1),
    );
    let other = part((0, &[]), [1, 3, n_tensors], &tensors[3..8], data(3, 8));
    f.write(&second, &other);
    for command in ["run MODEL beep", "quantize MODEL out.gguf Q8_0"] {
        let want = format!("{first}: the tensor {} stands twice", tensors[3].name);
        f.fails(&command.replace("MODEL", &first), 1, &want);
    }
    assert!(matches!(gguf.get("general.architecture"), Some(Value::String(b"mpt"))));
}

#[test]
fn pieces_of_a_file_that_was_cut_are_joined_by_hand() {
    let f = Folder::new();
    let file = tiny::model("mpt");
    for (name, joined) in [("m.gguf-split-a", "m.gguf-split-*"), ("m.gguf.part1of2", "m.gguf.part*")] {
        f.write(name, &file[..file.len() / 2]);
        let want = format!("{name}: by its name it is one piece of a file that was cut: `cat {joined} > m.gguf` joins");
        f.fails(&format!("run -m {name} beep"), 1, &want);
        f.write(name, &file[file.len() / 2..]);
        f.fails(&format!("run -m {name} beep"), 1, &want);
    }
}
