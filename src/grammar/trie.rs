//! The tokens of a vocabulary in the order of their bytes, for walking over all of them at once.
//!
//! A token is stored as the number of bytes that it shares with the token before it, and the bytes behind those. A walk keeps what it
//! knows after each byte of the present token, so that each shared beginning is looked at once, and a beginning that is not allowed
//! skips all tokens that have it. This is a trie without nodes: BLOOM's 250,880 tokens take 2.4 MB.

use nearfield_kernels::{Arena, Line};

use super::error::TrieError;
use crate::checksum::Checksum;
use crate::const_math::{max, sum_known};
use crate::sections::Sections;
use crate::tokenizer::{Numbers, NumbersMut, TokenType, Tokenizer, Vocab};

/// First word of the prepared form, and its version.
const MAGIC: u32 = u32::from_le_bytes(*b"NFTT");
const VERSION: u32 = 1;
/// Words of the header of the prepared form, which is one line.
const N_HEADER: usize = Line::BYTES / 4;
/// Tokens of a block, which are skipped together.
const BLOCK: usize = 32;
/// Bytes of the longest token. Longer ones are never allowed.
const MAX_LEN: usize = 255;

/// Sizes of a vocabulary that a matcher's memory depends on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct TokenSizes {
    /// Tokens of the vocabulary.
    pub n_tokens: usize,
    /// Bytes of the longest token.
    pub longest: usize,
}

impl TokenSizes {
    /// Sizes of an index in flash; `None` if its header is not that of as many bytes. Nothing else is checked.
    pub const fn read(index: &[u8]) -> Option<Self> {
        let (words, _) = index.as_chunks::<4>();
        let Some(&[magic, version, n_tokens, n_entries, n_text, n_ends]) = words.first_chunk() else { return None };
        if u32::from_le_bytes(magic) != MAGIC || u32::from_le_bytes(version) != VERSION {
            return None;
        }
        let (n_tokens, n_entries) = (u32::from_le_bytes(n_tokens) as usize, u32::from_le_bytes(n_entries) as usize);
        let (n_text, n_ends) = (u32::from_le_bytes(n_text) as usize, u32::from_le_bytes(n_ends) as usize);
        let Some((_, body)) = index.split_at_checked(Line::BYTES) else { return None };
        if !matches!(bytes_of(n_tokens, n_entries, n_text, n_ends), Some(size) if size == body.len()) {
            return None;
        }
        // The lists of shared and of other bytes follow the ids.
        let ids = Numbers::bytes_of(Numbers::wide(n_tokens), n_entries);
        let (Some(ids), Some(list)) = (ids, Arena::bytes_of::<u8>(n_entries)) else { return None };
        let Some((_, lists)) = body.split_at_checked(ids) else { return None };
        let Some((shared, lens)) = lists.split_at_checked(list) else { return None };
        // Lists end with zeros, which are tokens without bytes.
        let Some((lens, _)) = lens.split_at_checked(list) else { return None };
        match longest(shared, lens) {
            Some(longest) => Some(Self { n_tokens, longest }),
            None => None,
        }
    }
}

/// Bytes of the longest token; `None` if one shares more bytes than the one before it has.
const fn longest(mut shared: &[u8], mut lens: &[u8]) -> Option<usize> {
    let (mut longest, mut len) = (0, 0);
    while let ([n_shared, more_shared @ ..], [n_rest, more_lens @ ..]) = (shared, lens) {
        if *n_shared as usize > len {
            return None;
        }
        len = *n_shared as usize + *n_rest as usize;
        longest = max(longest, len);
        (shared, lens) = (more_shared, more_lens);
    }
    Some(longest)
}

/// Memory of a [`TokenTrie`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct TriePlan {
    /// Bytes of arena that the trie keeps.
    pub bytes: usize,
    /// Bytes of another arena, which are needed only while it is made.
    pub scratch: usize,
    /// Tokens with text.
    n_entries: usize,
    /// Bytes of their text.
    n_text: usize,
    /// Tokens that end a text.
    n_ends: usize,
}

