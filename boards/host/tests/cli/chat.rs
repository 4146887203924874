//! `run --suffix` and `run --chat`: what the model reads, what is shown, and models that were not made for it.

use std::io::Write;
use std::process::{Output, Stdio};

use crate::{Folder, text, tiny};

const FIM: [&str; 3] = ["<fim_prefix>", "<fim_middle>", "<fim_suffix>"];
const CHATML: [&str; 2] = ["<|im_start|>", "<|im_end|>"];

fn folder(tokens: &[&str]) -> Folder {
    let folder = Folder::new();
    folder.write("more.gguf", &tiny::model_with("mpt", tokens));
    folder
}

/// Tokens that the model read.
fn n_read(output: &Output) -> usize {
    assert!(output.status.success(), "{}", text(&output.stderr));
    let report = text(&output.stderr);
    let prefill = report.lines().find_map(|line| line.strip_prefix("prefill")).unwrap();
    prefill.split_whitespace().next().unwrap().parse().unwrap()
}

#[test]
fn a_hole_is_filled_between_prefix_and_suffix() {
    let f = folder(&FIM);
    let fill = |suffix: &str| {
        f.command(["run", "more.gguf", "-p", "he on", "--suffix", suffix, "-n", "6", "--temp", "0"]).output().unwrap()
    };
    let output = fill(" the");
    // One that begins the text, those before prefix, suffix and middle, `he`, ` `, `on` and ` the`.
    assert_eq!(n_read(&output), 1 + 3 + 3 + 1);
    let story = text(&output.stdout);
    assert!(story.starts_with("he on") && story.ends_with(" the\n"), "{story}");
    assert!(!story.contains("fim"), "{story}");
    // What comes behind the hole is read, too.
    let other = text(&fill("\nqq!").stdout);
    assert_ne!(other.strip_suffix("\nqq!\n"), story.strip_suffix(" the\n"));
    // A prefix may be missing.
    let output = f.command(["run", "more.gguf", "--suffix", " the", "-n", "2"]).output().unwrap();
    assert_eq!(n_read(&output), 1 + 3 + 1);
}

#[test]
fn a_model_without_tokens_for_a_hole_says_so() {
    let f = folder(&FIM[..2]);
    f.fails(
        "run tiny.gguf he --suffix the",
        1,
        "--suffix: the model was not made to fill in text: it has no prefix token",
    );
    f.fails(
        "run more.gguf he --suffix the",
        1,
        "--suffix: the model was not made to fill in text: it has no suffix token",
    );
    f.fails("run more.gguf he --suffix the --chat", 2, "the argument '--suffix <TEXT>' cannot be used with");
}

#[test]
fn a_question_is_put_in_the_format_of_the_model() {
    let f = folder(&CHATML);
    let ask = |args: &[&str]| {
        f.command(["run", "more.gguf", "he", "-n", "5", "--temp", "0"].iter().chain(args)).output().unwrap()
    };
    let output = ask(&["--chat"]);
    assert_eq!(text(&output.stdout), text(&ask(&["--chat=chatml"]).stdout));
    assert!(!text(&output.stdout).starts_with("he"), "the answer alone is shown");
    // Without words on itself: one that begins the text, `<|im_start|>user\n`, `he`, `<|im_end|>\n<|im_start|>assistant\n`;
    // of the words `er` and `<|im_end|>` are one token.
    let none = n_read(&ask(&["--chat", "--system", ""]));
    assert_eq!(none, 1 + (1 + 4) + 1 + (1 + 1 + 1 + 10));
    // `<|im_start|>system\n`, `he`, `<|im_end|>\n`
    assert_eq!(n_read(&ask(&["--chat", "--system", "he"])), none + (1 + 7) + 1 + (1 + 1));
    // What looks like a token in a question is text.
    let output = f.command(["run", "more.gguf", "<|im_end|>", "--chat", "--system", "", "-n", "1"]).output().unwrap();
    assert_eq!(n_read(&output), none - 1 + 10);
    // A format of plain words suits any model.
    let output = f.command(["run", "tiny.gguf", "he", "--chat=plain", "-n", "1"]).output().unwrap();
    assert_eq!(n_read(&output), 1 + 1);
}

#[test]
fn a_conversation_goes_on_line_by_line() {
    let f = folder(&CHATML);
    let talk = |lines: &str| {
        let mut command = f.command(["run", "more.gguf", "--chat", "-n", "4", "--temp", "0"]);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(lines.as_bytes()).unwrap();
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "{}", text(&output.stderr));
        (text(&output.stdout), text(&output.stderr))
    };
    let reads = |report: &str| {
        let lines = report.lines().filter_map(|line| line.strip_prefix("prefill"));
        lines.map(|line| line.split_whitespace().next().unwrap().parse().unwrap()).collect::<Vec<usize>>()
    };
    let (one, _) = talk("he\n");
    let (two, report) = talk("he\nhe\n\nnever read\n");
    assert_eq!(two.matches("> ").count(), 3);
    assert!(two.starts_with(one.trim_end_matches("> \n")), "{one:?} {two:?}");
    // The second question is read with the first one and its answer.
    assert!(matches!(reads(&report)[..], [first, second] if second > first + 10), "{report}");
}

#[test]
fn a_model_without_a_format_says_what_there_is() {
    let f = folder(&[]);
    f.fails("run tiny.gguf he --chat", 1, "--chat: no chat format is known for this model (mpt, ");
    f.fails("run tiny.gguf he --chat=refact", 1, "--chat=refact: the model has no token <empty_output>");
    f.fails("run tiny.gguf he --chat=baichuan2", 1, "--chat=baichuan2: the model has no token <reserved_106>");
    f.fails("run tiny.gguf he --chat=llama", 2, "invalid value 'llama' for '--chat[=<FORMAT>]'");
    f.fails("run tiny.gguf he --system me", 2, "the following required arguments were not provided");
}
