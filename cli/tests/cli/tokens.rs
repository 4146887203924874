//! Tokenizing texts, and detokenizing ids.

use std::io::Write;
use std::process::Stdio;

use crate::{Folder, text, tiny};

/// Standard output of a command for this standard input.
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
        // Ids given as arguments give the same text.
        let line = format!("detokenize tiny.gguf {}", text(&ids).trim());
        assert_eq!(f.stdout(&line), want);
        assert_eq!(f.stdout(&line.replace(' ', ",").replacen(',', " ", 2)), want);
    }
}

#[test]
fn tokens_that_end_within_a_character_are_not_lost() {
    let f = Folder::new();
    // The byte 0xe4 begins a character of three bytes; the first two ids are its first two bytes.
    assert_eq!(f.stdout("detokenize tiny.gguf 228 184"), "\u{fffd}");
    assert_eq!(f.stdout("detokenize tiny.gguf 228 184 150"), "世");
}

#[test]
fn a_control_token_that_is_read_as_letters_is_told() {
    let f = Folder::new();
    let text = "the <|endoftext|> in the ".repeat(30);
    f.write("text", text.as_bytes());
    f.write("other", text.replace("endoftext", "end of text").as_bytes());
    let note = "the text names the control token <|endoftext|>, which is read as letters: --special reads the token";
    for command in [
        "tokenize tiny.gguf -p NAME",
        "perplexity tiny.gguf -f TEXT --ctx 16",
        "bench tiny.gguf --text TEXT -p 4 -n 1 -r 1",
    ] {
        let told = |line: String| f.stderr(&line).matches(note).count();
        assert_eq!(told(command.replace("NAME", "<|endoftext|>").replace("TEXT", "text")), 1, "{command}");
        let special = command.replace("NAME", "<|endoftext|>").replace("TEXT", "text") + " --special";
        assert_eq!(told(special), 0, "{command}");
        assert_eq!(told(command.replace("NAME", "<|endof").replace("TEXT", "other")), 0, "{command}");
    }
}

/// A letter without a token gives no note on the name of a control token; `[UNK]` in the text does.
#[test]
fn what_is_unknown_names_no_token() {
    let f = Folder::new();
    f.write("bert.gguf", &tiny::bert());
    let told =
        |text: &str| f.stderr(&format!("tokenize bert.gguf -p {text}")).matches("names the control token").count();
    assert_eq!([told("世"), told("世[UNK]"), told("[SEP]")], [0, 1, 1]);
}

/// A converter writes `default` for a pre-tokenizer whose name it does not know; the architecture then decides.
#[test]
fn a_default_pre_tokenizer_is_that_of_the_family() {
    let f = Folder::new();
    let with_pre = |arch: &str, pre: &str| {
        let model = tiny::model("mpt");
        let string = |text: &str| [&(text.len() as u64).to_le_bytes()[..], text.as_bytes()].concat();
        let replaced = |model: Vec<u8>, key: &str, from: &str, to: &str| {
            let [from, to] = [from, to].map(|value| [string(key), 8u32.to_le_bytes().to_vec(), string(value)].concat());
            let at = model.windows(from.len()).position(|window| window == from).unwrap();
            [&model[..at], &to, &model[at + from.len()..]].concat()
        };
        let model = replaced(model, "tokenizer.ggml.pre", "gpt-2", pre);
        // The replacement changes the length of the metadata, so the tensors no longer fit; a vocabulary needs none.
        replaced(model, "general.architecture", "mpt", arch)
    };
    let note = "tokenizer.ggml.pre is \"default\", the name of no tokenizer: texts are cut as published ";
    for (arch, pre) in
        [("mpt", "mpt"), ("bloom", "bloom"), ("refact", "refact"), ("falcon", "falcon"), ("jais", "gpt-2")]
    {
        let ids = |pre: &str| {
            let bytes = with_pre(arch, pre);
            // Without tensors the metadata may have any length.
            let mut bytes = bytes;
            let n_tensors = &mut bytes[8..16];
            n_tensors.fill(0);
            f.write("vocabulary.gguf", &bytes);
            let output = f.command(["tokenize", "vocabulary.gguf", "the 12 in. others' e\u{301}"]).output().unwrap();
            assert!(output.status.success(), "{arch} {pre}: {}", crate::text(&output.stderr));
            (crate::text(&output.stdout), crate::text(&output.stderr))
        };
        let ((want, quiet), (found, told)) = (ids(pre), ids("default"));
        assert_eq!(found, want, "{arch}");
        assert!(
            told.contains(&format!("{note}{arch} models cut them")) && !quiet.contains(note),
            "{arch}: {told}{quiet}"
        );
    }
    let mut other = with_pre("llama", "default");
    other[8..16].fill(0);
    f.write("vocabulary.gguf", &other);
    f.fails(
        "tokenize vocabulary.gguf in",
        1,
        "vocabulary.gguf: tokenizer.ggml.pre \"default\": not a known pre-tokenizer",
    );
}

