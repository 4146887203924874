//! The vocabulary as a GGUF file holds it.

use super::added::AddedTokens;
use super::charsmap::Charsmap;
use super::error::TokenizerError;
use super::kind::Kind;
use super::options::{BertOptions, CharacterOptions, SpaceOptions};
use super::pre::PreTokenizer;
use super::strings::StringArray;
use crate::checksum::Checksum;

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

    /// The tokens at which generation ends; some may come twice.
    pub fn ends(&self) -> impl Iterator<Item = u32> + use<'f> {
        [self.eos, self.eot, self.eom].into_iter().flatten().chain(self.more_ends())
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
    pub(crate) fn fingerprint(&self) -> u32 {
        let types = self.token_types.unwrap_or_default();
        let arrays = [self.tokens.as_bytes(), self.merges.as_bytes(), types];
        let lengths = [self.tokens.len(), self.merges.len()].into_iter().chain(arrays.iter().map(|array| array.len()));
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
