//! Unigram of SentencePiece: finds the cut of a text into tokens with the highest sum of scores.
//!
//! Source: `Model::EncodeOptimized` in SentencePiece's `unigram_model.cc`, a Viterbi search (Kudo 2018, arXiv 1804.10959), with
//! the same sums in the same order of additions, so that ties and roundings are the same.
//!
//! **Memory.** The search walks over the characters, and keeps for each the best way that ends there. It needs the whole text
//! only if tokens overlap all along it. Let `reach` be the farthest end of any token (or unknown character) that begins before
//! a place. Where `reach` is the place itself, no token lies across it. So every way to cut the text passes through it, also
//! the best one, and that begins with the best way to the place. The text before is therefore decided: its tokens are written,
//! and its memory is used again; only the sum is kept. Nothing is approximated: a search over the whole text compares the same
//! sums. In usual vocabularies such a place lies before each word, since `▁` occurs only at the beginning of tokens. A text
//! without such a place, such as a long row of one letter, is one segment, and takes two words for each character.

use super::Tokenizer;
use super::encoding::{Encoding, Part};
use super::error::TextError;
use super::fallback::{self, expand, is_unknown};
use super::normalizer::{Ahead, Normalized};
use super::unit::Unit;
use crate::hash::Hash;

/// Score of an unknown character below that of the worst token.
const UNKNOWN_PENALTY: f32 = 10.0;
/// Magnitude of a sum from which sums are counted from zero again, which keeps their roundings small in a long text.
const RESET: f32 = 100_000.0;
/// Symbol of a node at which no way ends yet.
const NONE: u32 = u32::MAX;

/// Implements [`Row::encode`](super::kind::Row::encode): searches the best cut of the normalized part, segment by segment.
pub(super) fn encode(tokenizer: &Tokenizer<'_, '_>, part: &Part<'_>, out: &mut Encoding<'_>) -> Result<(), TextError> {
    let start = out.n;
    let mut units = Normalized::new(tokenizer, part);
    out.score = 0.0;
    while let Some(first) = units.next() {
        let mut segment = Segment::new(out)?;
        let (mut at, mut unit) = (0, first);
        loop {
            segment.reset_at(at);
            segment.visit(tokenizer, at, unit, &units)?;
            at += 1;
            // The end of the text is such a place, too: no token reaches beyond it.
            if at == segment.reach {
                break;
            }
            match units.next() {
                Some(next) => unit = next,
                None => break,
            }
        }
        segment.finish(tokenizer, at);
    }
    expand(tokenizer, out, start)
}

/// Implements [`Row::room`](super::kind::Row::room): the room for the normalized part as a single segment.
pub(super) fn room(tokenizer: &Tokenizer<'_, '_>, part: &Part<'_>) -> usize {
    // Each place has two words, and there are no more places than bytes and one.
    Normalized::new(tokenizer, part).n_bytes().saturating_add(2).saturating_mul(2)
}

/// Best way to a place in a text.
#[derive(Clone, Copy, Debug)]
struct Node {
    /// Sum of the way's scores.
    score: f32,
    /// Last symbol of the way, or `NONE`.
    last: u32,
}

/// A stretch of text between two places that all ways pass through.
struct Segment<'e, 'o> {
    out: &'e mut Encoding<'o>,
    /// Farthest place to which there is a way. Nodes behind it are not yet written.
    reach: usize,
}

impl<'e, 'o> Segment<'e, 'o> {
    fn new(out: &'e mut Encoding<'o>) -> Result<Self, TextError> {
        let score = out.score;
        let mut segment = Self { out, reach: 0 };
        segment.out.slots(2)?;
        segment.set(0, Node { score, last: NONE });
        Ok(segment)
    }

    /// Node of the place behind `at` characters.
    fn node(&self, at: usize) -> Node {
        match self.out.out.get(self.out.n + 2 * at..) {
            Some(&[score, last, ..]) => Node { score: f32::from_bits(score), last },
            _ => Node { score: 0.0, last: NONE },
        }
    }

    fn set(&mut self, at: usize, node: Node) {
        if let Some([score, last, ..]) = self.out.out.get_mut(self.out.n + 2 * at..) {
            (*score, *last) = (node.score.to_bits(), node.last);
        }
    }

    /// Subtracts the sum at `at` from all sums from there on, if it is large, as SentencePiece 0.2.3 does.
    fn reset_at(&mut self, at: usize) {
        let offset = self.node(at).score;
        if !(-RESET..=RESET).contains(&offset) {
            for at in at..=self.reach {
                let node = self.node(at);
                if node.last != NONE || at == 0 {
                    self.set(at, Node { score: node.score - offset, ..node });
                }
            }
        }
    }

