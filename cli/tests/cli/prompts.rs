//! Prompts and texts from arguments, files, pipes and closed inputs.

use std::fs::{self, File};
use std::io::Write;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use crate::{Folder, text, tiny};

/// Output of a command for this standard input. A command may end before it has read all.
fn piped(f: &Folder, line: &str, input: &[u8]) -> Output {
    let mut command = f.command(line.split_whitespace());
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let input = input.to_vec();
    let writer = std::thread::spawn(move || drop(stdin.write_all(&input)));
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap();
    output
}

/// Standard output of a run that has to succeed.
fn told(f: &Folder, line: &str, input: &[u8]) -> String {
    let output = piped(f, line, input);
    assert!(output.status.success(), "{line}\n{}", text(&output.stderr));
    text(&output.stdout)
}

const RUN: &str = "run tiny.gguf -n 8 --temp 0";

#[test]
fn a_prompt_comes_from_an_argument_a_pipe_or_a_file() {
    let f = Folder::new();
    f.write("prompt", b"he on the\n");
    let want = text(&f.command(["run", "tiny.gguf", "he on the", "-n", "8", "--temp", "0"]).output().unwrap().stdout);
    assert!(want.starts_with("he on the"));
    for line in [
        RUN,
        "run tiny.gguf - -n 8 --temp 0",
        "run tiny.gguf -p - -n 8 --temp 0",
        "run -m tiny.gguf -f - -n 8 --temp 0",
    ] {
        for input in ["he on the", "he on the\n", "he on the\r\n", "\u{feff}he on the\n"] {
            assert_eq!(told(&f, line, input.as_bytes()), want, "{line} {input:?}");
        }
    }
    assert_eq!(f.stdout(&format!("{RUN} -f prompt")), want);
    // One line end is removed, and no more.
    assert!(told(&f, RUN, b"he on the\n\n").starts_with("he on the\n"));
    // An argument has precedence; the pipe is then not read.
    assert_eq!(told(&f, &format!("{RUN} -f prompt"), b"other"), want);
    // Redirected from a file.
    let output = f.command(RUN.split(' ')).stdin(File::open(f.path().join("prompt")).unwrap()).output().unwrap();
    assert_eq!(text(&output.stdout), want);
}

#[test]
fn without_a_prompt_and_with_nothing_to_read_the_default_story_begins() {
    let f = Folder::new();
    let prompt = ["run", "tiny.gguf", "-n", "8", "--temp", "0", "-p", "Once upon a time"];
    let want = text(&f.command(prompt).output().unwrap().stdout);
    // /dev/null, as cron has it.
    assert_eq!(f.stdout(RUN), want);
    // A pipe without a byte.
    assert_eq!(told(&f, RUN, b""), want);
    // An empty line is a prompt, though an empty one; so is a text that is named and empty.
    let empty = text(&f.command(["run", "tiny.gguf", "-n", "8", "--temp", "0", "-p", ""]).output().unwrap().stdout);
    assert!(!empty.starts_with("Once"));
    assert_eq!(told(&f, RUN, b"\n"), empty);
    assert_eq!(told(&f, &format!("{RUN} -p -"), b""), empty);
    assert_eq!(f.stdout(&format!("{RUN} -f /dev/null")), empty);
}

/// Standard input that is closed, or open for writing only.
#[cfg(unix)]
#[test]
fn a_closed_standard_input_is_empty() {
    let f = Folder::new();
    let want = f.stdout(RUN);
    for redirection in ["<&-", "0>written"] {
        let line = format!("exec {} {RUN} {redirection}", env!("CARGO_BIN_EXE_nearfield"));
        let output = Command::new("sh").current_dir(f.path()).args(["-c", &line]).output().unwrap();
        assert!(output.status.success(), "{}", text(&output.stderr));
        assert_eq!(text(&output.stdout), want, "{redirection}");
    }
}

/// A shell loop, a service or `ssh` may hand down a pipe that nobody writes to and nobody closes.
#[test]
fn a_prompt_that_is_named_does_not_wait_for_a_pipe() {
    let f = Folder::new();
    f.write("prompt", b"beep");
    for line in [
        "run tiny.gguf beep -n 2",
        "run tiny.gguf -f prompt -n 2",
        "tokenize tiny.gguf beep",
        "run tiny.gguf --chat=plain -p beep -n 2",
    ] {
        let mut child = f
            .command(line.split(' '))
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let open = child.stdin.take().unwrap();
        let begun = Instant::now();
        while child.try_wait().unwrap().is_none() {
            assert!(begun.elapsed() < Duration::from_secs(60), "{line} waits");
            std::thread::sleep(Duration::from_millis(5));
        }
        assert!(child.wait().unwrap().success(), "{line}");
        drop(open);
    }
}

