//! `run` and `logits` give the same text and the same bits, whatever the threads, kernels and batches.

use std::collections::BTreeSet;
use std::io::Read;
use std::process::Stdio;

use nearfield::kernels;

use crate::Folder;

#[test]
fn the_same_seed_gives_the_same_text() {
    let f = Folder::new();
    let story = |seed| f.stdout(&format!("run tiny.gguf Once --temp 1 --top-k 0 -n 60 --seed {seed}"));
    let stories: BTreeSet<String> = (1..=4).map(story).collect();
    assert_eq!(stories.len(), 4);
    assert!((1..=4).all(|seed| stories.contains(&story(seed))));
    assert!(stories.iter().all(|story| story.starts_with("Once")));
}

#[test]
fn the_likeliest_text_needs_no_seed() {
    let f = Folder::new();
    let story = || f.stdout("run tiny.gguf --temp 0 -n 40");
    let first = story();
    assert!(first.starts_with("Once upon a time"));
    assert_eq!(first, story());
}

#[test]
fn without_a_seed_the_one_that_was_drawn_is_told() {
    let f = Folder::new();
    let output = f.nearfield("run tiny.gguf Once -n 30");
    let report = crate::text(&output.stderr);
    let seed = report.lines().find_map(|line| line.strip_prefix("seed")).unwrap().trim();
    assert_eq!(f.stdout(&format!("run tiny.gguf Once -n 30 --seed {seed}")), crate::text(&output.stdout));
}

#[test]
fn threads_and_isas_give_the_same_bits() {
    let f = Folder::new();
    let with = |flags: &str| {
        f.stdout(&format!("logits tiny.gguf --tokens 1,5,256,70,258,3,100,32,260,9,8,7 -o out.npy --force {flags}"));
        std::fs::read(f.path().join("out.npy")).unwrap()
    };
    for kv in ["f32", "f16", "q8_0", "q4_0", "q8_0,q4_0"] {
        let want = with(&format!("--kv {kv} --threads 1 --isa scalar"));
        let isas = kernels::available().map(|isa| format!("--isa {}", isa.name()));
        let others = ["--threads 2", "--threads 3", "--chunk 1", "--chunk 5", "--horizon-eps 0"].map(String::from);
        for flags in isas.chain(others) {
            assert!(with(&format!("--kv {kv} {flags}")) == want, "--kv {kv} {flags}");
        }
    }
}

/// A ring that holds the text changes nothing; a shorter one drops keys.
#[test]
fn rings_forget() {
    let f = Folder::new();
    let tokens: Vec<String> = (1..130).map(|token| token.to_string()).collect();
    f.write("ids", tokens.join(",").as_bytes());
    let with = |ring: &str| {
        f.stdout(&format!("logits tiny.gguf --tokens @ids -o out.npy --force --ring {ring}"));
        std::fs::read(f.path().join("out.npy")).unwrap()
    };
    let full = with("full");
    assert!(with("160") == full && with("2^-100") == full);
    assert!(with("32") != full);
    f.fails("run tiny.gguf --ring 0", 2, "invalid value '0' for '--ring <RING>': full, a number of keys");
}

#[test]
fn logits_are_a_table_of_a_row_for_each_token() {
    let f = Folder::new();
    f.write("ids", b"1 2\n3,4");
    f.stdout("logits tiny.gguf --tokens @ids -o out.npy --force");
    let bytes = std::fs::read(f.path().join("out.npy")).unwrap();
    assert!(
        bytes.starts_with(b"\x93NUMPY\x01\x00\x76\x00{'descr': '<f4', 'fortran_order': False, 'shape': (4, 272), }")
    );
    assert_eq!(bytes.len(), 128 + 4 * 4 * 272);
    let floats = bytes[128..].chunks_exact(4).map(|x| f32::from_le_bytes(x.try_into().unwrap()));
    assert!(floats.clone().all(f32::is_finite) && floats.clone().any(|x| x != 0.0));
}

