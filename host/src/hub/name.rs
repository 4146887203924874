//! Names of models on the Hub.

use std::fmt;
use std::str::FromStr;

/// Name of a model: `ORG/NAME`, with a file or a quantization behind a colon.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HubName {
    repo: String,
    wanted: Wanted,
}

/// File that is wanted of a repository.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// The usual quantization, else the first file.
    Any,
    /// The file whose name has this quantization, such as `Q4_0`, in any case.
    Tag(String),
    /// The file of this name.
    File(String),
}

impl HubName {
    /// Name of the repository, `ORG/NAME`.
    pub fn repo(&self) -> &str {
        &self.repo
    }

    /// File that is wanted of the repository.
    pub fn wanted(&self) -> &Wanted {
        &self.wanted
    }
}

/// Error of a text that names no model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoHubName;

impl fmt::Display for NoHubName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a name on the Hugging Face Hub is ORG/NAME, ORG/NAME:Q4_0 or ORG/NAME:FILE.gguf")
    }
}

impl std::error::Error for NoHubName {}

/// True for a part of a repository's name. Source: huggingface_hub, `validate_repo_id`.
fn is_part(part: &str) -> bool {
    let letters = part.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte));
    letters && !part.is_empty() && part.len() <= 96 && !part.starts_with(['-', '.']) && !part.ends_with(['-', '.'])
}

/// True for the name of a file that lies in the repository's folder on every system, and that a terminal can show.
pub fn is_file_name(name: &str) -> bool {
    let plain = |part: &str| {
        !matches!(part, "" | "." | "..") && !part.contains(|c: char| c.is_control() || c == '\\' || c == ':')
    };
    name.split('/').all(plain)
}

impl FromStr for HubName {
    type Err = NoHubName;

    fn from_str(text: &str) -> Result<Self, NoHubName> {
        let (repo, file) = match text.split_once(':') {
            Some((repo, file)) => (repo, Some(file)),
            None => (text, None),
        };
        let is_repo = repo.split_once('/').is_some_and(|(org, name)| is_part(org) && is_part(name));
        let wanted = match file {
            None => Wanted::Any,
            Some(file) if !is_file_name(file) => return Err(NoHubName),
            Some(file) if file.to_ascii_lowercase().ends_with(".gguf") => Wanted::File(file.into()),
            Some(tag) if tag.eq_ignore_ascii_case("latest") => Wanted::Any,
            Some(tag) => Wanted::Tag(tag.into()),
        };
        if is_repo { Ok(Self { repo: repo.into(), wanted }) } else { Err(NoHubName) }
    }
}

impl fmt::Display for HubName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.repo)?;
        match &self.wanted {
            Wanted::Any => Ok(()),
            Wanted::Tag(file) | Wanted::File(file) => write!(f, ":{file}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_has_an_organization_and_may_have_a_file_or_a_tag() {
        let wanted = |text: &str| text.parse::<HubName>().map(|name| name.wanted);
        assert_eq!(wanted("bigscience/bloom-560m"), Ok(Wanted::Any));
        assert_eq!(wanted("a/b:latest"), Ok(Wanted::Any));
        assert_eq!(wanted("a/b.c:Q4_0"), Ok(Wanted::Tag("Q4_0".into())));
        assert_eq!(wanted("a/b:sub/x-Q4_0.GGUF"), Ok(Wanted::File("sub/x-Q4_0.GGUF".into())));
        for text in [
            "",
            "b",
            "a/",
            "/b",
            "a/b/c",
            "a/b:",
            "a b/c",
            "../b",
            "a/..",
            "a/b:../x.gguf",
            "a/b:/x.gguf",
            "a/b:c:d",
            "a/b:c\\d",
        ] {
            assert_eq!(wanted(text), Err(NoHubName), "{text}");
        }
        for text in ["a/b", "a/b:Q4_0", "a/b:x.gguf"] {
            assert_eq!(text.parse::<HubName>().unwrap().to_string(), text);
        }
    }
}