/// A command that waits for a pipe says so, and Ctrl-C ends it.
#[cfg(unix)]
#[test]
fn waiting_for_a_pipe_is_told_and_can_be_interrupted() {
    use std::io::{BufRead, BufReader};

    let f = Folder::new();
    let mut command = f.command(RUN.split(' '));
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let open = child.stdin.take().unwrap();
    let mut line = String::new();
    let mut error = BufReader::new(child.stderr.take().unwrap());
    error.read_line(&mut line).unwrap();
    assert_eq!(line, "waiting for the text on standard input, which is a pipe; -p TEXT gives it as an argument\n");
    child.stderr = Some(error.into_inner());
    crate::pipes::interrupt(&child);
    assert_eq!(crate::pipes::end(child), (Some(130), String::new()));
    drop(open);
}

#[test]
fn any_bytes_are_a_prompt() {
    let f = Folder::new();
    let bytes: Vec<u8> = (0..=255).collect();
    f.write("bytes", &bytes);
    for output in [piped(&f, RUN, &bytes), f.nearfield(&format!("{RUN} -f bytes"))] {
        assert!(output.status.success(), "{}", text(&output.stderr));
        assert!(output.stdout.starts_with(&bytes));
    }
    // Far more than an argument holds.
    let long = "the one in the winter ".repeat(12_000);
    let ids = told(&f, "tokenize tiny.gguf", long.as_bytes());
    f.write("long", long.as_bytes());
    assert!(long.len() > 256 << 10 && ids.split(' ').count() > 50_000);
    assert_eq!(f.stdout("tokenize tiny.gguf -f long"), ids);
}

#[test]
fn a_prompt_that_is_too_long_is_an_error() {
    let f = Folder::new();
    let long = b"the one in the winter ".repeat(500_000);
    let output = piped(&f, &format!("{RUN} --ctx 4096"), &long);
    assert_eq!(output.status.code(), Some(1));
    let error = text(&output.stderr);
    assert!(
        error.starts_with("nearfield: the prompt has ")
            && error.ends_with("the context 4096: --ctx N makes room for more\n"),
        "{error}"
    );
    assert_eq!(text(&output.stdout), "");
}

#[test]
fn files_that_cannot_be_read() {
    let f = Folder::new();
    fs::create_dir(f.path().join("folder")).unwrap();
    f.write("encoder.gguf", &tiny::encoder(true));
    for command in [
        "run tiny.gguf -f",
        "tokenize tiny.gguf -f",
        "perplexity tiny.gguf -f",
        "imatrix tiny.gguf -f",
        "embed encoder.gguf -f",
        "rerank encoder.gguf the -f",
    ] {
        f.fails(&format!("{command} none"), 1, "cannot read none: No such file");
        #[cfg(unix)]
        f.fails(&format!("{command} folder"), 1, "cannot read folder: Is a directory");
    }
    f.fails("run tiny.gguf -f a -p b", 2, "the argument '--file <FILE>' cannot be used with '--prompt <TEXT>'");
    f.fails("run tiny.gguf he -f a", 1, "\"he\" is one text too many");
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let path = f.write("secret", b"beep");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o000)).unwrap();
        // The superuser reads it all the same.
        if File::open(&path).is_err() {
            f.fails("run tiny.gguf -f secret", 1, "cannot read secret: Permission denied");
        }
        let folder = File::open(f.path()).unwrap();
        let output = f.command(RUN.split(' ')).stdin(folder).output().unwrap();
        assert_eq!(output.status.code(), Some(1));
        assert!(text(&output.stderr).starts_with("nearfield: cannot read standard input: Is a directory"));
    }
}

