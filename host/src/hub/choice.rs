//! File that a name means among those of a repository.

use super::client::Listing;
use super::error::HubError;
use super::name::{HubName, Wanted};
use crate::bytes::Bytes;

/// Quantizations that are taken in this order where a name says none, as llama.cpp takes Q4_K_M.
const USUAL: [&str; 4] = ["Q4_K_M", "Q4_0", "Q8_0", "F16"];

/// Files of a model: one, or all parts of a split file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Choice {
    /// Names in the order of the parts; at least one.
    pub files: Vec<String>,
    /// True if other files fit as well.
    pub is_a_guess: bool,
}

/// Problem of a choice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Problem {
    /// No file is what was asked for.
    None(String, Vec<String>),
    /// Several files have the tag.
    Several(String, Vec<String>),
    /// Part of a split file is missing.
    NoPart(String),
}

impl Problem {
    /// The error, with the files and their sizes.
    pub fn with_sizes(self, listing: &Listing) -> HubError {
        let sized = |names: Vec<String>| {
            let size = |name: &String| listing.files.iter().find(|file| file.name == *name).and_then(|file| file.size);
            let shown = |name: String| match size(&name) {
                Some(size) => format!("{name} ({})", Bytes(size)),
                None => name,
            };
            names.into_iter().map(shown).collect()
        };
        match self {
            Self::None(name, has) => HubError::NoFile { name, has: sized(has) },
            Self::Several(name, fit) => HubError::Several { name, fit: sized(fit) },
            Self::NoPart(name) => HubError::NoPart { name },
        }
    }
}

impl Choice {
    /// Files of `names` that `name` means.
    pub fn new(name: &HubName, names: &[String]) -> Result<Self, Problem> {
        let mut models: Vec<&String> = names.iter().filter(|file| is_model(file)).collect();
        models.sort();
        let none = || Problem::None(name.to_string(), models.iter().map(|&file| file.clone()).collect());
        let (file, is_a_guess) = match name.wanted() {
            Wanted::File(file) => (names.iter().find(|&name| name == file).ok_or_else(none)?, false),
            Wanted::Tag(tag) => match &models.iter().filter(|file| has_tag(file, tag)).collect::<Vec<_>>()[..] {
                [] => return Err(none()),
                [file] => (**file, false),
                several => {
                    let fit = several.iter().map(|&&file| file.clone()).collect();
                    return Err(Problem::Several(name.to_string(), fit));
                }
            },
            Wanted::Any => {
                let usual = USUAL.iter().find_map(|tag| models.iter().find(|file| has_tag(file, tag)));
                (*usual.or(models.first()).ok_or_else(none)?, models.len() > 1)
            }
        };
        let files = parts(file);
        match files.iter().find(|part| !names.contains(part)) {
            Some(missing) => Err(Problem::NoPart(missing.clone())),
            None => Ok(Self { files, is_a_guess }),
        }
    }
}

/// Name without `.gguf`, and number and count of a part: `NAME-00001-of-00003.gguf`.
fn part_of(name: &str) -> Option<(&str, u32, u32)> {
    let stem = name.strip_suffix(".gguf")?;
    let (stem, count) = stem.rsplit_once("-of-")?;
    let (stem, number) = stem.rsplit_once('-')?;
    let digits = |text: &str| {
        let is_number = text.len() == 5 && text.bytes().all(|byte| byte.is_ascii_digit());
        is_number.then(|| text.parse().ok()).flatten()
    };
    let (number, count) = (digits(number)?, digits(count)?);
    (1..=count).contains(&number).then_some((stem, number, count))
}

/// True for the only or first file of a model that writes or encodes text.
fn is_model(name: &str) -> bool {
    let lower = name.to_ascii_lowercase();
    let base = lower.rsplit('/').next().unwrap_or_default();
    let is_other = base.starts_with("mmproj") || base.contains("imatrix");
    base.ends_with(".gguf") && !is_other && part_of(name).is_none_or(|(_, number, _)| number == 1)
}

/// Names of all parts of the file.
fn parts(name: &str) -> Vec<String> {
    match part_of(name) {
        Some((stem, _, count)) => (1..=count).map(|i| format!("{stem}-{i:05}-of-{count:05}.gguf")).collect(),
        None => vec![name.to_owned()],
    }
}

