//! Stop words: words that end a text and may be spread over several tokens.

use core::cell::Cell;
use core::fmt::{self, Write};
use core::str::from_utf8;

use crate::tokenizer::{DetokenizeError, Detokenizer, TokenType, Tokenizer};

/// Lets a text through up to the first of its stop words.
///
/// Letters with which a stop word may begin are held back until it is known whether one does. Words are looked for in the text
/// that is shown, and in the text with the names of its control tokens, of which nothing is shown; a name is then part of a word
/// as a whole or not at all.
///
/// ```
/// use nearfield::StopWords;
///
/// let words = ["\nUser:"];
/// let mut memory = vec![0; StopWords::memory_bytes(&words)];
/// let mut stop = StopWords::new(&words, &mut memory).unwrap();
/// let mut text = String::new();
/// for piece in ["Hi.", "\n", "Us", "er", ": more"] {
///     stop.push(piece, &mut text)?;
/// }
/// assert_eq!((text.as_str(), stop.found()), ("Hi.", true));
/// # Ok::<(), core::fmt::Error>(())
/// ```
#[derive(Debug, Default)]
pub struct StopWords<'s> {
    words: &'s [&'s str],
    /// Shown letters that a word may begin with.
    held: Bytes<'s>,
    /// The newest bytes of the text with the names of its control tokens.
    recent: Bytes<'s>,
    /// Mark of each byte in `recent`: shown, or part of a name.
    marks: Bytes<'s>,
    found: bool,
}

/// Mark of a byte that is shown.
const SHOWN: u8 = 0;
/// Mark of the first byte of a name.
const NAME: u8 = 1;
/// Mark of any other byte of a name.
const IN_NAME: u8 = 2;

impl<'s> StopWords<'s> {
    /// No words: every text is let through, as it comes.
    pub const fn none() -> Self {
        Self { words: &[], held: Bytes::empty(), recent: Bytes::empty(), marks: Bytes::empty(), found: false }
    }

    /// Bytes of memory that [`new`](Self::new) needs for these words.
    pub fn memory_bytes(words: &[&str]) -> usize {
        words.iter().map(|word| word.len()).max().map_or(0, |longest| 3 * Self::room(longest))
    }

    /// Bytes held while a character comes behind the beginning of the longest word.
    fn room(longest: usize) -> usize {
        longest.saturating_add(4)
    }

