//! Types of a file's tensors: llama.cpp's types of files and their mixtures.
//!
//! A mixture gives more bits to the tensors whose errors cost most: the output, the values of attention, the last matrix of the
//! feed-forward network, and these more in the first and the last layers. Source: llama.cpp, `llama-quant.cpp`
//! (`llama_tensor_get_type`), without the parts for mixtures of experts.

use std::fmt;
use std::str::FromStr;

use nearfield::kernels::WeightType;
use nearfield::kernels::WeightType::*;

/// Type of a file, as `llama-quantize` names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Target {
    /// Name, for example `Q4_K_M`.
    pub name: &'static str,
    /// Value of `general.file_type`: llama.cpp's `llama_ftype`.
    pub file_type: u32,
    /// Type of most matrices.
    pub ty: WeightType,
}

impl Target {
    /// All types, the larger files first.
    #[rustfmt::skip]
    pub const ALL: [Self; 20] = [
        Self { name: "F32", file_type: 0, ty: F32 },
        Self { name: "F16", file_type: 1, ty: F16 },
        Self { name: "BF16", file_type: 32, ty: BF16 },
        Self { name: "Q8_0", file_type: 7, ty: Q8_0 },
        Self { name: "Q6_K", file_type: 18, ty: Q6_K },
        Self { name: "Q5_1", file_type: 9, ty: Q5_1 },
        Self { name: "Q5_K_M", file_type: 17, ty: Q5_K },
        Self { name: "Q5_K_S", file_type: 16, ty: Q5_K },
        Self { name: "Q5_0", file_type: 8, ty: Q5_0 },
        Self { name: "Q4_1", file_type: 3, ty: Q4_1 },
        Self { name: "Q4_K_M", file_type: 15, ty: Q4_K },
        Self { name: "Q4_K_S", file_type: 14, ty: Q4_K },
        Self { name: "IQ4_NL", file_type: 25, ty: IQ4_NL },
        Self { name: "Q4_0", file_type: 2, ty: Q4_0 },
        Self { name: "IQ4_XS", file_type: 30, ty: IQ4_XS },
        Self { name: "Q3_K_L", file_type: 13, ty: Q3_K },
        Self { name: "Q3_K_M", file_type: 12, ty: Q3_K },
        Self { name: "Q3_K_S", file_type: 11, ty: Q3_K },
        Self { name: "Q2_K", file_type: 10, ty: Q2_K },
        Self { name: "Q2_K_S", file_type: 21, ty: Q2_K },
    ];
}

impl FromStr for Target {
    type Err = String;

    /// Parses a name in either case; `Q3_K`, `Q4_K` and `Q5_K` are their middle mixtures.
    fn from_str(text: &str) -> Result<Self, String> {
        let name = text.to_ascii_uppercase();
        let middle = format!("{name}_M");
        let found = Self::ALL.into_iter().find(|target| target.name == name);
        found.or_else(|| Self::ALL.into_iter().find(|target| target.name == middle)).ok_or_else(|| {
            let names = Self::ALL.map(|target| target.name).join(" ");
            format!("not one of {names}")
        })
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

/// Type chosen for a tensor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Choice {
    /// Type that the tensor gets.
    pub ty: WeightType,
    /// Type that it should have had, if its rows were whole blocks.
    pub instead_of: Option<WeightType>,
}

/// Policy of the types of one file's tensors.
#[derive(Debug)]
pub struct Policy {
    target: Target,
    /// True if all tensors get one type, without a mixture.
    pure: bool,
    /// True if there is an importance matrix.
    has_importances: bool,
    is_falcon: bool,
    /// Query heads to a key head, of the model.
    n_gqa: u64,
    n_layer: usize,
    /// True if the embedding is the output, too.
    is_tied: bool,
}

impl Policy {
    /// Makes the policy for a file of this architecture with tensors of these names, and `n_gqa` query heads to a key head.
    pub fn new<'n>(
        target: Target,
        pure: bool,
        arch: &str,
        n_gqa: u64,
        names: impl IntoIterator<Item = &'n str>,
    ) -> Self {
        let (mut n_layer, mut is_tied) = (0, true);
        for name in names {
            n_layer = n_layer.max(layer_of(name).map_or(0, |i| i.saturating_add(1)));
            is_tied &= name != "output.weight";
        }
        Self { target, pure, has_importances: false, is_falcon: arch == "falcon", n_gqa, n_layer, is_tied }
    }

    /// Policy with or without an importance matrix.
    pub fn with_importances(self, has_importances: bool) -> Self {
        Self { has_importances, ..self }
    }

