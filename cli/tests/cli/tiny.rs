//! Tiny models of a few kilobytes with random weights, written as GGUF files.

use super::reference::gguf_writer::{Value, Writer};

/// Letters of byte-level BPE, one for each byte: printable ones unchanged, the others from U+0100 on.
fn letters() -> Vec<String> {
    let is_printable = |byte: u8| matches!(byte, b'!'..=b'~' | 0xa1..=0xac | 0xae..=0xff);
    let mut others = 0x100..;
    let mut letter = |byte: u8| match is_printable(byte) {
        true => char::from(byte),
        false => others.next().and_then(char::from_u32).unwrap(),
    };
    (0..=255).map(|byte| letter(byte).to_string()).collect()
}

const MERGES: [&str; 8] = ["h e", "Ġ t", "Ġt he", "i n", "o n", "o u", "Ġ w", "e r"];
/// GGUF's numbers of weight types.
const F32: u32 = 0;
const Q8_0: u32 = 8;

const N_EMBD: usize = 32;
const N_HEAD: usize = 4;
const N_HEAD_KV: usize = 2;
const N_LAYER: usize = 2;
const N_FF: usize = 64;

/// Number of tokens: the letters, the results of the merges, and `<|endoftext|>`.
pub const N_TOKENS: usize = 256 + MERGES.len() + 1;
/// Id of `<|endoftext|>`.
pub const END: usize = N_TOKENS - 1;
/// Rows of the embedding, padded.
pub const N_VOCAB: usize = 272;

/// Pseudo-random numbers in ±1, always the same.
struct Random(u32);

impl Random {
    fn next(&mut self) -> f32 {
        self.0 = self.0.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (self.0 >> 8) as f32 / (1 << 23) as f32 - 1.0
    }

    fn f32s(&mut self, n: usize, scale: f32) -> Vec<u8> {
        (0..n).flat_map(|_| (scale * self.next()).to_le_bytes()).collect()
    }

    /// Makes blocks of 32 with the scale 2^-9 (half-precision bits 0x1800).
    fn q8_0(&mut self, n: usize) -> Vec<u8> {
        let mut block = || {
            let mut block = vec![0x00, 0x18];
            block.extend((0..32).map(|_| (127.0 * self.next()) as i8 as u8));
            block
        };
        (0..n / 32).flat_map(|_| block()).collect()
    }
}

fn tokens() -> Vec<String> {
    let merged = MERGES.iter().map(|merge| merge.replace(' ', ""));
    letters().into_iter().chain(merged).chain(["<|endoftext|>".into()]).collect()
}

fn number(n: usize) -> Value {
    Value::U32(n as u32)
}

/// Writes the keys of `family` to a file that names `architecture`.
fn metadata(architecture: &str, family: &str, n_head_kv: usize, n_ff: usize) -> Writer {
    let key = |name: &str| format!("{family}.{name}");
    Writer::new(3)
        .meta("general.architecture", Value::string(architecture))
        .meta("general.name", Value::string("tiny \u{1b}[31mmodel"))
        .meta(&key("context_length"), number(64))
        .meta(&key("embedding_length"), number(N_EMBD))
        .meta(&key("block_count"), number(N_LAYER))
        .meta(&key("feed_forward_length"), number(n_ff))
        .meta(&key("attention.head_count"), number(N_HEAD))
        .meta(&key("attention.head_count_kv"), number(n_head_kv))
        .meta(&key("attention.layer_norm_epsilon"), Value::F32(1e-5))
        .meta(&key("attention.max_alibi_bias"), Value::F32(8.0))
}

fn byte_level(file: Writer) -> Writer {
    byte_level_with(file, &[])
}

/// Adds the byte-level vocabulary with more control tokens after the others.
fn byte_level_with(file: Writer, more: &[&str]) -> Writer {
    byte_level_hiding(file, more, &[])
}

/// Adds the byte-level vocabulary with these tokens as control tokens, too.
fn byte_level_hiding(file: Writer, more: &[&str], hidden: &[usize]) -> Writer {
    byte_level_of(file, more, |id| id > END || hidden.contains(&id), 3)
}