    /// Stop words with their memory, [`memory_bytes`](Self::memory_bytes) of it; `None` if it is shorter.
    ///
    /// An empty word ends no text.
    pub fn new(words: &'s [&'s str], memory: &'s mut [u8]) -> Option<Self> {
        let memory = memory.get_mut(..Self::memory_bytes(words))?;
        let (held, rest) = memory.split_at_mut_checked(memory.len() / 3)?;
        let (recent, marks) = rest.split_at_mut_checked(rest.len() / 2)?;
        let [held, recent, marks] = [held, recent, marks].map(|bytes| Bytes { bytes, n: 0 });
        Some(Self { words, held, recent, marks, found: false })
    }

    /// True once a stop word came: nothing more is let through.
    pub fn found(&self) -> bool {
        self.found
    }

    /// Takes the next text and writes to `out` what is sure to stand before a stop word.
    ///
    /// # Errors
    /// The error of `out`.
    pub fn push(&mut self, text: &str, out: &mut impl Write) -> fmt::Result {
        if self.words.is_empty() {
            return out.write_str(text);
        }
        for character in text.chars() {
            if self.found {
                break;
            }
            for &byte in character.encode_utf8(&mut [0; 4]).as_bytes() {
                self.held.push(byte);
                self.recent.push(byte);
                self.marks.push(SHOWN);
            }
            self.let_through(out)?;
        }
        Ok(())
    }

    /// Takes the name of a control token, which is not shown.
    ///
    /// # Errors
    /// The error of `out`.
    pub fn push_name(&mut self, name: impl Iterator<Item = u8>, out: &mut impl Write) -> fmt::Result {
        if self.words.is_empty() || self.found {
            return Ok(());
        }
        let mut mark = NAME;
        for byte in name {
            self.recent.push(byte);
            self.marks.push(mark);
            mark = IN_NAME;
        }
        self.let_through(out)
    }

    /// Takes the text of a token, `after` behind it, and its name if it is a control token.
    pub(super) fn push_token(
        &mut self,
        detokenizer: &mut Detokenizer,
        tokenizer: &Tokenizer<'_, '_>,
        token: u32,
        after: Option<&str>,
        out: &mut impl Write,
    ) -> Result<(), DetokenizeError> {
        let mut through = self.through(out);
        detokenizer.push(tokenizer, token, &mut through)?;
        if let Some(after) = after {
            through.write_str(after)?;
        }
        self.push_name_of(tokenizer, token, out)
    }

    /// Takes the name of `token` if it is a control token.
    ///
    /// # Errors
    /// [`DetokenizeError`] for a token that the tokenizer does not have, or from `out`.
    pub fn push_name_of(
        &mut self,
        tokenizer: &Tokenizer<'_, '_>,
        token: u32,
        out: &mut impl Write,
    ) -> Result<(), DetokenizeError> {
        if !self.words.is_empty() && tokenizer.token_type(token)? == TokenType::Control {
            self.push_name(tokenizer.bytes(token)?, out)?;
        }
        Ok(())
    }

    /// The way of a text through the words to `out`.
    pub fn through<'t, W: Write>(&'t mut self, out: &'t mut W) -> Through<'t, 's, W> {
        Through { stop: self, out }
    }

    /// Writes what was held back: the text ends without a stop word.
    ///
    /// # Errors
    /// The error of `out`.
    pub fn finish(&mut self, out: &mut impl Write) -> fmt::Result {
        let n = self.held.n;
        self.write(n, out)?;
        (self.recent.n, self.marks.n) = (0, 0);
        Ok(())
    }

    /// Writes all but the end with which a word begins, or all before the word that ends here.
    fn let_through(&mut self, out: &mut impl Write) -> fmt::Result {
        let whole = self.words.iter().filter_map(|word| self.n_shown_of_end(word.as_bytes(), true)).max();
        self.found = whole.is_some();
        let n_kept = whole.unwrap_or_else(|| self.words.iter().map(|word| self.n_begun(word)).max().unwrap_or(0));
        self.write(self.held.n.saturating_sub(n_kept), out)?;
        if self.found {
            self.held.n = 0;
        }
        Ok(())
    }

    /// Shown bytes at the end with which `word` may begin.
    fn n_begun(&self, word: &str) -> usize {
        let starts = (1..word.len()).rev().filter_map(|n| word.as_bytes().get(..n));
        starts.into_iter().filter_map(|start| self.n_shown_of_end(start, false)).max().unwrap_or(0)
    }

    /// Shown bytes of the end that is spelled so, if it is one; of a whole word that has names in it, none of them in part.
    fn n_shown_of_end(&self, end: &[u8], is_whole: bool) -> Option<usize> {
        if end.is_empty() {
            return None;
        }
        let shown = self.held.get().ends_with(end).then_some(end.len());
        let with_names = || {
            let recent = self.recent.get();
            let marks = self.marks.get().get(recent.len().checked_sub(end.len())?..)?;
            let begins_outside = marks.first() != Some(&IN_NAME);
            let fits = begins_outside && (!is_whole || marks.contains(&NAME));
            (fits && recent.ends_with(end)).then(|| marks.iter().filter(|&&mark| mark == SHOWN).count())
        };
        shown.into_iter().chain(with_names()).max()
    }

    /// Writes the first `n` bytes that are held.
    fn write(&mut self, n: usize, out: &mut impl Write) -> fmt::Result {
        if n > 0 {
            // Words begin with whole characters: so do the bytes that stay.
            out.write_str(self.held.get().get(..n).and_then(|bytes| from_utf8(bytes).ok()).unwrap_or_default())?;
            self.held.drop_first(n);
        }
        Ok(())
    }
}

/// The way of a text through stop words: see [`StopWords::through`].
#[derive(Debug)]
pub struct Through<'t, 's, W> {
    stop: &'t mut StopWords<'s>,
    out: &'t mut W,
}

