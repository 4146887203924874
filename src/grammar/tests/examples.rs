//! Cases of llama.cpp's `test-grammar-integration.cpp`, and its example grammars, with texts that llama.cpp accepts and refuses.

extern crate std;

use std::format;
use std::fs;

use super::{matches, words};

struct Case {
    name: &'static str,
    grammar: &'static str,
    accepts: &'static [&'static str],
    refuses: &'static [&'static str],
}

#[rustfmt::skip]
const CASES: &[Case] = &[
    Case {
        name: "simple grammar",
        grammar: r#"root ::= expr
expr ::= term ("+" term)*
term ::= number
number ::= [0-9]+"#,
        accepts: &["42", "1+2+3+4+5", "123+456"],
        refuses: &["+", "/ 3", "1+2+3+4+5+", "12a45"],
    },
    Case {
        name: "medium complexity grammar",
        grammar: r#"root ::= expression
expression ::= term ws (("+"|"-") ws term)*
term ::= factor ws (("*"|"/") ws factor)*
factor ::= number | variable | "(" expression ")" | function-call
number ::= [0-9]+
variable ::= [a-zA-Z_][a-zA-Z0-9_]*
function-call ::= variable ws "(" (expression ("," ws expression)*)? ")"
ws ::= [ \t\n\r]?"#,
        accepts: &["42", "1*2*3*4*5", "x", "x+10", "x1+y2", "(a+b)*(c-d)", "func()", "func(x,y+2)", "a*(b+c)-d/e", "f(g(x),h(y,z))", "x + 10", "x1 + y2", "(a + b) * (c - d)", "func()", "func(x, y + 2)", "a * (b + c) - d / e", "f(g(x), h(y, z))", "123+456", "123*456*789-123/456+789*123", "123+456*789-123/456+789*123-456/789+123*456-789/123+456*789-123/456+789*123-456"],
        refuses: &["+", "/ 3x", "x + + y", "a * / b", "func(,)", "func(x y)", "(a + b", "x + y)", "a + b * (c - d", "42 +", "x +", "x + 10 +", "(a + b) * (c - d", "func(", "func(x, y + 2", "a * (b + c) - d /", "f(g(x), h(y, z)", "123+456*789-123/456+789*123-456/789+123*456-789/123+456*789-123/456+789*123-456/"],
    },
    Case {
        name: "special characters",
        grammar: r#"root ::= ... "abc" ..."#,
        accepts: &["abcabcabc", "aaaabcccc", "🔵🟠✅abc❌🟠🔵"],
        refuses: &["aaabcccc", "aaaaabcccc", "aaaabccc", "aaaabccccc", "🔵🟠✅❌abc❌✅🟠🔵", "🔵🟠abc🟠🔵"],
    },
    Case {
        name: "* quantifier",
        grammar: r#"root ::= "a"*"#,
        accepts: &["", "a", "aaaaa", "aaaaaaaaaaaaaaaaaa", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"],
        refuses: &["b", "ab", "aab", "ba", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaab"],
    },
    Case {
        name: "+ quantifier",
        grammar: r#"root ::= "a"+"#,
        accepts: &["a", "aaaaa", "aaaaaaaaaaaaaaaaaa", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"],
        refuses: &["", "b", "ab", "aab", "ba", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaab"],
    },
    Case {
        name: "? quantifier",
        grammar: r#"root ::= "a"?"#,
        accepts: &["", "a"],
        refuses: &["b", "ab", "aa", "ba"],
    },
    Case {
        name: "mixed quantifiers",
        grammar: r#"root ::= cons+ vowel* cons? (vowel cons)*
vowel ::= [aeiouy]
cons ::= [bcdfghjklmnpqrstvwxyz]"#,
        accepts: &["yes", "no", "noyes", "crwth", "four", "bryyyy"],
        refuses: &["yess", "yesno", "forty", "catyyy"],
    },
    Case {
        name: "simple exact repetition",
        grammar: "root ::= [ab]{4}",
        accepts: &["aaaa", "bbbb", "abab"],
        refuses: &["a", "b", "aaaaa"],
    },
    Case {
        name: "simple min repetition",
        grammar: "root ::= [ab]{4,}",
        accepts: &["aaaa", "aaaaab", "bbbb", "ababab"],
        refuses: &["", "aba"],
    },
    Case {
        name: "simple max repetition",
        grammar: "root ::= [ab]{0,4}",
        accepts: &["", "a", "aa", "aaa", "aaab"],
        refuses: &["aaaaa"],
    },
    Case {
        name: "min / max repetition",
        grammar: r#"root ::= ("0x" [A-F0-9]{2} " "?){3,5}"#,
        accepts: &["0xFF 0x12 0xAB", "0xFF 0x12 0xAB 0x00 0x00"],
        refuses: &["", "0xFF", "0xFF 0x12", "0xFF 0x12 0xAB 0x00 0x00 0x00"],
    },
    Case {
        name: "segfault",
        grammar: "root ::= ( [x]* )*",
        accepts: &["", "x", "xx"],
        refuses: &["y", "yy"],
    },
];

#[test]
fn cases_of_llama_cpp_give_its_results() {
    for Case { name, grammar, accepts, refuses } in CASES {
        let words = words(grammar).unwrap_or_else(|error| panic!("{name}: {error}"));
        accepts.iter().for_each(|text| assert!(matches(&words, text), "{name}: {text:?}"));
        refuses.iter().for_each(|text| assert!(!matches(&words, text), "{name}: {text:?}"));
    }
}

/// Lines of `texts.txt`: name of a grammar, `accepts` or `refuses`, and a text with escapes. llama.cpp agrees on each
/// (`measure/grammars.py`).
#[test]
fn example_grammars_accept_and_refuse() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/grammars");
    let read = |name: &str| fs::read_to_string(format!("{folder}/{name}")).expect("a file");
    let mut n = 0;
    for line in read("texts.txt").lines() {
        let mut parts = line.splitn(3, ' ');
        let [name, verb, text] = [(); 3].map(|()| parts.next().expect("three parts"));
        let text = text.replace("\\n", "\n").replace("\\t", "\t").replace("\\L", "\u{2028}").replace("\\\\", "\\");
        let words = words(&read(&format!("{name}.gbnf"))).expect("a grammar");
        assert_eq!(matches(&words, &text), verb == "accepts", "{name}: {text:?}");
        n += 1;
    }
    assert_eq!(n, 51);
}
