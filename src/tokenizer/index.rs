//! The index of a vocabulary as bytes: made on the host, kept in flash, borrowed where it lies.
//!
//! The header fills one line. The parts follow as they lie in the arena, each padded with zeros to whole lines. All numbers are
//! little-endian. The header has sixteen words:
//!
//! | word | |
//! |---|---|
//! | 0 | `NFTI` |
//! | 1 | version of this layout |
//! | 2, 3 | tokens, merges |
//! | 4 | [`Vocab::fingerprint`] |
//! | 5 | special tokens |
//! | 6 | 1 if there are user-defined tokens, else 0 |
//! | 7 | the [kind](super::kind) of vocabulary |
//! | 8 | bytes of each special token in the key of their filter |
//! | 9..15 | zeros |
//! | 15 | [`Checksum`] of all other words |

use core::array;

use nearfield_kernels::Line;
use nearfield_kernels::arena::view;

use super::error::IndexError;
use super::special;
use super::vocab::Vocab;
use crate::checksum::Checksum;
use crate::sections::Sections;

/// First word. Compared as a native number, so that a big-endian processor does not accept an index.
const MAGIC: u32 = u32::from_le_bytes(*b"NFTI");
const VERSION: u32 = 2;
/// Words of the header, which is one line.
const N_WORDS: usize = Line::BYTES / 4;

/// Facts of the header that the vocabulary does not tell.
#[derive(Clone, Copy, Debug)]
pub(super) struct Header {
    /// Number of special tokens.
    pub n_special: usize,
    /// Bytes of each special token in the key of their filter.
    pub n_key: usize,
    pub has_user_defined: bool,
}

impl Header {
    /// Bytes of the header.
    pub const BYTES: usize = Line::BYTES;

    /// Words of the header; the last is the checksum of the others and of `body`.
    pub fn words(self, vocab: &Vocab<'_>, body: impl Iterator<Item = u32>) -> [u32; N_WORDS] {
        let mut words: [u32; N_WORDS] = array::from_fn(|i| match i {
            0 => MAGIC,
            1 => VERSION,
            2 => vocab.tokens.len() as u32,
            3 => vocab.merges.len() as u32,
            4 => vocab.fingerprint(),
            5 => self.n_special as u32,
            6 => self.has_user_defined.into(),
            7 => vocab.kind.row().id,
            8 => self.n_key as u32,
            _ => 0,
        });
        let [before @ .., last] = &mut words;
        *last = Checksum::of(before.iter().copied().chain(body));
        words
    }

    /// Reads and checks `index`, which has to have `need` bytes; returns the header and the parts behind it.
    pub fn read<'a>(vocab: &Vocab<'_>, index: &'a [u8], need: usize) -> Result<(Self, Sections<'a>), IndexError> {
        let have = index.len();
        let size = IndexError::Size { need, have };
        // A length that is not a multiple of four differs from `need`, which is checked below.
        let words = view::<u32>(index.get(..have / 4 * 4).unwrap_or_default()).ok_or(IndexError::Misaligned)?;
        let (header, body) = words.split_first_chunk::<N_WORDS>().ok_or(size)?;
        let [magic, version, n_tokens, n_merges, fingerprint, n_special, has_user_defined, kind, n_key, .., checksum] =
            *header;
        if magic != MAGIC {
            return Err(IndexError::Magic);
        }
        if version != VERSION {
            return Err(IndexError::Version { found: version });
        }
        if (n_tokens as usize, n_merges as usize) != (vocab.tokens.len(), vocab.merges.len())
            || fingerprint != vocab.fingerprint()
            || kind != vocab.kind.row().id
        {
            return Err(IndexError::Vocabulary);
        }
        if have != need {
            return Err(size);
        }
        let before = header.iter().take(N_WORDS - 1);
        if checksum != Checksum::of(before.chain(body).copied()) || n_key as usize > special::MAX_KEY {
            return Err(IndexError::Damaged);
        }
        let (n_special, n_key) = (n_special as usize, n_key as usize);
        let header = Self { n_special, n_key, has_user_defined: has_user_defined != 0 };
        Ok((header, Sections::new(index.get(Self::BYTES..).unwrap_or_default())))
    }
}