#[test]
fn a_folder_or_a_file_in_place_of_a_model_is_no_prompt() {
    let f = Folder::new();
    fs::create_dir(f.path().join("checkpoint")).unwrap();
    f.write("notes.txt", b"beep");
    fs::copy(f.path().join("tiny.gguf"), f.path().join("blob")).unwrap();
    f.write("encoder.gguf", &tiny::encoder(false));
    fs::copy(f.path().join("encoder.gguf"), f.path().join("encoder")).unwrap();
    for command in ["run", "tokenize"] {
        f.fails(
            &format!("{command} checkpoint"),
            1,
            "checkpoint is a folder, not a model file: nearfield convert makes one",
        );
        f.fails(&format!("{command} checkpoint he"), 1, "checkpoint is a folder");
        f.fails(&format!("{command} ."), 1, ". is a folder");
        f.fails(
            &format!("{command} notes.txt"),
            1,
            "notes.txt is a file, but not a GGUF file: -f notes.txt reads a text from it",
        );
    }
    f.fails("embed checkpoint he", 1, "checkpoint is a folder");
    // A GGUF file of any name is a model.
    assert_eq!(f.stdout("tokenize blob he"), f.stdout("tokenize tiny.gguf he"));
    assert_eq!(f.stdout("embed encoder he"), f.stdout("embed encoder.gguf he"));
    // The flags say what a name is.
    assert_eq!(f.stdout("tokenize tiny.gguf -p checkpoint"), f.stdout("tokenize -m tiny.gguf checkpoint"));
}

/// The other commands that read texts or token ids.
#[test]
fn other_commands_read_pipes() {
    let f = Folder::new();
    f.write("encoder.gguf", &tiny::encoder(false));
    f.write("reranker.gguf", &tiny::encoder(true));
    let words = "the one in the water, on and over; ".repeat(40);
    f.write("text", words.as_bytes());
    let table = f.stdout("perplexity tiny.gguf -f text --ctx 32");
    let output = piped(&f, "perplexity tiny.gguf -f - --ctx 32 --csv out.csv", words.as_bytes());
    assert_eq!(text(&output.stdout), table);
    assert!(text(&output.stderr).contains(" tokens of standard input, "), "{}", text(&output.stderr));
    assert!(fs::read_to_string(f.path().join("out.csv")).unwrap().contains(",\"standard input\","));

    f.stdout("imatrix tiny.gguf -f text -c 32 -o a.gguf");
    told(&f, "imatrix tiny.gguf -f - -c 32 -o b.gguf", words.as_bytes());
    assert!(f.stdout("plan tiny.gguf --ctx 64 --calibrate text").contains("rings by a measurement on text"));
    assert!(
        told(&f, "plan tiny.gguf --ctx 64 --calibrate -", words.as_bytes())
            .contains("rings by a measurement on standard input")
    );

    let want = f.stdout("embed encoder.gguf he on");
    for line in ["embed encoder.gguf", "embed encoder.gguf -f -", "embed encoder.gguf -"] {
        assert_eq!(told(&f, line, b"he\non\n"), want, "{line}");
    }
    let want = f.stdout("rerank reranker.gguf the he on");
    for line in ["rerank reranker.gguf the", "rerank reranker.gguf the -f -", "rerank reranker.gguf the -"] {
        assert_eq!(told(&f, line, b"he\non\n"), want, "{line}");
    }
    assert_eq!(told(&f, "rerank reranker.gguf - he on", b"the\n"), want);
    let output = piped(&f, "rerank reranker.gguf - -f -", b"the\n");
    assert_eq!(text(&output.stderr), "nearfield: standard input is named twice: it can be read once\n");

    let want = f.stdout("embed encoder.gguf --tokens 1,2,3");
    assert_eq!(told(&f, "embed encoder.gguf --tokens @-", b"1 2\n3\n"), want);
    f.stdout("logits tiny.gguf --tokens 1,2,3 -o a.npy");
    told(&f, "logits tiny.gguf --tokens @- -o b.npy", b"1,2,3\n");
    assert_eq!(fs::read(f.path().join("a.npy")).unwrap(), fs::read(f.path().join("b.npy")).unwrap());
    let output = piped(&f, "logits tiny.gguf --tokens @- -o b.npy --force", b"1 x");
    assert_eq!(text(&output.stderr), "nearfield: standard input: \"x\" is not a token id\n");
}

/// Without `--chat`, a pipe is one prompt; with it, each of its lines is a question, unless a file or `-` says that it is one.
#[test]
fn a_question_may_have_many_lines() {
    let f = Folder::new();
    let chat = "run tiny.gguf --chat=plain -n 4 --temp 0";
    let question = b"he\non\n";
    let lines = told(&f, chat, question);
    assert_eq!(lines.matches("> ").count(), 3, "{lines}");
    let one = told(&f, &format!("{chat} -p -"), question);
    assert!(!one.contains("> "), "{one}");
    f.write("question", question);
    assert_eq!(f.stdout(&format!("{chat} -f question")), one);
    assert_eq!(text(&f.command(chat.split(' ').chain(["-p", "he\non"])).output().unwrap().stdout), one);
}
