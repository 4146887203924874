//! Wrong arguments and files: each gives one line and an exit code other than zero.

use crate::reference::gguf_writer::Value;
use crate::{Folder, tiny};

#[test]
fn files_that_are_no_model() {
    let f = Folder::new();
    let model = tiny::model("mpt");
    f.write("empty.gguf", b"");
    f.write("text.gguf", b"Once upon a time");
    f.write("header.gguf", &model[..20]);
    f.write("half.gguf", &model[..model.len() / 2]);
    f.write("other.gguf", &tiny::model("llama"));
    for command in ["run", "tokenize", "logits --tokens 1 -o out.npy"] {
        let fails = |name: &str, want: &str| {
            let line = format!("{command} -m {name}");
            f.fails(&line, 1, want);
        };
        fails("none.gguf", "cannot open none.gguf: No such file");
        fails(".", "cannot open .: a folder, not a file");
        fails("empty.gguf", "cannot open empty.gguf: the file is empty");
        fails("text.gguf", "text.gguf: not a GGUF file: it begins with \"Once\"");
        fails("header.gguf", "header.gguf: the file ends too early: the header at byte 16 needs 8 bytes, 4 are left");
        fails("half.gguf", "half.gguf: the tensor ");
    }
    f.fails("inspect text.gguf", 1, "text.gguf: not a GGUF file: it begins with \"Once\"");
    f.fails("run -m other.gguf", 1, "other.gguf: general.architecture is llama, not one of: bloom mpt");
    assert!(!f.names().contains(&"out.npy".into()));
}

/// Files of other kinds: the error names the kind and the remedy.
#[test]
fn files_of_other_kinds() {
    let f = Folder::new();
    let safetensors = [&2u64.to_le_bytes()[..], b"{}"].concat();
    let mut big_endian = tiny::model("mpt");
    big_endian[4..8].reverse();
    let mut old = tiny::model("mpt");
    old[4] = 1;
    let cases: [(&[u8], &str); 15] = [
        (
            b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n",
            "no model: a Git LFS pointer, not the file itself: `git lfs pull`",
        ),
        (&safetensors, "no model: a safetensors file: `nearfield convert` takes the folder"),
        (b"{\"architectures\": []}", "no model: a JSON file: `nearfield convert` takes the folder"),
        (b"PK\x03\x04\x14\0", "no model: a PyTorch checkpoint: saved with safe_serialization=True"),
        (b"\x80\x02\x8a\n", "no model: a PyTorch checkpoint"),
        (b"\x08\x07\x12\x07pytorch", "no model: an ONNX file"),
        (b"\n<!DOCTYPE html><html>", "no model: an HTML page: the download brought a page"),
        (b"<HTML><head>", "no model: an HTML page"),
        (b"tjgg\x03\0\0\0", "no model: a GGML file of before GGUF: convert the original model anew"),
        (b"lmgg\0\0\0\0", "no model: a GGML file of before GGUF"),
        (b"algg\x01\0\0\0", "no model: a LoRA adapter of before GGUF"),
        (b"\x1f\x8b\x08\0", "no model: a compressed file: unpack it first"),
        (b"FUGG\0\0\0\x03", "no model: a big-endian GGUF file"),
        (&big_endian, "a big-endian GGUF file of version 3: little-endian ones can be read"),
        (&old, "GGUF version 1: versions 2 and 3 can be read; convert the model anew"),
    ];
    for (bytes, want) in cases {
        f.write("other.gguf", bytes);
        for command in ["run", "tokenize", "inspect", "plan", "embed", "quantize -m"] {
            let line = match command {
                "embed" => "embed other.gguf text".into(),
                "quantize -m" => "quantize other.gguf out.gguf Q4_0".into(),
                command => format!("{command} other.gguf"),
            };
            f.fails(&line, 1, &format!("other.gguf: {want}"));
        }
    }
    f.stdout("run tiny.gguf beep -n 3 --save-kv text.kv");
    f.fails("run -m text.kv beep", 1, "text.kv: no model: a snapshot: --load-kv takes it");
    let model = tiny::model("mpt");
    f.write("model.gguf.part", &model[..model.len() - 2000]);
    f.fails("run -m model.gguf.part beep", 1, "model.gguf.part: by its name it is still being fetched: the tensor ");
}

