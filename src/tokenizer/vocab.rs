//! The vocabulary as a GGUF file holds it: borrowed arrays of strings.

use super::added::AddedTokens;
use super::bert::BertOptions;
use super::character_bpe::CharacterOptions;
use super::charsmap::Charsmap;
use super::error::TokenizerError;
use super::kind::Kind;
use super::normalizer::SpaceOptions;
use super::pre::PreTokenizer;
use crate::checksum::Checksum;

/// An array of strings as it lies in a GGUF file: for each its length as `u64`, little-endian, and its bytes.
///
/// The value proves that every string lies inside.
#[derive(Clone, Copy, Debug)]
pub struct StringArray<'f> {
    n: usize,
    body: &'f [u8],
}

impl<'f> StringArray<'f> {
    /// No strings.
    pub const EMPTY: Self = Self { n: 0, body: &[] };

    /// Splits `bytes` into the `n` strings that it starts with and the bytes behind them; `None` if `bytes` ends before they
    /// do.
    ///
    /// Takes time in proportion to `bytes`, whatever `n` claims.
    pub const fn split(n: u64, bytes: &'f [u8]) -> Option<(Self, &'f [u8])> {
        if n > (bytes.len() / 8) as u64 {
            return None;
        }
        let (n, mut rest, mut i) = (n as usize, bytes, 0);
        while i < n {
            let Some((_, after)) = split_string(rest) else { return None };
            (rest, i) = (after, i + 1);
        }
        match bytes.split_at_checked(bytes.len() - rest.len()) {
            Some((body, rest)) => Some((Self { n, body }, rest)),
            None => None,
        }
    }

    /// Array of the `n` strings in `body`, which the caller has walked over. If it did not, some strings read as empty; every
    /// read is checked.
    pub(super) const fn walked(n: u64, body: &'f [u8]) -> Self {
        // Each string has a length of eight bytes in `body`, so `n` fits a `usize`.
        Self { n: n as usize, body }
    }

    /// Number of strings.
    pub const fn len(&self) -> usize {
        self.n
    }

    /// True if there is no string.
    pub const fn is_empty(&self) -> bool {
        self.n == 0
    }

    /// Bytes of the strings and their lengths in the file.
    pub const fn n_bytes(&self) -> usize {
        self.body.len()
    }

    /// Iterates over the strings in order.
    pub const fn iter(&self) -> Strings<'f> {
        Strings { rest: self.body }
    }

    /// Iterates over the strings from the one whose length lies at byte `start` of the array; `None` beyond its end.
    pub(super) fn iter_from(&self, start: usize) -> Option<Strings<'f>> {
        Some(Strings { rest: self.body.get(start..)? })
    }
}

impl<'f> IntoIterator for StringArray<'f> {
    type Item = &'f [u8];
    type IntoIter = Strings<'f>;

    fn into_iter(self) -> Strings<'f> {
        self.iter()
    }
}

/// Iterator over the strings of a [`StringArray`].
#[derive(Clone, Debug)]
pub struct Strings<'f> {
    rest: &'f [u8],
}

impl Strings<'_> {
    /// Bytes of the strings to come and their lengths.
    pub(super) fn n_bytes(&self) -> usize {
        self.rest.len()
    }
}

impl<'f> Iterator for Strings<'f> {
    type Item = &'f [u8];

    fn next(&mut self) -> Option<&'f [u8]> {
        let (string, rest) = split_string(self.rest)?;
        self.rest = rest;
        Some(string)
    }
}

/// Splits off the string that `bytes` starts with; `None` if `bytes` ends before it does.
const fn split_string(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let Some((len, rest)) = bytes.split_first_chunk() else { return None };
    let len = u64::from_le_bytes(*len);
    if len > rest.len() as u64 {
        return None;
    }
    rest.split_at_checked(len as usize)
}

/// Bytes of a sample of [`sampled_words`], and the greatest number of samples.
const SAMPLE: usize = 32;

