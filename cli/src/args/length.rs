//! `-n`: the number of tokens to generate.

use std::str::FromStr;

/// Length of the generated text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Length {
    Tokens(usize),
    /// Until the text ends or the context is full.
    Open,
    /// Without end.
    Endless,
}

impl FromStr for Length {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.parse() {
            Ok(-1) => Ok(Self::Endless),
            Ok(-2) => Ok(Self::Open),
            Ok(n) => usize::try_from(n as i64).map(Self::Tokens).map_err(|_| "-1 and -2 are the only numbers below 0"),
            Err(_) => Err("a number of tokens, -1 or -2"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths() {
        assert_eq!(["-1".parse(), "-2".parse()], [Ok(Length::Endless), Ok(Length::Open)]);
        assert_eq!("0".parse(), Ok(Length::Tokens(0)));
        assert!("-3".parse::<Length>().is_err() && "x".parse::<Length>().is_err());
    }
}
