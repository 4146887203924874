//! Text to tokens and back.

use std::io::Write;
use std::process::Stdio;

use crate::{Folder, text, tiny};

/// Standard output for this standard input.
pub fn filter(folder: &Folder, line: &str, input: &[u8]) -> Vec<u8> {
    let mut child = folder.command(line.split(' ')).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(input).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success());
    output.stdout
}

#[test]
fn text_is_its_tokens_and_a_line_end() {
    let f = Folder::new();
    // `Ġthe` is the third merge, `he` the first, and `in` is one; the text begins with `<|endoftext|>`.
    assert_eq!(f.stdout("tokenize tiny.gguf -p he"), "264 256\n");
    let output = f.command(["tokenize", "tiny.gguf", " the"]).output().unwrap();
    assert_eq!(text(&output.stdout), "264 258\n");
    assert_eq!(f.stdout("tokenize tiny.gguf he --no-bos"), "256\n");
    assert_eq!(f.stdout("tokenize -m tiny.gguf tiny.gguf --no-bos").split(' ').count(), 8);
}

#[test]
fn names_of_control_tokens_are_text_unless_asked_for() {
    let f = Folder::new();
    assert_eq!(f.stdout("tokenize tiny.gguf <|endoftext|> --no-bos").split(' ').count(), 13);
    assert_eq!(f.stdout("tokenize tiny.gguf <|endoftext|> --no-bos --special"), format!("{}\n", tiny::END));
    assert_eq!(f.stdout("detokenize tiny.gguf 264"), "");
    assert_eq!(f.stdout("detokenize tiny.gguf 264 --special"), "<|endoftext|>");
}

#[test]
fn what_was_tokenized_comes_out_again() {
    let f = Folder::new();
    let texts =
        ["", "\n", "In the winter\r\n\tthe others went on.  \n\n", "Grüße, 世界! 👩‍👩‍👧 \u{0}\u{1b}[0m ﷽", "-1 2,3"];
    for want in texts {
        let ids = filter(&f, "tokenize tiny.gguf", want.as_bytes());
        assert!(ids.iter().all(|byte| byte.is_ascii_digit() || b" \n".contains(byte)));
        assert_eq!(text(&filter(&f, "detokenize tiny.gguf", &ids)), want);
        // The same ids as arguments.
        let line = format!("detokenize tiny.gguf {}", text(&ids).trim());
        assert_eq!(f.stdout(&line), want);
        assert_eq!(f.stdout(&line.replace(' ', ",").replacen(',', " ", 2)), want);
    }
}

#[test]
fn tokens_that_end_within_a_character_are_not_lost() {
    let f = Folder::new();
    // 0xe4 begins a character of three bytes, which the first two ids are.
    assert_eq!(f.stdout("detokenize tiny.gguf 228 184"), "\u{fffd}");
    assert_eq!(f.stdout("detokenize tiny.gguf 228 184 150"), "世");
}
