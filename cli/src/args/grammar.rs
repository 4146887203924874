//! `--grammar`, `--json-schema` and `--choices`: the form that a text is held to.

use std::ffi::{OsStr, OsString};
use std::path::Path;

use anyhow::{Context, Result, anyhow};
use clap::Args;
use clap::builder::NonEmptyStringValueParser;
use nearfield_host::grammar::{Grammar, Json};

use super::text::Source;

/// Form of the generated text.
#[derive(Args, Debug, Default)]
pub struct GrammarArgs {
    /// Hold the text to a grammar in llama.cpp's GBNF: a file, or the grammar itself
    #[arg(long, value_name = "FILE|TEXT", conflicts_with_all = ["endless", "json_schema", "choices"])]
    pub grammar: Option<OsString>,

    /// Hold the text to JSON that is valid by this JSON Schema: a file, or the schema itself
    #[arg(long, value_name = "FILE|TEXT", conflicts_with_all = ["endless", "choices"])]
    pub json_schema: Option<OsString>,

    /// Hold the text to one of these, separated by commas
    #[arg(long, value_name = "A,B,C", value_parser = NonEmptyStringValueParser::new(), value_delimiter = ',', conflicts_with = "endless")]
    pub choices: Vec<String>,
}

impl GrammarArgs {
    /// The grammar, if the arguments name one.
    pub fn grammar(&self) -> Result<Option<Grammar>> {
        if !self.choices.is_empty() {
            return Ok(Some(Grammar::from_choices(&self.choices)?));
        }
        if let Some(argument) = &self.grammar {
            let (text, name) = read(argument, "--grammar", |text| text.contains("::="))?;
            return Ok(Some(Grammar::from_gbnf(&text).map_err(|error| anyhow!("{name}: {error:#}"))?));
        }
        let Some(argument) = &self.json_schema else { return Ok(None) };
        let is_schema = |text: &str| text.trim_start().starts_with('{') || matches!(text.trim(), "true" | "false");
        let (text, name) = read(argument, "--json-schema", is_schema)?;
        let grammar = Json::parse(&text).and_then(|schema| Grammar::from_json_schema(&schema));
        Ok(Some(grammar.map_err(|error| anyhow!("{name}: {error:#}"))?))
    }
}

/// Text of an argument that is one itself, or names a file; and its name for errors.
fn read(argument: &OsStr, flag: &str, is_text: impl Fn(&str) -> bool) -> Result<(String, String)> {
    if let Some(text) = argument.to_str().filter(|text| is_text(text)) {
        return Ok((text.to_owned(), flag.to_owned()));
    }
    let source = Source::of_file(Path::new(argument));
    let text = source.read_prompt().with_context(|| flag.to_owned())?;
    let text = String::from_utf8(text).with_context(|| format!("{flag}: {} is no UTF-8", source.name()))?;
    Ok((text, source.name()))
}
