//! The table of families in docs/families.md states what this test ran, and no more.

use std::fs;

use crate::model::Model;
use crate::{Found, root};

const BEGIN: &str = "<!-- families: written by cli/tests/families -->\n";
const END: &str = "<!-- end of families -->\n";
const HEAD: &str = "\
| models | converts | runs | proved against | F32 | F16 |
|---|---|---|---|---|---|
";

/// Models that a folder of `tests/families` stands for, in the order of the table.
const NAMES: [(&str, &str); 22] = [
    ("bloom-h6", "BLOOM and kin, 6 heads"),
    ("bloom-h56", "BLOOM and kin, 56 heads (Poro-34B)"),
    ("gpt3-finnish", "TurkuNLP gpt3-finnish"),
    ("mpt-storywriter", "MPT, StoryWriter (bias to 16, clamped QKV)"),
    ("mpt-1b-redpajama", "MPT-1b-redpajama (normed queries and keys)"),
    ("replit-code-v1", "Replit-code v1"),
    ("replit-code-v1_5", "Replit-code v1.5 (grouped queries)"),
    ("falcon-rw", "Falcon-RW"),
    ("baichuan-13b", "Baichuan-13B"),
    ("baichuan2-13b", "Baichuan2-13B (normed output rows)"),
    ("refact", "Refact-1.6B"),
    ("refact-h12", "Refact, 12 heads"),
    ("jais-13b", "Jais-13b, 30b"),
    ("jais-family", "Jais family (muP)"),
    ("btlm-3b-8k", "BTLM-3B-8k (slopes scaled with the length)"),
    ("gpt2", "GPT-2 (learned positions)"),
    ("jina-v2-small", "Jina embeddings v2 small (8192 tokens)"),
    ("jina-v2-base", "Jina embeddings v2 base"),
    ("jina-v2-code", "Jina embeddings v2 base code"),
    ("jina-reranker-v1", "Jina reranker v1"),
    ("mosaic-bert", "MosaicBERT"),
    ("dnabert-2", "DNABERT-2"),
];

/// Row, and its place in the table.
pub fn row(model: &Model, found: &Found) -> (usize, String) {
    let place = NAMES.iter().position(|(folder, _)| *folder == model.name);
    let place = place.unwrap_or_else(|| panic!("the table has no name for tests/families/{}", model.name));
    let (about, [f32, f16]) = (code(&model.about()), [found.f32, found.f16].map(power));
    (place, format!("| {} | yes | yes | {about} | {f32} | {f16} |\n", NAMES[place].1))
}

/// Formats names of files and classes as code.
fn code(about: &str) -> String {
    let is_name = |word: &str| word.contains('/') || word.chars().skip(1).any(char::is_uppercase);
    let words = about.split(' ').map(|word| match (is_name(word), word.strip_suffix(',')) {
        (true, Some(word)) => format!("`{word}`,"),
        (true, None) => format!("`{word}`"),
        (false, _) => word.into(),
    });
    words.collect::<Vec<_>>().join(" ")
}

/// Power of ten above a number.
fn power(x: f64) -> String {
    format!("< 1e{}", x.log10().ceil())
}

/// Compares the table with docs/families.md.
pub fn check(mut rows: Vec<(usize, String)>) {
    rows.sort();
    assert_eq!(rows.len(), NAMES.len(), "the table names a model that is not in tests/families");
    let want: String = [HEAD.into()].into_iter().chain(rows.into_iter().map(|(_, row)| row)).collect();
    let page = fs::read_to_string(root().join("docs/families.md")).unwrap();
    let found = page.split_once(BEGIN).and_then(|(_, rest)| rest.split_once(END)).map(|(table, _)| table);
    assert!(found == Some(&want), "docs/families.md has another table of families than\n{BEGIN}{want}{END}");
}
