//! Pre-tokenizers: rules that cut a text into pieces before merges are applied. No merge crosses a cut.
//!
//! Each rule is a published regular expression, written out by hand. Bytes that are not UTF-8 count as characters that are
//! neither letter, number nor white space.

use super::error::UnknownPreTokenizer;
use super::unicode::{Class, first_char, first_class, is_punctuation};

/// Rule by which byte-level BPE cuts a text into pieces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum PreTokenizer {
    /// `'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+`
    ///
    /// Models: GPT-2, MPT (GPT-NeoX), Jais.
    Gpt2,
    /// Each `\p{N}` is a piece; the text between is cut as by [`Gpt2`](Self::Gpt2).
    ///
    /// Models: Refact, StarCoder.
    Starcoder,
    /// ` ?[^(\s|[.,!?…。，、।۔،])]+` and the text between its matches. The inner brackets nest: the class excludes white space and
    /// `()|.,!?…。，、।۔،`.
    ///
    /// Models: BLOOM, TurkuNLP gpt3-finnish, Poro.
    Bloom,
    /// Four cuts, one within the other: each run of punctuation is a piece; the text between is cut as by [`Gpt2`](Self::Gpt2);
    /// in its pieces each run of digits is one; and runs are cut behind each three of `0` to `9` from the front.
    ///
    /// Model: Falcon.
    Falcon,
}

impl PreTokenizer {
    /// Finds the rule that `tokenizer.ggml.pre` names.
    ///
    /// # Errors
    ///
    /// [`UnknownPreTokenizer`] for any other name, also for `default`, llama.cpp's stand-in for a missing name, which is no
    /// published tokenizer.
    pub fn from_name(name: &str) -> Result<Self, UnknownPreTokenizer> {
        match name {
            "gpt-2" | "mpt" | "jais" | "olmo" | "phi-2" | "roberta-bpe" => Ok(Self::Gpt2),
            "jina-v1-en" | "jina-v2-code" | "jina-v2-de" | "jina-v2-es" | "jina-de" | "jina-es" => Ok(Self::Gpt2),
            "refact" | "starcoder" | "codeshell" | "smollm" => Ok(Self::Starcoder),
            "bloom" | "gpt3-finnish" | "poro-chat" => Ok(Self::Bloom),
            "falcon" => Ok(Self::Falcon),
            _ => Err(UnknownPreTokenizer),
        }
    }

    /// Iterates over the pieces of `text`, in order; together they are `text`.
    pub fn pieces(self, text: &[u8]) -> Pieces<'_> {
        Pieces { pre: self, rest: text, word: 0 }
    }

    /// Bytes of the first piece of `text`, which is not empty; for Falcon of the first word.
    fn first_piece(self, text: &[u8]) -> usize {
        match self {
            Self::Gpt2 => gpt2_piece(&text, |rest| first_class(rest)),
            Self::Starcoder => match first_class(text) {
                Some((Class::Number, len)) => len,
                _ => gpt2_piece(&text, |rest| class_before_number(rest)),
            },
            Self::Bloom => bloom_piece(text),
            Self::Falcon => falcon_word(text),
        }
    }
}

/// Iterator over the pieces of a text, of [`PreTokenizer::pieces`].
#[derive(Clone, Debug)]
pub struct Pieces<'t> {
    pre: PreTokenizer,
    rest: &'t [u8],
    /// Bytes at the front of `rest` that are the rest of a word of Falcon's, which is cut further.
    word: usize,
}

impl<'t> Iterator for Pieces<'t> {
    type Item = &'t [u8];

    fn next(&mut self) -> Option<&'t [u8]> {
        if self.rest.is_empty() {
            return None;
        }
        let mut len = self.word;
        if len == 0 {
            len = self.pre.first_piece(self.rest);
        }
        if self.pre == PreTokenizer::Falcon {
            self.word = len;
            len = falcon_piece(self.rest.get(..len)?);
            self.word -= len;
        }
        let (piece, rest) = self.rest.split_at_checked(len)?;
        self.rest = rest;
        Some(piece)
    }
}

