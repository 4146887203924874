//! Rings as words, for the command line, files and reports.

use std::fs::File;
use std::io::Read;

use nearfield::Ring;

use super::share;

/// Accepted forms of `--ring`, for error messages.
const WHAT: &str = "full, a number of keys, a share between 0 and 1 such as 2^-24, heads:N,N,... or @FILE";

/// Greatest length of a plan in a file.
const LONGEST: u64 = 16 << 20;

/// The ring that a word, or the word in a file, stands for.
pub fn parse(text: &str) -> Result<Ring, String> {
    match text.strip_prefix('@') {
        None => of_word(text).ok_or_else(|| WHAT.into()),
        Some(path) => {
            let mut text = String::new();
            File::open(path)
                .and_then(|file| file.take(LONGEST + 1).read_to_string(&mut text))
                .map_err(|error| format!("cannot read {path}: {error}"))?;
            if text.len() as u64 > LONGEST {
                return Err(format!("{path} has more than {} MiB: no plan is as long", LONGEST >> 20));
            }
            in_file(&text).ok_or_else(|| format!("{path} has no ring: a plan in JSON, or what --ring takes"))
        }
    }
}

/// Parses the ring of a plan in JSON, or of a file that holds nothing but the word.
fn in_file(file: &str) -> Option<Ring> {
    match serde_json::from_str::<serde_json::Value>(file) {
        Ok(serde_json::Value::Object(plan)) => of_word(plan.get("ring")?.as_str()?),
        _ => of_word(file.trim()),
    }
}

fn of_word(word: &str) -> Option<Ring> {
    if let Some(keys) = word.strip_prefix("heads:") {
        let keys: Option<Vec<u32>> = keys.split(',').map(|n| n.parse().ok().filter(|&n| n > 0)).collect();
        // The numbers are leaked: a `Ring` borrows them for the whole program, which reads only a few rings.
        return Some(Ring::Heads(keys?.leak()));
    }
    let is_share = |&share: &f32| share > 0.0 && share < 1.0;
    let by_bias = || share(word).ok().filter(is_share).map(Ring::Bias);
    match word {
        "full" => Some(Ring::Full),
        _ => word.parse().ok().filter(|&n| n > 0).map(Ring::Keys).or_else(by_bias),
    }
}

/// The word for a ring.
pub fn word(ring: &Ring) -> String {
    match *ring {
        Ring::Full => "full".into(),
        Ring::Keys(n) => n.to_string(),
        Ring::Bias(eps) => format!("{eps:e}"),
        Ring::Heads(keys) => {
            let keys: Vec<String> = keys.iter().map(u32::to_string).collect();
            format!("heads:{}", keys.join(","))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use nearfield::SessionConfig;

    #[test]
    fn rings_and_their_words() {
        let cases = [
            ("full", Ring::Full),
            ("512", Ring::Keys(512)),
            ("2^-24", Ring::Bias(SessionConfig::HORIZON_EPS)),
            ("heads:64", Ring::Heads(&[64])),
            ("heads:32,64,2048", Ring::Heads(&[32, 64, 2048])),
        ];
        for (text, want) in cases {
            assert_eq!(parse(text), Ok(want));
            assert_eq!(parse(&word(&want)), Ok(want), "{}", word(&want));
        }
        for text in ["0", "-1", "1.5", "2^1", "", "all", "heads:", "heads:0", "heads:1,,2", "heads:1, 2", "64,64"] {
            assert_eq!(parse(text), Err(WHAT.into()), "{text}");
        }
    }

    #[test]
    fn rings_in_files() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ring");
        let at = format!("@{}", path.display());
        let file = |text: &str| {
            std::fs::write(&path, text).unwrap();
            parse(&at)
        };
        assert_eq!(file("heads:32,96\n"), Ok(Ring::Heads(&[32, 96])));
        assert_eq!(file("512"), Ok(Ring::Keys(512)));
        assert_eq!(file("{\"model\": \"a\", \"ring\": \"heads:32,96\"}"), Ok(Ring::Heads(&[32, 96])));
        for text in ["", "{}", "{\"ring\": 3}", "heads:x", "[]"] {
            assert!(file(text).unwrap_err().contains("has no ring"), "{text}");
        }
        assert!(parse("@none/such").unwrap_err().starts_with("cannot read none/such: No such file"));
    }
}
