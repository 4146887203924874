//! Everything that can be wrong gives one line and an exit code that is not zero.

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
    for command in ["run", "tokenize", "inspect", "logits --tokens 1 -o out.npy"] {
        let fails = |name: &str, want: &str| {
            let line = format!("{command} -m {name}");
            f.fails(&line, 1, want);
        };
        fails("none.gguf", "cannot open none.gguf: No such file");
        fails(".", "cannot open .: not a file");
        fails("empty.gguf", "cannot open empty.gguf: the file is empty");
        fails("text.gguf", "text.gguf: not a GGUF file: it begins with \"Once\"");
        fails("header.gguf", "header.gguf: the file ends too early: the header at byte 16 needs 8 bytes, 4 are left");
        fails("half.gguf", "half.gguf: the tensor at byte ");
    }
    f.fails("run -m other.gguf", 1, "other.gguf: general.architecture is llama, not one of: bloom mpt");
    assert!(!f.names().contains(&"out.npy".into()));
}

#[test]
fn flags_that_make_no_sense() {
    let f = Folder::new();
    let cases = [
        ("--temp=x", "invalid value 'x' for '--temp <T>': invalid float literal"),
        ("--top-k=-1", "invalid value '-1' for '--top-k <K>': invalid digit"),
        ("--kv f64", "invalid value 'f64' for '--kv <TYPE|K,V>': one of f32, f16, q8_0 and q4_0, or two of them"),
        ("--kv q8_0,", "invalid value 'q8_0,' for '--kv <TYPE|K,V>': one of f32, f16, q8_0 and q4_0, or two of them"),
        ("--threads 0", "invalid value '0' for '--threads <T>': 0 is not in 1..=1024"),
        ("-n -3", "invalid value '-3' for '-n <N>': -1 and -2 are the only numbers below 0"),
        ("-n many", "invalid value 'many' for '-n <N>': a number of tokens, -1 or -2"),
        ("--seed -1", "unexpected argument '-1' found"),
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
        ("--horizon-eps -1", "the horizon's epsilon is negative or not a number"),
        ("--horizon-eps NaN", "the horizon's epsilon is negative or not a number"),
        ("--ctx 0", "a context of 0 tokens: 1 to 16777216 can run"),
        ("--ctx 4", "the prompt has 5 tokens, the context 4: --ctx N makes room for more"),
        ("--ctx 16777217", "a context of 16777217 tokens: 1 to 16777216 can run"),
        ("--ctx 64 --sinks 65", "65 sinks in a context of 64 tokens"),
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
