//! Arguments as people know them: help, short flags, suggestions, environment variables, completions and manual pages.

use std::fs;

use crate::{Folder, text, tiny};

#[test]
fn help_is_a_command_too() {
    let f = Folder::new();
    assert_eq!(f.stdout("help run"), f.stdout("run --help"));
    assert_eq!(f.stdout("help"), f.stdout("--help"));
    let help = f.stdout("--help");
    for want in ["completions  ", "man          ", "help         ", "NEARFIELD_MODEL ", "NEARFIELD_THREADS "] {
        assert!(help.contains(want), "{want}\n{help}");
    }
    f.fails("help walk", 2, "unrecognized subcommand 'walk'");
}

#[test]
fn what_is_like_an_argument_is_suggested() {
    let f = Folder::new();
    let cases = [
        ("embd", "unrecognized subcommand 'embd': did you mean embed? (try --help)"),
        ("tiny.gguf he", "unrecognized subcommand 'tiny.gguf': did you mean nearfield run tiny.gguf? (try --help)"),
        ("run tiny.gguf --tmep 0", "unexpected argument '--tmep' found: did you mean --temp? (try --help)"),
        (
            "run tiny.gguf --repack aut",
            "invalid value 'aut' for '--repack <WHEN>' [possible values: auto, on, off]: did you mean auto? (try --help)",
        ),
        ("plan --board pico3", "invalid value 'pico3' for '--board <NAME>' [possible values: "),
        ("run tiny.gguf --xyzzy", "unexpected argument '--xyzzy' found (try --help)"),
    ];
    for (line, want) in cases {
        f.fails(line, 2, want);
    }
}

/// Short flags as in llama.cpp.
#[test]
fn short_flags_are_those_of_llama_cpp() {
    let f = Folder::new();
    f.write("prompt", b"he on");
    let long =
        f.nearfield("run --model tiny.gguf --file prompt --threads 1 --ctx 64 --seed 7 --verbose --predict 9 --temp 1");
    let short = f.nearfield("run -m tiny.gguf -f prompt -t 1 -c 64 -s 7 -v -n 9 --temp 1");
    assert!(short.status.success(), "{}", text(&short.stderr));
    assert_eq!(long.stdout, short.stdout);
    let report = text(&short.stderr);
    for want in ["threads  1\n", "context  64 tokens", "seed     7\n"] {
        assert!(report.contains(want), "{want}\n{report}");
    }
    f.write("encoder.gguf", &tiny::encoder(false));
    f.write("text", "the one in the water ".repeat(20).as_bytes());
    for line in [
        "embed -m encoder.gguf -f prompt -t 1 -c 16",
        "tokenize -m tiny.gguf -f prompt",
        "perplexity -m tiny.gguf -f text -c 16 -t 1",
        "logits -m tiny.gguf --tokens 1 -t 1 -o a.npy",
        "inspect -m tiny.gguf -c 64",
        "plan -m tiny.gguf -c 64 -t 1",
        "bench -m tiny.gguf -p 8 -n 0 -r 1 -t 1 --no-peaks",
        "imatrix -m tiny.gguf -f text -c 16 -t 1",
    ] {
        f.stdout(line);
    }
}

#[test]
fn a_seed_of_minus_one_is_another_one_each_time() {
    let f = Folder::new();
    let seed = |flags: &str| {
        let report = f.stderr(&format!("run tiny.gguf he -n 4 {flags}"));
        report.lines().find_map(|line| line.strip_prefix("seed     ")).unwrap().to_owned()
    };
    assert_eq!(seed("--seed 18446744073709551615"), "18446744073709551615");
    assert_ne!(seed("--seed -1"), seed("-s -1"));
    // A snapshot's seed is not taken.
    f.stdout("run tiny.gguf he -n 4 --seed 5 --save-kv a.kv");
    assert_ne!(seed("--load-kv a.kv --seed -1"), seed("--load-kv a.kv --seed -1"));
    assert_eq!(seed("--load-kv a.kv"), seed("--load-kv a.kv"));
    for wrong in ["-2", "1.5", "x", "18446744073709551616"] {
        f.fails(
            &format!("run tiny.gguf he --seed {wrong}"),
            2,
            &format!("invalid value '{wrong}' for '--seed <S>': a whole number from 0 on, or -1 for a random seed"),
        );
    }
}

