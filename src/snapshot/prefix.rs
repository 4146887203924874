//! A checked snapshot, read where it lies.

use core::ops::Range;

use nearfield_kernels::arena::view;
use nearfield_kernels::{KV_BLOCK, KvRows, Line, Q4Built};

use super::header::{CHECKSUM, LAST_TOKENS, NAME, NAME_BYTES, SnapshotHeader};
use super::{ModelId, PrefixError, TextState};
use crate::checksum::Checksum;
use crate::config::SessionConfig;
use crate::kv_type::KvType;
use crate::lengths::StoreLengths;
use crate::ring::HeadRing;
use crate::sections::Sections;
use crate::shape::Shape;

/// Words of a head in the table.
pub(super) const HEAD: usize = 4;

/// The beginning of a text, whose keys and values lie in [a snapshot](crate::Snapshot). The value proves that the snapshot's
/// bytes are whole and that it was made with this model.
///
/// ```
/// # fn go_on(model: &nearfield::Model, file: &[u8], snapshot: &[u8]) -> Result<(), Box<dyn std::error::Error>> {
/// use nearfield::{Arena, Inline, Line, MemoryPlan, ModelId, Prefix, Session, SessionConfig, kernels};
///
/// let prefix = Prefix::from_bytes(snapshot, ModelId::of(file))?;
/// let config = SessionConfig { n_prefix: prefix.n_tokens(), ..SessionConfig::default() };
/// let mut memory = vec![Line::ZERO; MemoryPlan::new(model.shape(), &config)?.n_lines()];
/// let mut arena = Arena::new(&mut memory);
/// let mut session = Session::with_prefix(model, config, kernels::best(), &Inline, &mut arena, prefix)?;
/// assert_eq!(session.pos(), prefix.n_tokens());
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Prefix<'p> {
    header: SnapshotHeader,
    text: TextState<'p>,
    /// `[n_head_kv, HEAD]`: table of the heads.
    heads: &'p [[u64; HEAD]],
    keys: KvRows<'p>,
    values: KvRows<'p>,
    norms: &'p [f32],
    /// Rows and norms of a layer.
    per_layer: Counts,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Counts {
    rows: usize,
    norms: usize,
}

/// Positions that a snapshot keeps of a head, in each layer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Keeps {
    /// Positions of the text.
    pub(crate) n_tokens: usize,
    /// First position kept, which begins a block; `n_tokens` if none is kept.
    pub(crate) from: usize,
    /// Number of sinks kept apart, which lie before `from`.
    pub(crate) n_sinks: usize,
}

impl Keeps {
    /// Number of rows. Those of the sinks come first.
    pub(crate) fn n_rows(&self) -> usize {
        self.n_sinks + (self.n_tokens - self.from)
    }

    /// Block of the first norm. The last norm is always kept, since the next one is no smaller.
    pub(crate) fn first_block(&self) -> usize {
        self.from.min(self.n_tokens.saturating_sub(1)) / KV_BLOCK
    }

    /// Number of norms: one for each block from [`first_block`](Self::first_block) on.
    pub(crate) fn n_norms(&self) -> usize {
        self.n_tokens.div_ceil(KV_BLOCK) - self.first_block()
    }
}

/// Place of a head's rows and norms in a layer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Kept {
    keeps: Keeps,
    first_row: usize,
    first_norm: usize,
}

impl Kept {
    /// Row of a position; `None` if it is not kept.
    pub(crate) fn row(&self, pos: usize) -> Option<usize> {
        let Keeps { from, n_sinks, .. } = self.keeps;
        match pos.checked_sub(from) {
            Some(behind) => Some(self.first_row + n_sinks + behind),
            None => (pos < n_sinks).then_some(self.first_row + pos),
        }
    }
}

