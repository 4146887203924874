//! `nearfield quantize`: files of every type run, and every error is reported.

use std::fs;

use nearfield::Gguf;
use nearfield::gguf::Value;
use nearfield_kernels::block::gguf_type_name;

use super::Folder;
use super::reference::gguf_writer::{Value as Literal, Writer};
use super::reference::{logits, quantize, tiny_gguf, weights};

/// Types of files from the best, each with the largest allowed mean KL divergence of the logits from those of the f32 weights.
const TYPES: [(&str, f64); 18] = [
    ("F32", 1e-11),
    ("F16", 1e-11),
    ("BF16", 1.3e-5),
    ("Q8_0", 3.6e-4),
    ("Q6_K", 1.8e-3),
    ("Q5_1", 4.9e-3),
    ("Q5_K_M", 4.7e-3),
    ("Q5_K_S", 5.2e-3),
    ("Q5_0", 6.8e-3),
    ("Q4_1", 1.9e-2),
    ("Q4_K_M", 1.7e-2),
    ("Q4_K_S", 1.6e-2),
    ("Q4_0", 2.8e-2),
    ("Q3_K_L", 3e-2),
    ("Q3_K_M", 3.8e-2),
    ("Q3_K_S", 8e-2),
    ("Q2_K", 1.4e-1),
    ("Q2_K_S", 2.2e-1),
];

/// Folder with `f16.gguf`, a tiny model.
fn folder(model: &str) -> Folder {
    let f = Folder::new();
    f.write("f16.gguf", &tiny_gguf::gguf(&weights::model(model), quantize::by_name("F16")));
    f
}

fn read(f: &Folder, name: &str) -> Vec<u8> {
    fs::read(f.path().join(name)).unwrap()
}

/// Type of each tensor.
fn types(file: &[u8]) -> Vec<(String, &'static str)> {
    let tensors = Gguf::parse(file).unwrap().tensors();
    tensors.map(|tensor| (tensor.name.to_string(), gguf_type_name(tensor.ty))).collect()
}

/// Quantizes to each type, inspects and runs the file.
#[test]
fn every_type_runs() {
    let f = folder("bloom-h8");
    let prompt = &weights::prompts()[2];
    let words: Vec<String> = prompt.iter().map(u32::to_string).collect();
    f.write("ids", words.join(",").as_bytes());
    let first = weights::PROMPT_LENS[0] + weights::PROMPT_LENS[1];
    let range = first * weights::N_VOCAB..(first + prompt.len()) * weights::N_VOCAB;
    let reference = &logits::reference("bloom-h8")[range];
    for (ty, limit) in TYPES {
        let told = f.stderr(&format!("quantize f16.gguf out.gguf {ty} --force"));
        assert!(told.contains("bits a weight") && !told.contains("warning"), "{told}");
        assert!(f.stdout("inspect out.gguf").contains(&ty[..4.min(ty.len())]), "{ty}");
        f.stdout("logits out.gguf --tokens @ids -o out.npy --force --kv f32");
        let npy = read(&f, "out.npy");
        let got = npy[npy.len() - 4 * reference.len()..].chunks_exact(4);
        let got: Vec<f32> = got.map(|bytes| f32::from_le_bytes(bytes.try_into().unwrap())).collect();
        let difference = logits::difference(reference, &got, weights::N_VOCAB);
        println!("{ty}: {difference:?}");
        assert!(difference.mean_kl < limit, "{ty}: {difference:?}");
    }
}

