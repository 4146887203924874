//! Writes a session's keys and values as the bytes of a snapshot.

use nearfield_kernels::{Arena, Line};

use super::header::{CHECKSUM, N_WORDS, SnapshotHeader};
use super::{ModelId, TextState};
use crate::cache::KvCache;
use crate::checksum::{Checksum, Words};
use crate::config::SessionConfig;
use crate::lengths::StoreLengths;
use crate::planned::Planned;
use crate::shape::Shape;

/// Snapshot of a session's text so far, from [`Session::snapshot`](crate::Session::snapshot). Its bytes are made as they are
/// written.
#[derive(Clone, Debug)]
pub struct Snapshot<'s> {
    cache: &'s KvCache<'s>,
    header: [u32; N_WORDS],
    n_layer: usize,
    n_head_kv: usize,
    n_tokens: usize,
    n_bytes: usize,
}

impl<'s> Snapshot<'s> {
    /// Snapshot of the first `n_tokens` positions. `None` if they are not all there, which a session rules out.
    pub(crate) fn new(
        cache: &'s KvCache<'s>,
        s: &Shape,
        config: &SessionConfig,
        n_tokens: usize,
        model: ModelId,
        text: &TextState<'_>,
    ) -> Option<Self> {
        let n_dropped = text.last_tokens.len().saturating_sub(TextState::MAX_TOKENS);
        let text = TextState { last_tokens: text.last_tokens.get(n_dropped..)?, ..*text };
        let (mut n_rows, mut n_norms) = (0, 0);
        for head in 0..s.n_head_kv {
            let keeps = cache.keeps(head, n_tokens)?;
            n_rows += keeps.n_rows();
            n_norms += keeps.n_norms();
        }
        let store = |ty| StoreLengths::new(ty, s.n_layer * n_rows, s.head_dim).ok()?.bytes().ok();
        let n_bytes = SnapshotHeader::BYTES
            + Arena::bytes_of::<[u64; 4]>(s.n_head_kv)?
            + store(config.kv.keys)?
            + store(config.kv.values)?
            + Arena::bytes_of::<f32>(s.n_layer * n_norms)?;
        let header = SnapshotHeader {
            model,
            n_bytes: n_bytes as u64,
            n_tokens,
            seed: text.seed,
            n_layer: s.n_layer,
            n_head_kv: s.n_head_kv,
            head_dim: s.head_dim,
            kv: config.kv,
            horizon_eps: config.horizon_eps,
            alibi_bf16: config.alibi_bf16,
            n_last_tokens: text.last_tokens.len(),
            n_sinks: config.n_sinks,
            alibi_scale: config.alibi_scale,
        };
        let header = header.words(&text);
        let mut snapshot = Self { cache, header, n_layer: s.n_layer, n_head_kv: s.n_head_kv, n_tokens, n_bytes };
        let checksum = snapshot.checksum()?;
        *snapshot.header.get_mut(CHECKSUM)? = checksum;
        Some(snapshot)
    }

    /// Number of bytes.
    pub fn n_bytes(&self) -> usize {
        self.n_bytes
    }

    /// Passes all bytes to `write`, piece by piece, until it fails.
    ///
    /// # Errors
    /// The error of `write`.
    pub fn write<E>(&self, mut write: impl FnMut(&[u8]) -> Result<(), E>) -> Result<(), E> {
        let mut result = Ok(());
        for word in self.header {
            write(&word.to_ne_bytes())?;
        }
        // `new` read the same parts, so that none can be missing.
        let _ = self.parts(&mut |bytes| {
            result = write(bytes);
            result.is_ok()
        });
        result
    }

    fn checksum(&self) -> Option<u32> {
        let header = self.header.iter().enumerate().filter(|&(i, _)| i != CHECKSUM);
        let sum = header.fold(Checksum::EMPTY, |sum, (_, &word)| sum.then(word));
        let (mut words, mut n) = (Words::behind(sum), SnapshotHeader::BYTES);
        self.parts(&mut |bytes| {
            n += bytes.len();
            words.push(bytes);
            true
        })?;
        (n == self.n_bytes).then(|| words.get())
    }

    /// Passes all bytes behind the header to `each`, until it returns false.
    fn parts(&self, each: &mut dyn FnMut(&[u8]) -> bool) -> Planned {
        let mut out = Padded { each, n: 0 };
        let (mut n_rows, mut n_norms) = (0, 0);
        for head in 0..self.n_head_kv {
            let keeps = self.cache.keeps(head, self.n_tokens)?;
            for word in [keeps.from, keeps.n_sinks, n_rows, n_norms] {
                out.push(&(word as u64).to_ne_bytes())?;
            }
            n_rows += keeps.n_rows();
            n_norms += keeps.n_norms();
        }
        out.pad()?;
        for which in 0..2 {
            for part in 0..2 {
                for (layer, head) in self.heads() {
                    self.cache.each_kept(layer, head, self.n_tokens, &mut |rows| {
                        out.push(rows.get(which)?.bytes().get(part)?)
                    })?;
                }
                out.pad()?;
            }
        }
        for (layer, head) in self.heads() {
            self.cache.each_kept_norm(layer, head, self.n_tokens, &mut |norm| out.push(&norm.to_ne_bytes()))?;
        }
        out.pad()
    }

    fn heads(&self) -> impl Iterator<Item = (usize, usize)> {
        let n_head_kv = self.n_head_kv;
        (0..self.n_layer).flat_map(move |layer| (0..n_head_kv).map(move |head| (layer, head)))
    }
}

/// Passes bytes to `each`, in parts padded to whole lines.
struct Padded<'e> {
    each: &'e mut dyn FnMut(&[u8]) -> bool,
    /// Bytes of this part so far.
    n: usize,
}

impl Padded<'_> {
    fn push(&mut self, bytes: &[u8]) -> Planned {
        self.n += bytes.len();
        (bytes.is_empty() || (self.each)(bytes)).then_some(())
    }

    /// Ends a part with zeros up to a whole line.
    fn pad(&mut self) -> Planned {
        let n_zeros = self.n.next_multiple_of(Line::BYTES) - self.n;
        self.n = 0;
        let zeros = [0; Line::BYTES];
        let zeros = zeros.get(..n_zeros)?;
        (zeros.is_empty() || (self.each)(zeros)).then_some(())
    }
}