/// Words of samples that are evenly spread over `bytes`; all of `bytes` if it is short.
fn sampled_words(bytes: &[u8]) -> impl Iterator<Item = u32> {
    let between = bytes.len().div_ceil(SAMPLE).max(SAMPLE);
    bytes.chunks(between).flat_map(|chunk| {
        let (words, rest) = chunk.get(..SAMPLE).unwrap_or(chunk).as_chunks();
        let last = rest.iter().rev().fold(0, |word, &byte| word << 8 | u32::from(byte));
        words.iter().map(|&word| u32::from_le_bytes(word)).chain((!rest.is_empty()).then_some(last))
    })
}

/// A vocabulary as it lies in the file.
///
/// The fields are not checked yet; [`Tokenizer::new`](super::Tokenizer::new) does.
#[derive(Clone, Copy, Debug)]
pub struct Vocab<'f> {
    /// `tokenizer.ggml.model`: the kind of tokenizer.
    pub kind: Kind,
    /// `tokenizer.ggml.tokens`: the tokens by id, spelled as the kind does or, if special, as they are.
    pub tokens: StringArray<'f>,
    /// `tokenizer.ggml.merges`: `"left right"`, in the order in which they are applied. For BPE other than SentencePiece's.
    pub merges: StringArray<'f>,
    /// `tokenizer.ggml.scores`: an `f32`, little-endian, for each token. For SentencePiece.
    pub scores: Option<&'f [u8]>,
    /// `tokenizer.ggml.token_type`: an `i32`, little-endian, for each token. Without it every token is normal.
    pub token_types: Option<&'f [u8]>,
    /// `tokenizer.ggml.pre`: the rule by which byte-level BPE cuts a text.
    pub pre: PreTokenizer,
    /// Normalization of SentencePiece.
    pub spaces: SpaceOptions<'f>,
    /// Normalization of WordPiece.
    pub bert: BertOptions,
    /// Normalization of BPE over characters.
    pub characters: CharacterOptions,
    /// `tokenizer.ggml.bos_token_id`, for encoders `cls_token_id`: the token that a text begins with.
    pub bos: Option<u32>,
    /// `tokenizer.ggml.eos_token_id`: the token that a text ends with. There may be others: [`is_end`](Self::is_end) knows all.
    pub eos: Option<u32>,
    /// `tokenizer.ggml.eot_token_id`: the token that ends a turn.
    pub eot: Option<u32>,
    /// `tokenizer.ggml.eom_token_id`: the token that ends a message.
    pub eom: Option<u32>,
    /// `tokenizer.ggml.eos_token_ids`: all tokens that end a text, a `u32`, little-endian, for each.
    pub ends: Option<&'f [u8]>,
    /// `tokenizer.ggml.seperator_token_id`, spelled so: the token between texts and after the last one, in encoders.
    pub sep: Option<u32>,
    /// `tokenizer.ggml.unknown_token_id`: the token of text that has none. For byte-level BPE
    /// `tokenizer.ggml.unknown_byte_token_id`, which few models have, because their `unknown_token_id` stands for nothing in a
    /// text. For BPE over characters `unknown_byte_token_id` if the file has it or `fuse_unknown`, otherwise
    /// `unknown_token_id`.
    pub unk: Option<u32>,
    /// `tokenizer.ggml.fuse_unknown`: true if BPE over bytes or characters writes one `unk` for a run of bytes or characters
    /// that have no token. Other kinds always do.
    pub fuse_unk: bool,
    /// `tokenizer.ggml.add_bos_token`: true if every prompt has to begin with `bos`. Encoders need it unless the file denies
    /// it.
    pub add_bos: bool,
    /// `tokenizer.ggml.add_eos_token` or `add_sep_token`: true if every text has to end with [`end`](Self::end). Encoders need
    /// it unless the file denies both.
    pub add_eos: bool,
    /// `tokenizer.ggml.added_tokens.*`: rules by which special tokens are found in texts.
    pub added: AddedTokens<'f>,
    /// `nearfield.tokenizer.index`: bytes of [`Tokenizer::index`](super::Tokenizer::index), for
    /// [`Tokenizer::prepared`](super::Tokenizer::prepared) to check. Packed files have them.
    pub index: Option<&'f [u8]>,
}

