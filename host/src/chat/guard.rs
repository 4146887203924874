//! Protection of special tokens: what a template writes may become one, what a message says may not.
//!
//! A template mixes its own text with that of the messages, trims and cuts it, and the result is one string. To tell the two
//! apart there, private characters go through the template with the messages: a seam behind the first letter of each name of a
//! special token in a message, so that the name is found in no rendered text, one for each byte that is no UTF-8, and one for
//! each answer whose tokens are known. They are taken out before the text is encoded.

use std::collections::{BTreeSet, HashMap};

use nearfield::tokenizer::{TokenType, Tokenizer};

/// Planes of private characters.
const PRIVATE: [(u32, u32); 2] = [(0xf_0000, 0xf_fffd), (0x10_0000, 0x10_fffd)];
/// Characters besides those for answers: the seam, and bytes from 128 on.
const N_FIXED: u32 = 1 + 128;

/// Private characters that stand in no text of a conversation.
#[derive(Clone, Copy, Debug)]
pub(super) struct Alphabet {
    first: u32,
    n_answers: u32,
}

/// Meaning of a character in a rendered text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sign {
    Char(char),
    Byte(u8),
    Answer(usize),
    Seam,
}

impl Alphabet {
    /// Characters that none of `texts` has, enough for `n_answers` answers; `None` if the texts leave no room.
    pub(super) fn outside<'t>(texts: impl Iterator<Item = &'t [u8]>, n_answers: usize) -> Option<Self> {
        let n_answers = u32::try_from(n_answers).ok()?;
        let need = N_FIXED.checked_add(n_answers)?;
        let mut used = BTreeSet::new();
        for chunk in texts.flat_map(<[u8]>::utf8_chunks) {
            used.extend(chunk.valid().chars().map(u32::from).filter(|&code| code >= PRIVATE[0].0));
        }
        let gap = |(start, end): (u32, u32)| {
            let ends = used.range(start..=end).copied().chain([end + 1]);
            let mut from = start;
            for used in ends {
                if used - from >= need {
                    return Some(from);
                }
                from = used + 1;
            }
            None
        };
        Some(Self { first: PRIVATE.into_iter().find_map(gap)?, n_answers })
    }

    fn char(self, at: u32) -> char {
        char::from_u32(self.first + at).unwrap_or(char::REPLACEMENT_CHARACTER)
    }

    fn seam(self) -> char {
        self.char(0)
    }

    /// Character that stands for an answer.
    pub(super) fn answer(self, at: usize) -> char {
        self.char(N_FIXED + at as u32)
    }

    /// Meaning of a character.
    pub(super) fn sign(self, char: char) -> Sign {
        match u32::from(char).checked_sub(self.first) {
            Some(0) => Sign::Seam,
            Some(at) if at < N_FIXED => Sign::Byte(127 + at as u8),
            Some(at) if at < N_FIXED + self.n_answers => Sign::Answer((at - N_FIXED) as usize),
            _ => Sign::Char(char),
        }
    }

    /// Text of a message with seams in the names of special tokens, and at both its ends if `at_ends`.
    pub(super) fn guarded(self, text: &[u8], names: &Names, at_ends: bool) -> String {
        let mut plain = String::new();
        for chunk in text.utf8_chunks() {
            plain.push_str(chunk.valid());
            plain.extend(chunk.invalid().iter().map(|&byte| self.char(u32::from(byte) - 127)));
        }
        let mut out = String::with_capacity(plain.len());
        let end = |out: &mut String| out.extend((at_ends && !text.is_empty()).then_some(self.seam()));
        end(&mut out);
        for (at, char) in plain.char_indices() {
            out.push(char);
            out.extend(names.has_at(char, &plain[at..]).then_some(self.seam()));
        }
        end(&mut out);
        out
    }

    /// Text without seams.
    pub(super) fn without_seams(self, text: &str) -> String {
        text.replace(self.seam(), "")
    }
}

