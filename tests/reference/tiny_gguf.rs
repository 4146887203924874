//! GGUF files of the tiny models.

use super::gguf_writer::{Value, Writer};
use super::quantize::{self, Type};
use super::weights::{self, Tiny};

/// The model with its matrices in one weight type, the rest in F32.
pub fn gguf(model: &Tiny, ty: &Type) -> Vec<u8> {
    let f32 = quantize::by_name("F32");
    model
        .tensors()
        .iter()
        .fold(header(model), |file, tensor| {
            let ty = if tensor.is_matrix() { ty } else { f32 };
            file.tensor(&tensor.name, &tensor.shape, ty.number, (ty.quantize)(&tensor.data))
        })
        .finish()
}

/// The metadata alone.
pub fn header(model: &Tiny) -> Writer {
    let arch = model.arch;
    let key = |name: &str| format!("{arch}.{name}");
    let mut file = Writer::new(3)
        .meta("general.architecture", Value::string(arch))
        .meta("general.name", Value::string(model.name))
        .meta(&key("context_length"), Value::U32(weights::N_CTX as u32))
        .meta(&key("embedding_length"), Value::U32(model.n_embd as u32))
        .meta(&key("block_count"), Value::U32(model.n_layer as u32))
        .meta(&key("feed_forward_length"), Value::U32(model.n_ff() as u32))
        .meta(&key("attention.head_count"), Value::U32(model.n_head as u32))
        .meta(&key("attention.head_count_kv"), Value::U32(model.n_head_kv as u32))
        .meta(&key("attention.layer_norm_epsilon"), Value::F32(weights::NORM_EPS));
    if arch == "mpt" {
        file = file.meta(&key("attention.max_alibi_bias"), Value::F32(model.max_alibi_bias));
    }
    if model.clamp_kqv > 0.0 {
        file = file.meta(&key("attention.clamp_kqv"), Value::F32(model.clamp_kqv));
    }
    tokenizer(file, arch)
}

/// A byte-level BPE of `N_VOCAB` tokens: one control token, the letters of the 256 bytes sorted, 63 merges.
fn tokenizer(file: Writer, pre: &str) -> Writer {
    let letters = (33..=126).chain(161..=172).chain(174..=323_u32).map(|c| char::from_u32(c).unwrap().to_string());
    let merge = |i: u8| format!("{} {}", ["Ġ", "e", "a"][usize::from(i) / 26], char::from(b'a' + i % 26));
    let merges: Vec<String> = (0..(weights::N_VOCAB - 257) as u8).map(merge).collect();
    let mut tokens = vec!["<|endoftext|>".to_string()];
    tokens.extend(letters);
    tokens.extend(merges.iter().map(|m| m.replace(' ', "")));
    let mut types = vec![1; tokens.len()];
    types[0] = 3;
    file.meta("tokenizer.ggml.model", Value::string("gpt2"))
        .meta("tokenizer.ggml.pre", Value::string(pre))
        .meta("tokenizer.ggml.tokens", Value::strings(&tokens))
        .meta("tokenizer.ggml.token_type", Value::i32s(&types))
        .meta("tokenizer.ggml.merges", Value::strings(&merges))
        .meta("tokenizer.ggml.bos_token_id", Value::U32(0))
        .meta("tokenizer.ggml.eos_token_id", Value::U32(0))
        .meta("tokenizer.ggml.add_bos_token", Value::Bool(false))
}