#[test]
fn a_text_goes_as_far_as_asked_for() {
    let f = Folder::new();
    let generated = |flags: &str| {
        let report = f.stderr(&format!("run tiny.gguf beep --seed 5 --temp 2 --top-k 0 {flags}"));
        let line = report.lines().find(|line| line.starts_with("text ")).unwrap().to_owned();
        line.split_whitespace().nth(1).unwrap().parse::<usize>().unwrap()
    };
    assert_eq!([generated("-n 0"), generated("-n 1"), generated("-n 9")], [0, 1, 9]);
}

#[test]
fn a_full_context_is_told_and_no_error() {
    let f = Folder::new();
    for n in ["-2", "50"] {
        let report = f.stderr(&format!("run tiny.gguf beep -n {n} --ctx 16 --temp 0"));
        assert!(report.contains("the context of 16 tokens is full: --ctx N makes room for more"), "{report}");
        assert!(report.contains("prompt   5 tokens in ") && report.contains("text     12 tokens in "), "{report}");
    }
}

/// Generates far more tokens than the context holds; a closed pipe ends a run that has no end.
#[test]
fn an_endless_text_ends_when_nobody_listens() {
    let f = Folder::new();
    let report =
        f.stderr("run tiny.gguf beep -n 300 --ctx 64 --endless --sinks 4 --temp 2 --top-k 0 --seed 1 --verbose");
    assert!(report.contains("text     300 tokens in ") && !report.contains("is full"), "{report}");
    assert!(
        report.contains("64 tokens of an endless text, keys and values in f16 and the first 4, horizon"),
        "{report}"
    );
    let mut child = f.command("run tiny.gguf beep -n -1 --ctx 64 --seed 1".split(' ')).stdout(Stdio::piped()).spawn();
    let child = child.as_mut().unwrap();
    let mut start = vec![0; 4000];
    child.stdout.take().unwrap().read_exact(&mut start).unwrap();
    // The pipe is closed now.
    child.wait().unwrap();
    assert!(start.starts_with(b"beep"));
}

/// After a text ends, the next begins.
#[test]
fn an_endless_text_goes_on_after_its_end() {
    let f = Folder::new();
    let told = |flags: &str| f.stdout(&format!("run tiny.gguf beep -n 2000 --temp 3 --top-k 0 --seed 2 {flags}"));
    let (ended, endless) = (told(""), told("--endless --ctx 64"));
    assert!(ended.len() < 2000 && endless.len() > ended.len());
    let first_words = &ended[..ended.len().min(40)];
    assert!(endless.starts_with(first_words), "{ended}\n{endless}");
    assert!(endless.contains("\n\n"));
}

#[test]
fn verbose_tells_what_a_session_is_made_of() {
    let f = Folder::new();
    let report = f.stderr("run tiny.gguf beep -n 40 --seed 1 --verbose --threads 2 --isa scalar --kv q8_0");
    for want in [
        "model    tiny.gguf: mpt, 2 layers, width 32, 4 heads of 8 (2 for keys), feed-forward 64, vocabulary 272",
        "isa      scalar (this machine has scalar",
        "threads  2",
        "context  2048 tokens, keys and values in q8_0",
        "keys and values ",
        "tokenizer index ",
        "prompt   5 tokens in ",
        "arena ",
        "% of those held were visited",
        "seed     1",
        "slope 0.2500 0.0625 0.0156 0.0039",
        "layer  1 ",
    ] {
        assert!(report.contains(want), "{want}\n{report}");
    }
}

#[test]
fn hashes_are_those_of_the_bits() {
    let f = Folder::new();
    let hash = |flags: &str| {
        let output = f.nearfield(&format!("run tiny.gguf Once --hash -n 30 --seed 1 {flags}"));
        let report = crate::text(&output.stderr);
        report.lines().find(|line| line.starts_with("hash     text ")).expect(&report).to_owned()
    };
    let first = hash("--threads 1");
    assert_eq!(first, hash("--isa scalar --threads 2"));
    // Another type of keys and values may give the same text, but gives other bits.
    let logits = |hash: &str| hash.split_once(" logits ").unwrap().1.to_owned();
    assert_ne!(logits(&first), logits(&hash("--kv f32")));
}