/// A flag or an argument has precedence over a variable, and a variable over the default.
#[test]
fn variables_stand_for_arguments() {
    let f = Folder::new();
    f.write("other.gguf", &tiny::model_with("mpt", &["<|x|>"]));
    f.write("encoder.gguf", &tiny::encoder(false));
    let with = |line: &str, model: &str, threads: &str| {
        let mut command = f.command(line.split_whitespace());
        let output = command.env("NEARFIELD_MODEL", model).env("NEARFIELD_THREADS", threads).output().unwrap();
        (text(&output.stdout), text(&output.stderr), output.status.code())
    };
    let name = |line: &str, model: &str| with(line, model, "").0.split(':').next().unwrap().to_owned();
    assert_eq!(name("inspect", "tiny.gguf"), "tiny.gguf");
    assert_eq!(name("inspect other.gguf", "tiny.gguf"), "other.gguf");
    assert_eq!(name("inspect -m other.gguf", "tiny.gguf"), "other.gguf");
    assert_eq!(name("inspect", ""), "the built-in model");
    assert_eq!(with("tokenize he", "tiny.gguf", "").0, f.stdout("tokenize tiny.gguf he"));
    assert_eq!(with("detokenize 70 71", "tiny.gguf", "").0, f.stdout("detokenize tiny.gguf 70 71"));
    assert_eq!(with("embed he on", "encoder.gguf", "").0, f.stdout("embed encoder.gguf he on"));
    assert_eq!(with("run he -n 4 --temp 0", "tiny.gguf", "").0, f.stdout("run tiny.gguf he -n 4 --temp 0"));
    assert_eq!(
        with("inspect", "none.gguf", "").1,
        "nearfield: cannot open none.gguf: No such file or directory (os error 2)\n"
    );
    let bench = with("bench -p 8 -n 0 -r 1 --no-peaks --output csv", "tiny.gguf", "3").0;
    assert!(bench.lines().nth(1).unwrap().starts_with("tiny.gguf,"), "{bench}");

    let n_threads = |flags: &str, threads: &str| {
        let report = with(&format!("run tiny.gguf he -n 1 --verbose {flags}"), "", threads).1;
        report.lines().find_map(|line| line.strip_prefix("threads  ")).unwrap().to_owned()
    };
    assert_eq!(n_threads("", "2"), "2");
    assert_eq!(n_threads("-t 1", "2"), "1");
    for wrong in ["0", "1025", "many"] {
        let (_, error, code) = with("run tiny.gguf he -n 1", "", wrong);
        let want =
            format!("nearfield: NEARFIELD_THREADS is {wrong:?}: it has to be a number of threads from 1 to 1024\n");
        assert_eq!((error, code), (want, Some(1)));
    }
}

#[test]
fn far_more_threads_than_cores_are_told() {
    let f = Folder::new();
    let report = f.stderr("run tiny.gguf he -n 1 -t 1000");
    assert!(report.contains("1000 threads are too many for "), "{report}");
    assert!(!f.stderr("run tiny.gguf he -n 1 -t 2").contains("too many"));
}

#[test]
fn shells_complete_all_commands() {
    let f = Folder::new();
    for (shell, want) in [
        ("bash", "complete -F _nearfield"),
        ("zsh", "#compdef nearfield"),
        ("fish", "complete -c nearfield"),
        ("powershell", "Register-ArgumentCompleter"),
        ("elvish", "edit:completion:arg-completer[nearfield]"),
    ] {
        let script = f.stdout(&format!("completions {shell}"));
        assert!(script.contains(want), "{shell}");
        assert!(["perplexity", "horizon-eps", "completions"].iter().all(|word| script.contains(word)), "{shell}");
    }
    f.fails("completions csh", 2, "invalid value 'csh' for '<SHELL>'");
    f.fails("completions", 2, "the following required arguments were not provided: <SHELL>");
}

#[test]
fn manual_pages_are_one_for_each_command() {
    let f = Folder::new();
    let page = f.stdout("man");
    assert!(
        page.contains(".TH nearfield 1") && page.contains("nearfield\\-run(1)") && page.contains("NEARFIELD_MODEL"),
        "{page}"
    );
    assert!(!page.contains("nearfield\\-help"), "there is no such page");
    assert_eq!(f.stdout("man share/man1"), "");
    let mut pages: Vec<String> = fs::read_dir(f.path().join("share/man1"))
        .unwrap()
        .map(|page| page.unwrap().file_name().into_string().unwrap())
        .collect();
    pages.sort();
    assert!(
        pages.len() > 15 && pages.iter().all(|page| page.starts_with("nearfield") && page.ends_with(".1")),
        "{pages:?}"
    );
    assert_eq!(fs::read_to_string(f.path().join("share/man1/nearfield.1")).unwrap(), page);
    let run = fs::read_to_string(f.path().join("share/man1/nearfield-run.1")).unwrap();
    assert!(run.contains("\\-\\-repeat\\-penalty") && run.contains("nearfield run"), "{run}");
    f.write("file", b"");
    f.fails("man file", 1, "cannot make the folder file: ");
}