impl<W: Write> Write for Through<'_, '_, W> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.stop.push(text, self.out)
    }
}

/// Bytes in memory that is lent; of too many, the newest.
#[derive(Debug, Default)]
struct Bytes<'s> {
    bytes: &'s mut [u8],
    n: usize,
}

impl Bytes<'_> {
    const fn empty() -> Self {
        Self { bytes: &mut [], n: 0 }
    }

    fn get(&self) -> &[u8] {
        self.bytes.get(..self.n).unwrap_or_default()
    }

    fn push(&mut self, byte: u8) {
        if self.n == self.bytes.len() {
            self.drop_first(1);
        }
        if let Some(place) = self.bytes.get_mut(self.n) {
            *place = byte;
            self.n += 1;
        }
    }

    fn drop_first(&mut self, n: usize) {
        let cells = Cell::from_mut(&mut *self.bytes).as_slice_of_cells().get(..self.n).unwrap_or_default();
        let rest = cells.get(n..).unwrap_or_default();
        cells.iter().zip(rest).for_each(|(to, from)| to.set(from.get()));
        self.n = rest.len();
    }
}

#[cfg(test)]
mod tests {
    extern crate std;

    use std::ops::Range;
    use std::string::String;
    use std::vec::Vec;
    use std::{format, vec};

    use super::*;

    /// The pieces let through for each of `pieces` (names are in angle brackets), the rest, and whether a word was found.
    fn shown(words: &[&str], pieces: &[&str]) -> (Vec<String>, String, bool) {
        let mut memory = vec![0; StopWords::memory_bytes(words)];
        let mut stop = StopWords::new(words, &mut memory).unwrap();
        let shown = pieces.iter().map(|piece| {
            let mut out = String::new();
            match piece.starts_with('<') {
                true => stop.push_name(piece.bytes(), &mut out).unwrap(),
                false => stop.push(piece, &mut out).unwrap(),
            }
            out
        });
        let (shown, mut rest) = (shown.collect(), String::new());
        stop.finish(&mut rest).unwrap();
        (shown, rest, stop.found())
    }

    fn owned(pieces: &[&str]) -> Vec<String> {
        pieces.iter().map(|&piece| piece.into()).collect()
    }

    #[test]
    fn a_stop_over_several_pieces_is_never_shown_in_part() {
        let words = ["### Instruction", "\nUser:"];
        let found = shown(&words, &["Hi.", "\n", "#", "## In", "struction:", " more"]);
        assert_eq!(found, (owned(&["Hi.", "", "\n", "", "", ""]), "".into(), true));
        let found = shown(&words, &["a\nUs", "er", ": b"]);
        assert_eq!(found, (owned(&["a", "", ""]), "".into(), true));
    }

    #[test]
    fn what_only_looked_like_a_stop_is_shown() {
        let words = ["aab", "### Instruction"];
        assert_eq!(shown(&words, &["a", "a", "a", "c"]), (owned(&["", "", "a", "aac"]), "".into(), false));
        assert_eq!(shown(&words, &["x ### In", "put"]), (owned(&["x ", "### Input"]), "".into(), false));
        // The text ends while something is held.
        assert_eq!(shown(&words, &["x ###"]), (owned(&["x "]), "###".into(), false));
    }

    #[test]
    fn the_first_stop_counts_and_letters_stay_whole() {
        let words = ["é!", "b", "€"];
        assert_eq!(shown(&words, &["aé", "!b"]), (owned(&["a", ""]), "".into(), true));
        assert_eq!(shown(&words, &["aé", "xb"]), (owned(&["a", "éx"]), "".into(), true));
        assert_eq!(shown(&[], &["é", "!"]), (owned(&["é", "!"]), "".into(), false));
        assert_eq!(shown(&[""], &["é", "!"]), (owned(&["é", "!"]), "".into(), false));
    }

