//! Encoders run whole documents, several in a pass: each token sees keys on both sides, and the result is one vector or one score
//! for each document.

use core::fmt;

use nearfield_kernels::{Arena, Kernels};

use crate::config::{AlibiScale, PlanError};
use crate::executor::Executor;
use crate::heads::Heads;
use crate::model::{Head, LoadError, Model};
use crate::pass::{Runner, Visited};
use crate::steps::{all_finite, rows_mut};

mod config;
mod documents;
mod forward;
mod keys;
mod plan;
mod pooling;

pub use config::EncoderConfig;
use documents::Documents;
use forward::Buffers;
use keys::Keys;
pub use plan::EncoderPlan;
use plan::Lengths;
pub use pooling::Pooling;

/// Error of an encoder that cannot be made.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum EncoderError {
    /// The model is a decoder: a [`Session`](crate::Session) runs it.
    Decoder {
        /// `general.architecture` of the model.
        arch: &'static str,
    },
    /// No plan can be made for the configuration.
    Plan(PlanError),
    /// The arena is smaller than the plan.
    ArenaTooSmall {
        /// Bytes of the plan.
        need: usize,
        /// Bytes that are free in the arena.
        have: usize,
    },
    /// The model's tables changed since they were checked, which means that the file was written to.
    Load(LoadError),
}

impl fmt::Display for EncoderError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Decoder { arch } => {
                write!(f, "a model of architecture {arch} is a decoder: it continues texts, and gives no embeddings")
            }
            Self::Plan(ref error) => error.fmt(f),
            Self::ArenaTooSmall { need, have } => {
                write!(f, "the encoder needs an arena of {need} bytes, it has {have}")
            }
            Self::Load(ref error) => error.fmt(f),
        }
    }
}

impl core::error::Error for EncoderError {}

impl From<PlanError> for EncoderError {
    fn from(error: PlanError) -> Self {
        Self::Plan(error)
    }
}

/// Error of a document that cannot be encoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum DocumentError {
    /// The document has no tokens.
    NoTokens,
    /// A token that is not in the model's vocabulary.
    Token {
        /// The token.
        token: u32,
        /// Size of the vocabulary.
        n_vocab: usize,
    },
    /// The document is longer than was planned for.
    TooLong {
        /// Tokens of the document.
        n_tokens: usize,
        /// Tokens that fit.
        n_ctx: usize,
    },
    /// A second text was given to a model without a second type of tokens.
    TokenTypes {
        /// Number of token types of the model.
        n_token_types: usize,
    },
    /// A score was asked of a model that gives none.
    NoScore,
    /// A number of the document's rows, of its vector or its score is NaN or infinite: a weight of the model is not finite
    /// either, or activations overflow.
    NotFinite,
    /// The encoder's memory is not what its plan says. This is a bug of this library.
    Broken,
}

impl fmt::Display for DocumentError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::NoTokens => f.write_str("no tokens to encode"),
            Self::Token { token, n_vocab } => write!(f, "token {token} is not below the vocabulary's size {n_vocab}"),
            Self::TooLong { n_tokens, n_ctx } => {
                write!(f, "a document of {n_tokens} tokens, where there is room for {n_ctx}")
            }
            Self::TokenTypes { n_token_types } => {
                write!(f, "tokens of a second text need a second token type, the model has {n_token_types}")
            }
            Self::NoScore => f.write_str("the model has no cls.output: it gives embeddings, and no scores"),
            Self::NotFinite => f.write_str("the document's rows are not finite numbers: the model is broken"),
            Self::Broken => f.write_str("the encoder's memory is not what its plan says: a bug of nearfield"),
        }
    }
}

impl core::error::Error for DocumentError {}

/// Runs a model that makes a vector, or a score, of a whole document.
///
/// ```no_run
/// use nearfield::{Arena, Encoder, EncoderConfig, EncoderPlan, Inline, Line, Model, Pooling, kernels};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let file = std::fs::read("jina-embeddings-v2-small-en.gguf")?;
/// let model = Model::from_gguf(&file)?;
/// let config = EncoderConfig { n_ctx: 8192, ..EncoderConfig::default() };
/// let mut memory = vec![Line::ZERO; EncoderPlan::new(model.shape(), &config)?.n_lines()];
/// let mut encoder = Encoder::new(&model, config, kernels::best(), &Inline, &mut Arena::new(&mut memory))?;
/// let vector: &[f32] = encoder.embed(&[101, 7592, 102], Pooling::Mean, true)?;
/// # Ok(())
/// # }
/// ```
pub struct Encoder<'m, 'f, 'a> {
    runner: Runner<'m, 'f, 'a>,
    config: EncoderConfig,
    keys: Keys<'a>,
    documents: Documents<'a>,
    act: Buffers<'a>,
    /// `[n_documents, n_embd]`: the last vectors, or scores.
    output: &'a mut [f32],
    /// Sum of the keys of each query's document, over all queries so far.
    held: u64,
}

impl fmt::Debug for Encoder<'_, '_, '_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Encoder").field("config", &self.config).finish_non_exhaustive()
    }
}

