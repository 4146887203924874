//! Cases of JSON Schema's test suite that `--json-schema` gets right, as a table for docs/grammars.md.
//!
//!     cargo run --release -p nearfield-host --example json_schema_suite -- SUITE/tests/draft2020-12 [--reasons]
//!
//! The suite is <https://github.com/json-schema-org/JSON-Schema-Test-Suite>; the source archive of the Python package `jsonschema` has a
//! copy in `json/`. An invalid text that a grammar has is a failure. A valid text that it does not have is counted, since grammars may
//! be narrower than their schema.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::{env, fs};

use nearfield_host::grammar::{Grammar, Json};

/// Counts of a file of the suite.
#[derive(Default)]
struct Counts {
    /// Schemas with a grammar, and all of them.
    schemas: [usize; 2],
    /// Invalid texts of these schemas that are refused, and all of them.
    invalid: [usize; 2],
    /// Valid texts of these schemas that are accepted, and all of them.
    valid: [usize; 2],
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let folder = PathBuf::from(env::args().nth(1).ok_or("usage: json_schema_suite FOLDER [--reasons]")?);
    let with_reasons = env::args().any(|argument| argument == "--reasons");
    let mut files: Vec<PathBuf> =
        fs::read_dir(&folder)?.map(|entry| entry.map(|entry| entry.path())).collect::<Result<_, _>>()?;
    files.retain(|file| file.extension().is_some_and(|extension| extension == "json"));
    files.sort();
    let mut reasons: BTreeMap<String, usize> = BTreeMap::new();
    let mut wrong = 0;
    println!("| file | schemas | invalid texts refused | valid texts accepted |\n|---|---|---|---|");
    for file in &files {
        let groups = Json::parse(&fs::read_to_string(file)?)?;
        let mut counts = Counts::default();
        for group in items(&groups) {
            counts.schemas[1] += 1;
            let grammar = match Grammar::from_json_schema(member(group, "schema")?) {
                Ok(grammar) => grammar,
                Err(error) => {
                    *reasons.entry(format!("{error}")).or_default() += 1;
                    continue;
                }
            };
            counts.schemas[0] += 1;
            for test in items(member(group, "tests")?) {
                let (text, is_valid) = (member(test, "data")?.to_string(), member(test, "valid")? == &Json::Bool(true));
                let has = grammar.matches(&text)?;
                let of = if is_valid { &mut counts.valid } else { &mut counts.invalid };
                of[0] += usize::from(has == is_valid);
                of[1] += 1;
                if has && !is_valid {
                    wrong += 1;
                    let schema = member(group, "schema")?;
                    eprintln!("{}: {text} is accepted, and invalid by {schema}", file.display());
                }
            }
        }
        let name = file.file_stem().map(|name| name.to_string_lossy()).unwrap_or_default();
        let [schemas, invalid, valid] =
            [counts.schemas, counts.invalid, counts.valid].map(|[n, all]| format!("{n} of {all}"));
        println!("| {name} | {schemas} | {invalid} | {valid} |");
    }
    if with_reasons {
        reasons.iter().for_each(|(reason, n)| eprintln!("{n:4} {reason}"));
    }
    if wrong > 0 { Err(format!("{wrong} invalid texts are accepted").into()) } else { Ok(()) }
}

fn items(json: &Json) -> &[Json] {
    match json {
        Json::Array(items) => items,
        _ => &[],
    }
}

fn member<'j>(json: &'j Json, name: &str) -> Result<&'j Json, String> {
    match json {
        Json::Object(members) => members.iter().find(|(other, _)| other == name).map(|(_, value)| value),
        _ => None,
    }
    .ok_or_else(|| format!("no {name}"))
}