    /// Type of a tensor, `dims` fastest first; `None` for those that keep their type or become F32: vectors, norms, positions,
    /// token types.
    pub fn tensor_type(&self, name: &str, dims: &[u64]) -> Option<Choice> {
        let is_matrix = dims.iter().skip(1).any(|&n| n > 1);
        let stays = name.ends_with("_norm.weight") || ["position_embd.weight", "token_types.weight"].contains(&name);
        if !is_matrix || !name.ends_with("weight") || stays {
            return None;
        }
        let n_cols = dims.first().copied().unwrap_or(1);
        let wanted = match self.pure || !self.target.ty.is_quantized() {
            true => self.target.ty,
            false => self.mixed(name, n_cols),
        };
        let ty = fitting(wanted, n_cols);
        Some(Choice { ty, instead_of: (ty != wanted).then_some(wanted) })
    }

    fn mixed(&self, name: &str, n_cols: u64) -> WeightType {
        let ty = self.target.ty;
        let layer = layer_of(name).unwrap_or(0);
        let is = |part: &str| name.contains(part);
        if name == "output.weight" || self.is_tied && name == "token_embd.weight" {
            self.output(n_cols)
        } else if is("attn_v.weight") || is("attn_qkv.weight") {
            self.attn_v(layer)
        } else if is("ffn_down") {
            self.ffn_down(layer)
        } else if is("attn_output.weight") {
            match (self.target.name, self.is_falcon) {
                ("Q2_K", false) => Q3_K,
                ("Q3_K_M", false) | ("Q3_K_L", true) => Q4_K,
                ("Q3_K_L", false) => Q5_K,
                _ => ty,
            }
        } else {
            ty
        }
    }

    fn output(&self, n_cols: u64) -> WeightType {
        let fits = n_cols.is_multiple_of(self.target.ty.block_len() as u64);
        if self.is_falcon || !fits || self.target.ty == Q8_0 { Q8_0 } else { Q6_K }
    }

    /// Type of the values' matrix, also of one with queries, keys and values.
    fn attn_v(&self, layer: usize) -> WeightType {
        match self.target.name {
            "Q2_K" | "Q2_K_S" if self.n_gqa >= 4 => Q4_K,
            "Q2_K" => Q3_K,
            "Q3_K_M" if layer < 2 => Q5_K,
            "Q3_K_M" => Q4_K,
            "Q3_K_L" => Q5_K,
            "Q4_K_M" | "Q5_K_M" if self.is_sensitive(layer) => Q6_K,
            "Q4_K_S" if layer < 4 => Q5_K,
            "IQ4_NL" | "IQ4_XS" if self.n_gqa >= 4 => Q5_K,
            _ => self.target.ty,
        }
    }

    fn ffn_down(&self, layer: usize) -> WeightType {
        let (is_early, is_first) = (layer < self.n_layer / 8, layer < self.n_layer / 16);
        let is_sensitive = self.is_sensitive(layer);
        match (self.target.name, self.is_falcon) {
            ("Q2_K", _) => Q3_K,
            ("Q2_K_S", _) if is_early => Q4_K,
            ("Q3_K_M", _) if is_first => Q5_K,
            ("Q3_K_M", false) => Q4_K,
            ("Q3_K_M", true) if is_sensitive => Q4_K,
            ("Q3_K_L", false) => Q5_K,
            ("Q3_K_L", true) => Q4_K,
            ("Q4_K_M", true) if is_first => Q6_K,
            ("Q4_K_M", true) if is_sensitive => Q5_K,
            ("Q4_K_M" | "Q5_K_M", false) | ("Q5_K_M", true) if is_sensitive => Q6_K,
            ("Q4_K_S", false) if is_early => Q5_K,
            ("IQ4_NL" | "IQ4_XS", _) if is_early && !self.has_importances => Q5_K,
            ("Q4_0", _) if is_early && self.has_importances => Q4_1,
            ("Q5_0", _) if is_early && self.has_importances => Q5_1,
            _ => self.target.ty,
        }
    }

    /// True for the first and the last eighth of the layers, and each third one between.
    fn is_sensitive(&self, layer: usize) -> bool {
        let eighth = self.n_layer / 8;
        layer < eighth || layer >= 7 * self.n_layer / 8 || (layer - eighth) % 3 == 2
    }
}

/// Type `ty`, or the next larger one whose blocks divide rows of `n_cols`.
fn fitting(ty: WeightType, n_cols: u64) -> WeightType {
    let fits = |ty: &WeightType| n_cols.is_multiple_of(ty.block_len() as u64);
    let smaller_blocks = match ty {
        Q2_K | Q3_K => Q4_0,
        Q4_K => Q5_0,
        Q5_K => Q5_1,
        Q6_K => Q8_0,
        IQ4_XS => IQ4_NL,
        other => other,
    };
    [ty, smaller_blocks].into_iter().find(fits).unwrap_or(F16)
}

