//! What ends a text beside its length: tokens, and words that may be spread over several tokens.

use nearfield::tokenizer::{TokenType, Tokenizer};

/// Tokens and words that end a text; neither is shown.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stops {
    /// Tokens, beside the one that ends all texts.
    pub tokens: Vec<u32>,
    /// Words.
    pub texts: Vec<String>,
}

impl Stops {
    /// Adds words that someone asked for. One that names a control token is that token, too, which is never printed.
    pub fn add(&mut self, tokenizer: &Tokenizer<'_, '_>, words: &[String]) {
        for word in words {
            let token = tokenizer.find(word);
            let is_control = |&token: &u32| tokenizer.token_type(token) == Ok(TokenType::Control);
            self.tokens.extend(token.filter(is_control));
            self.texts.push(word.clone());
        }
    }

    /// Where the first of the words begins in `text`.
    pub fn find(&self, text: &str) -> Option<usize> {
        self.texts.iter().filter_map(|stop| text.find(stop)).min()
    }

    /// Bytes at the end of `text` with which one of the words may begin.
    fn n_begun(&self, text: &str) -> usize {
        let begun = |stop: &String| {
            let lengths = (1..stop.len()).rev().filter(|&n| stop.is_char_boundary(n));
            lengths.into_iter().find(|&n| text.ends_with(&stop[..n])).unwrap_or(0)
        };
        self.texts.iter().map(begun).max().unwrap_or(0)
    }
}

/// A text as it comes, up to the first of the words that end it. What may be the beginning of one is held back until it is
/// known to be none.
#[derive(Debug)]
pub struct Until<'s> {
    stops: &'s Stops,
    held: String,
    found: bool,
}

impl<'s> Until<'s> {
    /// Up to the words of `stops`.
    pub fn new(stops: &'s Stops) -> Self {
        Self { stops, held: String::new(), found: false }
    }

    /// Takes what comes next; the part of the text that is sure to stand before the end.
    pub fn push(&mut self, text: &str) -> String {
        if self.found {
            return String::new();
        }
        self.held.push_str(text);
        let n = match self.stops.find(&self.held) {
            Some(at) => {
                self.found = true;
                at
            }
            None => self.held.len() - self.stops.n_begun(&self.held),
        };
        let rest = self.held.split_off(n);
        core::mem::replace(&mut self.held, rest)
    }

    /// Whether one of the words was there.
    pub fn found(&self) -> bool {
        self.found
    }

    /// What was held back, where nothing comes any more.
    pub fn finish(&mut self) -> String {
        let held = core::mem::take(&mut self.held);
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

    /// However a text is cut, the same is shown.
    #[test]
    fn cuts_do_not_matter() {
        let stops = stops(&["abac", "cab", "aaaa"]);
        let mut state = 7u32;
        let mut random = move |n: u32| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 16) % n
        };
        let mut n_found = 0;
        for _ in 0..2000 {
            let text: String = (0..random(40)).map(|_| ['a', 'b', 'c'][random(3) as usize]).collect();
            let want = &text[..stops.find(&text).unwrap_or(text.len())];
            let mut until = Until::new(&stops);
            let (mut rest, mut got) = (&*text, String::new());
            while !rest.is_empty() && !until.found() {
                let (piece, after) = rest.split_at(1 + random(rest.len() as u32) as usize);
                got += &until.push(piece);
                assert!(want.starts_with(&got), "{text}: {got}");
                rest = after;
            }
            got += &until.finish();
            n_found += usize::from(until.found());
            assert_eq!(got, want, "{text}");
        }
        assert!((200..1900).contains(&n_found), "{n_found}");
    }
}
