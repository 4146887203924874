//! Random grammars and random choices: the sets of allowed tokens are those of the slow reading, and every text ends.

extern crate std;

use std::boxed::Box;
use std::format;
use std::string::String;
use std::vec;
use std::vec::Vec;

use super::super::{Constraint, Grammar, MatchError, Matcher, MatcherConfig};
use super::oracle::{Node, Rules};
use super::vocab::{with_bytes, with_trie};
use super::{CONFIG, words};
use crate::GrammarError;
use nearfield_kernels::{Arena, Line};

/// Xorshift64*: numbers that a seed decides.
pub(super) struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub fn below(&mut self, n: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) as usize % n
    }

    fn pick<'p, T>(&mut self, of: &'p [T]) -> &'p T {
        &of[self.below(of.len())]
    }
}

const LITERALS: [&str; 9] = ["a", "b", "ab", "ba", "", "é", "è€", "a\"\n", "😀-"];
const CHARS: [char; 8] = ['a', 'b', '"', '\n', 'é', 'è', '€', '😀'];

/// A random right side. Rules behind `rule` may be used anywhere, others only behind a character and where they may be left out, so
/// that every rule has texts and none begins with itself.
fn node(random: &mut Random, rule: usize, n_rules: usize, depth: usize) -> Node {
    let n_kinds = if depth == 0 { 4 } else { 9 };
    match random.below(n_kinds) {
        0 => Node::Literal((*random.pick(&LITERALS)).into()),
        1 => {
            let ranges = (0..1 + random.below(3)).map(|_| {
                let [a, b] = [0; 2].map(|_| *random.pick(&CHARS));
                if random.below(2) == 0 { (a, a) } else { (a.min(b), a.max(b)) }
            });
            Node::Class(ranges.collect(), random.below(3) == 0)
        }
        2 if random.below(3) == 0 => Node::Any,
        2 => Node::Literal("b".into()),
        3 if rule + 1 < n_rules => Node::Rule(rule + 1 + random.below(n_rules - rule - 1)),
        3 => Node::Literal("a".into()),
        4 => Node::Sequence((0..random.below(4)).map(|_| node(random, rule, n_rules, depth - 1)).collect()),
        5 => Node::Choice((0..1 + random.below(4)).map(|_| node(random, rule, n_rules, depth - 1)).collect()),
        6 => {
            let again = Node::Sequence(vec![Node::Literal("a".into()), Node::Rule(random.below(n_rules))]);
            Node::Repeat(Box::new(again), 0, Some(1))
        }
        _ => {
            let (min, max) = *random.pick(&[
                (0, None),
                (1, None),
                (0, Some(1)),
                (2, None),
                (3, Some(3)),
                (1, Some(3)),
                (0, Some(2)),
                (1, Some(1)),
                (0, Some(0)),
            ]);
            Node::Repeat(Box::new(node(random, rule, n_rules, depth - 1)), min, max)
        }
    }
}

fn rules(random: &mut Random) -> Rules {
    let n = 1 + random.below(4);
    Rules((0..n).map(|rule| node(random, rule, n, 3)).collect())
}

const TOKENS: [&[u8]; 22] = [
    b"ab",
    b"aba",
    b"abab",
    b"ba",
    b"bb",
    b"aa",
    b"aab",
    b"\"\n",
    b"a\"",
    b"\n",
    b"\xc3\xa9",
    b"\xc3\xa9a",
    b"a\xc3",
    b"\xa9b",
    b"\xa8\xe2",
    b"\x82\xac",
    b"\xf0\x9f",
    b"\x98\x80",
    b"\x98\x80-",
    b"\xe2\x82\xaca",
    b"xy",
    b"\xff\xfe",
];

