//! The model families, as data.
//!
//! A family is a row of [`ARCHITECTURES`]; what a file may have or leave out (biases, fused or split QKV, a tied output,
//! fewer KV heads, a clamp) is found by looking at the file and is no property of the family.

/// Which graph a family runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Graph {
    /// Each token sees those before it; norms come before attention and feed-forward; logits ([`Session`](crate::Session)).
    Decoder,
    /// Each token sees all of them; norms come after attention and feed-forward; a vector or a score for the whole text
    /// ([`Encoder`](crate::Encoder)).
    Encoder,
}

/// How the residual stream is normalised before attention and feed-forward.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Norm {
    /// Mean and variance; with a bias if the file has one.
    Layer,
    /// Root mean square only.
    Rms,
}

/// The function between the two matrices of the feed-forward.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Activation {
    /// GELU, tanh form.
    GeluTanh,
    /// GELU, exact form.
    GeluErf,
    /// SiLU.
    Silu,
}

/// What `q · k` is multiplied with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum AttentionScale {
    /// `1 / sqrt(head_dim)`.
    InvSqrtHeadDim,
    /// `1 / head_dim` (muP).
    InvHeadDim,
}

/// Where the ALiBi slopes' `max_bias` comes from.
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum MaxBias {
    /// `{arch}.attention.max_alibi_bias`, or this value when the file has no such key.
    Default(f32),
    /// The file has to say it: without the key the model would have no positions at all.
    Required,
}

/// One row of the table.
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Architecture {
    /// `general.architecture`, and the prefix of the family's keys.
    pub name: &'static str,
    /// What runs it.
    pub graph: Graph,
    /// Kind of all norms.
    pub norm: Norm,
    /// Key of the norms' epsilon, after the prefix.
    pub norm_eps_key: &'static str,
    /// Whether the token embeddings are normalised too.
    pub embedding_norm: bool,
    /// Activation of the feed-forward.
    pub activation: Activation,
    /// Whether the feed-forward is gated: `down(activation(gate x) * up x)`.
    pub gated: bool,
    /// Scale of the attention scores.
    pub scale: AttentionScale,
    /// Source of the slopes.
    pub max_bias: MaxBias,
}

const LAYER_NORM_EPS: &str = ".attention.layer_norm_epsilon";

/// The families that run. Facts: the models' reference code in `transformers` (BLOOM, MPT).
pub const ARCHITECTURES: &[Architecture] = &[
    Architecture {
        name: "bloom",
        graph: Graph::Decoder,
        norm: Norm::Layer,
        norm_eps_key: LAYER_NORM_EPS,
        embedding_norm: true,
        activation: Activation::GeluTanh,
        gated: false,
        scale: AttentionScale::InvSqrtHeadDim,
        max_bias: MaxBias::Default(8.0),
    },
    Architecture {
        name: "mpt",
        graph: Graph::Decoder,
        norm: Norm::Layer,
        norm_eps_key: LAYER_NORM_EPS,
        embedding_norm: false,
        activation: Activation::GeluErf,
        gated: false,
        scale: AttentionScale::InvSqrtHeadDim,
        max_bias: MaxBias::Required,
    },
    // Jina embeddings v2 and reranker v1, MosaicBERT, DNABERT-2.
    Architecture {
        name: "jina-bert-v2",
        graph: Graph::Encoder,
        norm: Norm::Layer,
        norm_eps_key: LAYER_NORM_EPS,
        embedding_norm: true,
        activation: Activation::GeluErf,
        gated: true,
        scale: AttentionScale::InvSqrtHeadDim,
        max_bias: MaxBias::Default(8.0),
    },
];

impl Architecture {
    /// Whether its models are run by an [`Encoder`](crate::Encoder).
    pub const fn is_encoder(&self) -> bool {
        matches!(self.graph, Graph::Encoder)
    }

    /// The row for `general.architecture`.
    pub const fn find(name: &[u8]) -> Option<&'static Self> {
        let mut i = 0;
        while i < ARCHITECTURES.len() {
            if equal(ARCHITECTURES[i].name.as_bytes(), name) {
                return Some(&ARCHITECTURES[i]);
            }
            i += 1;
        }
        None
    }
}

/// `==` for bytes, in `const fn`.
const fn equal(a: &[u8], b: &[u8]) -> bool {
    if a.len() != b.len() {
        return false;
    }
    let mut i = 0;
    while i < a.len() {
        if a[i] != b[i] {
            return false;
        }
        i += 1;
    }
    true
}