#[test]
fn an_f16_file_is_the_same_again() {
    let f = folder("mpt-gqa");
    f.stderr("quantize f16.gguf f32.gguf f32");
    f.stderr("quantize f32.gguf again.gguf F16");
    let (before, after) = (read(&f, "f16.gguf"), read(&f, "again.gguf"));
    let [before, after] = [&before, &after].map(|file| Gguf::parse(file).unwrap());
    let mut added: Vec<(&str, Value<'_>)> = after.entries().collect();
    added.retain(|entry| !before.entries().any(|other| other == *entry));
    let want = [("general.file_type", Value::U32(1)), ("general.quantization_version", Value::U32(2))];
    assert_eq!(added, want);
    assert!(before.entries().all(|entry| after.entries().any(|other| other == entry)));
    let data = |gguf: &Gguf<'_>| -> Vec<_> {
        let bytes =
            |tensor: &nearfield::TensorInfo<'_>| gguf.data(tensor.offset, tensor.n_bytes().unwrap()).unwrap().to_vec();
        gguf.tensors().map(|tensor| (tensor.name.to_string(), tensor.dims, bytes(&tensor))).collect()
    };
    assert!(data(&before) == data(&after));
}

#[test]
fn any_number_of_threads_makes_the_same_file() {
    let f = folder("mpt-h8");
    f.stderr("quantize f16.gguf one.gguf Q4_K_M --threads 1");
    f.stderr("quantize f16.gguf many.gguf q4_k --threads 7");
    assert!(read(&f, "one.gguf") == read(&f, "many.gguf"));
}

#[test]
fn mixtures_and_rows_that_are_no_whole_blocks() {
    let f = folder("mpt-h8");
    f.stderr("quantize f16.gguf mixed.gguf Q4_K_M");
    f.stderr("quantize f16.gguf pure.gguf Q4_K_M --pure");
    let (mixed, pure) = (types(&read(&f, "mixed.gguf")), types(&read(&f, "pure.gguf")));
    let count = |types: &[(String, &str)], ty| types.iter().filter(|(_, found)| *found == ty).count();
    // Q6_K is the type of the embedding, which is also the output, and of values and the second matrix of the feed-forward
    // network in half of the layers.
    assert_eq!([count(&mixed, "Q6_K"), count(&mixed, "Q4_K"), count(&mixed, "F32")], [5, 12, 9]);
    assert_eq!([count(&pure, "Q6_K"), count(&pure, "Q4_K"), count(&pure, "F32")], [0, 17, 9]);

    let f = folder("mpt-h12");
    let told = f.stderr("quantize f16.gguf out.gguf Q4_K_S");
    assert!(told.contains("tensors with rows that are not whole blocks of Q4_K: now in Q5_0"), "{told}");
    assert!(types(&read(&f, "out.gguf")).contains(&("blk.2.ffn_up.weight".into(), "Q5_0")));
    assert!(!f.stdout("run out.gguf -n 5 --temp 0 hello").is_empty());
}

/// Quantizes a quantized file: tensors of the same type are copied, another type adds a second error, with a warning.
#[test]
fn quantized_twice() {
    let f = Folder::new();
    let told = f.stderr("quantize tiny.gguf same.gguf Q8_0 --pure");
    assert!(!told.contains("warning"), "{told}");
    let told = f.stderr("quantize tiny.gguf less.gguf Q4_0");
    assert!(told.contains("warning: 8 tensors quantized a second time: both errors add up"), "{told}");
    let (tiny, same) = (read(&f, "tiny.gguf"), read(&f, "same.gguf"));
    let [tiny, same] = [&tiny, &same].map(|file| Gguf::parse(file).unwrap());
    for tensor in tiny.tensors().filter(|tensor| tensor.ty == 8) {
        let copy = same.tensor(tensor.name, "").unwrap();
        let n = tensor.n_bytes().unwrap();
        assert_eq!(tiny.data(tensor.offset, n), same.data(copy.offset, n), "{}", tensor.name);
    }
    // The file is the source of another quantization.
    f.stderr("quantize less.gguf more.gguf F16");
    assert!(!f.stdout("run more.gguf -n 5 --temp 0 hello").is_empty());
}