/// Class of the first character, as [`first_class`], for a text that ends before the next number.
fn class_before_number(text: &[u8]) -> Option<(Class, usize)> {
    first_class(text).filter(|(class, _)| *class != Class::Number)
}

/// A text that is cut from its front: bytes, or characters that are normalized as they are read.
pub(super) trait Text: Clone {
    /// Class of the first character and its length in bytes; for a byte that belongs to none, [`Class::Other`] and 1.
    fn first_class(&self) -> Option<(Class, usize)>;

    /// Text behind the first `len` bytes, which are whole characters.
    fn after(&self, len: usize) -> Option<Self>;

    /// True if the text begins with these bytes.
    fn starts_with(&self, word: &[u8]) -> bool;
}

impl Text for &[u8] {
    fn first_class(&self) -> Option<(Class, usize)> {
        first_class(self)
    }

    fn after(&self, len: usize) -> Option<Self> {
        self.get(len..)
    }

    fn starts_with(&self, word: &[u8]) -> bool {
        <[u8]>::starts_with(self, word)
    }
}

/// Bytes that the regex of [`PreTokenizer::Gpt2`] matches at the start of `text`.
///
/// `first` returns the class and length of a first character, and `None` where the text has to end.
pub(super) fn gpt2_piece<T: Text>(text: &T, first: impl Fn(&T) -> Option<(Class, usize)>) -> usize {
    if let Some(len) = contraction(text) {
        return len;
    }
    let (space, word) = split_space(text);
    match first(&word) {
        None => space,
        Some((Class::Space, _)) => white_space(text, first),
        Some((class, _)) => {
            space + run(&word, |rest| first(rest).filter(|(next, _)| *next == class).map(|(_, len)| len))
        }
    }
}

/// Splits a space off the front: its bytes, 0 or 1, and the rest.
fn split_space<T: Text>(text: &T) -> (usize, T) {
    match text.starts_with(b" ").then(|| text.after(1)).flatten() {
        Some(word) => (1, word),
        None => (0, text.clone()),
    }
}

/// Length of a match of `'s|'t|'re|'ve|'m|'ll|'d`.
fn contraction(text: &impl Text) -> Option<usize> {
    let words: [&[u8]; 7] = [b"'s", b"'t", b"'re", b"'ve", b"'m", b"'ll", b"'d"];
    let begins = text.starts_with(b"'");
    begins.then(|| words.iter().find(|word| text.starts_with(word)).map(|word| word.len())).flatten()
}

/// Bytes of a match of `\s+(?!\S)|\s+`: a run of white space without its last character, which belongs to the next piece. The
/// whole run if the text ends with it or if it is one character.
fn white_space<T: Text>(text: &T, first: impl Fn(&T) -> Option<(Class, usize)>) -> usize {
    let (mut last, mut end, mut rest) = (0, 0, text.clone());
    while let Some((Class::Space, len)) = first(&rest)
        && let Some(after) = rest.after(len)
    {
        (last, end, rest) = (end, end + len, after);
    }
    if last == 0 || first(&rest).is_none() { end } else { last }
}

/// Bytes that the regex of [`PreTokenizer::Bloom`] matches at the start of `text`, or else those before its next match.
fn bloom_piece(text: &[u8]) -> usize {
    let (space, word) = split_space(&text);
    match space + run(&word, |rest| bloom_word(rest)) {
        len if len > space => len,
        _ => run(&text, |rest| match *rest {
            [b' ', next @ ..] if bloom_word(next).is_some() => None,
            _ => bloom_gap(rest),
        }),
    }
}

/// Bytes of the first character if it does not separate words.
fn bloom_word(text: &[u8]) -> Option<usize> {
    match bloom_gap(text) {
        None if !text.is_empty() => Some(first_char(text).map_or(1, |(_, len)| len)),
        _ => None,
    }
}

