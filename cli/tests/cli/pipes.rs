//! Closed pipes, and signals such as Ctrl-C.
#![cfg(unix)]

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::Folder;

/// Run that takes longer than any test: greedy text of a random model goes round in circles.
const ENDLESS: &str = "run tiny.gguf Once -n -1 --ctx 400000 --temp 0";

pub fn start(folder: &Folder, line: &str) -> Child {
    folder.command(line.split(' ')).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

/// Starts a command that receives SIGHUP even if the tests were begun with `nohup`.
fn start_hearing(folder: &Folder, line: &str) -> Child {
    if cfg!(not(target_os = "linux")) {
        return start(folder, line);
    }
    let mut command = Command::new("env");
    command.current_dir(folder.path()).args(["--default-signal=HUP", env!("CARGO_BIN_EXE_nearfield")]);
    command.args(line.split(' ')).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

/// Waits for the end, at most a minute; returns the exit code and standard error.
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
    signal(child, "INT");
}

fn signal(child: &Child, name: &str) {
    assert!(Command::new("kill").args([&format!("-{name}"), &child.id().to_string()]).status().unwrap().success());
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
        error.contains("prompt   5 tokens") && error.contains("\ntext     ") && !error.contains("nearfield:"),
        "{error}"
    );
}

#[test]
fn signals_leave_no_half_file() {
    for (name, code) in [("INT", 130), ("TERM", 143), ("HUP", 129)] {
        let f = Folder::new();
        f.write("ids", "1 2 3 4 5 6 7 8 ".repeat(20_000).as_bytes());
        f.write("out.npy", b"old");
        let mut child = start_hearing(&f, "logits tiny.gguf --tokens @ids -o out.npy --force");
        let part = wait_for_part(&f);
        assert!(part.starts_with(".out.npy."), "{part} says whose part it is");
        signal(&child, name);
        drop(child.stdout.take());
        assert_eq!(end(child), (Some(code), String::new()), "{name}");
        assert_eq!(std::fs::read(f.path().join("out.npy")).unwrap(), b"old");
        assert_eq!(f.names().len(), 2, "{:?}", f.names());
    }
}

#[test]
fn what_a_killed_run_left_is_removed_by_the_next() {
    let f = Folder::new();
    f.write("ids", "1 2 3 4 5 6 7 8 ".repeat(20_000).as_bytes());
    let mut child = start(&f, "logits tiny.gguf --tokens @ids -o out.npy --force");
    let part = wait_for_part(&f);
    // A running command keeps its part.
    f.stdout("logits tiny.gguf --tokens 1,2 -o out.npy --force");
    assert!(f.names().contains(&part));
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(f.names().contains(&part));
    f.stdout("logits tiny.gguf --tokens 1,2 -o other.npy");
    assert!(f.names().contains(&part), "it belongs to another file");
    f.stdout("logits tiny.gguf --tokens 1,2 -o out.npy --force");
    assert!(!f.names().contains(&part), "{:?}", f.names());
}

/// Waits for the temporary name of a file that is being written, and returns it. An empty one may be a trial, which is removed again.
pub fn wait_for_part(f: &Folder) -> String {
    let begun = Instant::now();
    let is_written = |name: &str| std::fs::metadata(f.path().join(name)).is_ok_and(|part| part.len() > 0);
    loop {
        if let Some(part) = f.names().into_iter().find(|name| name.ends_with(".part") && is_written(name)) {
            return part;
        }
        assert!(begun.elapsed() < Duration::from_secs(60), "nothing is written: {:?}", f.names());
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn a_text_is_stored_when_a_signal_ends_it() {
    for (name, code) in [("INT", 130), ("TERM", 143), ("HUP", 129)] {
        let f = Folder::new();
        let mut child = start_hearing(&f, &format!("{ENDLESS} --save-kv text.kv"));
        let mut stdout = child.stdout.take().unwrap();
        let mut told = vec![0; 20];
        stdout.read_exact(&mut told).unwrap();
        signal(&child, name);
        stdout.read_to_end(&mut told).unwrap();
        let (ended, error) = end(child);
        assert_eq!(ended, Some(code), "{error}");
        // The snapshot continues the printed text.
        let rest = f.stdout("run tiny.gguf --load-kv text.kv -n 4 --temp 0");
        let whole = f.stdout(&format!("run tiny.gguf Once -n {} --ctx 400000 --temp 0", n_tokens(&error) + 4));
        told.pop();
        assert_eq!(crate::text(&told) + &rest, whole, "{name}");
    }
}

/// Number of tokens that were stored after the prompt's five, plus the last one, which was not run.
fn n_tokens(error: &str) -> usize {
    let line = error.lines().find(|line| line.starts_with("snapshot")).unwrap_or_else(|| panic!("{error}"));
    line.split_whitespace().nth(1).unwrap().parse::<usize>().unwrap() + 1 - 5
}

#[test]
fn nohup_is_heard() {
    let f = Folder::new();
    let line = format!("trap '' HUP; exec {} {ENDLESS}", env!("CARGO_BIN_EXE_nearfield"));
    let mut command = Command::new("sh");
    let child = command.current_dir(f.path()).args(["-c", &line]).stdin(Stdio::null());
    let mut child = child.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut stdout = child.stdout.take().unwrap();
    let mut told = [0; 20];
    stdout.read_exact(&mut told).unwrap();
    signal(&child, "HUP");
    let mut more = [0; 2000];
    stdout.read_exact(&mut more).unwrap();
    assert!(child.try_wait().unwrap().is_none());
    drop(stdout);
    assert_eq!(end(child), (Some(0), String::new()));
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
    // Either Ctrl-C or the closed pipe is seen first.
    assert!(matches!(code, Some(0 | 130)), "{code:?}");
}
