//! A session of the library over a file, in one call.

use nearfield::kernels::{Kernels, best};
use nearfield::{
    AlibiScale, Arena, Executor, Inline, KvType, KvTypes, Line, MemoryPlan, Model, ModelId, Prefix, Ring, Session,
    SessionConfig, Snapshot, TextState,
};

/// Settings of a session's run.
#[derive(Clone, Copy)]
pub struct Setup<'a> {
    pub config: SessionConfig,
    pub kernels: &'a dyn Kernels,
    pub executor: &'a dyn Executor,
}

impl Default for Setup<'_> {
    /// The fastest kernels, one worker, f32 keys and values, every key visited.
    fn default() -> Self {
        let config = SessionConfig {
            n_ctx: 512,
            n_batch: 512,
            kv: KvType::F32.into(),
            horizon_eps: 0.0,
            ..SessionConfig::DEFAULT
        };
        Self { config, kernels: best(), executor: &Inline }
    }
}

impl Setup<'_> {
    /// Calls `run` with a new session, in an arena of exactly the planned size that held something else before.
    ///
    /// # Panics
    /// When there can be no such session.
    pub fn session<R>(&self, file: &[u8], run: impl FnOnce(&mut Session<'_, '_, '_>) -> R) -> R {
        let model = Model::from_gguf(file).unwrap_or_else(|error| panic!("{error}"));
        let plan = MemoryPlan::new(model.shape(), &self.config).unwrap_or_else(|error| panic!("{error}"));
        let mut lines = vec![Line::ZERO; plan.n_lines()];
        soil(&mut lines);
        let mut arena = Arena::new(&mut lines);
        let session = Session::new(&model, self.config, self.kernels, self.executor, &mut arena);
        let mut session = session.unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(arena.free_bytes(), plan.tokenizer, "the session leaves what the plan keeps for the tokenizer");
        run(&mut session)
    }

    /// Calls `run` with a session that continues `snapshot`.
    ///
    /// # Panics
    /// When there can be no such session.
    pub fn session_behind<R>(
        &self,
        file: &[u8],
        snapshot: &Flash,
        run: impl FnOnce(&mut Session<'_, '_, '_>) -> R,
    ) -> R {
        let model = Model::from_gguf(file).unwrap_or_else(|error| panic!("{error}"));
        let prefix = Prefix::from_bytes(snapshot.bytes(), ModelId::of(file)).unwrap_or_else(|error| panic!("{error}"));
        let config = SessionConfig { n_prefix: prefix.n_tokens(), ..self.config };
        let plan = MemoryPlan::new(model.shape(), &config).unwrap_or_else(|error| panic!("{error}"));
        let mut lines = vec![Line::ZERO; plan.n_lines()];
        soil(&mut lines);
        let mut arena = Arena::new(&mut lines);
        let session = Session::with_prefix(&model, config, self.kernels, self.executor, &mut arena, prefix);
        let mut session = session.unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(arena.free_bytes(), plan.tokenizer, "the session leaves what the plan keeps for the tokenizer");
        assert_eq!(session.pos(), prefix.n_tokens());
        run(&mut session)
    }

    /// The logits after each token of a new text.
    pub fn logits(&self, file: &[u8], tokens: &[u32]) -> Vec<Vec<f32>> {
        self.session(file, |session| logits(session, tokens))
    }

    pub fn with_kv(self, kv: impl Into<KvTypes>) -> Self {
        Self { config: SessionConfig { kv: kv.into(), ..self.config }, ..self }
    }

    pub fn with_batch(self, n_batch: usize) -> Self {
        Self { config: SessionConfig { n_batch, ..self.config }, ..self }
    }

    pub fn with_ctx(self, n_ctx: usize) -> Self {
        Self { config: SessionConfig { n_ctx, ..self.config }, ..self }
    }

    pub fn with_ring(self, ring: Ring) -> Self {
        Self { config: SessionConfig { ring, ..self.config }, ..self }
    }

    pub fn with_bf16(self, alibi_bf16: bool) -> Self {
        Self { config: SessionConfig { alibi_bf16, ..self.config }, ..self }
    }

    pub fn with_scale(self, alibi_scale: AlibiScale) -> Self {
        Self { config: SessionConfig { alibi_scale, ..self.config }, ..self }
    }

    pub fn with_eps(self, horizon_eps: f32) -> Self {
        Self { config: SessionConfig { horizon_eps, ..self.config }, ..self }
    }
}

/// Bytes at an aligned address.
pub struct Flash {
    lines: Vec<Line>,
    n_bytes: usize,
}

impl Flash {
    pub fn new(bytes: &[u8]) -> Self {
        let mut lines = vec![Line::ZERO; bytes.len().div_ceil(Line::BYTES)];
        Line::bytes_mut(&mut lines)[..bytes.len()].copy_from_slice(bytes);
        Self { lines, n_bytes: bytes.len() }
    }

    pub fn bytes(&self) -> &[u8] {
        &Line::bytes(&self.lines)[..self.n_bytes]
    }
}

/// A session's text so far.
pub fn snapshot(session: &mut Session<'_, '_, '_>, file: &[u8], text: &TextState<'_>) -> Flash {
    let snapshot = session.snapshot(ModelId::of(file), text).unwrap_or_else(|error| panic!("{error}"));
    Flash::new(&bytes_of(&snapshot))
}

/// Bytes of a snapshot.
pub fn bytes_of(snapshot: &Snapshot<'_>) -> Vec<u8> {
    let mut bytes = vec![];
    let Ok(()) = snapshot.write(|part| {
        bytes.extend_from_slice(part);
        Ok::<(), std::convert::Infallible>(())
    });
    assert_eq!(bytes.len(), snapshot.n_bytes());
    bytes
}

/// The logits after each of `tokens`.
pub fn logits(session: &mut Session<'_, '_, '_>, tokens: &[u32]) -> Vec<Vec<f32>> {
    let mut rows = vec![];
    session.prefill_each(tokens, |row| rows.push(row.to_vec())).unwrap_or_else(|error| panic!("{error}"));
    rows
}

/// Bytes that are large numbers in every type, so that memory read before it is written shows.
pub fn soil(lines: &mut [Line]) {
    let n = lines.len() * Line::BYTES;
    let mut arena = Arena::new(lines);
    arena.take::<u8>(n).expect("all of it").fill(0x7b);
}
