//! Header of a snapshot: its first lines.

use nearfield_kernels::Line;

use super::{ModelId, PrefixError, TextState};
use crate::config::AlibiScale;
use crate::const_math::attempt;
use crate::kv_type::{KvType, KvTypes};

/// First word. Compared as a native number, so that a big-endian processor does not accept a snapshot.
const MAGIC: u32 = u32::from_le_bytes(*b"NFKV");
pub(super) const VERSION: u32 = 1;
/// Word of the checksum.
pub(super) const CHECKSUM: usize = 2;
/// First word of the last tokens.
pub(super) const LAST_TOKENS: usize = 32;
/// First word of the name.
pub(super) const NAME: usize = LAST_TOKENS + TextState::MAX_TOKENS;
/// Bytes of the name.
pub(super) const NAME_BYTES: usize = 64;
/// Words of the header.
pub(super) const N_WORDS: usize = NAME + NAME_BYTES / 4;

/// Contents of a snapshot's header. They are not checked; only a [`Prefix`](super::Prefix) proves that the snapshot is whole.
///
/// A firmware reads the header in a `const`, to [plan](crate::MemoryPlan) its memory.
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub struct SnapshotHeader {
    /// The model that the snapshot was made with.
    pub model: ModelId,
    /// Bytes of the snapshot.
    pub n_bytes: u64,
    /// Positions that were run: [`SessionConfig::n_prefix`](crate::SessionConfig::n_prefix).
    pub n_tokens: usize,
    /// Seed with which a sampler continues.
    pub seed: u64,
    /// Number of layers.
    pub n_layer: usize,
    /// Number of KV heads.
    pub n_head_kv: usize,
    /// Number of columns of a head.
    pub head_dim: usize,
    /// Types of keys and values.
    pub kv: KvTypes,
    /// [`SessionConfig::horizon_eps`](crate::SessionConfig::horizon_eps) of the session that wrote the snapshot.
    pub horizon_eps: f32,
    /// [`SessionConfig::alibi_bf16`](crate::SessionConfig::alibi_bf16) of the session that wrote the snapshot.
    pub alibi_bf16: bool,
    /// Number of last tokens in the snapshot.
    pub n_last_tokens: usize,
    /// Sinks of the session that wrote the snapshot.
    pub n_sinks: usize,
    /// Scale of the slopes in the session that wrote the snapshot, at its end. The session that continues may have another.
    pub alibi_scale: AlibiScale,
}

impl SnapshotHeader {
    /// Bytes of the header.
    pub(super) const BYTES: usize = 4 * N_WORDS;

    /// Reads the header, without reading the bytes behind it.
    ///
    /// # Errors
    /// [`PrefixError`] if these are not the first bytes of a snapshot.
    pub const fn read(bytes: &[u8]) -> Result<Self, PrefixError> {
        // A wrong magic is reported first, also of bytes that are too short.
        if let Some(magic) = bytes.first_chunk::<4>()
            && word(*magic) != MAGIC
        {
            return Err(PrefixError::Magic);
        }
        let Some(header) = bytes.first_chunk::<{ Self::BYTES }>() else {
            return Err(PrefixError::Size { need: Self::BYTES as u64, have: bytes.len() as u64 });
        };
        let (words, _) = header.as_chunks::<4>();
        // A fixed number of words, so that the compiler sees that no index is out of bounds.
        let Some(words) = words.first_chunk::<LAST_TOKENS>() else { return Err(PrefixError::Damaged) };
        if word(words[1]) != VERSION {
            return Err(PrefixError::Version { found: word(words[1]) });
        }
        let n_tokens = long(words[8], words[9]);
        if n_tokens > usize::MAX as u64 / 2 {
            return Err(PrefixError::TooLarge);
        }
        Ok(Self {
            model: ModelId { n_bytes: long(words[4], words[5]), checksum: word(words[3]) },
            n_bytes: long(words[6], words[7]),
            n_tokens: n_tokens as usize,
            seed: long(words[10], words[11]),
            n_layer: word(words[12]) as usize,
            n_head_kv: word(words[13]) as usize,
            head_dim: word(words[14]) as usize,
            kv: KvTypes { keys: attempt!(type_of(word(words[15]))), values: attempt!(type_of(word(words[16]))) },
            horizon_eps: f32::from_bits(word(words[17])),
            alibi_bf16: word(words[18]) != 0,
            n_last_tokens: word(words[19]) as usize,
            n_sinks: word(words[20]) as usize,
            alibi_scale: match word(words[21]) {
                1 => AlibiScale::Factor(f32::from_bits(word(words[22]))),
                2 => AlibiScale::Trained(word(words[22]) as usize),
                _ => AlibiScale::Model,
            },
        })
    }

