//! The model families, as data.
//!
//! A family is a row of [`ARCHITECTURES`]; what a file may have or leave out (biases, fused or split QKV, norms of queries
//! and keys, a tied output, fewer KV heads, a clamp) is found by looking at the file and is no property of the family.

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

/// How a model knows where a token stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Positions {
    /// By ALiBi.
    Bias,
    /// By a vector learned for each position, `position_embd.weight`: the context ends with them.
    Learned,
    /// By either, as the file has it.
    BiasOrLearned,
}

/// Where the ALiBi slopes' `max_bias` comes from.
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum MaxBias {
    /// `{arch}.attention.max_alibi_bias`, or this value when the file has no such key.
    Default(f32),
    /// The file has to say it: without the key the model would have no positions at all.
    Required,
    /// The same, except in files with so many layers, for which this is it: those of the family's one ALiBi model are
    /// written without the key.
    Layers(usize, f32),
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
    /// Whether the bias is scaled too: `(q · k - slope * distance) * scale`.
    pub scaled_bias: bool,
    /// Source of the positions.
    pub positions: Positions,
    /// Source of the slopes.
    pub max_bias: MaxBias,
    /// Whether `output.weight` has to be there; otherwise it may be the embedding again.
    pub own_output: bool,
}

const LAYER_NORM_EPS: &str = ".attention.layer_norm_epsilon";
const RMS_NORM_EPS: &str = ".attention.layer_norm_rms_epsilon";

/// What most families are; a row says where it differs.
const USUAL: Architecture = Architecture {
    name: "",
    graph: Graph::Decoder,
    norm: Norm::Layer,
    norm_eps_key: LAYER_NORM_EPS,
    embedding_norm: false,
    activation: Activation::GeluErf,
    gated: false,
    scale: AttentionScale::InvSqrtHeadDim,
    scaled_bias: false,
    positions: Positions::Bias,
    max_bias: MaxBias::Required,
    own_output: false,
};

/// The families that run. Each is proved against its own reference code, or a literal one after its description, in
/// `tests/families`.
pub const ARCHITECTURES: &[Architecture] = &[
    // BLOOM and BLOOMZ, gpt3-finnish, Poro. Scao et al. 2022, arXiv 2211.05100; `transformers`. No file has the slopes' key.
    Architecture {
        name: "bloom",
        embedding_norm: true,
        activation: Activation::GeluTanh,
        max_bias: MaxBias::Default(8.0),
        ..USUAL
    },
    // MPT, MosaicGPT, Replit-code. MosaicML 2023, llm-foundry; `transformers`. Without ALiBi they have learned positions.
    Architecture { name: "mpt", positions: Positions::BiasOrLearned, ..USUAL },
    // GPT-2. Radford et al. 2019; `transformers`.
    Architecture {
        name: "gpt2",
        activation: Activation::GeluTanh,
        positions: Positions::Learned,
        max_bias: MaxBias::Default(0.0),
        ..USUAL
    },
    // Falcon-RW. Penedo et al. 2023, arXiv 2306.01116; `transformers`. All other Falcons have rotary positions and no key.
    Architecture { name: "falcon", scaled_bias: true, ..USUAL },
    // Baichuan-13B and Baichuan2-13B. Yang et al. 2023, arXiv 2309.10305. The 7B have rotary positions and 32 layers; the
    // files that llama.cpp's converter writes have no key for the slopes, so layers are what it goes by too.
    Architecture {
        name: "baichuan",
        norm: Norm::Rms,
        norm_eps_key: RMS_NORM_EPS,
        activation: Activation::Silu,
        gated: true,
        max_bias: MaxBias::Layers(40, 8.0),
        own_output: true,
        ..USUAL
    },
    // Refact-1.6B. The norm is a LayerNorm without a bias in the model's own code, whatever the key's name says.
    Architecture {
        name: "refact",
        norm_eps_key: RMS_NORM_EPS,
        activation: Activation::Silu,
        gated: true,
        max_bias: MaxBias::Default(8.0),
        ..USUAL
    },
    // Jais and BTLM. Sengupta et al. 2023, arXiv 2308.16149; Dey et al. 2023, arXiv 2309.11568. The scales of embedding and
    // logits (muP) are in the file's weights, so the one cannot be the other.
    Architecture {
        name: "jais",
        activation: Activation::Silu,
        gated: true,
        scale: AttentionScale::InvHeadDim,
        own_output: true,
        ..USUAL
    },
    // Jina embeddings v2 and reranker v1, MosaicBERT, DNABERT-2.
    Architecture {
        name: "jina-bert-v2",
        graph: Graph::Encoder,
        embedding_norm: true,
        gated: true,
        max_bias: MaxBias::Default(8.0),
        ..USUAL
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
