//! What ends a text beside its length: tokens, and words that may be spread over several tokens.

use std::ops::Range;

use nearfield::tokenizer::{TokenType, Tokenizer};

use crate::error::Result;

/// Tokens and words that end a text; neither is shown.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stops {
    /// Tokens, beside those that end all texts.
    pub tokens: Vec<u32>,
    /// Words.
    pub texts: Vec<String>,
}

impl Stops {
    /// Adds words. Where they are the name of a token that is never shown, the token is meant.
    pub fn add(&mut self, tokenizer: &Tokenizer<'_, '_>, texts: &[String]) {
        let is_hidden =
            |&token: &u32| matches!(tokenizer.token_type(token), Ok(TokenType::Control | TokenType::Unused));
        self.tokens.extend(texts.iter().filter_map(|text| tokenizer.find(text)).filter(is_hidden));
        self.texts.extend(texts.iter().cloned());
    }

    /// Where the first of the words begins in `text`.
    fn find(&self, text: &str) -> Option<usize> {
        self.texts.iter().filter_map(|stop| text.find(stop)).min()
    }

    /// Where the first of them begins that holds one of the `names` in `text`, and none in part.
    fn find_with_names(&self, text: &str, names: &[Range<usize>]) -> Option<usize> {
        let holds = |at: usize, end: usize| {
            let within = names.iter().filter(|name| name.start < end && at < name.end);
            within.clone().count() > 0 && within.clone().all(|name| at <= name.start && name.end <= end)
        };
        let begins = |stop: &String| {
            let places = text.char_indices().map(|(at, _)| at);
            places.into_iter().find(|&at| text[at..].starts_with(&**stop) && holds(at, at + stop.len()))
        };
        self.texts.iter().filter_map(begins).min()
    }

    /// Bytes at the end of `text` with which one of the words may begin, at a place where `may` says so.
    fn n_begun(&self, text: &str, may: impl Fn(usize) -> bool) -> usize {
        let begun = |stop: &String| {
            let lengths = (1..stop.len()).rev().filter(|&n| stop.is_char_boundary(n));
            lengths.into_iter().find(|&n| text.ends_with(&stop[..n]) && may(text.len() - n)).unwrap_or(0)
        };
        self.texts.iter().map(begun).max().unwrap_or(0)
    }
}

/// A text as it comes, up to the first of the words that end it. What may be the beginning of one is held back until it is
/// known to be none. Words are sought in what is shown, and in the text with the names of its control tokens, of which nothing
/// is shown.
#[derive(Debug)]
pub struct Until<'s> {
    stops: &'s Stops,
    /// Not shown yet, with the names.
    held: String,
    /// Where the names lie in it.
    names: Vec<Range<usize>>,
    found: bool,
}

impl<'s> Until<'s> {
    /// Up to the words of `stops`.
    pub fn new(stops: &'s Stops) -> Self {
        Self { stops, held: String::new(), names: Vec::new(), found: false }
    }

    /// Takes what is shown of a token, or its name where that is nothing; the part of the text that is sure to stand before the
    /// end.
    pub fn push_token(&mut self, tokenizer: &Tokenizer<'_, '_>, token: u32, text: &str) -> Result<String> {
        if self.stops.texts.is_empty() || tokenizer.token_type(token)? != TokenType::Control {
            return Ok(self.push(text));
        }
        let name: Vec<u8> = tokenizer.bytes(token)?.collect();
        Ok(self.push(text) + &self.push_name(&String::from_utf8_lossy(&name)))
    }

    /// Takes what comes next; the part of the text that is sure to stand before the end.
    pub fn push(&mut self, text: &str) -> String {
        self.held.push_str(text);
        self.go_on()
    }

    fn push_name(&mut self, name: &str) -> String {
        self.names.push(self.held.len()..self.held.len() + name.len());
        self.held.push_str(name);
        self.go_on()
    }

    fn go_on(&mut self) -> String {
        if self.found {
            return String::new();
        }
        let shown = self.shown(self.held.len());
        let with_names = self.stops.find_with_names(&self.held, &self.names).map(|at| self.shown(at).len());
        if let Some(at) = self.stops.find(&shown).into_iter().chain(with_names).min() {
            self.found = true;
            return shown[..at].into();
        }
        let is_outside = |at: usize| !self.names.iter().any(|name| name.start < at && at < name.end);
        let n_shown = shown.len() - self.stops.n_begun(&shown, |_| true);
        let n = self.held.len() - self.stops.n_begun(&self.held, is_outside);
        let n = n.min(self.place(n_shown));
        let shown = self.shown(n);
        self.held.drain(..n);
        self.names.retain(|name| name.start >= n);
        self.names.iter_mut().for_each(|name| *name = name.start - n..name.end - n);
        shown
    }

