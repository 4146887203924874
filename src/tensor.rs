//! Tensors of a model: their names, and the shapes that they must have.

use crate::architecture::Positions;
use crate::shape::Shape;

/// Type and dimensions that a tensor must have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// F32, of this length.
    Vector(usize),
    /// Any weight type.
    Matrix { n_rows: usize, n_cols: usize },
}

impl Form {
    /// Dimensions as in GGUF, fastest first.
    pub(crate) fn dims(self) -> [u64; 2] {
        match self {
            Self::Vector(n) => [n as u64, 1],
            Self::Matrix { n_rows, n_cols } => [n_cols as u64, n_rows as u64],
        }
    }
}

/// Presence of a tensor in the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Presence {
    Required,
    Optional,
    /// Never in a file of this kind, for example split Q, K and V beside a fused one.
    Forbidden,
}

macro_rules! slots {
    ($(#[$doc:meta])* $kind:ident { $($slot:ident = $name:literal,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[repr(usize)]
        pub(crate) enum $kind { $($slot,)* }

        impl $kind {
            pub(crate) const ALL: &'static [Self] = &[$(Self::$slot,)*];

            /// Name of the tensor in the file.
            pub(crate) const fn name(self) -> &'static str {
                match self { $(Self::$slot => $name,)* }
            }
        }
    };
}

slots! {
    /// Tensors outside the layers.
    GlobalSlot {
        TokenEmbd = "token_embd.weight",
        PositionEmbd = "position_embd.weight",
        TokenEmbdNorm = "token_embd_norm.weight",
        TokenEmbdNormBias = "token_embd_norm.bias",
        OutputNorm = "output_norm.weight",
        OutputNormBias = "output_norm.bias",
        Output = "output.weight",
        TokenTypes = "token_types.weight",
        Cls = "cls.weight",
        ClsBias = "cls.bias",
        ClsOutput = "cls.output.weight",
        ClsOutputBias = "cls.output.bias",
    }
}

slots! {
    /// Tensors of a layer; the name follows `blk.N.`. Tensors that only encoders have come last.
    LayerSlot {
        AttnNorm = "attn_norm.weight",
        AttnNormBias = "attn_norm.bias",
        AttnQkv = "attn_qkv.weight",
        AttnQkvBias = "attn_qkv.bias",
        AttnQ = "attn_q.weight",
        AttnQBias = "attn_q.bias",
        AttnK = "attn_k.weight",
        AttnKBias = "attn_k.bias",
        AttnV = "attn_v.weight",
        AttnVBias = "attn_v.bias",
        AttnOutput = "attn_output.weight",
        AttnOutputBias = "attn_output.bias",
        FfnNorm = "ffn_norm.weight",
        FfnNormBias = "ffn_norm.bias",
        FfnGate = "ffn_gate.weight",
        FfnGateBias = "ffn_gate.bias",
        FfnUp = "ffn_up.weight",
        FfnUpBias = "ffn_up.bias",
        FfnDown = "ffn_down.weight",
        FfnDownBias = "ffn_down.bias",
        AttnQNorm = "attn_q_norm.weight",
        AttnQNormBias = "attn_q_norm.bias",
        AttnKNorm = "attn_k_norm.weight",
        AttnKNormBias = "attn_k_norm.bias",
        AttnOutputNorm = "attn_output_norm.weight",
        AttnOutputNormBias = "attn_output_norm.bias",
        AttnNorm2 = "attn_norm_2.weight",
        AttnNorm2Bias = "attn_norm_2.bias",
        LayerOutputNorm = "layer_output_norm.weight",
        LayerOutputNormBias = "layer_output_norm.bias",
    }
}

impl GlobalSlot {
    pub(crate) fn form(self, s: &Shape) -> Form {
        match self {
            Self::TokenEmbd | Self::Output => Form::Matrix { n_rows: s.n_vocab, n_cols: s.n_embd },
            Self::TokenTypes => Form::Matrix { n_rows: s.n_token_types, n_cols: s.n_embd },
            Self::Cls => Form::Matrix { n_rows: s.n_embd, n_cols: s.n_embd },
            Self::ClsOutput => Form::Matrix { n_rows: 1, n_cols: s.n_embd },
            Self::ClsOutputBias => Form::Vector(1),
            Self::PositionEmbd => Form::Matrix { n_rows: s.n_positions.unwrap_or(0), n_cols: s.n_embd },
            _ => Form::Vector(s.n_embd),
        }
    }