/// Names of the special tokens of a vocabulary, by their first letters.
#[derive(Debug)]
pub(super) struct Names {
    by_first: HashMap<char, Vec<String>>,
    /// Special tokens that are not looked for in rendered texts: of one letter, or of white space alone, since letters and white
    /// space of a message stay as they are. No mark of a conversation is one.
    pub(super) ignored: Vec<u32>,
}

impl Names {
    pub(super) fn of(tokenizer: &Tokenizer<'_, '_>) -> Self {
        let mut names = Self { by_first: HashMap::new(), ignored: Vec::new() };
        for id in special_tokens(tokenizer) {
            let name = name_of(tokenizer, id);
            match name.chars().next() {
                Some(first) if name.chars().nth(1).is_some() && !name.trim().is_empty() => {
                    names.by_first.entry(first).or_default().push(name);
                }
                _ => names.ignored.push(id),
            }
        }
        names
    }

    /// True if `text`, whose first letter is `first`, begins with a name.
    fn has_at(&self, first: char, text: &str) -> bool {
        self.by_first.get(&first).is_some_and(|names| names.iter().any(|name| text.starts_with(&**name)))
    }
}

/// Control and user-defined tokens of a vocabulary.
pub(super) fn special_tokens(tokenizer: &Tokenizer<'_, '_>) -> impl Iterator<Item = u32> {
    let is_special = |&id: &u32| matches!(tokenizer.token_type(id), Ok(TokenType::Control | TokenType::UserDefined));
    (0..).take(tokenizer.n_tokens()).filter(is_special)
}

/// Name of a token; empty if it is no UTF-8.
pub(super) fn name_of(tokenizer: &Tokenizer<'_, '_>, id: u32) -> String {
    tokenizer.bytes(id).ok().and_then(|bytes| String::from_utf8(bytes.collect()).ok()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(names: &[&str]) -> Names {
        let mut by_first: HashMap<char, Vec<String>> = HashMap::new();
        for name in names {
            by_first.entry(name.chars().next().unwrap()).or_default().push(name.to_string());
        }
        Names { by_first, ignored: vec![] }
    }

    #[test]
    fn names_in_messages_are_cut_in_two() {
        let alphabet = Alphabet::outside([&b"text"[..]].into_iter(), 0).unwrap();
        let names = names(&["<s>", "<<", "<|end|>", "é!"]);
        let guard =
            |text: &str, at_ends| alphabet.guarded(text.as_bytes(), &names, at_ends).replace(alphabet.seam(), "#");
        assert_eq!(guard(" <s> <<s> <|end <|end|>é!é", false), " <#s> <#<#s> <|end <#|end|>é#!é");
        assert_eq!(guard("end|>", true), "#end|>#");
        assert_eq!(guard("", true), "");
    }

    #[test]
    fn characters_of_the_alphabet_stand_in_no_text() {
        let texts = ["\u{f0000}\u{f0080}", "\u{f0123}x\u{ffffd}"];
        let alphabet = Alphabet::outside(texts.iter().map(|text| text.as_bytes()), 10).unwrap();
        assert_eq!(alphabet.first, 0xf_0081);
        assert_eq!(alphabet.sign(alphabet.answer(9)), Sign::Answer(9));
        assert_eq!(alphabet.sign('\u{f0123}'), Sign::Char('\u{f0123}'));
        let bytes: String = alphabet.guarded(b"a\xff\x80\xc3\xa9", &names(&[]), false);
        let signs: Vec<Sign> = bytes.chars().map(|char| alphabet.sign(char)).collect();
        assert_eq!(signs, [Sign::Char('a'), Sign::Byte(0xff), Sign::Byte(0x80), Sign::Char('é')]);
        // A text may have all private characters of a plane, or of both.
        let plane = |(first, last)| (first..=last).map(|code| char::from_u32(code).unwrap()).collect::<String>();
        let [one, two] = PRIVATE.map(plane);
        assert_eq!(Alphabet::outside([one.as_bytes()].into_iter(), 10).unwrap().first, 0x10_0000);
        assert!(Alphabet::outside([one.as_bytes(), two.as_bytes()].into_iter(), 0).is_none());
        assert!(Alphabet::outside([one.as_bytes()].into_iter(), 70_000).is_none());
    }
}
