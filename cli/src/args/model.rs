//! The model of a command: named by a flag, by the first argument or by the environment.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};

use anyhow::{Result, bail};
use clap::Args;

use super::environment;
use super::hub::HubArgs;
use super::text::Source;

/// Model named by a flag; commands also take a first argument that is a GGUF file.
#[derive(Args, Debug, Default)]
pub struct ModelArgs {
    /// Model file; its name need not end in .gguf [env: NEARFIELD_MODEL]
    #[arg(short, long = "model", value_name = "FILE")]
    pub model: Option<PathBuf>,

    #[command(flatten)]
    pub hub: HubArgs,
}

impl ModelArgs {
    /// True if a flag names a model.
    pub fn is_named(&self) -> bool {
        self.model.is_some() || self.hub.is_named()
    }

    /// Model of a flag, or of the environment; one of the Hub is fetched. `None` for the built-in one.
    fn path(&self) -> Result<Option<PathBuf>> {
        let fetched = self.hub.path()?;
        Ok(fetched.or_else(|| self.model.clone()).or_else(environment::model))
    }

    /// Model of a flag, of the argument `first`, or of the environment; `None` for the built-in one.
    pub fn or(&self, first: &Option<PathBuf>) -> Result<Option<PathBuf>> {
        match first {
            Some(first) if self.is_named() => bail!("{} is one model, and a flag names another", first.display()),
            Some(first) => Ok(Some(first.clone())),
            None => self.path(),
        }
    }
}

/// True if an argument ends in `.gguf`, in any case.
pub fn names_a_model(argument: &OsStr) -> bool {
    argument.as_encoded_bytes().to_ascii_lowercase().ends_with(b".gguf")
}

/// True if the first argument of a command is its model: by its name, or as a GGUF file of any name.
///
/// # Errors
/// For the name of a folder or of another file, which is hardly a text.
fn is_model(first: &OsStr) -> Result<bool> {
    if names_a_model(first) {
        return Ok(true);
    }
    let Some(metadata) = fs::metadata(first).ok().filter(|_| first != "-") else { return Ok(false) };
    let name = first.display();
    match metadata {
        folder if folder.is_dir() => bail!(
            "{name} is a folder, not a model file: nearfield convert makes one of a checkpoint's folder (-p {name} is a text)"
        ),
        file if file.is_file() && begins_as_gguf(Path::new(first)) => Ok(true),
        _ => bail!("{name} is a file, but not a GGUF file: -f {name} reads a text from it (-p {name} is a text)"),
    }
}

fn begins_as_gguf(path: &Path) -> bool {
    let mut magic = [0; 4];
    File::open(path).and_then(|mut file| file.read_exact(&mut magic)).is_ok() && magic == *b"GGUF"
}

/// The model and the text named by two arguments, and by the flags for a text and for its file.
pub fn model_and_text(
    [first, second]: [&Option<OsString>; 2],
    model: &ModelArgs,
    text: &Option<OsString>,
    file: &Option<PathBuf>,
) -> Result<(Option<PathBuf>, Option<Source>)> {
    let mut words: Vec<&OsString> = [first, second].into_iter().flatten().collect();
    let mut of_first = None;
    if let (false, Some(first)) = (model.is_named(), words.first())
        && is_model(first)?
    {
        of_first = Some(words.remove(0).into());
    }
    let of_flag = text.as_deref().map(Source::of_text).or(file.as_deref().map(Source::of_file));
    let text = match (&words[..], of_flag) {
        ([], text) => text,
        ([text], None) => Some(Source::of_text(text)),
        ([.., word], _) => {
            let word = word.display();
            bail!(
                "{word:?} is one text too many (the name of a model ends in .gguf; -m FILE takes any, -p TEXT is the text)"
            )
        }
    };
    Ok((model.or(&of_first)?, text))
}

/// The model, from the flag, the first word or the environment, and the remaining words. An error if none names one.
pub fn model_and_words<'w>(model: &ModelArgs, words: &'w [OsString]) -> Result<(PathBuf, &'w [OsString])> {
    match words {
        [first, rest @ ..] if !model.is_named() && is_model(first)? => Ok((first.into(), rest)),
        words => match model.path()? {
            Some(model) => Ok((model, words)),
            None => bail!(
                "which model? The first argument has to be one that ends in .gguf, or -m FILE or NEARFIELD_MODEL names any"
            ),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, clap::Parser)]
    struct Line {
        first: Option<OsString>,
        second: Option<OsString>,
        #[command(flatten)]
        model: ModelArgs,
        #[arg(short, allow_hyphen_values = true)]
        prompt: Option<OsString>,
        #[arg(short)]
        file: Option<PathBuf>,
    }

    fn parse(line: &str) -> Result<(Option<PathBuf>, Option<Source>)> {
        use clap::Parser;
        let line = Line::try_parse_from(["nearfield"].into_iter().chain(line.split_whitespace()))?;
        model_and_text([&line.first, &line.second], &line.model, &line.prompt, &line.file)
    }

    #[test]
    fn a_first_argument_in_gguf_is_the_model() {
        let text = |text: &str| Some(Source::Argument(text.into()));
        let cases: [(&str, Option<&str>, Option<Source>); 12] = [
            ("", None, None),
            ("Once", None, text("Once")),
            ("a.gguf", Some("a.gguf"), None),
            ("a.GGUF Once", Some("a.GGUF"), text("Once")),
            ("-m a.bin Once", Some("a.bin"), text("Once")),
            ("-m a.bin b.gguf", Some("a.bin"), text("b.gguf")),
            ("a.gguf -p -b", Some("a.gguf"), text("-b")),
            ("-p b.gguf", None, text("b.gguf")),
            ("-", None, Some(Source::Input)),
            ("a.gguf -p -", Some("a.gguf"), Some(Source::Input)),
            ("a.gguf -f -", Some("a.gguf"), Some(Source::Input)),
            ("a.gguf -f b", Some("a.gguf"), Some(Source::File("b".into()))),
        ];
        for (line, model, text) in cases {
            assert_eq!(parse(line).unwrap(), (model.map(PathBuf::from), text), "{line}");
        }
        for line in ["Once upon", "-m a.gguf Once upon", "a.gguf Once -p Twice", "a.gguf Once -f b"] {
            assert!(parse(line).unwrap_err().to_string().contains("one text too many"), "{line}");
        }
    }

    #[test]
    fn a_folder_or_another_file_is_no_text() {
        let error = |line: &str| parse(line).unwrap_err().to_string();
        // Unit tests run in the folder of the package.
        assert!(error("src").starts_with("src is a folder, not a model file: "));
        assert!(error("src Once").starts_with("src is a folder, not a model file: "));
        assert!(error("Cargo.toml").starts_with("Cargo.toml is a file, but not a GGUF file: -f Cargo.toml reads"));
        assert_eq!(parse("-p src").unwrap().1, Some(Source::Argument(b"src".to_vec())));
        assert_eq!(parse("-m a.bin src").unwrap().1, Some(Source::Argument(b"src".to_vec())));
    }
}