impl<'m, 'f, 'a> Encoder<'m, 'f, 'a> {
    /// Creates an encoder with its memory from `arena`, which has to have [`EncoderPlan::encoder`] bytes free.
    ///
    /// # Errors
    /// [`EncoderError::Decoder`] for a decoder; [`EncoderError::ArenaTooSmall`] tells the bytes needed and free;
    /// [`EncoderError::Plan`] for a bad configuration.
    pub fn new(
        model: &'m Model<'f>,
        config: EncoderConfig,
        kernels: &'m dyn Kernels,
        executor: &'m dyn Executor,
        arena: &mut Arena<'a>,
    ) -> Result<Self, EncoderError> {
        let s = model.shape();
        if !s.arch.is_encoder() {
            return Err(EncoderError::Decoder { arch: s.arch.name });
        }
        let need = EncoderPlan::new(s, &config)?.encoder();
        let n = Lengths::new(s, &config)?;
        let have = arena.free_bytes();
        let too_small = EncoderError::ArenaTooSmall { need, have };
        if need > have {
            return Err(too_small);
        }
        let Taken { keys, words, documents, act, output } = take(arena, model, &config, &n).ok_or(too_small)?;
        let runner = Runner::new(model, kernels, executor, words).map_err(EncoderError::Load)?;
        Ok(Self { runner, config, keys, documents, act, output, held: 0 })
    }

    /// Computes the vector (`[n_embd]`) of a document, of length one if `normalize` is true.
    ///
    /// # Errors
    /// [`DocumentError`]. Nothing was run then, unless it is [`DocumentError::NotFinite`].
    pub fn embed(&mut self, tokens: &[u32], pooling: Pooling, normalize: bool) -> Result<&[f32], DocumentError> {
        self.embed_pass(&[tokens], pooling, normalize)
    }

    /// Computes the vectors of the first documents in one pass, as many as it holds and at least one: `[n, n_embd]`, with the bits
    /// that each gets alone. A document that cannot be encoded ends the pass before it, so errors concern the first document.
    ///
    /// ```
    /// # use nearfield::{DocumentError, Encoder, Pooling};
    /// /// Hands the vector of each text to `take`.
    /// fn embed_all(
    ///     encoder: &mut Encoder<'_, '_, '_>,
    ///     mut texts: &[Vec<u32>],
    ///     n_embd: usize,
    ///     mut take: impl FnMut(&[f32]),
    /// ) -> Result<(), DocumentError> {
    ///     while !texts.is_empty() {
    ///         let vectors = encoder.embed_pass(texts, Pooling::Mean, true)?;
    ///         vectors.chunks_exact(n_embd).for_each(&mut take);
    ///         texts = &texts[vectors.len() / n_embd..];
    ///     }
    ///     Ok(())
    /// }
    /// ```
    ///
    /// # Errors
    /// Errors of [`embed`](Self::embed), for the first document.
    pub fn embed_pass(
        &mut self,
        documents: &[impl AsRef<[u32]>],
        pooling: Pooling,
        normalize: bool,
    ) -> Result<&[f32], DocumentError> {
        self.run(documents.iter().map(|tokens| (tokens.as_ref(), usize::MAX)))?;
        let n_embd = self.runner.shape().n_embd;
        let (kernels, mut n_finite) = (self.runner.kernels, 0);
        for (document, vector) in self.documents.iter().zip(rows_mut(self.output, n_embd)) {
            let rows = document.rows();
            let x = self.act.x.get(rows.start * n_embd..rows.end * n_embd).ok_or(DocumentError::Broken)?;
            // A maximum would hide a NaN.
            if !all_finite(x) {
                break;
            }
            let sum = self.act.a.get_mut(..n_embd).ok_or(DocumentError::Broken)?;
            pooling.pool(kernels, x, sum, vector).ok_or(DocumentError::Broken)?;
            if normalize {
                pooling::normalize(kernels, vector);
            }
            if !all_finite(vector) {
                break;
            }
            n_finite += 1;
        }
        self.results(n_finite, n_embd)
    }

    /// Computes the score of a pair of texts, query and document, whose tokens from `second` on are of the second type
    /// (`tokens.len()` if the model has one type). The logistic function of the score is a probability.
    ///
    /// # Errors
    /// [`DocumentError::NoScore`] for a model that is not a reranker, [`DocumentError::TokenTypes`] for a second text without a
    /// type, and the errors of [`embed`](Self::embed).
    pub fn score(&mut self, tokens: &[u32], second: usize) -> Result<f32, DocumentError> {
        self.score_pass(&[(tokens, second)])?.first().copied().ok_or(DocumentError::Broken)
    }

    /// Computes the scores of the first pairs in one pass, as [`embed_pass`](Self::embed_pass) computes vectors. A pair is tokens
    /// and the index of the first of the second type.
    ///
    /// # Errors
    /// Errors of [`score`](Self::score), for the first pair.
    pub fn score_pass(&mut self, pairs: &[(impl AsRef<[u32]>, usize)]) -> Result<&[f32], DocumentError> {
        if !self.has_score() {
            return Err(DocumentError::NoScore);
        }
        self.run(pairs.iter().map(|(tokens, second)| (tokens.as_ref(), *second)))?;
        let forward = self.runner.forward();
        forward.scores(&self.documents, &mut self.act, self.output).ok_or(DocumentError::Broken)?;
        let scores = self.output.iter().take(self.documents.len());
        let n_finite = scores.take_while(|score| score.is_finite()).count();
        self.results(n_finite, 1)
    }

