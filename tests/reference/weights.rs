//! The tiny models: shapes, and weights drawn from a generator that Python draws from too (`models.py`, this file's twin).

/// Shape of a tiny model. The head is tied to the embedding, the feed-forward width is `4 * n_embd`.
#[derive(Clone, Copy, Debug)]
pub struct Tiny {
    pub name: &'static str,
    /// GGUF architecture.
    pub arch: &'static str,
    pub n_embd: usize,
    pub n_head: usize,
    pub n_layer: usize,
    pub n_head_kv: usize,
    pub max_alibi_bias: f32,
    /// 0: none.
    pub clamp_kqv: f32,
}

pub const N_VOCAB: usize = 320;
pub const N_CTX: usize = 2048;
pub const NORM_EPS: f32 = 1e-5;
/// Tokens of each prompt.
pub const PROMPT_LENS: [usize; 4] = [1, 7, 64, 300];

const PLAIN: Tiny =
    Tiny { name: "", arch: "", n_embd: 256, n_head: 8, n_layer: 4, n_head_kv: 8, max_alibi_bias: 8.0, clamp_kqv: 0.0 };

pub const MODELS: [Tiny; 5] = [
    Tiny { name: "bloom-h8", arch: "bloom", ..PLAIN },
    Tiny { name: "bloom-h12", arch: "bloom", n_embd: 384, n_head: 12, n_layer: 2, n_head_kv: 12, ..PLAIN },
    Tiny { name: "mpt-h8", arch: "mpt", ..PLAIN },
    Tiny { name: "mpt-h12", arch: "mpt", n_embd: 288, n_head: 12, n_layer: 3, n_head_kv: 12, ..PLAIN },
    Tiny { name: "mpt-gqa", arch: "mpt", n_head_kv: 2, max_alibi_bias: 6.0, clamp_kqv: 2.0, ..PLAIN },
];

/// The model of that name.
pub fn model(name: &str) -> Tiny {
    MODELS.into_iter().find(|m| m.name == name).unwrap()
}

/// A tensor under its GGUF name, row after row.
pub struct Tensor {
    pub name: String,
    /// Rows and columns of a matrix; the length of a vector.
    pub shape: Vec<usize>,
    pub data: Vec<f32>,
}

impl Tensor {
    pub fn is_matrix(&self) -> bool {
        self.shape.len() == 2
    }
}

impl Tiny {
    pub fn head_dim(&self) -> usize {
        self.n_embd / self.n_head
    }

    pub fn n_ff(&self) -> usize {
        4 * self.n_embd
    }

    pub fn has_bias(&self) -> bool {
        self.arch == "bloom"
    }

    /// Every tensor, in the order of the file. All numbers are exact in f16.
    pub fn tensors(&self) -> Vec<Tensor> {
        self.shapes().into_iter().map(|(name, shape)| self.draw(name, shape)).collect()
    }

    fn draw(&self, name: String, shape: Vec<usize>) -> Tensor {
        let label = format!("{}/{name}", self.name);
        let gain = name.ends_with("norm.weight");
        let value = |k: i32| if gain { 1.0 + k as f32 / 1024.0 } else { k as f32 / 2048.0 };
        let data = bell(&label).map(value).take(shape.iter().product()).collect();
        Tensor { name, shape, data }
    }

    fn shapes(&self) -> Vec<(String, Vec<usize>)> {
        let d = self.n_embd;
        let n_qkv = d + 2 * self.head_dim() * self.n_head_kv;
        let mut shapes = vec![("token_embd.weight".into(), vec![N_VOCAB, d])];
        if self.arch == "bloom" {
            self.layer(&mut shapes, "token_embd_norm", &[d]);
        }
        for i in 0..self.n_layer {
            self.layer(&mut shapes, &format!("blk.{i}.attn_norm"), &[d]);
            self.layer(&mut shapes, &format!("blk.{i}.attn_qkv"), &[n_qkv, d]);
            self.layer(&mut shapes, &format!("blk.{i}.attn_output"), &[d, d]);
            self.layer(&mut shapes, &format!("blk.{i}.ffn_norm"), &[d]);
            self.layer(&mut shapes, &format!("blk.{i}.ffn_up"), &[self.n_ff(), d]);
            self.layer(&mut shapes, &format!("blk.{i}.ffn_down"), &[d, self.n_ff()]);
        }
        self.layer(&mut shapes, "output_norm", &[d]);
        shapes
    }

    /// A weight, and its bias where the architecture has them: one number for each row.
    fn layer(&self, shapes: &mut Vec<(String, Vec<usize>)>, name: &str, shape: &[usize]) {
        shapes.push((format!("{name}.weight"), shape.to_vec()));
        if self.has_bias() {
            shapes.push((format!("{name}.bias"), vec![shape[0]]));
        }
    }
}

/// The prompts, one for each of [`PROMPT_LENS`], the same for all models.
pub fn prompts() -> [Vec<u32>; 4] {
    PROMPT_LENS.map(|n| random(&format!("prompt/{n}")).map(|z| (z % N_VOCAB as u64) as u32).take(n).collect())
}

/// SplitMix64, seeded with the FNV-1a hash of the label.
pub fn random(label: &str) -> impl Iterator<Item = u64> {
    let seed =
        label.bytes().fold(0xCBF2_9CE4_8422_2325_u64, |h, b| (h ^ u64::from(b)).wrapping_mul(0x0000_0100_0000_01B3));
    (1_u64..).map(move |i| {
        let z = seed.wrapping_add(i.wrapping_mul(0x9E37_79B9_7F4A_7C15));
        let z = (z ^ z >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let z = (z ^ z >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ z >> 31
    })
}

/// Integers in -510..=510, nearly normal: the sum of the four lowest bytes less its mean. Standard deviation 147.8.
pub fn bell(label: &str) -> impl Iterator<Item = i32> {
    random(label).map(|z| z.to_le_bytes()[..4].iter().map(|&b| i32::from(b)).sum::<i32>() - 510)
}

/// Order-sensitive sum of the bits of the values: `Σ (2 i + 1) * bits(x[i])`, modulo 2^64.
pub fn checksum(x: &[f32]) -> u64 {
    let term = |(i, v): (usize, &f32)| (2 * i as u64 + 1).wrapping_mul(u64::from(v.to_bits()));
    x.iter().enumerate().map(term).fold(0, u64::wrapping_add)
}