/// Bytes of the first character if it separates words: `[(\s|[.,!?…。，、।۔،])]`.
fn bloom_gap(text: &[u8]) -> Option<usize> {
    match first_char(text)? {
        ('(' | ')' | '|' | '.' | ',' | '!' | '?' | '…' | '。' | '，' | '、' | '।' | '۔' | '،', len) => {
            Some(len)
        }
        (_, len) => matches!(first_class(text), Some((Class::Space, _))).then_some(len),
    }
}

/// Bytes that the first two stages of [`PreTokenizer::Falcon`] cut off, published as `Punctuation` (contiguous) and `ByteLevel`
/// with GPT-2's regex.
fn falcon_word(text: &[u8]) -> usize {
    let punctuation = |rest: &[u8]| first_char(rest).filter(|&(char, _)| is_punctuation(char)).map(|(_, len)| len);
    match run(&text, |rest| punctuation(rest)) {
        0 => gpt2_piece(&text, |rest| first_class(rest).filter(|_| punctuation(rest).is_none())),
        len => len,
    }
}

/// Bytes that the other two stages of [`PreTokenizer::Falcon`] cut off a word: `Digits`, and `Split` with `[0-9][0-9][0-9]`.
///
/// Both stages see the letters of the byte-level alphabet, six of which are numbers. So a character that has such a byte, such
/// as `²`, is cut before and behind that byte.
fn falcon_piece(word: &[u8]) -> usize {
    let is_number = |byte: u8| matches!(byte, b'0'..=b'9' | 0xb2 | 0xb3 | 0xb9 | 0xbc..=0xbe);
    let three_digits = |rest: &[u8]| rest.get(..3).is_some_and(|three| three.iter().all(u8::is_ascii_digit));
    let is_first_number = word.first().is_some_and(|&byte| is_number(byte));
    if is_first_number && three_digits(word) {
        return 3;
    }
    let goes_on = |at: &usize| {
        let rest = word.get(*at..).unwrap_or_default();
        rest.first().is_some_and(|&byte| is_number(byte) == is_first_number) && !(is_first_number && three_digits(rest))
    };
    (1..word.len()).find(|at| !goes_on(at)).unwrap_or(word.len())
}

/// Bytes of the longest start of `text` whose characters `next` all accepts; `next` returns the length of the first.
fn run<T: Text>(text: &T, next: impl Fn(&T) -> Option<usize>) -> usize {
    let (mut rest, mut n) = (text.clone(), 0);
    while let Some(len) = next(&rest)
        && let Some(after) = rest.after(len)
    {
        (rest, n) = (after, n + len);
    }
    n
}

#[cfg(test)]
mod tests {
    extern crate std;

    use std::string::{String, ToString};
    use std::vec::Vec;

    use super::*;

    fn cut(pre: PreTokenizer, text: &str) -> String {
        let pieces: Vec<String> = pre.pieces(text.as_bytes()).map(|p| String::from_utf8_lossy(p).to_string()).collect();
        pieces.join("_")
    }

    #[test]
    fn gpt2() {
        for (text, wanted) in [
            ("", ""),
            ("Hello world", "Hello_ world"),
            ("I'll we've he's isn't I'm 'd're", "I_'ll_ we_'ve_ he_'s_ isn_'t_ I_'m_ '_d_'re"),
            ("I'LL 'Sx 'sx", "I_'_LL_ '_Sx_ '_sx"),
            ("'sx 'l", "'s_x_ '_l"),
            ("abc123 45x", "abc_123_ 45_x"),
            ("a  b", "a_ _ b"),
            ("a   b", "a_  _ b"),
            ("a \n b", "a_ \n_ b"),
            ("a\nb", "a_\n_b"),
            ("a\n\nb", "a_\n_\n_b"),
            ("a  ", "a_  "),
            (" ", " "),
            ("  ", "  "),
            ("a \t!?", "a_ _\t_!?"),
            ("x=1; //y", "x_=_1_;_ //_y"),
            ("naïve café", "naïve_ café"),
            ("e\u{301}a", "e_\u{301}_a"),
            ("²½Ⅷ", "²½Ⅷ"),
            ("我想 apple工作", "我想_ apple工作"),
            ("\u{3000}我", "\u{3000}_我"),
            ("a\u{a0} b", "a_\u{a0}_ b"),
            ("a\u{200b}b", "a_\u{200b}_b"),
        ] {
            assert_eq!(cut(PreTokenizer::Gpt2, text), wanted, "{text:?}");
        }
    }

