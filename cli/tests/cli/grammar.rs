//! `run` with `--grammar`, `--json-schema` and `--choices`.

use serde_json::Value;

use crate::{Folder, text};

/// Text of the built-in model behind the prompt, and the report.
fn run(folder: &Folder, args: &[&str]) -> (String, String) {
    let output = folder.command(["run", "-p", "Tom said:"].iter().chain(args)).output().unwrap();
    let report = text(&output.stderr);
    assert!(output.status.success(), "{args:?}\n{report}");
    let text = text(&output.stdout);
    let text = text.strip_prefix("Tom said:").expect("the prompt").strip_suffix('\n').expect("a line end");
    (text.to_owned(), report)
}

#[test]
fn a_text_is_one_of_the_choices() {
    let folder = Folder::new();
    for seed in ["1", "2", "3", "4"] {
        for temp in ["0", "2"] {
            let (text, report) = run(&folder, &["--choices", " yes, no, maybe so", "--seed", seed, "--temp", temp]);
            assert!([" yes", " no", " maybe so"].contains(&text.as_str()), "{text:?}");
            assert!(!report.contains("cut off"), "{report}");
        }
    }
}

#[test]
fn a_grammar_comes_from_a_file_or_the_line() {
    let folder = Folder::new();
    let grammar = "root ::= \" [\" [a-c]{3} \"]\" word?\nword ::= \" é\"";
    folder.write("abc.gbnf", grammar.as_bytes());
    for source in ["abc.gbnf", grammar] {
        for seed in ["1", "2", "3"] {
            let (text, _) = run(&folder, &["--grammar", source, "--seed", seed, "--temp", "3"]);
            let inner =
                text.strip_suffix(" é").unwrap_or(&text).strip_prefix(" [").and_then(|text| text.strip_suffix(']'));
            assert!(
                inner.is_some_and(|inner| inner.len() == 3 && inner.chars().all(|c| ('a'..='c').contains(&c))),
                "{text:?}"
            );
        }
    }
}

#[test]
fn json_is_valid_by_its_schema_or_said_to_be_cut_off() {
    let folder = Folder::new();
    let schema = r#"{"type": "object", "properties": {"name": {"type": "string", "maxLength": 12}, "age": {"type": "integer", "minimum": 0,
        "maximum": 99}, "likes": {"type": "array", "items": {"enum": ["cats", "dogs"]}, "maxItems": 3}}, "required": ["name", "age", "likes"]}"#;
    folder.write("schema.json", schema.as_bytes());
    for seed in ["1", "2", "3", "4", "5"] {
        let (text, report) = run(&folder, &["--json-schema", "schema.json", "--seed", seed, "-n", "200"]);
        assert!(!report.contains("cut off"), "{report}");
        let value: Value = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{text}: {error}"));
        assert!(value["name"].as_str().unwrap().chars().count() <= 12, "{text}");
        assert!(value["age"].as_u64().unwrap() <= 99, "{text}");
        assert!(value["likes"].as_array().unwrap().iter().all(|item| item == "cats" || item == "dogs"), "{text}");
    }
    let (_, report) = run(&folder, &["--json-schema", schema, "-n", "3"]);
    assert!(report.contains("the text was cut off before it was complete by its grammar"), "{report}");
}

#[test]
fn a_draft_changes_no_bit_of_a_text_with_a_grammar() {
    let folder = Folder::new();
    folder.write("same.gguf", include_bytes!("../../../models/stories.gguf"));
    let hash = |report: &str| report.lines().find(|line| line.starts_with("hash")).expect("a hash").to_owned();
    for (temp, grammar) in
        [("0", "root ::= [a-z ,]{40} \".\""), ("1", "root ::= \" \" word (\" \" word){5,20} \".\"\nword ::= [a-z]+")]
    {
        let args = ["--grammar", grammar, "--temp", temp, "--seed", "7", "-n", "120", "--hash", "--draft"];
        let (text, report) = run(&folder, &[&args[..], &["off"]].concat());
        for draft in ["lookup", "same.gguf"] {
            let (drafted, with_draft) = run(&folder, &[&args[..], &[draft]].concat());
            assert_eq!((&text, hash(&report)), (&drafted, hash(&with_draft)), "{draft}");
        }
    }
}

#[test]
fn grammars_that_cannot_be_used_are_errors() {
    let folder = Folder::new();
    folder.write("wrong.gbnf", b"root ::= \"a\"\nother ::= [b");
    folder.write("wrong.json", br#"{"properties": {"a": {"not": {}}}}"#);
    folder.fails(
        "run --grammar wrong.gbnf",
        1,
        "wrong.gbnf: line 2, column 13: expected a character or ], found the end",
    );
    folder.fails("run --grammar none.gbnf", 1, "--grammar: cannot read none.gbnf");
    folder.fails("run --json-schema wrong.json", 1, "wrong.json: #/properties/a/not is not supported");
    folder.fails("run --json-schema none.json", 1, "--json-schema: cannot read none.json");
    folder.fails("run -n -1 --choices a,b", 1, "a text without end cannot be held to a grammar");
}