/// Numbers that are not finite are found in tensors that keep their type and in others, in single numbers and in scales.
#[test]
fn numbers_that_are_none_are_in_no_file() {
    let f = Folder::new();
    let floats = |n: usize| -> Vec<u8> { (0..n).flat_map(|i| (i as f32).to_le_bytes()).collect() };
    let mut norm = floats(32);
    norm[4 * 7..4 * 8].copy_from_slice(&f32::NAN.to_le_bytes());
    f.write("norm.gguf", &Writer::new(3).tensor("output_norm.weight", &[32], 0, norm).finish());
    // One weight in the third row has the half-precision bits of -infinity.
    let mut half = vec![0; 4 * 32 * 2];
    half[2 * (2 * 32 + 5)..][..2].copy_from_slice(&0xfc00_u16.to_le_bytes());
    f.write("half.gguf", &Writer::new(3).tensor("blk.0.ffn_up.weight", &[4, 32], 1, half).finish());
    // The scale of the second row's block is NaN.
    let mut blocks = vec![1; 2 * 34];
    blocks[34..36].copy_from_slice(&0x7e00_u16.to_le_bytes());
    f.write("q8_0.gguf", &Writer::new(3).tensor("blk.0.ffn_up.weight", &[2, 32], 8, blocks).finish());
    for (file, types, want) in [
        ("norm", ["F32", "F16", "Q4_0"], "output_norm.weight: row 0, column 7: a weight is NaN"),
        ("half", ["F32", "F16", "Q4_0"], "blk.0.ffn_up.weight: row 2, column 5: a weight is -inf"),
        ("q8_0", ["F32", "Q8_0", "F16"], "blk.0.ffn_up.weight: row 1, column 0: a weight is NaN"),
    ] {
        for ty in types {
            let want = format!("{file}.gguf: {want}: the model is broken");
            f.fails(&format!("quantize {file}.gguf out.gguf {ty}"), 1, &want);
            assert!(!f.path().join("out.gguf").exists());
        }
    }
}

/// Every error is one line, and leaves no file.
#[test]
fn nothing_is_left_of_what_went_wrong() {
    let f = folder("mpt-h8");
    let whole = read(&f, "f16.gguf");
    f.write("there.gguf", b"mine");
    f.write("cut.gguf", &whole[..whole.len() - 1000]);
    f.write("header.gguf", &whole[..100]);
    f.write("text.gguf", b"Once upon a time");
    f.stderr("pack tiny.gguf packed.gguf");
    let nan: Vec<u8> = [1.0, f32::NAN].iter().flat_map(|x| x.to_le_bytes()).cycle().take(32 * 2 * 4).collect();
    f.write("nan.gguf", &Writer::new(3).tensor("a.weight", &[2, 32], 0, nan).finish());
    f.write("type.gguf", &Writer::new(3).tensor("a.weight", &[2, 32], 24, vec![0; 64]).finish());
    let mut names = f.names();
    names.sort();
    let fails = |arguments: &str, code, want: &str| {
        f.fails(&format!("quantize {arguments}"), code, want);
        let mut left = f.names();
        left.sort();
        assert_eq!(left, names, "{arguments}");
    };
    fails("f16.gguf there.gguf Q4_0", 1, "there.gguf is there already: --force replaces it");
    #[cfg(unix)]
    std::os::unix::fs::symlink("f16.gguf", f.path().join("link.gguf")).unwrap();
    std::fs::hard_link(f.path().join("f16.gguf"), f.path().join("twin.gguf")).unwrap();
    let mut names = f.names();
    names.sort();
    let fails = |arguments: &str, code, want: &str| {
        f.fails(&format!("quantize {arguments}"), code, want);
        let mut left = f.names();
        left.sort();
        assert_eq!(left, names, "{arguments}");
        assert_eq!(read(&f, "f16.gguf"), whole, "{arguments}");
    };
    for name in [
        "f16.gguf",
        "./f16.gguf",
        "twin.gguf",
        #[cfg(unix)]
        "link.gguf",
    ] {
        let want = format!("cannot write {name}: the command reads it, so choose another name");
        fails(&format!("f16.gguf {name} Q4_0 --force"), 1, &want);
    }
    fails("f16.gguf out.gguf Q7_0", 2, "invalid value 'Q7_0' for '<TYPE>': not one of F32 F16 BF16 Q8_0");
    fails("f16.gguf out.gguf", 2, "the following required arguments were not provided: <TYPE>");
    fails("gone.gguf out.gguf Q4_0", 1, "cannot open gone.gguf: ");
    fails("cut.gguf out.gguf Q4_0", 1, "cut.gguf: the tensor ");
    fails("header.gguf out.gguf Q4_0", 1, "header.gguf: the file ends too early: ");
    fails("text.gguf out.gguf Q4_0", 1, "text.gguf: not a GGUF file: it begins with \"Once\"");
    fails("packed.gguf out.gguf Q4_0", 1, "packed.gguf: it is packed: quantize the file that it was packed from");
    fails("nan.gguf out.gguf Q4_0", 1, "nan.gguf: a.weight: row 0, column 1: a weight is NaN: the model is broken");
    fails("type.gguf out.gguf Q4_0", 1, "type.gguf: the tensor a.weight has type I8 (24), which cannot be read");
    fails("f16.gguf no/out.gguf Q4_0", 1, "cannot write no/out.gguf: there is no folder no");
    fails("nan.gguf there.gguf Q4_0 --force", 1, "nan.gguf: a.weight: row 0, column 1: ");
    assert_eq!(read(&f, "there.gguf"), b"mine");
    f.stderr("quantize f16.gguf there.gguf Q4_0 --force");
    assert!(read(&f, "there.gguf").starts_with(b"GGUF"));
}