/// Tokens of a vocabulary with the bytes of their text, sorted.
///
/// Control tokens, unused ones and those without text are not in it; nor are tokens of more than 255 bytes.
#[derive(Clone, Copy, Debug)]
pub struct TokenTrie<'a> {
    ids: Numbers<'a>,
    /// Bytes that each token shares with the one before it.
    shared: &'a [u8],
    /// Bytes of each token behind those.
    lens: &'a [u8],
    /// Bytes that are not shared, of one token after another.
    text: &'a [u8],
    /// Place in `text` of the first token of each block.
    block_text: &'a [u32],
    /// The least number of shared bytes in each block.
    block_shared: &'a [u8],
    /// Tokens that end a text.
    ends: &'a [u32],
    /// A bit for each byte that is a token of its own.
    bytes: [u32; 8],
    /// Bytes of the longest token.
    longest: usize,
    n_tokens: usize,
}

impl TriePlan {
    /// Plans the memory for the tokens of a vocabulary.
    ///
    /// # Errors
    /// [`TrieError::Vocabulary`] if the tokens have 4 GiB of text.
    pub fn new(tokenizer: &Tokenizer<'_, '_>) -> Result<Self, TrieError> {
        let (mut n_entries, mut n_text) = (0, 0usize);
        for token in 0..tokenizer.n_tokens() as u32 {
            let len = text_len(tokenizer, token);
            n_entries += usize::from(len > 0);
            n_text = n_text.checked_add(len).ok_or(TrieError::Vocabulary)?;
        }
        u32::try_from(n_text).map_err(|_| TrieError::Vocabulary)?;
        let n_ends = tokenizer.vocab().ends().count();
        let n_tokens = tokenizer.n_tokens();
        let bytes = bytes_of(n_tokens, n_entries, n_text, n_ends).ok_or(TrieError::Vocabulary)?;
        let scratch = Arena::bytes_of::<u32>(n_tokens + 1).zip(Arena::bytes_of::<u8>(n_text));
        let scratch = scratch.and_then(|(starts, text)| starts.checked_add(text)).ok_or(TrieError::Vocabulary)?;
        Ok(Self { bytes, scratch, n_entries, n_text, n_ends })
    }
}

/// Bytes of a trie's parts.
const fn bytes_of(n_tokens: usize, n_entries: usize, n_text: usize, n_ends: usize) -> Option<usize> {
    let n_blocks = n_entries.div_ceil(BLOCK);
    sum_known([
        Numbers::bytes_of(Numbers::wide(n_tokens), n_entries),
        Arena::bytes_of::<u8>(n_entries),
        Arena::bytes_of::<u8>(n_entries),
        Arena::bytes_of::<u8>(n_text),
        Arena::bytes_of::<u32>(n_blocks),
        Arena::bytes_of::<u8>(n_blocks),
        Arena::bytes_of::<u32>(n_ends),
    ])
}

/// Bytes of a token's text; 0 if a grammar never allows the token.
fn text_len(tokenizer: &Tokenizer<'_, '_>, token: u32) -> usize {
    let vocab = tokenizer.vocab();
    let is_mark = [vocab.bos, vocab.sep, vocab.unk].contains(&Some(token)) || vocab.is_end(token);
    match tokenizer.token_type(token) {
        Ok(TokenType::Normal | TokenType::UserDefined | TokenType::Byte) if !is_mark => {
            Some(tokenizer.bytes(token).map_or(0, |bytes| bytes.count())).filter(|&len| len <= MAX_LEN).unwrap_or(0)
        }
        _ => 0,
    }
}