#[test]
fn a_beginning_that_stands_twice_is_told() {
    let f = Folder::new();
    let note = "the text begins with the token that is put before every text: it stands there twice";
    for (more, n) in [("--special", 1), ("--special --no-bos", 0), ("", 0)] {
        let report = f.stderr(&format!("tokenize tiny.gguf <|endoftext|>he {more}"));
        assert_eq!(report.matches(note).count(), n, "{more}: {report}");
    }
}

/// Makes the model without tokens for 0xfc and for a vertical tab, which BLOOMZ's vocabulary lacks, too.
fn without_two_bytes(mut model: Vec<u8>) -> Vec<u8> {
    for (letter, other) in [("\u{fc}", "\u{7fe}"), ("\u{10b}", "\u{7ff}")] {
        let string = |text: &str| [&(text.len() as u64).to_le_bytes()[..], text.as_bytes()].concat();
        let (from, to) = (string(letter), string(other));
        let at = model.windows(from.len()).position(|window| window == from).unwrap();
        model[at..at + to.len()].copy_from_slice(&to);
    }
    model
}

#[test]
fn bytes_without_a_token_are_left_out_with_one_note() {
    let f = Folder::new();
    f.write("lacks.gguf", &without_two_bytes(tiny::model("mpt")));
    f.write("encoder.gguf", &without_two_bytes(tiny::encoder(false)));
    f.write("reranker.gguf", &without_two_bytes(tiny::encoder(true)));
    let whole: Vec<u8> = b"f\xfcnf\x0b. ".repeat(20);
    let rest: Vec<u8> = b"fnf. ".repeat(20);
    f.write("whole", &whole);
    f.write("rest", &rest);
    let both = |line: &str| {
        let output = |text: &str| {
            let mut command = f.command(line.replace("TEXT", text).split(' '));
            let mut child =
                command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
            // Some commands do not read standard input.
            let _ = child.stdin.take().unwrap().write_all(if text == "whole" { &whole } else { &rest });
            let output = child.wait_with_output().unwrap();
            assert!(output.status.success(), "{line}: {}", crate::text(&output.stderr));
            (output.stdout, crate::text(&output.stderr))
        };
        let ((whole, report), (rest, quiet)) = (output("whole"), output("rest"));
        assert_eq!(whole, rest, "{line}");
        let note = "the text has 40 bytes that the vocabulary has no tokens for: they are left out";
        assert_eq!(report.matches("left out").count(), 1, "{line}: {report}");
        assert!(report.contains(note), "{line}: {report}");
        assert!(!quiet.contains("left out"), "{line}: {quiet}");
    };
    both("tokenize lacks.gguf");
    both("perplexity lacks.gguf -f TEXT --ctx 16");
    both("embed encoder.gguf -f TEXT");
    both("embed encoder.gguf");
    both("rerank reranker.gguf query -f TEXT -o /dev/null");
    let run = |text: &str, more: &str| {
        let output = f
            .command(format!("run lacks.gguf -n 4 --temp 0 {more} -p").split_whitespace().chain([text]))
            .output()
            .unwrap();
        assert!(output.status.success());
        (crate::text(&output.stdout).replace(text, ""), crate::text(&output.stderr))
    };
    for more in ["", "--chat=plain"] {
        let ((told, report), (want, _)) = (run("a \u{b} b", more), run("a  b", more));
        assert_eq!(told, want);
        assert_eq!(report.matches("left out").count(), 1, "{report}");
        assert!(
            report.contains("the text has 1 byte that the vocabulary has no token for: it is left out"),
            "{report}"
        );
    }
}