    pub(crate) fn presence(self, s: &Shape) -> Presence {
        let encoder = s.arch.is_encoder();
        match self {
            Self::OutputNorm | Self::OutputNormBias | Self::Output if encoder => Presence::Forbidden,
            Self::TokenTypes | Self::Cls | Self::ClsBias | Self::ClsOutput | Self::ClsOutputBias if !encoder => {
                Presence::Forbidden
            }
            Self::TokenEmbd | Self::OutputNorm => Presence::Required,
            Self::Output if s.arch.own_output => Presence::Required,
            Self::PositionEmbd => match s.arch.positions {
                Positions::Bias => Presence::Forbidden,
                Positions::Learned => Presence::Required,
                Positions::BiasOrLearned => Presence::Optional,
            },
            Self::TokenEmbdNorm if s.arch.embedding_norm => Presence::Required,
            Self::TokenEmbdNorm | Self::TokenEmbdNormBias if !s.arch.embedding_norm => Presence::Forbidden,
            _ => Presence::Optional,
        }
    }
}

impl LayerSlot {
    pub(crate) const N: usize = Self::ALL.len();
    /// Number of slots that a decoder may have; they are the first ones.
    pub(crate) const N_DECODER: usize = Self::AttnOutputNorm as usize;
    /// Weight and bias of each norm that a layer may lack.
    pub(crate) const OPTIONAL_NORMS: [(Self, Self); 3] = [
        (Self::AttnQNorm, Self::AttnQNormBias),
        (Self::AttnKNorm, Self::AttnKNormBias),
        (Self::AttnNorm2, Self::AttnNorm2Bias),
    ];

    pub(crate) fn form(self, s: &Shape) -> Form {
        let matrix = |n_rows, n_cols| Form::Matrix { n_rows, n_cols };
        match self {
            Self::AttnNorm | Self::AttnNormBias | Self::FfnNorm | Self::FfnNormBias => Form::Vector(s.n_embd),
            Self::AttnQkv => matrix(s.n_qkv(), s.n_embd),
            Self::AttnQkvBias => Form::Vector(s.n_qkv()),
            Self::AttnQ => matrix(s.n_embd, s.n_embd),
            Self::AttnQBias => Form::Vector(s.n_embd),
            Self::AttnK | Self::AttnV => matrix(s.n_embd_kv(), s.n_embd),
            Self::AttnKBias | Self::AttnVBias => Form::Vector(s.n_embd_kv()),
            Self::AttnOutput => matrix(s.n_embd, s.n_embd),
            Self::AttnOutputBias | Self::FfnDownBias => Form::Vector(s.n_embd),
            Self::FfnUp | Self::FfnGate => matrix(s.n_ff, s.n_embd),
            Self::FfnUpBias | Self::FfnGateBias => Form::Vector(s.n_ff),
            Self::FfnDown => matrix(s.n_embd, s.n_ff),
            Self::AttnKNorm | Self::AttnKNormBias => Form::Vector(s.n_embd_kv()),
            Self::AttnQNorm | Self::AttnQNormBias => Form::Vector(s.n_embd),
            Self::AttnOutputNorm | Self::AttnOutputNormBias => Form::Vector(s.n_embd),
            Self::AttnNorm2 | Self::AttnNorm2Bias => Form::Vector(s.n_embd),
            Self::LayerOutputNorm | Self::LayerOutputNormBias => Form::Vector(s.n_embd),
        }
    }

    /// Presence of the tensor in a layer; `fused` is true if the layer has one tensor for Q, K and V.
    pub(crate) fn presence(self, s: &Shape, fused: bool) -> Presence {
        if s.arch.is_encoder() {
            return self.presence_in_encoder();
        }
        match self {
            Self::AttnNorm | Self::AttnOutput | Self::FfnNorm | Self::FfnUp | Self::FfnDown => Presence::Required,
            Self::AttnQkv if fused => Presence::Required,
            Self::AttnQ | Self::AttnK | Self::AttnV if !fused => Presence::Required,
            Self::AttnQkv | Self::AttnQkvBias if !fused => Presence::Forbidden,
            Self::AttnQ | Self::AttnQBias | Self::AttnK | Self::AttnKBias | Self::AttnV | Self::AttnVBias if fused => {
                Presence::Forbidden
            }
            Self::FfnGate if s.arch.gated => Presence::Required,
            Self::FfnGate | Self::FfnGateBias if !s.arch.gated => Presence::Forbidden,
            _ if self as usize >= Self::N_DECODER => Presence::Forbidden,
            _ => Presence::Optional,
        }
    }

    /// Presence of the tensor in a layer of an encoder. All have split QKV and a gate. Jina's code model also has norms of
    /// queries and keys, and one more norm of the stream.
    fn presence_in_encoder(self) -> Presence {
        match self {
            Self::AttnNorm | Self::AttnNormBias | Self::FfnNorm | Self::FfnNormBias => Presence::Forbidden,
            Self::AttnQkv | Self::AttnQkvBias => Presence::Forbidden,
            Self::AttnQ | Self::AttnK | Self::AttnV | Self::AttnOutput | Self::AttnOutputNorm => Presence::Required,
            Self::FfnGate | Self::FfnUp | Self::FfnDown | Self::LayerOutputNorm => Presence::Required,
            _ => Presence::Optional,
        }
    }
}
