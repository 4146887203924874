//! Readers that go away, and Ctrl-C.
#![cfg(unix)]

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::Folder;

/// A story that takes longer than any test: the likeliest text of a random model goes round in circles.
const ENDLESS: &str = "run tiny.gguf Once -n -1 --ctx 400000 --temp 0";

pub fn start(folder: &Folder, line: &str) -> Child {
    folder.command(line.split(' ')).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

/// Exit code and standard error, at most a minute later.
pub fn end(mut child: Child) -> (Option<i32>, String) {
    let start = Instant::now();
    let status = loop {
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
        if start.elapsed() > Duration::from_secs(60) {
            child.kill().unwrap();
            panic!("it goes on and on");
        }
        std::thread::sleep(Duration::from_millis(5));
    };
    let mut error = String::new();
    child.stderr.take().unwrap().read_to_string(&mut error).unwrap();
    (status.code(), error)
}

pub fn interrupt(child: &Child) {
    assert!(Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap().success());
}

#[test]
fn a_closed_pipe_is_the_end_and_no_error() {
    let f = Folder::new();
    let mut child = start(&f, ENDLESS);
    let mut first = [0; 20];
    child.stdout.take().unwrap().read_exact(&mut first).unwrap();
    assert_eq!(end(child), (Some(0), String::new()));
    for line in ["inspect tiny.gguf", "--help", "tokenize tiny.gguf beep", "detokenize tiny.gguf 70 71"] {
        let mut child = start(&f, line);
        drop(child.stdout.take());
        assert_eq!(end(child), (Some(0), String::new()), "{line}");
    }
}

#[test]
fn ctrl_c_ends_a_story_with_its_timing() {
    let f = Folder::new();
    let mut child = start(&f, ENDLESS);
    let mut stdout = child.stdout.take().unwrap();
    let mut first = [0; 20];
    stdout.read_exact(&mut first).unwrap();
    interrupt(&child);
    let mut rest = Vec::new();
    stdout.read_to_end(&mut rest).unwrap();
    assert!(rest.ends_with(b"\n"));
    let (code, error) = end(child);
    assert_eq!(code, Some(130));
    assert!(
        error.contains("prefill  5 tokens") && error.contains("decode ") && !error.contains("nearfield:"),
        "{error}"
    );
}

#[test]
fn ctrl_c_leaves_no_half_file() {
    let f = Folder::new();
    f.write("ids", "1 2 3 4 5 6 7 8 ".repeat(20_000).as_bytes());
    f.write("out.npy", b"old");
    let mut child = start(&f, "logits tiny.gguf --tokens @ids -o out.npy");
    let begun = Instant::now();
    while f.names().len() < 3 && begun.elapsed() < Duration::from_secs(60) {
        std::thread::sleep(Duration::from_millis(5));
    }
    assert_eq!(f.names().len(), 3, "the file is being written under another name");
    interrupt(&child);
    drop(child.stdout.take());
    assert_eq!(end(child), (Some(130), String::new()));
    assert_eq!(std::fs::read(f.path().join("out.npy")).unwrap(), b"old");
    assert_eq!(f.names().len(), 2, "{:?}", f.names());
}

#[test]
fn text_comes_token_by_token() {
    let f = Folder::new();
    let mut child = start(&f, ENDLESS);
    // The prompt is readable long before the end.
    let mut first = vec![0; 4];
    let mut stdout = BufReader::new(child.stdout.take().unwrap());
    stdout.read_exact(&mut first).unwrap();
    assert_eq!(first, b"Once");
    assert!(!stdout.fill_buf().unwrap().is_empty());
    assert!(child.try_wait().unwrap().is_none());
    interrupt(&child);
    drop(stdout);
    let code = end(child).0;
    // Whichever is seen first: Ctrl-C or the closed pipe.
    assert!(matches!(code, Some(0 | 130)), "{code:?}");
}