    #[test]
    fn names_of_control_tokens_are_sought_and_never_shown() {
        let words = ["<end>\n", "a<b>c", "xy"];
        // `|` parts what comes, `<...>` is a name.
        let shown = |text: &str| {
            let (shown, rest, found) = shown(&words, &text.split('|').collect::<Vec<_>>());
            (shown.join("|"), rest, found)
        };
        assert_eq!(shown("1|<end>|\n|2"), ("1|||".into(), "".into(), true));
        assert_eq!(shown("1|<end>|2|\n"), ("1||2|\n".into(), "".into(), false));
        assert_eq!(shown("1a|<b>|c3"), ("1||".into(), "".into(), true));
        assert_eq!(shown("1a|<b>|d3"), ("1||ad3".into(), "".into(), false));
        assert_eq!(shown("1a|<b>"), ("1|".into(), "a".into(), false));
        // Between the letters of words they do not count.
        assert_eq!(shown("1x|<b>|y2"), ("1||".into(), "".into(), true));
        // A name is whole or not there.
        assert_eq!(shown("<a<end>>|\n1"), ("|\n1".into(), "".into(), false));
        assert_eq!(shown("<bx>|y"), ("|y".into(), "".into(), false));
    }

    #[test]
    fn memory_that_is_too_short_is_refused() {
        let (words, mut memory) = (["ab", "c"], vec![0; StopWords::memory_bytes(&["ab"])]);
        assert!(StopWords::new(&words, &mut memory).is_some());
        assert!(StopWords::new(&["abc"], &mut memory).is_none());
    }

    /// Place at which the first word begins that holds one of the `names` in `text`, and none in part.
    fn find_with_names(words: &[&str], text: &str, names: &[Range<usize>]) -> Option<usize> {
        let holds = |at: usize, end: usize| {
            let within = names.iter().filter(|name| name.start < end && at < name.end);
            within.clone().count() > 0 && within.clone().all(|name| at <= name.start && name.end <= end)
        };
        let begins =
            |word: &&str| (0..text.len()).find(|&at| text[at..].starts_with(*word) && holds(at, at + word.len()));
        words.iter().filter_map(begins).min()
    }

    /// Cuts of a text into tokens do not change the text that is shown.
    #[test]
    fn cuts_do_not_matter() {
        let words = ["abac", "cab", "aaaa", "a(b)c"];
        let mut state = 7u32;
        let mut random = move |n: u32| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 16) % n
        };
        let mut n_found = 0;
        for _ in 0..2000 {
            let text: String = (0..random(40)).map(|_| ['a', 'b', 'c'][random(3) as usize]).collect();
            // The names stand at places of the text.
            let mut names: Vec<(usize, &str)> = (0..random(8))
                .map(|_| (random(text.len() as u32 + 1) as usize, ["(a)", "(b)", "(c)"][random(3) as usize]))
                .collect();
            names.sort_unstable();
            let (mut whole, mut places, mut at) = (String::new(), vec![], 0);
            for &(place, name) in &names {
                whole += &text[at..place];
                places.push(whole.len()..whole.len() + name.len());
                whole += name;
                at = place;
            }
            whole += &text[at..];
            let n_names = |at: usize| places.iter().filter(|place| place.end <= at).count();
            let with_names = find_with_names(&words, &whole, &places).map(|at| at - 3 * n_names(at));
            let in_text = words.iter().filter_map(|word| text.find(word));
            let want = &text[..in_text.chain(with_names).min().unwrap_or(text.len())];
            let mut memory = vec![0; StopWords::memory_bytes(&words)];
            let mut stop = StopWords::new(&words, &mut memory).unwrap();
            let (mut at, mut got, mut names) = (0, String::new(), names.into_iter().peekable());
            while (at < text.len() || names.peek().is_some()) && !stop.found() {
                let next = names.peek().map_or(text.len(), |&(place, _)| place);
                if next == at
                    && let Some((_, name)) = names.next()
                {
                    stop.push_name(name.bytes(), &mut got).unwrap();
                } else {
                    let end = at + 1 + random((next - at) as u32) as usize;
                    stop.push(&text[at..end], &mut got).unwrap();
                    at = end;
                }
                assert!(want.starts_with(&got), "{}", format!("{whole}: {got}"));
            }
            stop.finish(&mut got).unwrap();
            n_found += usize::from(stop.found());
            assert_eq!(got, want, "{whole}");
        }
        assert!((200..1900).contains(&n_found), "{n_found}");
    }
}