impl<'a> TokenTrie<'a> {
    /// Sorts the tokens of a vocabulary, in the planned bytes of two arenas; the second is free afterwards.
    ///
    /// # Errors
    /// [`TrieError`].
    pub fn new(
        tokenizer: &Tokenizer<'_, '_>,
        plan: &TriePlan,
        arena: &mut Arena<'a>,
        scratch: &mut Arena<'_>,
    ) -> Result<Self, TrieError> {
        for (arena, need) in [(arena.free_bytes(), plan.bytes), (scratch.free_bytes(), plan.scratch)] {
            if arena < need {
                return Err(TrieError::Arena { need, have: arena });
            }
        }
        let n_tokens = tokenizer.n_tokens();
        let mut ids = NumbersMut::take(arena, Numbers::wide(n_tokens), plan.n_entries).ok_or(TrieError::Vocabulary)?;
        let (starts, text) = (scratch.take(n_tokens + 1), scratch.take(plan.n_text));
        let (starts, text) = starts.zip(text).ok_or(TrieError::Vocabulary)?;
        let texts = Texts::fill(tokenizer, starts, text, &mut ids).ok_or(TrieError::Vocabulary)?;
        ids.sort(0..plan.n_entries, |a, b| texts.get(a).cmp(texts.get(b)).then(a.cmp(&b)));
        Self::of_sorted(tokenizer.vocab(), plan, ids.finish(), &texts, n_tokens, arena).ok_or(TrieError::Vocabulary)
    }

    fn of_sorted(
        vocab: &Vocab<'_>,
        plan: &TriePlan,
        ids: Numbers<'a>,
        texts: &Texts<'_>,
        n_tokens: usize,
        arena: &mut Arena<'a>,
    ) -> Option<Self> {
        let n_blocks = plan.n_entries.div_ceil(BLOCK);
        let (shared, lens) = (arena.take::<u8>(plan.n_entries)?, arena.take::<u8>(plan.n_entries)?);
        let text = arena.take::<u8>(plan.n_text)?;
        let (block_text, block_shared) = (arena.take::<u32>(n_blocks)?, arena.take::<u8>(n_blocks)?);
        let ends = arena.take::<u32>(plan.n_ends)?;
        ends.iter_mut().zip(vocab.ends()).for_each(|(slot, end)| *slot = end);
        block_shared.fill(u8::MAX);
        let (mut before, mut n_text, mut longest) = (&[][..], 0, 0);
        let mut bytes = [0u32; 8];
        for i in 0..plan.n_entries {
            let of_token = texts.get(ids.get(i)?);
            let n_shared = before.iter().zip(of_token).take_while(|(a, b)| a == b).count();
            let rest = of_token.get(n_shared..)?;
            if i % BLOCK == 0 {
                *block_text.get_mut(i / BLOCK)? = n_text as u32;
            }
            let least = block_shared.get_mut(i / BLOCK)?;
            *least = (*least).min(n_shared as u8);
            (*shared.get_mut(i)?, *lens.get_mut(i)?) = (n_shared as u8, rest.len() as u8);
            text.get_mut(n_text..n_text + rest.len())?.copy_from_slice(rest);
            if let &[byte] = of_token {
                *bytes.get_mut(usize::from(byte / 32))? |= 1 << (byte % 32);
            }
            n_text += rest.len();
            longest = longest.max(of_token.len());
            before = of_token;
        }
        let text = text.get(..n_text)?;
        Some(Self { ids, shared, lens, text, block_text, block_shared, ends, bytes, longest, n_tokens })
    }