    /// Offers all tokens that begin at `at`, where the text continues with `unit` and `rest`.
    fn visit(
        &mut self,
        tokenizer: &Tokenizer<'_, '_>,
        at: usize,
        unit: Unit,
        rest: &Normalized<'_>,
    ) -> Result<(), TextError> {
        let here = self.node(at).score;
        let mut is_token = false;
        let (mut hash, mut next, mut ahead) = (Hash::EMPTY, Some(unit), rest.clone());
        let mut len = 0;
        while let Some(Unit::Char(char)) = next {
            hash = char.encode_utf8(&mut [0; 4]).bytes().fold(hash, Hash::then);
            if !tokenizer.filter.may_have(hash) {
                break;
            }
            len += 1;
            if let Some(token) = tokenizer.find_hashed(hash, |token| spells(token, unit, rest, len)) {
                is_token |= len == 1;
                self.offer(at + len, here + tokenizer.vocab.score(token), token)?;
            }
            next = ahead.next();
        }
        for (n_bytes, token) in tokenizer.pieces_at(Ahead::new(core::iter::once(unit).chain(rest.clone()))) {
            let len = n_chars(tokenizer, token);
            is_token |= len == 1;
            self.offer(at + len, here + defined_score(n_bytes), token)?;
        }
        if !is_token {
            let score = here + (tokenizer.least_score - UNKNOWN_PENALTY);
            self.offer(at + 1, score, fallback::unknown(unit))?;
        }
        Ok(())
    }

    /// Takes the way to `at` that ends in `last`, if it is better than the best so far.
    fn offer(&mut self, at: usize, score: f32, last: u32) -> Result<(), TextError> {
        self.out.slots(2 * (at + 1))?;
        while self.reach < at {
            self.reach += 1;
            self.set(self.reach, Node { score: 0.0, last: NONE });
        }
        let best = self.node(at);
        if best.last == NONE || score > best.score {
            self.set(at, Node { score, last });
        }
        Ok(())
    }

    /// Writes the symbols of the best way to `end` over the nodes.
    fn finish(mut self, tokenizer: &Tokenizer<'_, '_>, end: usize) {
        self.out.score = self.node(end).score;
        // Backwards: each place on the way stores the next one instead of its sum.
        let mut at = end;
        while at > 0 {
            let last = self.node(at).last;
            let before = at.saturating_sub(n_chars(tokenizer, last));
            self.set(before, Node { score: f32::from_bits(at as u32), ..self.node(before) });
            at = before;
        }
        // Forwards: the n-th symbol goes to word n, and is read from place n or a later one, whose words are 2n and 2n + 1. So
        // nothing is overwritten before it was read.
        let (mut at, mut n) = (0, 0);
        while at < end {
            let next = self.node(at).score.to_bits() as usize;
            let symbol = self.node(next).last;
            if let Some(slot) = self.out.out.get_mut(self.out.n + n) {
                *slot = symbol;
            }
            // The walk always moves forward, so that it ends.
            (at, n) = (next.max(at + 1), n + 1);
        }
        self.out.n += n;
    }
}

/// True if `token` is `unit` and the first characters of `rest`, `len` characters together.
fn spells(token: &[u8], unit: Unit, rest: &Normalized<'_>, len: usize) -> bool {
    let mut left = token;
    for unit in core::iter::once(unit).chain(rest.clone()).take(len) {
        let Unit::Char(char) = unit else { return false };
        match left.strip_prefix(char.encode_utf8(&mut [0; 4]).as_bytes()) {
            Some(after) => left = after,
            None => return false,
        }
    }
    left.is_empty()
}

/// Score of a user-defined token in SentencePiece 0.2.3: above that of usual tokens, and the higher the longer the token.
/// Earlier versions added the highest score of a normal token for each byte, less 0.1.
fn defined_score(n_bytes: usize) -> f32 {
    (0.1 * n_bytes.saturating_sub(1) as f64) as f32
}

/// Number of characters of a symbol.
fn n_chars(tokenizer: &Tokenizer<'_, '_>, symbol: u32) -> usize {
    if is_unknown(symbol) {
        return 1;
    }
    let token = tokenizer.tokens.get(symbol).unwrap_or_default();
    // Counts bytes that do not continue a character. No token on a way is empty.
    token.iter().filter(|&&byte| byte & 0xc0 != 0x80).count().max(1)
}
