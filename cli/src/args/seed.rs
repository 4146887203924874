//! `--seed`: the beginning of the random numbers.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::str::FromStr;

/// Random seed of a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seed {
    /// The same number gives the same text.
    Number(u64),
    /// A new number each time, written `-1` as in llama.cpp.
    Random,
}

impl Seed {
    /// The number, or one that is drawn.
    pub fn number(self) -> u64 {
        match self {
            Self::Number(seed) => seed,
            Self::Random => any(),
        }
    }
}

impl FromStr for Seed {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "-1" => Ok(Self::Random),
            text => text.parse().map(Self::Number).map_err(|_| "a whole number from 0 on, or -1 for a random seed"),
        }
    }
}

/// Random seed of 32 bits, another one each time, from the random keys of the standard library's hash maps.
pub fn any() -> u64 {
    RandomState::new().build_hasher().finish() >> 32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seeds() {
        assert_eq!("-1".parse(), Ok(Seed::Random));
        assert_eq!("0".parse(), Ok(Seed::Number(0)));
        assert_eq!("18446744073709551615".parse(), Ok(Seed::Number(u64::MAX)));
        for text in ["-2", "18446744073709551616", "1.5", "x", "", "- 1"] {
            assert!(text.parse::<Seed>().is_err(), "{text}");
        }
        assert_eq!(Seed::Number(7).number(), 7);
        assert_ne!(Seed::Random.number(), Seed::Random.number());
    }
}