#[test]
fn files_and_folders_around_a_model() {
    let f = Folder::new();
    let of_type = |ty: &str| {
        let file = crate::reference::gguf_writer::Writer::new(3);
        file.meta("general.architecture", Value::string("mpt")).meta("general.type", Value::string(ty)).finish()
    };
    for (ty, want) in [
        ("adapter", "no model: a LoRA adapter: merge it into its model"),
        ("mmproj", "no model: the part of a model that sees or hears"),
        ("imatrix", "no model: an importance matrix"),
    ] {
        f.write("other.gguf", &of_type(ty));
        f.fails("run other.gguf beep", 1, &format!("other.gguf: {want}"));
        let output = f.nearfield("inspect other.gguf");
        assert_eq!(output.status.code(), Some(1));
        assert!(crate::text(&output.stdout).contains("general.type"), "what can be read is shown");
        assert!(crate::text(&output.stderr).starts_with(&format!("nearfield: other.gguf: {want}")));
    }
    f.write("vocabulary.gguf", &tiny::vocabulary());
    f.fails("run vocabulary.gguf beep", 1, "vocabulary.gguf: no model: a vocabulary without weights: it can tokenize");
    assert_eq!(f.stdout("tokenize vocabulary.gguf he"), f.stdout("tokenize tiny.gguf he"));
    for (name, want) in [
        ("config.json", "the folder of a checkpoint: `nearfield convert folder -o MODEL.gguf`"),
        ("adapter_config.json", "the folder of a LoRA adapter: merge it into its model"),
    ] {
        std::fs::create_dir_all(f.path().join("folder")).unwrap();
        f.write(&format!("folder/{name}"), b"{}");
        f.fails("run -m folder beep", 1, &format!("cannot open folder: {want}"));
    }
}

/// `inspect` makes the same checks as a run: it shows the readable part, and its exit code says that the rest cannot run.
#[test]
fn inspect_says_what_a_run_would() {
    let f = Folder::new();
    let model = tiny::model("mpt");
    let inspect = |bytes: &[u8], code: i32, shown: &[&str], error: &str| {
        f.write("file.gguf", bytes);
        let output = f.nearfield("inspect file.gguf");
        let (out, err) = (crate::text(&output.stdout), crate::text(&output.stderr));
        assert_eq!(output.status.code(), Some(code), "{out}{err}");
        assert!(shown.iter().all(|shown| out.contains(shown)), "{shown:?} in {out}");
        assert!(err.contains(error) && err.lines().count() <= 1, "{error} in {err}");
        let run = f.nearfield("run file.gguf beep -n 1");
        assert_eq!(run.status.success(), code == 0 && !out.contains("no text"), "{}", crate::text(&run.stderr));
    };
    inspect(&model, 0, &["shape", "token_embd.weight"], "");
    inspect(&tiny::model("llama"), 1, &["token_embd.weight", "cannot run: "], "general.architecture is llama");
    inspect(&model[..model.len() - 2000], 1, &["mpt.block_count", "token_embd.weight"], "file.gguf: the tensor ");
    // Only the tokenizer can find a merge of letters that no token has.
    let at = model
        .windows(4)
        .position(|text| text == b"h he")
        .unwrap_or_else(|| model.windows(3).position(|text| text == b"h e").expect("the first merge"));
    let mut merge = model.clone();
    merge[at] = b'\x7f';
    inspect(&merge, 0, &["no text: ", "shape"], "");
}

#[test]
fn flags_that_make_no_sense() {
    let f = Folder::new();
    let cases = [
        ("--temp=x", "invalid value 'x' for '--temp <T>': invalid float literal"),
        ("--top-k=x", "invalid value 'x' for '--top-k <K>': a whole number, or 0 for all tokens"),
        (
            "--repeat-last-n -2",
            "invalid value '-2' for '--repeat-last-n <N>': a whole number from 0 on, or -1 for the context",
        ),
        ("--kv f64", "invalid value 'f64' for '--kv <TYPE|K,V>': one of f32, f16, q8_0 and q4_0, or two of them"),
        ("--kv q8_0,", "invalid value 'q8_0,' for '--kv <TYPE|K,V>': one of f32, f16, q8_0 and q4_0, or two of them"),
        ("--threads 0", "invalid value '0' for '--threads <T>': 0 is not in 1..=1024"),
        ("-n -3", "invalid value '-3' for '--predict <N>': -1 and -2 are the only numbers below 0"),
        ("-n many", "invalid value 'many' for '--predict <N>': a number of tokens, -1 or -2"),
        ("--wrong", "unexpected argument '--wrong' found"),
        ("one two three", "unexpected argument 'two' found"),
    ];
    for (flags, want) in cases {
        f.fails(&format!("run tiny.gguf {flags}"), 2, want);
    }
    f.fails("walk", 2, "unrecognized subcommand 'walk'");
    f.fails(
        "logits tiny.gguf",
        2,
        "the following required arguments were not provided: --tokens <IDS> --output <FILE.npy>",
    );
    f.fails("inspect tiny.gguf -m tiny.gguf", 2, "the argument '[MODEL.gguf]' cannot be used with '--model <FILE>'");
}