impl<'f> Vocab<'f> {
    /// A vocabulary of byte-level BPE without types and special tokens.
    pub const fn byte_level(tokens: StringArray<'f>, merges: StringArray<'f>, pre: PreTokenizer) -> Self {
        Self {
            kind: Kind::BYTE_LEVEL_BPE,
            tokens,
            merges,
            scores: None,
            token_types: None,
            pre,
            spaces: SpaceOptions::DEFAULT,
            bert: BertOptions::DEFAULT,
            characters: CharacterOptions { lowercase: false, cuts_signs: false },
            bos: None,
            eos: None,
            eot: None,
            eom: None,
            ends: None,
            sep: None,
            unk: None,
            fuse_unk: false,
            add_bos: false,
            add_eos: false,
            added: AddedTokens::NONE,
            index: None,
        }
    }

    /// True if generation ends where the model writes `token`: `eos`, `eot`, `eom` or one of `ends`.
    ///
    /// Takes time in proportion to `ends`, of which published models have two or three.
    pub fn is_end(&self, token: u32) -> bool {
        [self.eos, self.eot, self.eom].contains(&Some(token)) || self.more_ends().any(|end| end == token)
    }

    fn more_ends(&self) -> impl Iterator<Item = u32> + use<'f> {
        self.ends.unwrap_or_default().as_chunks().0.iter().map(|id| u32::from_le_bytes(*id))
    }

    /// Token after a whole text: `sep` or, if there is none, `eos`.
    pub fn end(&self) -> Option<u32> {
        self.sep.or(self.eos)
    }

    /// Score of a token; 0 if the file has none.
    pub(super) fn score(&self, token: u32) -> f32 {
        let scores = self.scores.unwrap_or_default();
        scores.get(4 * token as usize..).and_then(|scores| scores.first_chunk()).map_or(0.0, |s| f32::from_le_bytes(*s))
    }

    /// Lowest score of a normal token; 0 if there is none.
    pub(super) fn least_score(&self) -> f32 {
        let scores = self.scores.unwrap_or_default().as_chunks().0;
        let normal = (0..).zip(scores).filter(|&(id, _)| self.number_of_type(id) == 1);
        let least = normal.fold(f32::MAX, |least, (_, score)| least.min(f32::from_le_bytes(*score)));
        if least == f32::MAX { 0.0 } else { least }
    }
}