    #[test]
    fn starcoder_cuts_out_each_number() {
        for (text, wanted) in [
            ("abc123 45x", "abc_1_2_3_ _4_5_x"),
            ("a  1", "a_  _1"),
            ("a  b", "a_ _ b"),
            ("1  ", "1_  "),
            ("½²x", "½_²_x"),
            ("'s1'1", "'s_1_'_1"),
            (" 1", " _1"),
        ] {
            assert_eq!(cut(PreTokenizer::Starcoder, text), wanted, "{text:?}");
        }
    }

    #[test]
    fn bloom() {
        for (text, wanted) in [
            ("Hello world", "Hello_ world"),
            ("Hello, world!", "Hello_,_ world_!"),
            ("a  b", "a_ _ b"),
            ("a  ", "a_  "),
            ("a , b", "a_ ,_ b"),
            ("I'll 12x-3", "I'll_ 12x-3"),
            ("(a|b)", "(_a_|_b_)"),
            ("[a]", "[a]"),
            ("a\n\n b", "a_\n\n_ b"),
            ("我，你。", "我_，_你_。"),
            ("क।ख", "क_।_ख"),
            (" ", " "),
            ("...", "..."),
            (". .a", ". ._a"),
            (" \u{3000}a", " \u{3000}_a"),
        ] {
            assert_eq!(cut(PreTokenizer::Bloom, text), wanted, "{text:?}");
        }
    }

    #[test]
    fn falcon() {
        for (text, wanted) in [
            ("Hello world", "Hello_ world"),
            ("I'll don't", "I_'_ll_ don_'_t"),
            ("a  b", "a_ _ b"),
            ("a (b)", "a_ _(_b_)"),
            ("x=1+22", "x_=_1_+_22"),
            (" 1234567", " _123_456_7"),
            ("12345", "123_45"),
            ("a12", "a_12"),
            ("...!?", "...!?"),
            ("a—b", "a_—_b"),
            ("\n\n 1", "\n\n_ _1"),
        ] {
            assert_eq!(cut(PreTokenizer::Falcon, text), wanted, "{text:?}");
        }
        let pieces: Vec<&[u8]> = PreTokenizer::Falcon.pieces("x²12345".as_bytes()).collect();
        assert_eq!(pieces, [&b"x"[..], b"\xc2", b"\xb2", b"123", b"45"]);
    }

    #[test]
    fn bytes_that_are_not_utf8_are_other_characters() {
        let pieces = |pre: PreTokenizer| pre.pieces(b"a\xff\x80b \xc3!").collect::<Vec<_>>();
        assert_eq!(pieces(PreTokenizer::Gpt2), [&b"a"[..], b"\xff\x80", b"b", b" \xc3!"]);
        assert_eq!(pieces(PreTokenizer::Bloom), [&b"a\xff\x80b"[..], b" \xc3", b"!"]);
    }

    #[test]
    fn names() {
        for (name, pre) in [
            ("gpt-2", PreTokenizer::Gpt2),
            ("mpt", PreTokenizer::Gpt2),
            ("jais", PreTokenizer::Gpt2),
            ("jina-v2-code", PreTokenizer::Gpt2),
            ("refact", PreTokenizer::Starcoder),
            ("starcoder", PreTokenizer::Starcoder),
            ("bloom", PreTokenizer::Bloom),
            ("gpt3-finnish", PreTokenizer::Bloom),
            ("poro-chat", PreTokenizer::Bloom),
        ] {
            assert_eq!(PreTokenizer::from_name(name), Ok(pre));
        }
        for name in ["", "default", "llama-bpe", "viking", "GPT-2"] {
            assert_eq!(PreTokenizer::from_name(name), Err(UnknownPreTokenizer), "{name}");
        }
    }
}