    /// Words of the header, with zero for the checksum.
    pub(super) fn words(&self, text: &TextState<'_>) -> [u32; N_WORDS] {
        let mut words = [0; N_WORDS];
        let (low, high) = (|x: u64| x as u32, |x: u64| (x >> 32) as u32);
        let n_tokens = self.n_tokens as u64;
        let [scale, value] = match self.alibi_scale {
            AlibiScale::Model => [0, 0],
            AlibiScale::Factor(factor) => [1, factor.to_bits()],
            AlibiScale::Trained(length) => [2, length as u32],
        };
        let first = [
            MAGIC,
            VERSION,
            0,
            self.model.checksum,
            low(self.model.n_bytes),
            high(self.model.n_bytes),
            low(self.n_bytes),
            high(self.n_bytes),
            low(n_tokens),
            high(n_tokens),
            low(self.seed),
            high(self.seed),
            self.n_layer as u32,
            self.n_head_kv as u32,
            self.head_dim as u32,
            number_of(self.kv.keys),
            number_of(self.kv.values),
            self.horizon_eps.to_bits(),
            self.alibi_bf16.into(),
            self.n_last_tokens as u32,
            self.n_sinks as u32,
            scale,
            value,
        ];
        words.iter_mut().zip(first).for_each(|(to, word)| *to = word);
        words.iter_mut().skip(LAST_TOKENS).zip(text.last_tokens).for_each(|(to, &token)| *to = token);
        let name = whole_characters(text.model_name);
        for (to, bytes) in words.iter_mut().skip(NAME).zip(name.chunks(4)) {
            *to = bytes.iter().rev().fold(0, |word, &byte| word << 8 | u32::from(byte));
        }
        words
    }
}

/// Bytes of a name, cut off behind the last character that fits [`NAME_BYTES`].
fn whole_characters(name: &str) -> &[u8] {
    let end = (0..=NAME_BYTES).rev().find(|&end| name.is_char_boundary(end)).unwrap_or(0);
    name.as_bytes().get(..end.min(name.len())).unwrap_or_default()
}

/// The header fills whole lines.
const _: () = assert!(SnapshotHeader::BYTES.is_multiple_of(Line::BYTES));

const fn word(bytes: [u8; 4]) -> u32 {
    u32::from_ne_bytes(bytes)
}

const fn long(low: [u8; 4], high: [u8; 4]) -> u64 {
    word(low) as u64 | (word(high) as u64) << 32
}

/// GGUF's number of a type.
const fn number_of(ty: KvType) -> u32 {
    match ty {
        KvType::F32 => 0,
        KvType::F16 => 1,
        KvType::Q4_0 => 2,
        KvType::Q8_0 => 8,
    }
}

const fn type_of(number: u32) -> Result<KvType, PrefixError> {
    match number {
        0 => Ok(KvType::F32),
        1 => Ok(KvType::F16),
        2 => Ok(KvType::Q4_0),
        8 => Ok(KvType::Q8_0),
        found => Err(PrefixError::Type { found }),
    }
}