    /// Bytes of the trie for [`prepared`](Self::prepared): a build script of a firmware writes them.
    pub fn index(&self, vocab: &Vocab<'_>) -> impl Iterator<Item = u8> {
        let body = || {
            let lists = [self.shared, self.lens, self.text].into_iter().flat_map(padded);
            let blocks = padded_words(self.block_text).chain(padded(self.block_shared));
            self.ids.words().chain(lists).chain(blocks).chain(padded_words(self.ends))
        };
        let lens = [self.n_tokens, self.ids.len(), self.text.len(), self.ends.len()].map(|n| n as u32);
        let mut header = [0; N_HEADER];
        let words = [MAGIC, VERSION].into_iter().chain(lens).chain([vocab.fingerprint()]).chain(self.bytes);
        header.iter_mut().zip(words).for_each(|(slot, word)| *slot = word);
        let [before @ .., last] = &mut header;
        *last = Checksum::of(before.iter().copied().chain(body()));
        header.into_iter().chain(body()).flat_map(u32::to_le_bytes)
    }

    /// A trie over the [`index`](Self::index) that was made before, such as one in flash; it has to lie at a multiple of four bytes.
    /// Nothing is copied, and no arena is needed.
    ///
    /// # Errors
    /// [`TrieError::Prepared`] if the index was made for another vocabulary, or is damaged.
    pub fn prepared(vocab: &Vocab<'_>, index: &'a [u8]) -> Result<Self, TrieError> {
        Self::read(vocab, index).ok_or(TrieError::Prepared)
    }

    fn read(vocab: &Vocab<'_>, index: &'a [u8]) -> Option<Self> {
        let words = nearfield_kernels::arena::view::<u32>(index)?;
        let (header, body) = words.split_first_chunk::<N_HEADER>()?;
        let [magic, version, n_tokens, n_entries, n_text, n_ends, fingerprint, bytes @ .., checksum] = *header;
        let [n_tokens, n_entries, n_text, n_ends] = [n_tokens, n_entries, n_text, n_ends].map(|n| n as usize);
        let size = bytes_of(n_tokens, n_entries, n_text, n_ends)?;
        let before = header.iter().take(N_HEADER - 1);
        if (magic, version, fingerprint) != (MAGIC, VERSION, vocab.fingerprint())
            || n_tokens != vocab.tokens.len()
            || size != 4 * body.len()
            || checksum != Checksum::of(before.chain(body).copied())
        {
            return None;
        }
        let n_blocks = n_entries.div_ceil(BLOCK);
        let mut parts = Sections::new(index.get(Line::BYTES..)?);
        let trie = Self {
            ids: Numbers::read(&mut parts, Numbers::wide(n_tokens), n_entries)?,
            shared: parts.take(n_entries)?,
            lens: parts.take(n_entries)?,
            text: parts.take(n_text)?,
            block_text: parts.take(n_blocks)?,
            block_shared: parts.take(n_blocks)?,
            ends: parts.take(n_ends)?,
            bytes,
            longest: 0,
            n_tokens,
        };
        let longest = longest(trie.shared, trie.lens)?;
        let ends_exist = trie.ends.iter().all(|&end| (end as usize) < n_tokens);
        (ends_exist && longest <= MAX_LEN && trie.ids.all_up_to(n_tokens.saturating_sub(1)))
            .then_some(Self { longest, ..trie })
    }

    /// Number of tokens in the vocabulary.
    pub fn n_tokens(&self) -> usize {
        self.n_tokens
    }

    /// Tokens that end a text.
    pub(super) fn ends(&self) -> &'a [u32] {
        self.ends
    }

    /// A bit for each byte that is a token of its own.
    pub(super) fn bytes(&self) -> &[u32; 8] {
        &self.bytes
    }

    /// Sizes that a matcher's memory depends on.
    pub(super) fn sizes(&self) -> TokenSizes {
        TokenSizes { n_tokens: self.n_tokens, longest: self.longest }
    }

    /// Cursor before the first token.
    pub(super) fn cursor(&self) -> Cursor<'_, 'a> {
        Cursor { trie: self, i: 0, at: 0 }
    }
}

/// Place in a walk over the tokens.
#[derive(Debug)]
pub(super) struct Cursor<'t, 'a> {
    trie: &'t TokenTrie<'a>,
    /// The next token.
    i: usize,
    /// Place of that token in the text.
    at: usize,
}