/// True if the quantization stands in the name between `-`, `_`, `.`, `/` or its ends; `_` may not follow, so that `Q4_K` is not
/// found in `Q4_K_M`.
fn has_tag(name: &str, tag: &str) -> bool {
    let (name, tag) = (name.to_ascii_lowercase(), tag.to_ascii_lowercase());
    let stem = part_of(&name).map_or_else(|| name.strip_suffix(".gguf").unwrap_or(&name), |(stem, ..)| stem);
    stem.match_indices(&tag).any(|(at, _)| {
        let before = stem[..at].chars().next_back();
        let after = stem[at + tag.len()..].chars().next();
        before.is_none_or(|c| "-_./".contains(c)) && after.is_none_or(|c| "-./".contains(c))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn choose(name: &str, files: &str) -> Result<Choice, Problem> {
        let files: Vec<String> = files.split_whitespace().map(String::from).collect();
        Choice::new(&name.parse().unwrap(), &files)
    }

    fn chosen(name: &str, files: &str) -> String {
        choose(name, files).unwrap().files.join(" ")
    }

    #[test]
    fn a_tag_is_a_word_of_the_name() {
        let files = "README.md m-q4_k.gguf m-Q4_K_M.gguf m.Q8_0.gguf m_f16.gguf mmproj-Q8_0.gguf";
        assert_eq!(chosen("a/b:Q4_K", files), "m-q4_k.gguf");
        assert_eq!(chosen("a/b:q4_k_m", files), "m-Q4_K_M.gguf");
        assert_eq!(chosen("a/b:Q8_0", files), "m.Q8_0.gguf");
        assert_eq!(chosen("a/b:F16", files), "m_f16.gguf");
        assert_eq!(chosen("a/b:m_f16.gguf", files), "m_f16.gguf");
        let models = ["m-Q4_K_M.gguf", "m-q4_k.gguf", "m.Q8_0.gguf", "m_f16.gguf"].map(String::from);
        assert_eq!(choose("a/b:Q5_0", files), Err(Problem::None("a/b:Q5_0".into(), models.to_vec())));
        assert_eq!(choose("a/b:x.gguf", files), Err(Problem::None("a/b:x.gguf".into(), models.to_vec())));
        let several = ["x-Q4_0.gguf", "y-Q4_0.gguf"].map(String::from).to_vec();
        assert_eq!(choose("a/b:Q4_0", "y-Q4_0.gguf x-Q4_0.gguf"), Err(Problem::Several("a/b:Q4_0".into(), several)));
    }

    #[test]
    fn without_a_tag_the_usual_one_is_taken() {
        let guess = |files| choose("a/b", files).map(|choice| (choice.files.join(" "), choice.is_a_guess));
        assert_eq!(guess("m-Q2_K.gguf m-Q8_0.gguf m-Q4_K_M.gguf"), Ok(("m-Q4_K_M.gguf".into(), true)));
        assert_eq!(guess("m-Q2_K.gguf m-Q8_0.gguf"), Ok(("m-Q8_0.gguf".into(), true)));
        assert_eq!(guess("z.gguf y.gguf x.imatrix.gguf"), Ok(("y.gguf".into(), true)));
        assert_eq!(guess("z.gguf config.json"), Ok(("z.gguf".into(), false)));
        assert_eq!(guess("model.safetensors"), Err(Problem::None("a/b".into(), Vec::new())));
    }

    #[test]
    fn a_split_file_is_fetched_whole() {
        let names = "d/m-Q4_0-00001-of-00003.gguf d/m-Q4_0-00002-of-00003.gguf d/m-Q4_0-00003-of-00003.gguf";
        let choice = choose("a/b", names).unwrap();
        assert_eq!((choice.files.join(" ").as_str(), choice.is_a_guess), (names, false));
        assert_eq!(chosen("a/b:Q4_0", names), names);
        assert_eq!(chosen("a/b:d/m-Q4_0-00001-of-00003.gguf", names), names);
        let cut = names.replace("00002-of", "00004-of");
        // Numbers beyond the count are no parts.
        assert_eq!(chosen("a/b:a-00001-of-00000.gguf", "a-00001-of-00000.gguf b.gguf"), "a-00001-of-00000.gguf");
        assert_eq!(chosen("a/b:a-+0001-of-00002.gguf", "a-+0001-of-00002.gguf"), "a-+0001-of-00002.gguf");
        assert_eq!(choose("a/b", &cut), Err(Problem::NoPart("d/m-Q4_0-00002-of-00003.gguf".into())));
    }
}