/// Calls `then` with a matcher; `None` if the grammar has no text, or readings without end.
fn with_matcher<R>(
    gbnf: &str,
    tokens: &[Vec<u8>],
    config: &MatcherConfig,
    then: impl FnOnce(&mut Matcher<'_, '_, '_>) -> R,
) -> Result<R, String> {
    let words = words(gbnf).unwrap_or_else(|error| panic!("{error}\n{gbnf}"));
    let grammar = Grammar::from_words(&words).expect("its own words");
    with_trie(tokens, |_, trie| {
        let mut lines = vec![Line::ZERO; Matcher::bytes(&grammar, &trie, config).expect("a size") / Line::BYTES];
        let matcher = Matcher::new(grammar, trie, config, &mut Arena::new(&mut lines));
        matcher.map(|mut matcher| then(&mut matcher)).map_err(|error| format!("{error}"))
    })
}

/// Chooses tokens by chance up to the end of the text, which is returned; `None` if it grows long. Checks each set if `check`.
fn text(
    random: &mut Random,
    rules: &Rules,
    matcher: &mut Matcher<'_, '_, '_>,
    tokens: &[Vec<u8>],
    check: bool,
) -> Option<Vec<u8>> {
    let mut text = Vec::new();
    matcher.begin().expect("a beginning");
    for _ in 0..24 {
        let allowed: Vec<u32> = match matcher.allowed(&[]) {
            // Readings of an ambiguous grammar can double with each character.
            Err(MatchError::Full) => return None,
            allowed => allowed.expect("never a dead end").iter().collect(),
        };
        assert!(!allowed.is_empty());
        if check {
            let (complete, _) = rules.read(&text);
            assert_eq!(complete, allowed[0] == 0, "{text:?}");
            let want =
                (1..).zip(tokens).filter(|(_, token)| rules.read(&[&text, &token[..]].concat()).1).map(|(id, _)| id);
            assert!(allowed.iter().copied().filter(|&id| id != 0).eq(want), "{text:?}");
        }
        let id = *random.pick(&allowed);
        if id == 0 || matcher.is_final() {
            assert!(matcher.is_complete());
            return Some(text);
        }
        let bytes = &tokens[id as usize - 1];
        match matcher.accept(id, &mut bytes.iter().copied()) {
            Err(MatchError::Full) => return None,
            result => result.expect("an allowed token"),
        }
        text.extend(bytes);
    }
    None
}

#[test]
fn allowed_tokens_are_those_of_a_slow_reading() {
    let tokens = with_bytes(&TOKENS);
    let (mut n_texts, mut n_full) = (0, 0);
    for seed in 0..300 {
        let random = &mut Random::new(seed);
        let rules = rules(random);
        let check = seed % 6 == 0;
        let result = with_matcher(&rules.gbnf(), &tokens, &CONFIG, |matcher| {
            for _ in 0..if check { 1 } else { 12 } {
                if let Some(text) = text(random, &rules, matcher, &tokens, check) {
                    assert!(rules.read(&text).0, "{text:?}\n{}", rules.gbnf());
                    n_texts += 1;
                }
            }
        });
        n_full += usize::from(result.is_err_and(|error| error == format!("{}", MatchError::Full)));
    }
    // A few grammars have more readings of the empty text than there is room for.
    assert!(n_texts > 1500 && n_full < 10, "{n_texts} {n_full}");
}

#[test]
fn little_memory_changes_no_text() {
    let tokens = with_bytes(&TOKENS);
    let small = MatcherConfig { n_states: 12, n_readings: 200, n_frames: 120, n_sets: 2, max_steps: u32::MAX };
    let mut n_same = 0;
    for seed in 0..120 {
        let mut random = Random::new(seed);
        let rules = rules(&mut random);
        let gbnf = rules.gbnf();
        let of = |config: &MatcherConfig| {
            let mut random = Random::new(seed + 1000);
            with_matcher(&gbnf, &tokens, config, |matcher| {
                (0..6).map(|_| text(&mut random, &rules, matcher, &tokens, false)).collect::<Vec<_>>()
            })
        };
        // Too little memory is an error, and never another text. Both have the same choices up to there.
        let (Ok(few), Ok(all)) = (of(&small), of(&CONFIG)) else { continue };
        let n = few.iter().take_while(|text| text.is_some()).count();
        assert_eq!(few[..n], all[..n], "{gbnf}");
        n_same += n;
    }
    assert!(n_same > 100, "{n_same}");
}

#[test]
fn a_vocabulary_without_some_bytes_has_no_dead_end() {
    let mut n = [0; 2];
    for seed in 0..400 {
        let random = &mut Random::new(seed);
        let missing: Vec<u8> =
            (0..1 + random.below(3)).map(|_| *random.pick(b"ab\"\n\xc3\xa9\xe2\x82\x98\x80")).collect();
        let tokens: Vec<Vec<u8>> = with_bytes(&TOKENS)
            .into_iter()
            .filter(|token| !matches!(token[..], [byte] if missing.contains(&byte)))
            .collect();
        let rules = rules(random);
        let result = with_matcher(&rules.gbnf(), &tokens, &CONFIG, |matcher| {
            for _ in 0..8 {
                if let Some(text) = text(random, &rules, matcher, &tokens, false) {
                    assert!(rules.read(&text).0, "{text:?}\n{}", rules.gbnf());
                }
            }
        });
        match result {
            Ok(()) => n[0] += 1,
            Err(error) => {
                let is_dead_end = error == format!("{}", MatchError::DeadEnd);
                assert!(is_dead_end || error == format!("{}", MatchError::Full), "{error}");
                n[1] += usize::from(is_dead_end);
            }
        }
    }
    assert!(n[0] > 250 && n[1] > 5, "{n:?}");
}

#[test]
fn mutants_of_programs_and_texts_are_errors_or_grammars() {
    let tokens = with_bytes(&TOKENS);
    for seed in 0..200 {
        let random = &mut Random::new(seed);
        let gbnf = rules(random).gbnf();
        let mut text: Vec<u8> = gbnf.clone().into_bytes();
        for _ in 0..4 {
            let at = random.below(text.len());
            text[at] = *random.pick(b"()|*+?{}[]\"\\^-.,: r1a0#\n");
        }
        let _ = words(&String::from_utf8_lossy(&text));
        let mut words = words(&gbnf).expect("a grammar");
        for _ in 0..6 {
            let at = 72 + random.below(words.len() - 72);
            words[at] ^= 1 << random.below(32);
        }
        // A checksum that fits: the program itself is hostile.
        let others = words.iter().enumerate().filter(|&(i, _)| i != 7).map(|(_, &word)| word);
        words[7] = crate::checksum::Checksum::of(others);
        let Ok(grammar) = Grammar::from_words(&words) else { continue };
        with_trie(&tokens, |_, trie| {
            let config = MatcherConfig { n_states: 64, n_readings: 512, n_frames: 256, n_sets: 2, max_steps: u32::MAX };
            let mut lines = vec![Line::ZERO; Matcher::bytes(&grammar, &trie, &config).unwrap() / Line::BYTES];
            let Ok(mut matcher) = Matcher::new(grammar, trie, &config, &mut Arena::new(&mut lines)) else { return };
            for _ in 0..20 {
                let Ok(allowed) = matcher.allowed(&[]).map(|set| set.iter().collect::<Vec<_>>()) else { return };
                let Some(&id) = allowed.get(random.below(allowed.len().max(1))) else { return };
                if id == 0 {
                    return;
                }
                let _ = matcher.accept(id, &mut tokens[id as usize - 1].iter().copied());
            }
        });
    }
}

#[test]
fn memory_that_is_too_small_is_an_error() {
    for seed in 0..30 {
        let gbnf = rules(&mut Random::new(seed)).gbnf();
        let n = words(&gbnf).unwrap().len();
        for len in (0..n).step_by(3) {
            let mut memory = vec![0; len];
            assert_eq!(Grammar::compile(&gbnf, &mut memory).unwrap_err(), GrammarError::Memory { have: len });
        }
    }
}