/// Adds the byte-level vocabulary with some tokens of another type.
fn byte_level_of(file: Writer, more: &[&str], has_type: impl Fn(usize) -> bool, ty: i32) -> Writer {
    let n_tokens = N_TOKENS + more.len();
    assert!(n_tokens <= N_VOCAB);
    let types: Vec<i32> = (0..n_tokens)
        .map(|id| {
            if has_type(id) {
                ty
            } else if id == END {
                3
            } else {
                1
            }
        })
        .collect();
    let tokens: Vec<String> = tokens().into_iter().chain(more.iter().map(|token| token.to_string())).collect();
    file.meta("tokenizer.ggml.model", Value::string("gpt2"))
        .meta("tokenizer.ggml.pre", Value::string("gpt-2"))
        .meta("tokenizer.ggml.tokens", Value::strings(&tokens))
        .meta("tokenizer.ggml.merges", Value::strings(&MERGES.map(String::from)))
        .meta("tokenizer.ggml.token_type", Value::i32s(&types))
        .meta("tokenizer.ggml.eos_token_id", number(END))
        .meta("tokenizer.ggml.bos_token_id", number(END))
        .meta("tokenizer.ggml.add_bos_token", Value::Bool(true))
}

/// Adds a WordPiece vocabulary: `[CLS]` is 2, `[SEP]` 3, the words follow.
fn wordpiece(file: Writer) -> Writer {
    let tokens = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "▁the", "▁winter", "▁in", "s"];
    file.meta("tokenizer.ggml.model", Value::string("bert"))
        .meta("tokenizer.ggml.tokens", Value::strings(&tokens.map(String::from)))
        .meta("tokenizer.ggml.token_type", Value::i32s(&[3, 3, 3, 3, 1, 1, 1, 1]))
        .meta("tokenizer.ggml.unknown_token_id", number(1))
        .meta("tokenizer.ggml.cls_token_id", number(2))
        .meta("tokenizer.ggml.seperator_token_id", number(3))
}

/// Makes the model file. Its family is `mpt`, whatever `architecture` says.
pub fn model(architecture: &str) -> Vec<u8> {
    model_with(architecture, &[])
}

/// Makes the model with more control tokens, at most seven.
pub fn model_with(architecture: &str, more: &[&str]) -> Vec<u8> {
    with_qkv(architecture, |file| byte_level_with(file, more), Random::q8_0)
}

/// Makes the model with user-defined tokens after the others, as published fine-tunes have them.
pub fn model_defining(more: &[&str]) -> Vec<u8> {
    with_qkv("mpt", |file| byte_level_of(file, more, |id| id > END, 4), Random::q8_0)
}

/// Makes the model with more tokens of a type after the others, at most seven, and with this chat template.
pub fn model_with_template(more: &[&str], ty: i32, template: &str) -> Vec<u8> {
    let tokenizer = |file| {
        let file = byte_level_of(file, more, |id| id > END, ty);
        file.meta("tokenizer.chat_template", Value::string(template))
    };
    with_qkv("mpt", tokenizer, Random::q8_0)
}

/// Makes the model with these tokens as control tokens, and with more keys.
pub fn model_hiding(hidden: &[usize], keys: &[(&str, Value)]) -> Vec<u8> {
    let tokenizer = |file| {
        let file = byte_level_hiding(file, &[], hidden);
        keys.iter().fold(file, |file, (key, value)| file.meta(key, value.clone()))
    };
    with_qkv("mpt", tokenizer, Random::q8_0)
}

/// Makes the model with queries, keys and values that are all zero, so that all keys have equal scores.
pub fn flat() -> Vec<u8> {
    with_qkv("mpt", byte_level, |_, n| vec![0; n / 32 * 34])
}

fn with_qkv(
    architecture: &str,
    tokenizer: impl Fn(Writer) -> Writer,
    qkv: impl Fn(&mut Random, usize) -> Vec<u8>,
) -> Vec<u8> {
    let mut random = Random(1);
    let n_qkv = N_EMBD + 2 * N_EMBD / N_HEAD * N_HEAD_KV;
    let ones: Vec<u8> = [1.0f32; N_EMBD].iter().flat_map(|x| x.to_le_bytes()).collect();
    let embedding = random.f32s(N_VOCAB * N_EMBD, 0.4);
    let mut file = tokenizer(metadata(architecture, "mpt", N_HEAD_KV, N_FF)).tensor(
        "token_embd.weight",
        &[N_VOCAB, N_EMBD],
        F32,
        embedding,
    );
    for layer in 0..N_LAYER {
        let name = |name: &str| format!("blk.{layer}.{name}.weight");
        let matrices = [
            ("attn_qkv", n_qkv, N_EMBD),
            ("attn_output", N_EMBD, N_EMBD),
            ("ffn_up", N_FF, N_EMBD),
            ("ffn_down", N_EMBD, N_FF),
        ];
        for (matrix, n_rows, n_cols) in matrices {
            let n = n_rows * n_cols;
            let bytes = if matrix == "attn_qkv" { qkv(&mut random, n) } else { random.q8_0(n) };
            file = file.tensor(&name(matrix), &[n_rows, n_cols], Q8_0, bytes);
        }
        for norm in ["attn_norm", "ffn_norm"] {
            file = file.tensor(&name(norm), &[N_EMBD], F32, ones.clone());
        }
    }
    file.tensor("output_norm.weight", &[N_EMBD], F32, ones).finish()
}