    /// Computes the rows of a document, one for each token: `[n_tokens, n_embd]`. Rows of a broken model may be NaN.
    ///
    /// # Errors
    /// Errors of [`embed`](Self::embed), except [`DocumentError::NotFinite`].
    pub fn rows(&mut self, tokens: &[u32]) -> Result<&[f32], DocumentError> {
        self.run([(tokens, usize::MAX)].into_iter())?;
        self.act.x.get(..tokens.len() * self.runner.shape().n_embd).ok_or(DocumentError::Broken)
    }

    /// True if the model gives scores.
    pub fn has_score(&self) -> bool {
        matches!(self.runner.model.head, Head::Encoder { cls_output: Some(_), .. })
    }

    /// Tokens of the longest document that fits.
    pub fn n_ctx(&self) -> usize {
        self.config.n_ctx
    }

    /// Number of keys that attention visited since the encoder was created (`[n_layer, n_head]`), and the number that walks to
    /// both ends would have visited, for each head of each layer.
    pub fn key_stats(&self) -> (&[u64], u64) {
        (self.act.visited.total(), self.held)
    }

    /// Checks that a document can be run, without running it.
    ///
    /// # Errors
    /// Errors of [`embed`](Self::embed), except [`DocumentError::NotFinite`].
    pub fn check(&self, tokens: &[u32]) -> Result<(), DocumentError> {
        let s = self.runner.shape();
        if tokens.is_empty() {
            return Err(DocumentError::NoTokens);
        }
        if let Some(&token) = tokens.iter().find(|&&token| token as usize >= s.n_vocab) {
            return Err(DocumentError::Token { token, n_vocab: s.n_vocab });
        }
        if tokens.len() > self.config.n_ctx {
            return Err(DocumentError::TooLong { n_tokens: tokens.len(), n_ctx: self.config.n_ctx });
        }
        Ok(())
    }

    /// Runs the first documents, as many as a pass holds.
    fn run<'t>(&mut self, documents: impl Iterator<Item = (&'t [u32], usize)>) -> Result<(), DocumentError> {
        self.documents.clear();
        for (tokens, second) in documents {
            let checked = self.check(tokens).and_then(|()| self.check_types(tokens, second));
            match checked {
                Err(error) if self.documents.len() == 0 => return Err(error),
                Ok(()) if self.documents.push(tokens, second) => {}
                _ => break,
            }
        }
        let forward = self.runner.forward();
        forward.documents(&self.documents, &mut self.keys, &mut self.act).ok_or(DocumentError::Broken)?;
        self.held += self.documents.iter().map(|document| (document.n_tokens as u64).pow(2)).sum::<u64>();
        Ok(())
    }

    fn check_types(&self, tokens: &[u32], second: usize) -> Result<(), DocumentError> {
        let n_token_types = self.runner.shape().n_token_types;
        match second < tokens.len() && n_token_types < 2 {
            true => Err(DocumentError::TokenTypes { n_token_types }),
            false => Ok(()),
        }
    }

    /// The first `n` results of the pass, `width` numbers each. An error if documents were run and the first has no result.
    fn results(&self, n: usize, width: usize) -> Result<&[f32], DocumentError> {
        if n == 0 && self.documents.len() > 0 {
            return Err(DocumentError::NotFinite);
        }
        self.output.get(..n * width).ok_or(DocumentError::Broken)
    }
}

/// Memory of an encoder.
struct Taken<'a> {
    keys: Keys<'a>,
    words: &'a mut [u64],
    documents: Documents<'a>,
    act: Buffers<'a>,
    output: &'a mut [f32],
}

/// Takes the parts from the arena, in the order of the plan; `None` if it is too small.
fn take<'a>(arena: &mut Arena<'a>, model: &Model<'_>, config: &EncoderConfig, n: &Lengths) -> Option<Taken<'a>> {
    let heads = Heads {
        kv: config.kv.keys,
        // Half of the share for the keys before a query, half for those after it.
        horizon_eps: config.horizon_eps * 0.5,
        alibi_bf16: false,
        alibi_scale: AlibiScale::Model,
        n_ctx: config.n_ctx,
    };
    let keys = Keys::take(arena, model.shape(), n, heads)?;
    let words = arena.take(n.pass.layer_table)?;
    let documents = Documents::take(arena, n)?;
    let act = Buffers {
        x: arena.take(n.document)?,
        a: arena.take(n.pass.residual)?,
        b: arena.take(n.pass.residual)?,
        ffn: arena.take(n.ffn)?,
        gate: arena.take(n.pass.gate)?,
        q8: arena.take(n.pass.q8)?,
        visited: Visited::take(arena, &n.visited)?,
    };
    Some(Taken { keys, words, documents, act, output: arena.take(n.output)? })
}