impl<'a> Cursor<'_, 'a> {
    /// The next token: its id, the bytes that it shares with the one before, and the bytes behind those.
    #[inline]
    pub fn next(&mut self) -> Option<(u32, usize, &'a [u8])> {
        let trie = self.trie;
        let (&n_shared, &len) = (trie.shared.get(self.i)?, trie.lens.get(self.i)?);
        let rest = trie.text.get(self.at..self.at + usize::from(len))?;
        let id = trie.ids.get(self.i)?;
        self.i += 1;
        self.at += usize::from(len);
        Some((id, n_shared.into(), rest))
    }

    /// Skips the tokens that share more than `n` bytes with those before.
    #[inline]
    pub fn skip(&mut self, n: usize) {
        let trie = self.trie;
        loop {
            if self.i.is_multiple_of(BLOCK) {
                let block = self.i / BLOCK;
                let blocks = trie.block_shared.get(block..).unwrap_or_default();
                let n_skipped = blocks.iter().take_while(|&&least| usize::from(least) > n).count();
                if n_skipped > 0 {
                    self.i = (block + n_skipped) * BLOCK;
                    self.at = trie.block_text.get(block + n_skipped).map_or(usize::MAX, |&at| at as usize);
                }
            }
            match trie.shared.get(self.i).zip(trie.lens.get(self.i)) {
                Some((&n_shared, &len)) if usize::from(n_shared) > n => {
                    self.i += 1;
                    self.at += usize::from(len);
                }
                _ => return,
            }
        }
    }
}

/// Texts of all tokens in the order of their ids, while they are sorted.
struct Texts<'s> {
    starts: &'s [u32],
    text: &'s [u8],
}

impl<'s> Texts<'s> {
    /// Writes the texts, and the ids of tokens that have one.
    fn fill(
        tokenizer: &Tokenizer<'_, '_>,
        starts: &'s mut [u32],
        text: &'s mut [u8],
        ids: &mut NumbersMut<'_>,
    ) -> Option<Self> {
        let (mut n_ids, mut end) = (0, 0);
        for token in 0..tokenizer.n_tokens() {
            *starts.get_mut(token)? = end as u32;
            let token = token as u32;
            let len = text_len(tokenizer, token);
            if len == 0 {
                continue;
            }
            let bytes = tokenizer.bytes(token).ok()?;
            text.get_mut(end..end + len)?.iter_mut().zip(bytes).for_each(|(slot, byte)| *slot = byte);
            end += len;
            if n_ids == ids.len() {
                return None;
            }
            ids.set(n_ids, token);
            n_ids += 1;
        }
        *starts.get_mut(tokenizer.n_tokens())? = end as u32;
        (n_ids == ids.len()).then_some(Self { starts, text })
    }

    fn get(&self, token: u32) -> &[u8] {
        let bounds = self.starts.get(token as usize..).and_then(|starts| starts.first_chunk::<2>());
        let range = bounds.map_or(0..0, |&[start, end]| start as usize..end as usize);
        self.text.get(range).unwrap_or_default()
    }
}

/// Words of bytes, with zeros up to the end of the line.
fn padded(bytes: &[u8]) -> impl Iterator<Item = u32> {
    let n = Arena::bytes_of::<u8>(bytes.len()).unwrap_or(0) / 4;
    let byte = |at: usize| bytes.get(at).copied().unwrap_or(0);
    (0..n).map(move |i| u32::from_le_bytes([byte(4 * i), byte(4 * i + 1), byte(4 * i + 2), byte(4 * i + 3)]))
}

/// Words, with zeros up to the end of the line.
fn padded_words(words: &[u32]) -> impl Iterator<Item = u32> {
    let n = Arena::bytes_of::<u32>(words.len()).unwrap_or(0) / 4;
    (0..n).map(|i| words.get(i).copied().unwrap_or(0))
}
