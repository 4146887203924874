//! `--draft`: where guesses of the next tokens come from.

use std::ffi::OsStr;

use clap::builder::{PossibleValue, TypedValueParser};
use clap::{Arg, Command, Error};
use nearfield_host::draft::Draft;

/// Accepted forms of `--draft`, for error messages.
pub const TAKES: &str = "auto, off, lookup, or the GGUF file of a smaller model with the same vocabulary";

/// Parser of `--draft`. Whatever is not one of the words names a file.
#[derive(Clone, Debug)]
pub struct DraftParser;

impl TypedValueParser for DraftParser {
    type Value = Draft;

    fn parse_ref(&self, _: &Command, _: Option<&Arg>, value: &OsStr) -> Result<Draft, Error> {
        Ok(match value.to_str() {
            Some("auto") => Draft::Auto,
            Some("off") => Draft::Off,
            Some("lookup") => Draft::Lookup,
            _ => Draft::Model(value.into()),
        })
    }

    fn possible_values(&self) -> Option<Box<dyn Iterator<Item = PossibleValue> + '_>> {
        let values = [
            ("auto", "As lookup for models of more than 32 MiB, else off"),
            ("off", "No guesses"),
            ("lookup", "What followed an earlier occurrence of the text's end"),
            ("FILE.gguf", "What a smaller model with the same vocabulary finds likeliest"),
        ];
        Some(Box::new(values.into_iter().map(|(name, help)| PossibleValue::new(name).help(help))))
    }
}
