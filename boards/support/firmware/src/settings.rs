//! Commands at the prompt: lines that begin with a colon, and the settings that they change.

use core::fmt;

use nearfield::SamplerConfig;

use crate::board::Board;
use crate::halt::Halt;

/// Settings of a text.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TextSettings {
    /// Greatest number of generated tokens.
    pub max_tokens: usize,
    /// Seed of the sampler.
    pub seed: u64,
    /// Temperature of the sampler, 0 for the likeliest token at each step.
    pub temp: f32,
}

impl TextSettings {
    /// Settings with the library's default temperature.
    pub const fn new(max_tokens: usize, seed: u64) -> Self {
        Self { max_tokens, seed, temp: SamplerConfig::DEFAULT.temp }
    }
}

/// Settings of the texts at a prompt.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Settings {
    max_tokens: usize,
    /// Seed of each text; `None` for a new one each time.
    seed: Option<u64>,
    temp: f32,
    /// Number of texts that had a new seed.
    n_new: u64,
}

impl Settings {
    pub(crate) const fn new(max_tokens: usize) -> Self {
        Self { max_tokens, seed: None, temp: SamplerConfig::DEFAULT.temp, n_new: 0 }
    }

    /// Settings of the next text. A new seed comes from the board's noise; where it has none, from the count of texts: 1, 2, ...
    pub(crate) fn next_text(&mut self, board: &mut impl Board) -> TextSettings {
        let seed = self.seed.unwrap_or_else(|| {
            self.n_new += 1;
            board.noise().map_or(self.n_new, spread)
        });
        TextSettings { max_tokens: self.max_tokens, seed, temp: self.temp }
    }

    /// Carries out a line if it is a command; false if it is a prompt.
    ///
    /// # Errors
    /// [`Halt::Output`] when the board cannot be written to.
    pub(crate) fn obey(&mut self, line: &[u8], board: &mut impl Board) -> Result<bool, Halt> {
        if !line.starts_with(b":") {
            return Ok(false);
        }
        match Command::parse(line) {
            Some(Command::Help) => board.write_str(HELP)?,
            Some(Command::Seed(seed)) => self.seed = seed,
            Some(Command::Temp(temp)) => self.temp = temp,
            Some(Command::Len(max_tokens)) => self.max_tokens = max_tokens,
            // A story that ran was stopped by the colon.
            Some(Command::Stop) => return Ok(true),
            None => {
                board.write_str("[no such command, or a number out of its range: :help lists both]\r\n")?;
                return Ok(true);
            }
        }
        write!(board, "[{self}]\r\n")?;
        Ok(true)
    }
}

impl fmt::Display for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.seed {
            Some(seed) => write!(f, "seed {seed}")?,
            None => f.write_str("a new seed each time")?,
        }
        // Numbers in thousandths, since the formatting of floats is long.
        let thousandths = (self.temp * 1000.0 + 0.5) as u32;
        write!(f, ", temperature {}.{:03}, at most {} tokens", thousandths / 1000, thousandths % 1000, self.max_tokens)
    }
}

const HELP: &str = "A line is the beginning of a story. Lines with a colon are commands:\r\n\
                    :seed N   the seed of each story; without N, a new one each time\r\n\
                    :temp X   the sampler's temperature, 0 to 9.999; at 0 the likeliest token is taken\r\n\
                    :len N    the greatest number of tokens\r\n\
                    :stop     ends a story while it is written, as any key does\r\n";

#[derive(Clone, Copy, Debug, PartialEq)]
enum Command {
    Help,
    Seed(Option<u64>),
    Temp(f32),
    Len(usize),
    Stop,
}

impl Command {
    /// Command of a line; `None` for an unknown one, or one whose number is missing or out of range.
    fn parse(line: &[u8]) -> Option<Self> {
        let mut words = core::str::from_utf8(line).ok()?.split_ascii_whitespace();
        let (name, number) = (words.next()?, words.next());
        if words.next().is_some() {
            return None;
        }
        match (name, number) {
            (":help", None) => Some(Self::Help),
            (":seed", None) => Some(Self::Seed(None)),
            (":seed", Some(number)) => whole(number).map(|seed| Self::Seed(Some(seed))),
            (":temp", Some(number)) => thousandths(number).map(|number| Self::Temp(number as f32 / 1000.0)),
            (":len", Some(number)) => {
                whole(number).and_then(|n| usize::try_from(n).ok()).filter(|&n| n > 0).map(Self::Len)
            }
            (":stop", None) => Some(Self::Stop),
            _ => None,
        }
    }
}

/// Number of decimal digits alone.
fn whole(text: &str) -> Option<u64> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok()).flatten()
}

/// Thousandths of a decimal number below 10 with at most three digits behind the point.
fn thousandths(text: &str) -> Option<u32> {
    let (before, behind) = text.split_once('.').unwrap_or((text, "0"));
    if before.len() != 1 || !(1..=3).contains(&behind.len()) {
        return None;
    }
    let mut n = u32::try_from(whole(before)?).ok()?;
    let behind = behind.bytes().chain(*b"000").take(3);
    for digit in behind {
        n = 10 * n + u32::from(digit.checked_sub(b'0').filter(|&digit| digit < 10)?);
    }
    Some(n)
}

/// Spreads noise, of which a few bits change, over 32 bits: as many as a person types again. (The finalizer of SplitMix64.)
fn spread(noise: u64) -> u64 {
    let mut x = noise.wrapping_add(0x9e37_79b9_7f4a_7c15);
    x = (x ^ x >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ x >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    (x ^ x >> 31) >> 32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_read() {
        let known: &[(&str, Command)] = &[
            (":help", Command::Help),
            (":seed", Command::Seed(None)),
            (":seed  7 ", Command::Seed(Some(7))),
            (":seed 18446744073709551615", Command::Seed(Some(u64::MAX))),
            (":temp 0", Command::Temp(0.0)),
            (":temp 0.8", Command::Temp(0.8)),
            (":temp 1.25", Command::Temp(1.25)),
            (":temp 9.999", Command::Temp(9.999)),
            (":len 1", Command::Len(1)),
            (":stop", Command::Stop),
        ];
        for &(line, want) in known {
            assert_eq!(Command::parse(line.as_bytes()), Some(want), "{line}");
        }
        let unknown = [
            ":",
            ":help 1",
            ":seed x",
            ":seed -1",
            ":seed +1",
            ":seed 18446744073709551616",
            ":temp",
            ":temp .5",
            ":temp 1.",
            ":temp 10",
            ":temp 0.8000",
            ":temp 0.8x",
            ":temp -1",
            ":temp nan",
            ":len",
            ":len 0",
            ":len 1 2",
            ":stop it",
            ":Help",
        ];
        for line in unknown {
            assert_eq!(Command::parse(line.as_bytes()), None, "{line}");
        }
        assert_eq!(Command::parse(b":\xff"), None);
    }

    #[test]
    fn noise_is_spread() {
        // Reference values of SplitMix64 from the states 0 and 1, shifted.
        assert_eq!(spread(0), 0xe220_a839_7b1d_cdaf >> 32);
        assert_eq!(spread(1), 0x910a_2dec_8902_5cc1 >> 32);
    }
}
