//! Models of the Hugging Face Hub, named by flags and fetched where they are used.

use std::ffi::OsString;
use std::path::PathBuf;

use anyhow::Result;
use clap::Args;

/// Model of the Hub, for a command that takes one.
#[derive(Args, Debug, Default)]
pub struct HubArgs {
    /// Model of the Hugging Face Hub, fetched unless the cache has it: ORG/NAME, ORG/NAME:Q4_0 or ORG/NAME:FILE.gguf; -hf is the
    /// same
    #[cfg(feature = "hub")]
    #[arg(long, value_name = "ORG/NAME[:FILE]", conflicts_with = "model")]
    hf: Option<nearfield_host::hub::HubName>,
}

/// Models of the Hub, for a command that takes several.
#[derive(Args, Debug, Default)]
pub struct HubListArgs {
    /// Model of the Hugging Face Hub, fetched unless the cache has it: ORG/NAME, ORG/NAME:Q4_0 or ORG/NAME:FILE.gguf; several times
    /// for several; -hf is the same
    #[cfg(feature = "hub")]
    #[arg(long, value_name = "ORG/NAME[:FILE]")]
    hf: Vec<nearfield_host::hub::HubName>,
}

#[cfg(feature = "hub")]
mod paths {
    use super::*;
    use crate::terminal::monitor;
    use nearfield_host::hub::{Hub, HubName};

    /// Path in the cache; fetched if the cache lacks it.
    fn fetch(name: &HubName) -> Result<PathBuf> {
        Ok(Hub::from_env()?.fetch(name, monitor())?)
    }

    impl HubArgs {
        /// True if the flag names a model.
        pub fn is_named(&self) -> bool {
            self.hf.is_some()
        }

        /// Path of the model that the flag names; fetched if the cache lacks it.
        pub fn path(&self) -> Result<Option<PathBuf>> {
            self.hf.as_ref().map(fetch).transpose()
        }
    }

    impl HubListArgs {
        /// Paths of the models that the flags name; fetched if the cache lacks them.
        pub fn paths(&self) -> Result<Vec<PathBuf>> {
            self.hf.iter().map(fetch).collect()
        }
    }
}

#[cfg(not(feature = "hub"))]
mod paths {
    use super::*;

    impl HubArgs {
        /// False: the command was built without the client of the Hub.
        pub fn is_named(&self) -> bool {
            false
        }

        /// No path.
        pub fn path(&self) -> Result<Option<PathBuf>> {
            Ok(None)
        }
    }

    impl HubListArgs {
        /// No paths.
        pub fn paths(&self) -> Result<Vec<PathBuf>> {
            Ok(Vec::new())
        }
    }
}

/// The arguments, with `-hf`, which llama.cpp has, as `--hf`: one letter is all that a short flag of clap has.
pub fn with_long_flags(arguments: impl Iterator<Item = OsString>) -> Vec<OsString> {
    let mut is_flag = true;
    let long = |word: OsString| {
        is_flag &= word != "--";
        if is_flag && word == "-hf" { "--hf".into() } else { word }
    };
    arguments.map(long).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_exact_word_becomes_a_long_flag() {
        let words = |line: &str| with_long_flags(line.split(' ').map(Into::into)).join(" ".as_ref());
        assert_eq!(words("run -hf a/b -h -f x -hfx"), "run --hf a/b -h -f x -hfx");
        assert_eq!(words("embed m.gguf -- -hf"), "embed m.gguf -- -hf");
    }
}