#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_leaves_what_was_there() {
    let f = folder("mpt-h8");
    f.fails(
        "quantize f16.gguf /dev/full Q4_0",
        1,
        "cannot write /dev/full, which takes 1.8 MiB: No space left on device",
    );
    f.write("there.gguf", b"mine");
    // A limit of 100 blocks of half a kilobyte for any file acts as a full disk.
    for (line, out) in [("out.gguf Q8_0", "out.gguf"), ("there.gguf Q2_K --force", "there.gguf")] {
        let nearfield = env!("CARGO_BIN_EXE_nearfield");
        let script = format!("trap '' XFSZ; ulimit -f 100; exec {nearfield} quantize f16.gguf {line}");
        let output = std::process::Command::new("sh").args(["-c", &script]).current_dir(f.path()).output().unwrap();
        let error = crate::text(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{error}");
        assert_eq!(error.lines().count(), 1, "{error}");
        let is_told = error.contains(&format!("{out}, which takes ")) && error.contains(": File too large");
        assert!(error.starts_with("nearfield: cannot write ") && is_told, "{error}");
        let mut names = f.names();
        names.sort();
        assert_eq!(names, ["f16.gguf", "there.gguf"]);
    }
    assert_eq!(read(&f, "there.gguf"), b"mine");
}

#[cfg(unix)]
#[test]
fn ctrl_c_leaves_what_was_there() {
    use super::pipes::{end, interrupt, start, wait_for_part};

    let f = Folder::new();
    // The file is sparse: sixteen gigabytes of zeros, which take no room on the disk.
    let shape = [1 << 21, 4096];
    let header = Writer::new(3).meta("general.architecture", Literal::string("mpt"));
    let mut file = header.tensor("blk.0.ffn_up.weight", &shape, 1, vec![]).finish();
    file.resize(file.len().next_multiple_of(32), 0);
    let path = f.write("zeros.gguf", &file);
    let n_bytes = file.len() as u64 + 2 * shape[0] as u64 * shape[1] as u64;
    fs::File::options().write(true).open(path).unwrap().set_len(n_bytes).unwrap();
    f.write("there.gguf", b"mine");
    for _ in 0..2 {
        let mut child = start(&f, "quantize zeros.gguf there.gguf Q2_K --force");
        wait_for_part(&f);
        interrupt(&child);
        drop(child.stdout.take());
        assert_eq!(end(child), (Some(130), String::new()));
        assert_eq!(read(&f, "there.gguf"), b"mine");
        assert_eq!(f.names().len(), 2, "{:?}", f.names());
    }
}