/// Makes a file with the vocabulary of [`model`] and no weights.
pub fn vocabulary() -> Vec<u8> {
    byte_level(metadata("mpt", "mpt", N_HEAD_KV, N_FF)).finish()
}

/// Makes an encoder, or a reranker with a head for scores whose file says so.
pub fn encoder(reranker: bool) -> Vec<u8> {
    encoder_with(byte_level, reranker, None)
}

/// Makes a reranker with BERT's tokenizer.
pub fn bert() -> Vec<u8> {
    encoder_with(wordpiece, true, None)
}

/// Makes an encoder with `n_ff` rows of gate and of up, in one matrix as llama.cpp's converter writes them, or in two.
pub fn encoder_with_gate(n_ff: usize, is_fused: bool) -> Vec<u8> {
    encoder_with(byte_level, false, Some((n_ff, is_fused)))
}

fn encoder_with(tokenizer: fn(Writer) -> Writer, reranker: bool, gate: Option<(usize, bool)>) -> Vec<u8> {
    let (n_ff, is_fused) = gate.unwrap_or((N_FF, false));
    let mut random = Random(2);
    let ones: Vec<u8> = [1.0f32; N_EMBD].iter().flat_map(|x| x.to_le_bytes()).collect();
    let (embedding, types) = (random.f32s(N_VOCAB * N_EMBD, 0.4), random.f32s(2 * N_EMBD, 0.4));
    let mut file = tokenizer(metadata("jina-bert-v2", "jina-bert-v2", N_HEAD, n_ff))
        .meta("jina-bert-v2.pooling_type", number(if reranker { 4 } else { 1 }))
        .tensor("token_embd.weight", &[N_VOCAB, N_EMBD], F32, embedding)
        .tensor("token_types.weight", &[2, N_EMBD], F32, types)
        .tensor("token_embd_norm.weight", &[N_EMBD], F32, ones.clone());
    for layer in 0..N_LAYER {
        let name = |name: &str| format!("blk.{layer}.{name}.weight");
        for matrix in ["attn_q", "attn_k", "attn_v", "attn_output"] {
            file = file.tensor(&name(matrix), &[N_EMBD, N_EMBD], Q8_0, random.q8_0(N_EMBD * N_EMBD));
        }
        let (gate, up) = (random.q8_0(n_ff * N_EMBD), random.q8_0(n_ff * N_EMBD));
        file = match is_fused {
            true => file.tensor(&name("ffn_up"), &[2 * n_ff, N_EMBD], Q8_0, [gate, up].concat()),
            false => file.tensor(&name("ffn_gate"), &[n_ff, N_EMBD], Q8_0, gate).tensor(
                &name("ffn_up"),
                &[n_ff, N_EMBD],
                Q8_0,
                up,
            ),
        };
        file = match n_ff.is_multiple_of(32) {
            true => file.tensor(&name("ffn_down"), &[N_EMBD, n_ff], Q8_0, random.q8_0(N_EMBD * n_ff)),
            false => file.tensor(&name("ffn_down"), &[N_EMBD, n_ff], F32, random.f32s(N_EMBD * n_ff, 0.4)),
        };
        for norm in ["attn_output_norm", "layer_output_norm"] {
            file = file.tensor(&name(norm), &[N_EMBD], F32, ones.clone());
        }
    }
    if reranker {
        file = file.tensor("cls.weight", &[N_EMBD, N_EMBD], F32, random.f32s(N_EMBD * N_EMBD, 0.4)).tensor(
            "cls.output.weight",
            &[1, N_EMBD],
            F32,
            random.f32s(N_EMBD, 0.4),
        );
    }
    file.finish()
}

/// Columns of the vectors of [`encoder`].
pub const N_COLUMNS: usize = N_EMBD;