/// A text that repeats itself, greedy and sampled, with guesses and without, has the same words and the same bits.
#[test]
fn drafts_change_no_bit() {
    let f = Folder::new();
    let prompt = "Tom had a red ball. Tom had a blue ball. Tom had a green ball. Tom had a";
    for sampled in ["--temp 0", "--temp 1 --top-k 0 --top-p 1 --min-p 0 --seed 5"] {
        for keys in ["--kv q8_0", "--ring 64 --kv q8_0,q4_0", "--endless --ctx 64 --sinks 3"] {
            let run = |draft: &str| {
                let line = format!("run -n 150 --hash --verbose --threads 1 --draft {draft} {sampled} {keys} --prompt");
                let output = f.command(line.split_whitespace().chain([prompt])).output().unwrap();
                assert!(output.status.success(), "{}", crate::text(&output.stderr));
                let report = crate::text(&output.stderr);
                let line = |begin| report.lines().find(|line| line.starts_with(begin)).map(str::to_owned);
                (output.stdout, line("hash "), line("drafts "))
            };
            let ((text, hash, none), (drafted, same, guessed)) = (run("off"), run("lookup"));
            assert_eq!((text, &hash, none), (drafted, &same, None));
            assert!(hash.is_some());
            // At temperature 0 the story model repeats the sentence.
            assert!(sampled != "--temp 0" || guessed.is_some(), "{keys}");
        }
    }
}

#[test]
fn the_keys_visited_can_be_drawn() {
    let f = Folder::new();
    f.stdout("run tiny.gguf beep -n 20 --seed 1 --plot-keys keys.svg");
    let svg = std::fs::read_to_string(f.path().join("keys.svg")).unwrap();
    assert!(svg.starts_with("<svg") && svg.trim_end().ends_with("</svg>"));
    assert_eq!(svg.matches("<rect").count(), 2 * 4);
}

#[test]
fn inspect_tells_what_is_in_a_file() {
    let f = Folder::new();
    let told = f.stdout("inspect tiny.gguf");
    for want in [
        "tiny.gguf: GGUF version 3",
        "mpt.attention.head_count_kv",
        "tokenizer.ggml.merges                    8 x string: \"h e\"",
        "blk.1.ffn_down.weight            Q8_0              64 x 32",
        "Q8_0         8 tensors",
        "mpt, 2 layers, width 32, 4 heads of 8 (2 for keys), feed-forward 64, vocabulary 272",
        "2048 tokens, KV         f32        f16       q8_0",
        "tokenizer index",
    ] {
        assert!(told.contains(want), "{want}\n{told}");
    }
    assert!(!told.contains('\u{1b}'), "control characters in a file are not for the terminal");

    f.write("other.gguf", &crate::tiny::model("llama"));
    let output = f.nearfield("inspect other.gguf");
    let told = crate::text(&output.stdout);
    assert!(told.contains("cannot run: other.gguf: general.architecture is llama, not one of: bloom mpt"), "{told}");
    assert_eq!(output.status.code(), Some(1), "as a run would");
}

#[test]
fn without_a_model_the_built_in_one_runs() {
    let f = Folder::new();
    let story = f.stdout("run -n 12 --seed 1");
    assert!(story.starts_with("Once upon a time") && story.split_whitespace().count() > 8, "{story}");
    assert_eq!(f.stdout("run -n 12 --seed 1 -p Once").split_whitespace().next(), Some("Once"));
    assert!(f.stdout("inspect").starts_with("the built-in model: GGUF version 3"));
    let ids = f.stdout("tokenize Once");
    assert_eq!(f.stdout(&format!("detokenize {}", ids.trim())), "Once");
}

#[test]
fn without_a_terminal_and_a_command_there_is_help() {
    let f = Folder::new();
    let output = f.command([] as [&str; 0]).output().unwrap();
    assert!(output.status.success() && crate::text(&output.stdout).contains("Usage: nearfield [COMMAND]"));
    assert!(f.stdout("--version").starts_with("nearfield "));
    assert!(f.stdout("run --help").contains("--horizon-eps <E>"));
}
