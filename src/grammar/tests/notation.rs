//! The notation: what each part of it means, and the errors of what is none.

extern crate std;

use std::string::{String, ToString};

use super::{matches, words};

fn error(text: &str) -> String {
    words(text).expect_err(text).to_string()
}

#[test]
fn escapes_classes_and_repetitions() {
    for (grammar, yes, no) in [
        (r#"root ::= "\x41\u00e9\U0001F600\t\r\n\\\"\[\]\-""#, &["Aé😀\t\r\n\\\"[]-"][..], &["Aé", ""][..]),
        (r"root ::= [a-c\]\\^-]", &["a", "c", "]", "\\", "^", "-"], &["d", "[", "ab", ""]),
        (r"root ::= [^a-c]", &["d", "é", "😀", "\0"], &["a", "b", "dd", ""]),
        (r"root ::= [^^]", &["a"], &["^"]),
        ("root ::= [а-яё]+", &["привет", "ё"], &["Я", ""]),
        ("root ::= [\\U0001F600-\\U0001F64F]", &["😀", "🙏"], &["🚀", "a"]),
        ("root ::= [\\x7f-\\u0800]", &["\u{7f}", "\u{80}", "\u{7ff}", "\u{800}"], &["~", "\u{801}"]),
        ("root ::= [\\ud7ff-\\ue000]", &["\u{d7ff}", "\u{e000}"], &["\u{d7fe}", "\u{e001}"]),
        ("root ::= .", &["a", "é", "\n", "\u{10ffff}"], &["", "ab"]),
        ("root ::= \"ab\"*", &["", "ab", "abab"], &["a", "aba"]),
        ("root ::= \"ab\"{2}", &["abab"], &["ab", "ababab"]),
        ("root ::= \"a\" {2 , 3} \"b\"", &["aab", "aaab"], &["ab", "aaaab"]),
        ("root ::= \"a\"{0} \"b\"", &["b"], &["ab"]),
        ("root ::= (\"a\"{2}){3}", &["aaaaaa"], &["aaaaa", "aaaa"]),
        ("root ::= (\"a\" [0-9]{1,2}){2,}", &["a1a23", "a1a2a3"], &["a1", "a123a1"]),
        ("root ::= (\"a\"?){3} \"b\"", &["b", "ab", "aaab"], &["aaaab"]),
        ("root ::= (\"a\"*)* \"b\"", &["b", "aab"], &["a"]),
        ("root ::= (\"\")+ | \"x\"", &["", "x"], &["xx"]),
        ("root ::= a{3} | b\na ::= \"x\"|\"y\"\nb ::= ", &["xyx", ""], &["xy"]),
        ("root ::= [ab]{3000}", &[], &["a"]),
    ] {
        let words = words(grammar).unwrap_or_else(|error| panic!("{grammar}: {error}"));
        yes.iter().for_each(|text| assert!(matches(&words, text), "{grammar}: {text:?}"));
        no.iter().for_each(|text| assert!(!matches(&words, text), "{grammar}: {text:?}"));
    }
}

#[test]
fn spaces_comments_and_lines() {
    let grammar = "# a comment\r\n\r\n root  ::= # another\n  one | # here too\n  (\n two # and here\n\n | \"3\"\n ) tail\t\r\none ::= \"1\"\n\
        two::=\"2\" #\ntail ::=   |\n \"!\"\nroot-2 ::= root\n# the end";
    let words = words(grammar).expect("a grammar");
    for (text, want) in [("1", true), ("2", true), ("3!", true), ("2!", true), ("1!", false), ("", false)] {
        assert_eq!(matches(&words, text), want, "{text:?}");
    }
}

#[test]
fn a_rule_that_is_defined_again_is_the_last() {
    let words = words("root ::= a\na ::= a \"left recursion\"\na ::= \"x\"").expect("a grammar");
    assert!(matches(&words, "x") && !matches(&words, ""));
}

#[test]
fn characters_are_read_by_whole_characters_only() {
    let words = words("root ::= .*").expect("a grammar");
    let grammar = super::Grammar::from_words(&words).expect("words");
    let mut lines = std::vec![super::Line::ZERO; grammar.match_bytes(&super::CONFIG).unwrap() / 64];
    // Cut, overlong, surrogate, beyond U+10FFFF, stray.
    for bytes in [&b"\xc3"[..], b"\xc0\x80", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"\x80", b"a\xff"] {
        assert_eq!(grammar.matches(bytes, &super::CONFIG, &mut super::Arena::new(&mut lines)), Ok(false), "{bytes:?}");
    }
}

#[test]
fn errors_name_the_place_and_what_was_expected() {
    for (text, want) in [
        ("", "rule root is not defined"),
        ("rot ::= \"a\"", "rule root is not defined"),
        ("root ::= \"a", "line 1, column 12: expected a character or \", found the end"),
        ("root ::= [a", "line 1, column 12: expected a character or ], found the end"),
        ("root ::= []", "line 1, column 10: expected a class that is not empty, found '['"),
        ("root ::= (\"a\"\n  | \"é\" ]", "line 2, column 9: expected a character, class, rule, group or ), found ']'"),
        (
            "root ::= \"a\" )",
            "line 1, column 14: expected a character, class, rule, group or the end of the line, found ')'",
        ),
        ("root = \"a\"", "line 1, column 6: expected ::=, found '='"),
        ("root ::= \"a\"\n_x ::= \"b\"", "line 2, column 1: expected the name of a rule, found '_'"),
        ("root ::= *", "line 1, column 10: expected something to repeat, found '*'"),
        ("root ::= | +", "line 1, column 12: expected something to repeat, found '+'"),
        ("root ::= \"a\"{,3}", "line 1, column 14: expected a number, found ','"),
        ("root ::= \"a\"{3", "line 1, column 15: expected a number, a comma or }, found the end"),
        ("root ::= \"a\"{3,2}", "line 1, column 13: the end lies before the beginning"),
        ("root ::= \"a\"{99999999999}", "line 1, column 14: more than 10000000 repetitions"),
        ("root ::= [z-a]", "line 1, column 11: the end lies before the beginning"),
        (
            "root ::= \"\\q\"",
            "line 1, column 12: expected an escape: one of \\x \\u \\U \\t \\r \\n \\\\ \\\" \\[ \\] \\-, found 'q'",
        ),
        ("root ::= \"\\u12g4\"", "line 1, column 15: expected a hexadecimal digit, found 'g'"),
        ("root ::= \"\\ud800\"", "line 1, column 11: U+D800 is no character"),
        ("root ::= [\\U00110000]", "line 1, column 11: U+110000 is no character"),
        (
            "root ::= <[7]>",
            "line 1, column 10: a token (<[1000]>, <think>): only characters, classes and rules are supported",
        ),
        ("root ::= a b\na ::= \"x\"", "line 1, column 12: rule b is not defined"),
        (
            "root ::= root \"a\" | \"b\"",
            "line 1, column 1: rule root begins with itself (left recursion): let it begin with something else",
        ),
        ("root ::= [\\ud800-\\udfff]", "no text matches rule root: some rule goes on without end"),
        ("root ::= \"a\" root", "no text matches rule root: some rule goes on without end"),
        ("root ::= a{2}\na ::= \"x\" a", "no text matches rule root: some rule goes on without end"),
    ] {
        assert_eq!(error(text), want, "{text}");
    }
    let deep = std::format!("root ::= {}\"a\"{}", "(".repeat(65), ")".repeat(65));
    assert_eq!(error(&deep), "line 1, column 74: more than 64 groups or repetitions in each other");
    assert!(matches(&words(&deep.replace("((", "(").replace("))", ")")).expect("a grammar"), "a"));
}

#[test]
fn a_rule_that_begins_with_itself_is_found_behind_others() {
    for text in [
        "root ::= a\na ::= \"a\" | a \"a\"",
        "root ::= a\na ::= \"a\" | b \"b\"\nb ::= \"c\" | a \"d\" | \"e\"",
        "root ::= a\na ::= \"a\" | b \"b\"\nb ::= \"c\" | empty a \"d\" | \"e\"\nempty ::= \"blah\" | ",
        "root ::= \"\"* root \"x\" | \"y\"",
        "root ::= (\"x\"?){2,5} root | \"y\"",
        "root ::= a{3} | \"z\"\na ::= b? root\nb ::= \"q\"",
    ] {
        let found = error(text);
        assert!(found.contains("begins with itself"), "{text}: {found}");
    }
    // Read first, each of these is fine.
    for text in ["root ::= \"x\" root | \"y\"", "root ::= (\"x\"?){2,5} \"z\" root | \"y\"", "root ::= \"x\"+ root?"] {
        words(text).unwrap_or_else(|error| panic!("{text}: {error}"));
    }
}

#[test]
fn an_alternative_without_a_text_is_left_out() {
    let words = words("root ::= \"a\" loop | \"b\"\nloop ::= \"c\" loop").expect("a grammar");
    let grammar = super::Grammar::from_words(&words).expect("words");
    let tokens = super::vocab::with_bytes(&[]);
    super::vocab::with_trie(&tokens, |_, trie| {
        use super::Constraint;
        let mut lines =
            std::vec![super::Line::ZERO; super::Matcher::bytes(&grammar, &trie, &super::CONFIG).unwrap() / 64];
        let mut matcher =
            super::Matcher::new(grammar, trie, &super::CONFIG, &mut super::Arena::new(&mut lines)).unwrap();
        let allowed: std::vec::Vec<u32> = matcher.allowed(&[]).unwrap().iter().collect();
        assert_eq!(allowed, [1 + u32::from(b'b')]);
    });
}
