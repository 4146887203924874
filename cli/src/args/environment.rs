//! Variables that stand for arguments. An argument has precedence, then the variable, then the default.

use std::env;
use std::path::PathBuf;

use anyhow::{Context, Result};

/// Variable that names a model file.
const MODEL: &str = "NEARFIELD_MODEL";
/// Variable with a number of threads.
const THREADS: &str = "NEARFIELD_THREADS";
/// Largest number of threads.
pub const MAX_THREADS: u16 = 1024;

/// Lines of help on the variables.
pub const HELP: &str = "\
Environment:
  NEARFIELD_MODEL    Model file, for commands that are given none
  NEARFIELD_THREADS  Number of threads, for commands that are given none";

/// Model file that the environment names. An empty variable names none.
pub fn model() -> Option<PathBuf> {
    env::var_os(MODEL).filter(|value| !value.is_empty()).map(PathBuf::from)
}

/// Number of threads that the environment asks for.
pub fn threads() -> Result<Option<u16>> {
    let value = env::var_os(THREADS).filter(|value| !value.is_empty());
    value.map(|value| parse(&value.to_string_lossy())).transpose()
}

fn parse(value: &str) -> Result<u16> {
    let number = value.parse().ok().filter(|n| (1..=MAX_THREADS).contains(n));
    number.with_context(|| format!("{THREADS} is {value:?}: it has to be a number of threads from 1 to {MAX_THREADS}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_threads() {
        assert_eq!([parse("1").unwrap(), parse("1024").unwrap()], [1, 1024]);
        for value in ["0", "1025", "-1", "two", " 2"] {
            assert!(parse(value).unwrap_err().to_string().starts_with("NEARFIELD_THREADS is "), "{value}");
        }
    }
}
