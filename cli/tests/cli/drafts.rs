//! `run --draft FILE.gguf`: a draft model changes no bit of a text, and files that cannot draft are told apart.

use std::fs;

use crate::reference::gguf_writer::Value;
use crate::{Folder, text, tiny};

const PROMPT: &str = "Tom had a red ball. Lily was sad because";

/// Folder with the built-in model as a file, and a worse copy of it.
fn folder() -> Folder {
    let folder = Folder::new();
    folder.write("same.gguf", include_bytes!("../../../models/stories.gguf"));
    folder.stderr("quantize same.gguf worse.gguf Q4_0 --pure");
    folder
}

/// Text, hash and line on the drafts of a text of the built-in model.
fn run(folder: &Folder, line: &str) -> (Vec<u8>, String, Option<String>) {
    let line = format!("run -n 100 --hash --verbose {line} --prompt");
    let output = folder.command(line.split_whitespace().chain([PROMPT])).output().unwrap();
    let report = text(&output.stderr);
    assert!(output.status.success(), "{line}\n{report}");
    let line = |begin| report.lines().find(|line| line.starts_with(begin)).map(str::to_owned);
    (output.stdout, line("hash ").expect(&report), line("drafts "))
}

/// Numbers of guesses that came true, and that were run.
fn counts(drafts: Option<String>) -> (usize, usize) {
    let drafts = drafts.expect("guesses");
    let mut numbers = drafts.split_whitespace().filter_map(|word| word.parse().ok());
    (numbers.next().unwrap(), numbers.next().unwrap())
}

#[test]
fn a_draft_model_changes_no_bit() {
    let f = folder();
    for sampled in ["--temp 0", "--temp 1 --top-k 0 --top-p 1 --min-p 0 --seed 5"] {
        for settings in [
            "--threads 1",
            "--threads 3 --kv q8_0",
            "--threads 1 --kv f32 --ring 64",
            "--threads 1 --ring heads:64,128",
            "--threads 1 --endless --ctx 64 --sinks 3 --kv q4_0",
            "--threads 1 --endless --ctx 20",
        ] {
            let (text, hash, none) = run(&f, &format!("{sampled} {settings} --draft off"));
            assert_eq!(none, None);
            for draft in ["same.gguf", "worse.gguf"] {
                let (drafted, same, guessed) = run(&f, &format!("{sampled} {settings} --draft {draft}"));
                assert_eq!((&text, &hash), (&drafted, &same), "{sampled} {settings} --draft {draft}");
                let (n_true, n_run) = counts(guessed);
                assert!(n_true > 10, "{sampled} {settings} --draft {draft}: {n_true} of {n_run}");
            }
        }
    }
}

#[test]
fn all_guesses_of_the_model_itself_come_true() {
    let f = folder();
    let (n_true, n_run) = counts(run(&f, "--temp 0 --threads 1 --draft same.gguf").2);
    assert_eq!(n_true, n_run);
    let (n_true, n_run) = counts(run(&f, "--temp 0 --threads 1 --draft worse.gguf").2);
    assert!(n_true < n_run, "{n_true} of {n_run}");
    // The model's own file is not read a second time.
    let report = f.stderr("run same.gguf Once -n 60 --temp 0 --verbose --threads 1 --draft ./same.gguf");
    let (n_true, n_run) = counts(report.lines().find(|line| line.starts_with("drafts ")).map(str::to_owned));
    assert_eq!(n_true, n_run);
}

#[test]
fn the_report_has_the_draft_model_and_its_memory() {
    let f = folder();
    let report = |draft: &str| f.stderr(&format!("run Once -n 60 --temp 0 --threads 1 --verbose --draft {draft}"));
    let (plain, drafted) = (report("off"), report("worse.gguf"));
    for want in ["draft    worse.gguf: mpt, 6 layers, width 192, ", " read for each guess", "         draft model "] {
        assert!(drafted.contains(want) && !plain.contains(want), "{want}\n{drafted}");
    }
    let bytes = |report: &str, part: &str| -> usize {
        let line = report.lines().find(|line| line.trim_start().starts_with(part)).expect(report);
        line.trim_start()[part.len()..].split_whitespace().next().unwrap().parse().unwrap()
    };
    assert_eq!(bytes(&plain, "keys and values"), bytes(&drafted, "keys and values"));
    assert!(bytes(&drafted, "draft model") > bytes(&drafted, "keys and values"));
}

/// Both sessions continue: the draft's begins with the last tokens of the snapshot.
#[test]
fn a_snapshot_is_continued_with_a_draft_model() {
    let f = folder();
    f.stdout("run Once -n 80 --temp 0 --seed 1 --threads 1 --draft worse.gguf --save-kv drafted.kv");
    f.stdout("run Once -n 80 --temp 0 --seed 1 --threads 1 --draft off --save-kv plain.kv");
    assert!(fs::read(f.path().join("drafted.kv")).unwrap() == fs::read(f.path().join("plain.kv")).unwrap());
    let (text, hash, _) = run(&f, "--temp 0 --threads 1 --draft off --load-kv plain.kv");
    let (drafted, same, guessed) = run(&f, "--temp 0 --threads 1 --draft same.gguf --load-kv plain.kv");
    assert_eq!((text, hash), (drafted, same));
    assert!(counts(guessed).0 > 20);
}

#[test]
fn a_file_that_cannot_draft_is_an_error() {
    let f = Folder::new();
    f.write("text.gguf", b"Once upon a time");
    f.write("encoder.gguf", &tiny::encoder(false));
    f.write("more.gguf", &tiny::model_with("mpt", &["<|im_start|>"]));
    f.write("other.gguf", &tiny::model_with("mpt", &["<|im_end|>"]));
    f.write("unknown.gguf", &tiny::model_hiding(&[], &[("tokenizer.ggml.eot_token_id", Value::U32(3))]));
    f.write("unnamed.gguf", &tiny::model_hiding(&[], &[("tokenizer.ggml.eot_token_id", Value::U32(4))]));
    let takes = "--draft takes auto, off, lookup, or the GGUF file of a smaller model with the same vocabulary\n";
    let fails = |model: &str, draft: &str, want: &str| {
        let line = format!("run {model} beep --draft {draft}");
        f.fails(&line, 1, &format!("no draft model: {want}"));
        let told = text(&f.nearfield(&line).stderr);
        assert!(told.ends_with(takes), "{told}");
    };
    fails("tiny.gguf", "lokup", "cannot open lokup: No such file");
    fails("tiny.gguf", ".", "cannot open .: a folder, not a file");
    fails("tiny.gguf", "text.gguf", "text.gguf: not a GGUF file: it begins with \"Once\"");
    fails("tiny.gguf", "encoder.gguf", "encoder.gguf: a model of architecture jina-bert-v2 is an encoder");
    fails("tiny.gguf", "more.gguf", "more.gguf: another vocabulary: the model has 265 tokens, the draft 266");
    let want = "other.gguf: another vocabulary: token 265 is '<|im_start|>' in the model and '<|im_end|>' in the draft";
    fails("more.gguf", "other.gguf", want);
    let want = "unnamed.gguf: another vocabulary: eot_token_id is 3 in the model and 4 in the draft";
    fails("unknown.gguf", "unnamed.gguf", want);
    // An error of the model itself is none of the draft's.
    f.fails("run text.gguf beep --draft tiny.gguf", 1, "text.gguf: not a GGUF file");
    f.stdout("run tiny.gguf beep -n 3 --draft unknown.gguf");
}
