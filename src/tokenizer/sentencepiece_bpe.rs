//! BPE of SentencePiece: each character is a symbol. As long as any two neighbors are a token together, the pair merges whose
//! token has the highest score; of equal scores, the first pair.
//!
//! Source: `bpe_model.cc` of SentencePiece (Kudo & Richardson 2018, arXiv 1808.06226). Unlike SentencePiece, tokens of type
//! "unused" are never made, not even as parts of other tokens.
//!
//! SentencePiece merges over the whole text. Here the text is cut between two characters that are neighbors in no token. The
//! result is the same: a merge across such a place would make a token in which they are neighbors. In most vocabularies `▁`
//! only begins tokens, so texts are cut before each word, and long texts take little memory and time.
//!
//! User-defined tokens never merge: reading from the front, the longest one at each place is a token.

use super::encoding::{Encoding, Part};
use super::error::TextError;
use super::fallback::{self, expand};
use super::normalizer::{Ahead, Normalized};
use super::unit::Unit;
use super::{Tokenizer, bpe};

/// Implements [`Row::encode`](super::kind::Row::encode): cuts the normalized part and merges the characters between cuts.
pub(super) fn encode(tokenizer: &Tokenizer<'_, '_>, part: &Part<'_>, out: &mut Encoding<'_>) -> Result<(), TextError> {
    let start = out.n;
    let mut units = Normalized::new(tokenizer, part);
    let mut n = 0;
    loop {
        if let Some((len, token)) = tokenizer.piece_at(Ahead::new(units.clone())) {
            merge(tokenizer, out, &mut n)?;
            out.push(token)?;
            skip(&mut units, len);
            continue;
        }
        let Some(unit) = units.next() else { break };
        let symbol = tokenizer.find_char(unit).unwrap_or_else(|| fallback::unknown(unit));
        if let Some(slot) = out.room(n + 1)?.get_mut(n) {
            *slot = symbol;
            n += 1;
        }
        if !meet(tokenizer, unit, units.clone().next()) {
            merge(tokenizer, out, &mut n)?;
        }
    }
    expand(tokenizer, out, start)
}

/// Merges the `n` symbols that were written behind the tokens.
fn merge(tokenizer: &Tokenizer<'_, '_>, out: &mut Encoding<'_>, n: &mut usize) -> Result<(), TextError> {
    let slots = out.room(*n)?;
    out.n += bpe::merge(&Scores(tokenizer), slots, core::mem::take(n));
    Ok(())
}

/// Skips characters of `len` bytes together.
fn skip(units: &mut Normalized<'_>, len: usize) {
    let mut n_skipped = 0;
    while n_skipped < len
        && let Some(unit) = units.next()
    {
        n_skipped += unit.len();
    }
}

/// Implements [`Row::room`](super::kind::Row::room): the room for the normalized part without a cut.
pub(super) fn room(tokenizer: &Tokenizer<'_, '_>, part: &Part<'_>) -> usize {
    bpe::len_of(Normalized::new(tokenizer, part).n_bytes())
}

/// True if a token may have these characters in a row.
fn meet(tokenizer: &Tokenizer<'_, '_>, left: Unit, right: Option<Unit>) -> bool {
    match (left, right) {
        (Unit::Char(left), Some(Unit::Char(right))) => tokenizer.filter.may_have_neighbors(left.into(), right.into()),
        _ => false,
    }
}

/// Pairs of symbols, ordered by the scores of the tokens that they are together.
#[derive(Clone, Copy)]
struct Scores<'t, 'f, 'a>(&'t Tokenizer<'f, 'a>);

impl Scores<'_, '_, '_> {
    fn find(&self, left: u32, right: u32) -> Option<u32> {
        let (mut left_buffer, mut right_buffer) = ([0; 4], [0; 4]);
        let left = fallback::text(self.0, left, &mut left_buffer)?;
        self.0.find_text(&[left, fallback::text(self.0, right, &mut right_buffer)?])
    }
}

impl bpe::Merges for Scores<'_, '_, '_> {
    fn rank(&self, left: u32, right: u32) -> u32 {
        self.find(left, right).map_or(bpe::NEVER, |id| rank_of(self.0.vocab.score(id)))
    }

    fn product(&self, _: u32, left: u32, right: u32) -> Option<u32> {
        self.find(left, right)
    }
}

/// Rank of a score: the higher the score, the lower the rank. [`bpe::NEVER`] is the rank of no score.
fn rank_of(score: f32) -> u32 {
    // Zeros of both signs are equal.
    let bits = (score + 0.0).to_bits();
    // Integers in the order of the floats: bits of negative floats count down.
    let ascending = if bits >> 31 == 0 { bits | 1 << 31 } else { !bits };
    !ascending
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranks_are_in_the_order_of_scores() {
        let scores = [f32::MAX, 2.5, 1.0, f32::MIN_POSITIVE, 0.0, -1e-30, -1.0, -31740.0, f32::MIN];
        assert!(scores.windows(2).all(|pair| rank_of(pair[0]) < rank_of(pair[1])));
        assert_eq!(rank_of(0.0), rank_of(-0.0));
        assert!(rank_of(f32::NEG_INFINITY) < bpe::NEVER);
    }
}