impl<'p> Prefix<'p> {
    /// Checks that a snapshot is whole, lies at a multiple of 8 bytes, and was made with this model.
    ///
    /// # Errors
    /// [`PrefixError`] says what is wrong. An incomplete or changed snapshot is always refused.
    pub fn from_bytes(bytes: &'p [u8], model: ModelId) -> Result<Self, PrefixError> {
        let header = SnapshotHeader::read(bytes)?;
        if header.n_bytes != bytes.len() as u64 || !bytes.len().is_multiple_of(Line::BYTES) {
            return Err(PrefixError::Size { need: header.n_bytes, have: bytes.len() as u64 });
        }
        if view::<u64>(bytes).is_none() {
            return Err(PrefixError::Misaligned);
        }
        let words = view::<u32>(bytes).ok_or(PrefixError::Misaligned)?;
        let (before, from_checksum) = words.split_at_checked(CHECKSUM).ok_or(PrefixError::Damaged)?;
        let (&checksum, after) = from_checksum.split_first().ok_or(PrefixError::Damaged)?;
        // Two tight loops, instead of one that skips the checksum.
        let sum = before.iter().fold(Checksum::EMPTY, |sum, &word| sum.then(word));
        if after.iter().fold(sum, |sum, &word| sum.then(word)).get() != checksum {
            return Err(PrefixError::Damaged);
        }
        if header.model != model {
            return Err(PrefixError::Model { made_with: header.model, found: model });
        }
        Self::of_parts(header, words, bytes)?.ok_or(PrefixError::Damaged)
    }

    /// Reads the parts; `None` if they contradict each other.
    fn of_parts(header: SnapshotHeader, words: &'p [u32], bytes: &'p [u8]) -> Result<Option<Self>, PrefixError> {
        if [header.kv.keys, header.kv.values].contains(&KvType::Q4_0) && Q4Built::PROOF.is_none() {
            return Err(PrefixError::Q4NotBuilt);
        }
        Ok(Self::read_parts(header, words, bytes))
    }

    fn read_parts(header: SnapshotHeader, words: &'p [u32], bytes: &'p [u8]) -> Option<Self> {
        let last_tokens = words.get(LAST_TOKENS..NAME)?.get(..header.n_last_tokens)?;
        let name = bytes.get(4 * NAME..)?.get(..NAME_BYTES)?;
        let name = core::str::from_utf8(name).ok()?.trim_end_matches('\0');
        let mut sections = Sections::new(bytes.get(SnapshotHeader::BYTES..)?);
        let heads = sections.take::<u64>(header.n_head_kv.checked_mul(HEAD)?)?.as_chunks::<HEAD>().0;
        let per_layer = count(heads, header.n_tokens)?;
        let n_rows = header.n_layer.checked_mul(per_layer.rows)?;
        let n_norms = header.n_layer.checked_mul(per_layer.norms)?;
        let mut store = |ty| rows(&mut sections, &StoreLengths::new(ty, n_rows, header.head_dim).ok()?);
        let (keys, values) = (store(header.kv.keys)?, store(header.kv.values)?);
        let norms = sections.take(n_norms)?;
        let text = TextState { model_name: name, last_tokens, seed: header.seed };
        sections.is_empty().then_some(Self { header, text, heads, keys, values, norms, per_layer })
    }

    /// Header of the snapshot.
    pub fn header(&self) -> &SnapshotHeader {
        &self.header
    }

    /// Number of positions that were run.
    pub fn n_tokens(&self) -> usize {
        self.header.n_tokens
    }

