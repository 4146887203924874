//! Scales of the slopes as words, for the command line, files and reports.

use nearfield::AlibiScale;

use super::share;

/// Accepted forms of `--alibi-scale`, for error messages.
const WHAT: &str = "model, a factor above 0 such as 0.5 or 2^-1, or train:N with the length of a training";

/// The scale that a word stands for.
pub fn parse(text: &str) -> Result<AlibiScale, &'static str> {
    if text == "model" {
        return Ok(AlibiScale::Model);
    }
    match text.strip_prefix("train:") {
        Some(length) => length.parse().ok().filter(|&n| n > 0).map(AlibiScale::Trained),
        None => share(text).ok().filter(|&x| x > 0.0 && x.is_finite()).map(AlibiScale::Factor),
    }
    .ok_or(WHAT)
}

/// The word for a scale.
pub fn word(scale: AlibiScale) -> String {
    match scale {
        AlibiScale::Model => "model".into(),
        AlibiScale::Factor(factor) => factor.to_string(),
        AlibiScale::Trained(length) => format!("train:{length}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scales_and_their_words() {
        let cases = [
            ("model", AlibiScale::Model),
            ("0.5", AlibiScale::Factor(0.5)),
            ("2^-3", AlibiScale::Factor(0.125)),
            ("1e-20", AlibiScale::Factor(1e-20)),
            ("train:256", AlibiScale::Trained(256)),
        ];
        for (text, want) in cases {
            assert_eq!(parse(text), Ok(want));
            assert_eq!(parse(&word(want)), Ok(want), "{}", word(want));
        }
        for text in
            ["", "0", "-1", "inf", "nan", "1e60", "2^200", "train:", "train:0", "train:-1", "train:x", "256:train"]
        {
            assert_eq!(parse(text), Err(WHAT), "{text}");
        }
    }
}