impl Vocab<'_> {
    /// Type of a token; [`TokenType::Normal`] if the file has none.
    pub(super) fn type_of(&self, token: u32) -> TokenType {
        TokenType::from_gguf(self.number_of_type(token))
    }

    fn number_of_type(&self, token: u32) -> i32 {
        let types = self.token_types.unwrap_or_default();
        types.get(4 * token as usize..).and_then(|types| types.first_chunk()).map_or(1, |ty| i32::from_le_bytes(*ty))
    }

    /// Checksum by which an index knows its vocabulary: of the vocabulary's lengths and of samples of its bytes.
    ///
    /// Reads at most 3 KiB of any vocabulary: 32 bytes at each of 32 places of the tokens, of the merges and of the types.
    /// Trained vocabularies differ in their lengths, and in nearly all merges behind the first. A vocabulary in which a few
    /// tokens were replaced by others of the same length may pass as the same.
    pub(super) fn fingerprint(&self) -> u32 {
        let types = self.token_types.unwrap_or_default();
        let arrays = [self.tokens.body, self.merges.body, types];
        let lengths = [self.tokens.n, self.merges.n].into_iter().chain(arrays.iter().map(|array| array.len()));
        Checksum::of(lengths.map(|len| len as u32).chain(arrays.into_iter().flat_map(sampled_words)))
    }

    /// Checks types, scores, normalization, added tokens and special ids; [`Tokenizer::new`](super::Tokenizer::new) checks
    /// texts and merges.
    pub(super) fn check(&self) -> Result<(), TokenizerError> {
        let n_tokens = self.tokens.len();
        if let Some(types) = self.token_types
            && types.len() != 4 * n_tokens
        {
            return Err(TokenizerError::TokenTypes { need: 4 * n_tokens, have: types.len() });
        }
        if let Some(scores) = self.scores {
            if scores.len() != 4 * n_tokens {
                return Err(TokenizerError::Scores { need: 4 * n_tokens, have: scores.len() });
            }
            let finite = |score: &[u8; 4]| f32::from_le_bytes(*score).is_finite();
            if let Some(token) = scores.as_chunks().0.iter().position(|score| !finite(score)) {
                return Err(TokenizerError::ScoreNotFinite { token });
            }
        }
        if self.spaces.charsmap.is_some_and(|blob| !Charsmap::new(blob).is_some_and(|charsmap| charsmap.is_sound())) {
            return Err(TokenizerError::Charsmap);
        }
        if let Some(key) = self.added.wrong(n_tokens) {
            return Err(TokenizerError::AddedTokens { key, n_tokens });
        }
        let more_ends = self.more_ends().map(|id| ("eos_token_ids", Some(id)));
        for (key, id) in more_ends.chain([
            ("bos_token_id", self.bos),
            ("eos_token_id", self.eos),
            ("eot_token_id", self.eot),
            ("eom_token_id", self.eom),
            ("seperator_token_id", self.sep),
            ("unknown_token_id", self.unk),
        ]) {
            if let Some(id) = id.filter(|&id| id as usize >= n_tokens) {
                return Err(TokenizerError::SpecialToken { key, id, n_tokens });
            }
        }
        Ok(())
    }
}

/// Purpose of a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum TokenType {
    /// Text, spelled as the vocabulary's kind does. GGUF type 1, and any that GGUF does not know.
    Normal,
    /// A mark for or from the model, not text, such as `<|endoftext|>`. GGUF types 2 and 3.
    Control,
    /// Text that is always one token, as it is. GGUF type 4.
    UserDefined,
    /// Padding of the vocabulary, which stands for no text. GGUF type 5.
    Unused,
    /// A byte of text for which a SentencePiece vocabulary has no token, spelled `<0x0A>`. GGUF type 6.
    Byte,
}

impl TokenType {
    /// Type of this GGUF number.
    pub(super) const fn from_gguf(number: i32) -> Self {
        match number {
            2 | 3 => Self::Control,
            4 => Self::UserDefined,
            5 => Self::Unused,
            6 => Self::Byte,
            _ => Self::Normal,
        }
    }
}

#[cfg(test)]
mod tests {
    extern crate std;

    use std::vec::Vec;

    use super::*;

    const TWO: &[u8] = b"\x02\0\0\0\0\0\0\0ab\0\0\0\0\0\0\0\0rest";

    #[test]
    fn strings_are_read_in_order() {
        let (array, rest) = StringArray::split(2, TWO).unwrap();
        assert_eq!(array.iter().collect::<Vec<_>>(), [&b"ab"[..], b""]);
        assert_eq!((array.len(), array.n_bytes(), rest), (2, 18, &b"rest"[..]));
        assert!(StringArray::split(0, b"").unwrap().0.is_empty());
    }

    #[test]
    fn an_array_that_ends_early_is_refused() {
        for end in 0..18 {
            assert!(StringArray::split(2, &TWO[..end]).is_none(), "{end}");
        }
    }

    #[test]
    fn counts_and_lengths_at_their_extremes_are_refused() {
        assert!(StringArray::split(u64::MAX, TWO).is_none());
        assert!(StringArray::split(1 << 32, TWO).is_none());
        for len in [3, 1 << 32, u64::MAX] {
            let mut bytes = u64::to_le_bytes(len).to_vec();
            bytes.extend(b"ab");
            assert!(StringArray::split(1, &bytes).is_none(), "{len}");
        }
    }
}