#[test]
fn numbers_that_make_no_sense() {
    let f = Folder::new();
    let cases = [
        ("--temp -1", "a temperature of -1: it has to be finite and at least 0"),
        ("--temp inf", "a temperature of inf"),
        ("--top-p 1.5", "a top-p of 1.5: it has to lie between 0 and 1"),
        ("--min-p -0.5", "a min-p of -0.5: it has to lie between 0 and 1"),
        ("--repeat-penalty 0", "a repetition penalty of 0: it has to be finite and above 0"),
        ("--presence-penalty inf", "a presence penalty of inf: it has to be finite"),
        ("--typical 1.5", "a typical-p of 1.5: it has to lie between 0 and 1"),
        ("--dry-multiplier -1", "a DRY multiplier of -1: it has to be finite and at least 0 (0 for none)"),
        ("--dry-base 0.5", "a DRY base of 0.5: it has to be finite and at least 1"),
        ("--logit-bias 5000=1", "a bias of token 5000, which is not below the vocabulary's size "),
        ("--horizon-eps -1", "the horizon's epsilon is negative or not a number"),
        ("--horizon-eps NaN", "the horizon's epsilon is negative or not a number"),
        ("--ctx 0", "a context of 0 tokens: 1 to 16777216 can run"),
        ("--ctx 4", "the prompt has 5 tokens, the context 4: --ctx N makes room for more"),
        ("--ctx 16777217", "a context of 16777217 tokens: 1 to 16777216 can run"),
        ("--ctx 64 --sinks 65", "65 sinks do not fit a context of 64"),
        ("--isa vax", "no kernels called \"vax\" for this machine: it has scalar"),
        (
            "two",
            "\"two\" is one text too many (the name of a model ends in .gguf; -m FILE takes any, -p TEXT is the text)",
        ),
    ];
    for (flags, want) in cases {
        f.fails(&format!("run -m tiny.gguf beep {flags}"), 1, want);
    }
}

#[test]
fn tokens_that_there_are_not() {
    let f = Folder::new();
    f.write("ids", b"1 2\n3,x");
    f.write("blank", b" ,\n");
    let cases = [
        ("272", "token 272 is not below the vocabulary's size 272"),
        ("1,-2", "\"-2\" is not a token id"),
        ("one", "\"one\" is not a token id"),
        ("4294967296", "\"4294967296\" is not a token id"),
        ("@none", "cannot read none: No such file"),
        ("@ids", "ids: \"x\" is not a token id"),
        ("@blank", "--tokens names no token"),
        ("1 --chunk 0", "a batch of 0 tokens"),
        ("1 --isa vax", "no kernels called \"vax\""),
    ];
    for (tokens, want) in cases {
        f.fails(&format!("logits tiny.gguf -o out.npy --tokens {tokens}"), 1, want);
    }
    f.fails("detokenize tiny.gguf 265", 1, "no token 265: the vocabulary has 265");
    f.fails("detokenize tiny.gguf 1 x", 1, "\"x\" is not a token id");
    assert_eq!(f.names().len(), 2, "{:?}", f.names());
}

/// Files in place of others: each is named for what it is, before any work.
#[test]
#[cfg(unix)]
fn what_stands_in_place_of_a_file_is_named() {
    let f = Folder::new();
    let pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n";
    f.write("pointer", pointer.as_bytes());
    let what = "a Git LFS pointer, not the file itself: `git lfs pull` fetches that";
    f.fails("run tiny.gguf beep -n 1 --load-kv pointer", 1, &format!("pointer: {what}"));
    f.fails("quantize tiny.gguf out.gguf Q8_0 --imatrix pointer", 1, &format!("pointer: {what}"));
    f.fails("quantize tiny.gguf out.gguf Q8_0 --imatrix /dev/zero", 1, "/dev/zero: not a file");
    let output = f.nearfield("run tiny.gguf beep -n 1 --ring @/dev/zero");
    assert!(crate::text(&output.stderr).contains("/dev/zero has more than 16 MiB: no plan is as long"));

    std::os::unix::fs::symlink("nowhere/out", f.path().join("link")).unwrap();
    for flags in ["--save-kv link", "--save-kv link --force", "--plot-keys link"] {
        let output = f.nearfield(&format!("run tiny.gguf beep -n 1 {flags}"));
        assert_eq!(crate::text(&output.stdout), "", "{flags}: told before the text");
        assert!(
            crate::text(&output.stderr).contains("cannot write link: it is a link to nowhere/out, which is not there")
        );
    }
    for other in ["a", "./a", "../"] {
        let other =
            if other == "../" { format!("../{}/a", f.path().file_name().unwrap().display()) } else { other.into() };
        let line = format!("run tiny.gguf beep -n 1 --save-kv a --plot-keys {other}");
        f.fails(&line, 1, &format!("--save-kv and --plot-keys name the same file: {other}"));
    }
}