/// Layer of a name such as `blk.3.ffn_up.weight`.
fn layer_of(name: &str) -> Option<usize> {
    name.strip_prefix("blk.")?.split('.').next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Architecture, layers, query heads to a key head, width, and true if there is an output: `tests/reference/mixtures.py`.
    fn model(name: &str) -> (&'static str, usize, u64, u64, bool) {
        match name {
            "bloom24" => ("bloom", 24, 1, 256, false),
            "mpt40" => ("mpt", 40, 4, 256, true),
            "falcon24" => ("falcon", 24, 1, 256, false),
            "jina12" => ("jina-bert-v2", 12, 1, 256, false),
            "narrow6" => ("mpt", 6, 1, 288, true),
            "odd3" => ("mpt", 3, 1, 48, true),
            other => panic!("no model {other}"),
        }
    }

    /// Every tensor of every mixture has the type that llama.cpp gives it.
    #[test]
    fn mixtures_are_those_of_llama_cpp() {
        let mut n = 0;
        for line in include_str!("../../../tests/reference/mixtures.txt").lines() {
            let [name, target, tensor, runs @ ..] = &line.split(' ').collect::<Vec<_>>()[..] else { panic!("{line}") };
            let (arch, n_layer, n_gqa, n_embd, has_output) = model(name);
            let names: Vec<String> = (0..n_layer).map(|i| format!("blk.{i}.attn_norm.weight")).collect();
            let names = names.iter().map(String::as_str).chain(has_output.then_some("output.weight"));
            let policy = Policy::new(target.parse().unwrap(), false, arch, n_gqa, names);
            let is_vector = tensor.ends_with("norm.weight");
            let width = if *tensor == "ffn_down.weight" { 2 * n_embd } else { n_embd };
            let dims: &[u64] = if is_vector { &[width] } else { &[width, 4] };
            let want = runs.iter().flat_map(|run| {
                let (ty, n) = run.split_once('*').unwrap();
                std::iter::repeat_n(ty, n.parse().unwrap())
            });
            for (layer, want) in want.enumerate() {
                let is_layered = !["token_embd.weight", "output.weight"].contains(tensor);
                let name = if is_layered { format!("blk.{layer}.{tensor}") } else { (*tensor).into() };
                let ty = policy.tensor_type(&name, dims).map_or(F32, |choice| choice.ty);
                assert_eq!(ty.name(), want, "{line}: {name}");
                n += 1;
            }
        }
        assert!(n > 10_000, "{n} tensors");
    }

    #[test]
    fn names_are_found_in_either_case() {
        let name = |text: &str| text.parse::<Target>().map(|target| target.name);
        assert_eq!(name("q4_k_m"), Ok("Q4_K_M"));
        assert_eq!([name("Q3_K"), name("q4_k"), name("Q5_K")], [Ok("Q3_K_M"), Ok("Q4_K_M"), Ok("Q5_K_M")]);
        assert_eq!([name("q2_k"), name("Q6_K"), name("f16")], [Ok("Q2_K"), Ok("Q6_K"), Ok("F16")]);
        assert!(name("Q7_K").unwrap_err().starts_with("not one of F32 F16 BF16 Q8_0"));
    }

    #[test]
    fn rows_that_are_no_whole_blocks() {
        let policy = |name: &str, pure| Policy::new(name.parse().unwrap(), pure, "mpt", 1, ["blk.0.ffn_up.weight"]);
        let choice = |ty, instead_of| Some(Choice { ty, instead_of });
        let cases = [
            ("Q4_K_S", 512, choice(Q4_K, None)),
            ("Q4_K_S", 288, choice(Q5_0, Some(Q4_K))),
            ("Q2_K", 96, choice(Q4_0, Some(Q2_K))),
            ("Q4_0", 48, choice(F16, Some(Q4_0))),
            ("Q6_K", 48, choice(F16, Some(Q6_K))),
            ("F16", 48, choice(F16, None)),
        ];
        for (target, n_cols, want) in cases {
            assert_eq!(policy(target, false).tensor_type("blk.0.ffn_up.weight", &[n_cols, 4]), want, "{target}");
        }
        // A tied embedding is the output, and has more bits, unless all tensors have the same type.
        let embedding = |pure| policy("Q4_0", pure).tensor_type("token_embd.weight", &[256, 4]).unwrap().ty;
        assert_eq!([embedding(false), embedding(true)], [Q6_K, Q4_0]);
    }

    #[test]
    fn what_stays_as_it_is() {
        let policy = Policy::new("Q4_0".parse().unwrap(), false, "gpt2", 1, []);
        let cases: [(&str, &[u64]); 5] = [
            ("blk.0.attn_norm.weight", &[64]),
            ("blk.0.attn_qkv.bias", &[64]),
            ("position_embd.weight", &[64, 32]),
            ("token_types.weight", &[64, 2]),
            ("cls.output.weight", &[64, 1]),
        ];
        for (name, dims) in cases {
            assert_eq!(policy.tensor_type(name, dims), None, "{name}");
        }
    }
}