    /// State that continuing the text needs besides keys and values.
    pub fn text(&self) -> TextState<'p> {
        self.text
    }

    /// Oldest position that each KV head keeps, apart from sinks.
    pub fn oldest(&self) -> impl Iterator<Item = usize> {
        self.heads.iter().map(|&[from, ..]| from as usize)
    }

    /// Checks that a session of this configuration may begin with the prefix.
    pub(crate) fn check(&self, s: &Shape, config: &SessionConfig) -> Result<(), PrefixError> {
        let h = &self.header;
        let counts = [
            ("layers", h.n_layer, s.n_layer),
            ("KV heads", h.n_head_kv, s.n_head_kv),
            ("columns in a head", h.head_dim, s.head_dim),
        ];
        if let Some((what, snapshot, model)) = counts.into_iter().find(|(_, snapshot, model)| snapshot != model) {
            return Err(PrefixError::Shape { what, snapshot, model });
        }
        if h.kv != config.kv {
            return Err(PrefixError::KvTypes { snapshot: h.kv, session: config.kv });
        }
        if h.horizon_eps.to_bits() != config.horizon_eps.to_bits() {
            return Err(PrefixError::HorizonEps { snapshot: h.horizon_eps, session: config.horizon_eps });
        }
        if h.alibi_bf16 != config.alibi_bf16 {
            return Err(PrefixError::AlibiBf16 { snapshot: h.alibi_bf16 });
        }
        for (head, &[from, n_sinks, ..]) in self.heads.iter().enumerate() {
            let (has, n_sinks) = (from as usize, n_sinks as usize);
            let needs = HeadRing::new(s, config, head).oldest(h.n_tokens);
            if needs < has {
                return Err(PrefixError::Ring { head, needs, has });
            }
            let needs = config.n_sinks.min(h.n_tokens);
            if n_sinks < needs && n_sinks < has {
                return Err(PrefixError::Sinks { needs, has: n_sinks });
            }
        }
        Ok(())
    }

    /// Place of a head's rows and norms in a layer; `None` if there is no such head.
    pub(crate) fn kept(&self, layer: usize, head: usize) -> Option<Kept> {
        let &[from, n_sinks, first_row, first_norm] = self.heads.get(head)?;
        let keeps = Keeps { n_tokens: self.header.n_tokens, from: from as usize, n_sinks: n_sinks as usize };
        Some(Kept {
            keeps,
            first_row: layer * self.per_layer.rows + first_row as usize,
            first_norm: layer * self.per_layer.norms + first_norm as usize,
        })
    }

    /// Keys and values of consecutive rows.
    pub(crate) fn rows(&self, rows: Range<usize>) -> Option<[KvRows<'p>; 2]> {
        let head_dim = self.header.head_dim;
        Some([self.keys.rows(rows.clone(), head_dim)?, self.values.rows(rows, head_dim)?])
    }

    /// Norm of a block; `None` if it is not kept.
    pub(crate) fn norm(&self, kept: &Kept, block: usize) -> Option<f32> {
        self.norms.get(kept.first_norm + block.checked_sub(kept.keeps.first_block())?).copied()
    }
}

/// Rows and norms of a layer; `None` if a head does not begin where the one before ends, or keeps impossible positions.
fn count(heads: &[[u64; HEAD]], n_tokens: usize) -> Option<Counts> {
    heads.iter().try_fold(Counts { rows: 0, norms: 0 }, |n, &head| {
        let [from, n_sinks, first_row, first_norm] = head;
        let (from, n_sinks) = (usize::try_from(from).ok()?, usize::try_from(n_sinks).ok()?);
        let is_sound = from <= n_tokens
            && from.is_multiple_of(KV_BLOCK)
            && n_sinks <= from
            && [first_row, first_norm] == [n.rows as u64, n.norms as u64];
        if !is_sound {
            return None;
        }
        let keeps = Keeps { n_tokens, from, n_sinks };
        Some(Counts { rows: n.rows.checked_add(keeps.n_rows())?, norms: n.norms.checked_add(keeps.n_norms())? })
    })
}

/// Reads the next rows and their scales.
fn rows<'p>(sections: &mut Sections<'p>, n: &StoreLengths) -> Option<KvRows<'p>> {
    Some(match n.ty {
        KvType::F32 => KvRows::F32(sections.take(n.elements)?),
        KvType::F16 => KvRows::F16(sections.take(n.elements)?),
        KvType::Q8_0 => KvRows::Q8_0 { qs: sections.take(n.elements)?, d: sections.take(n.scales)? },
        KvType::Q4_0 => {
            let built = Q4Built::PROOF?;
            KvRows::Q4_0 { qs: sections.take(n.elements)?, d: sections.take(n.scales)?, built }
        }
    })
}