    /// What is shown of the first `n` bytes that are held.
    fn shown(&self, n: usize) -> String {
        let (mut shown, mut at) = (String::new(), 0);
        for name in self.names.iter().filter(|name| name.end <= n) {
            shown += &self.held[at..name.start];
            at = name.end;
        }
        shown + &self.held[at..n]
    }

    /// The last place before which `n_shown` bytes are shown.
    fn place(&self, n_shown: usize) -> usize {
        self.names.iter().fold(n_shown, |place, name| if name.start <= place { place + name.len() } else { place })
    }

    /// Whether one of the words was there.
    pub fn found(&self) -> bool {
        self.found
    }

    /// What was held back, where nothing comes any more.
    pub fn finish(&mut self) -> String {
        let held = self.shown(self.held.len());
        self.held.clear();
        self.names.clear();
        if self.found { String::new() } else { held }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stops(texts: &[&str]) -> Stops {
        Stops { tokens: vec![], texts: texts.iter().map(|text| text.to_string()).collect() }
    }

    /// What each piece lets through, and what is left at the end.
    fn shown(stops: &Stops, pieces: &[&str]) -> (Vec<String>, String, bool) {
        let mut until = Until::new(stops);
        let shown = pieces.iter().map(|piece| until.push(piece)).collect();
        let rest = until.finish();
        (shown, rest, until.found())
    }

    #[test]
    fn a_stop_over_several_pieces_is_never_shown_in_part() {
        let stops = stops(&["### Instruction", "\nUser:"]);
        let (parts, rest, found) = shown(&stops, &["Hi.", "\n", "#", "## In", "struction:", " more"]);
        assert_eq!(parts, ["Hi.", "", "\n", "", "", ""]);
        assert_eq!((&*rest, found), ("", true));
        let (parts, _, found) = shown(&stops, &["a\nUs", "er", ": b"]);
        assert_eq!(parts, ["a", "", ""]);
        assert!(found);
    }

    #[test]
    fn what_only_looked_like_a_stop_is_shown() {
        let stops = stops(&["aab", "### Instruction"]);
        assert_eq!(
            shown(&stops, &["a", "a", "a", "c"]),
            (vec!["".into(), "".into(), "a".into(), "aac".into()], "".into(), false)
        );
        let (parts, rest, found) = shown(&stops, &["x ### In", "put"]);
        assert_eq!(parts, ["x ", "### Input"]);
        assert_eq!((&*rest, found), ("", false));
        // The text ends while something is held.
        assert_eq!(shown(&stops, &["x ###"]), (vec!["x ".into()], "###".into(), false));
    }

    #[test]
    fn the_first_stop_counts_and_letters_stay_whole() {
        let stops = stops(&["é!", "b", "€"]);
        assert_eq!(shown(&stops, &["aé", "!b"]), (vec!["a".into(), "".into()], "".into(), true));
        assert_eq!(shown(&stops, &["aé", "xb"]), (vec!["a".into(), "éx".into()], "".into(), true));
        assert_eq!(shown(&super::Stops::default(), &["é", "!"]), (vec!["é".into(), "!".into()], "".into(), false));
    }

    #[test]
    fn names_of_control_tokens_are_sought_and_never_shown() {
        let stops = stops(&["<end>\n", "a<b>c", "xy"]);
        // `|` parts what comes, `<...>` is a name.
        let shown = |text: &str| {
            let mut until = Until::new(&stops);
            let push = |piece: &str| match piece.starts_with('<') {
                true => until.push_name(piece),
                false => until.push(piece),
            };
            let shown: Vec<String> = text.split('|').map(push).collect();
            let rest = until.finish();
            (shown.join("|"), rest, until.found())
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

    /// However a text is cut, the same is shown.
    #[test]
    fn cuts_do_not_matter() {
        let stops = stops(&["abac", "cab", "aaaa", "a(b)c"]);
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
            let with_names = stops.find_with_names(&whole, &places);
            let n_names = |at: usize| places.iter().filter(|place| place.end <= at).count();
            let with_names = with_names.map(|at| at - 3 * n_names(at));
            let want = &text[..stops.find(&text).into_iter().chain(with_names).min().unwrap_or(text.len())];
            let mut until = Until::new(&stops);
            let (mut at, mut got, mut names) = (0, String::new(), names.into_iter().peekable());
            while (at < text.len() || names.peek().is_some()) && !until.found() {
                let next = names.peek().map_or(text.len(), |&(place, _)| place);
                if next == at
                    && let Some((_, name)) = names.next()
                {
                    got += &until.push_name(name);
                } else {
                    let end = at + 1 + random((next - at) as u32) as usize;
                    got += &until.push(&text[at..end]);
                    at = end;
                }
                assert!(want.starts_with(&got), "{whole}: {got}");
            }
            got += &until.finish();
            n_found += usize::from(until.found());
            assert_eq!(got, want, "{whole}");
        }
        assert!((200..1900).contains(&n_found), "{n_found}");
    }
}
