//! Model families, as data.
//!
//! A family is a row of [`ARCHITECTURES`]. Optional parts (biases, fused or split QKV, norms of queries and keys, a tied
//! output, fewer KV heads, a clamp) are read from the file and are no property of the family.

/// Graph that a family runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Graph {
    /// Each token sees those before it; norms come before attention and feed-forward; the result is logits
    /// ([`Session`](crate::Session)).
    Decoder,
    /// Each token sees all tokens; norms come after attention and feed-forward; the result is a vector or a score for the whole
    /// text ([`Encoder`](crate::Encoder)).
    Encoder,
}

/// Kind of a model's norms.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Norm {
    /// LayerNorm: mean and variance; with a bias if the file has one.
    Layer,
    /// RMSNorm: root mean square only.
    Rms,
}

/// Activation function of the feed-forward.
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

/// Factor of `q · k`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum AttentionScale {
    /// `1 / sqrt(head_dim)`.
    InvSqrtHeadDim,
    /// `1 / head_dim` (muP).
    InvHeadDim,
}

/// Source of a token's position.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Positions {
    /// ALiBi.
    Bias,
    /// A learned vector for each position, `position_embd.weight`, whose number limits the context.
    Learned,
    /// Learned vectors if the file has them, otherwise ALiBi.
    BiasOrLearned,
}

/// Source of the ALiBi slopes' `max_bias`.
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum MaxBias {
    /// `{arch}.attention.max_alibi_bias`, or this value when the file has no such key.
    Default(f32),
    /// The key has to be in the file: without it the model would have no positions.
    Required,
    /// The key has to be in the file, except in files with this number of layers, which have this value without it: those of
    /// the family's one ALiBi model are written so.
    Layers(usize, f32),
}

/// One row of [`ARCHITECTURES`]: a model family.
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Architecture {
    /// `general.architecture`, and the prefix of the family's keys.
    pub name: &'static str,
    /// Graph of the family.
    pub graph: Graph,
    /// Kind of all norms.
    pub norm: Norm,
    /// Key of the norms' epsilon, after the prefix.
    pub norm_eps_key: &'static str,
    /// True if the token embeddings are normalised.
    pub embedding_norm: bool,
    /// Activation of the feed-forward.
    pub activation: Activation,
    /// True if the feed-forward is gated: `down(activation(gate x) * up x)`.
    pub gated: bool,
    /// Scale of the attention scores.
    pub scale: AttentionScale,
    /// True if the bias is scaled, too: `(q · k - slope * distance) * scale`.
    pub scaled_bias: bool,
    /// Source of the positions.
    pub positions: Positions,
    /// Source of the slopes.
    pub max_bias: MaxBias,
    /// True if the file must have `output.weight`; otherwise the embedding may take its place.
    pub own_output: bool,
}

const LAYER_NORM_EPS: &str = ".attention.layer_norm_epsilon";
const RMS_NORM_EPS: &str = ".attention.layer_norm_rms_epsilon";

/// Values of most families; a row names those that differ.
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

/// Families that run. Each is tested against its own reference code, or a literal version of its description, in
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
    // Baichuan-13B and Baichuan2-13B. Yang et al. 2023, arXiv 2309.10305. The 7B models have rotary positions and 32 layers.
    // Files of llama.cpp's converter have no key for the slopes, so llama.cpp, too, tells the models apart by their layers.
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
    // logits (muP) are in the file's weights, so the output cannot be the embedding.
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
    /// True if models of the family are run by an [`Encoder`](crate::Encoder).
    pub const fn is_encoder(&self) -> bool {
        matches!(self.graph, Graph::Encoder)
    }

    /// Finds the row for the value of `general.architecture`.
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

/// Compares bytes as `==` does, in a `const fn`.
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
