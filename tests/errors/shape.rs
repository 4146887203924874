//! Headers that do not describe a model.

use nearfield::{LoadError, ShapeError};

use super::{assert_error, load, parts};
use crate::common::model::{BAICHUAN, FALCON, GPT2, Parts};
use crate::common::reference::gguf_writer::Value;

fn name(text: &str) -> [u8; 16] {
    std::array::from_fn(|i| text.as_bytes().get(i).copied().unwrap_or(0))
}

#[test]
fn shape_errors() {
    let set = |key: &str, value: Value| parts().set(key, value);
    let (count, text) = (Value::U32, Value::string);
    let range = |key, found, max| ShapeError::Range { key, found, min: 1, max };
    let mut tall = parts();
    tall.tensor("token_embd.weight").shape[0] = 0;
    tall.tensor("token_embd.weight").bytes.clear();
    let mut empty = GPT2.parts_of(&GPT2.tensors(), "F32");
    empty.tensor("position_embd.weight").shape[0] = 0;
    empty.tensor("position_embd.weight").bytes.clear();
    let cases: Vec<(&str, Parts, ShapeError, &[&str])> = vec![
        (
            "no family",
            parts().without("general.architecture"),
            ShapeError::Architecture { found: name("") },
            &["missing", "bloom mpt"],
        ),
        (
            "another family",
            set("general.architecture", text("llama")),
            ShapeError::Architecture { found: name("llama") },
            &["llama", "bloom mpt"],
        ),
        (
            "a long family",
            set("general.architecture", text("abcdefghijklmnopqrst")),
            ShapeError::Architecture { found: name("abcdefghijklmnop") },
            &["abcdefghijklmnop"],
        ),
        (
            "a family that is a number",
            set("general.architecture", count(1)),
            ShapeError::Architecture { found: name("") },
            &["missing"],
        ),
        (
            "no width",
            parts().without("mpt.embedding_length"),
            ShapeError::Missing { key: ".embedding_length" },
            &[".embedding_length"],
        ),
        (
            "no layers",
            parts().without("mpt.block_count"),
            ShapeError::Missing { key: ".block_count" },
            &[".block_count"],
        ),
        (
            "no heads",
            parts().without("mpt.attention.head_count"),
            ShapeError::Missing { key: ".attention.head_count" },
            &[".attention.head_count"],
        ),
        (
            "no feed-forward",
            parts().without("mpt.feed_forward_length"),
            ShapeError::Missing { key: ".feed_forward_length" },
            &[".feed_forward_length"],
        ),
        (
            "no context",
            parts().without("mpt.context_length"),
            ShapeError::Missing { key: ".context_length" },
            &[".context_length"],
        ),
        (
            "no epsilon",
            parts().without("mpt.attention.layer_norm_epsilon"),
            ShapeError::Missing { key: ".attention.layer_norm_epsilon" },
            &["epsilon"],
        ),
        (
            "no bias by distance",
            parts().without("mpt.attention.max_alibi_bias"),
            ShapeError::Missing { key: ".attention.max_alibi_bias" },
            &["max_alibi_bias"],
        ),
        (
            "no embedding",
            parts().without("token_embd.weight"),
            ShapeError::Missing { key: "token_embd.weight" },
            &["token_embd.weight"],
        ),
        (
            "a width that is text",
            set("mpt.embedding_length", text("8")),
            ShapeError::Type { key: ".embedding_length", want: "a count", found: "string" },
            &["string", "a count"],
        ),
        (
            "a width below zero",
            set("mpt.embedding_length", Value::I32(-8)),
            ShapeError::Type { key: ".embedding_length", want: "a count", found: "i32" },
            &["i32", "a count"],
        ),
        (
            "an epsilon that is a count",
            set("mpt.attention.layer_norm_epsilon", count(1)),
            ShapeError::Type { key: ".attention.layer_norm_epsilon", want: "a float", found: "u32" },
            &["u32", "a float"],
        ),
        (
            "tokens that are text",
            set("tokenizer.ggml.tokens", text("a")),
            ShapeError::Type { key: "tokenizer.ggml.tokens", want: "an array", found: "string" },
            &["string", "an array"],
        ),
        (
            "no head",
            set("mpt.attention.head_count", count(0)),
            range(".attention.head_count", 0, 1024),
            &["0", "1 to 1024"],
        ),
        (
            "too many heads",
            set("mpt.attention.head_count", count(1025)),
            range(".attention.head_count", 1025, 1024),
            &["1025", "1 to 1024"],
        ),
        (
            "no KV head",
            set("mpt.attention.head_count_kv", count(0)),
            range(".attention.head_count_kv", 0, 1024),
            &["head_count_kv is 0"],
        ),
        ("no layer", set("mpt.block_count", count(0)), range(".block_count", 0, 512), &["block_count is 0"]),
        (
            "too many layers",
            set("mpt.block_count", Value::U64(u64::MAX)),
            range(".block_count", u64::MAX, 512),
            &["18446744073709551615", "512"],
        ),
        (
            "too wide",
            set("mpt.embedding_length", count(u32::MAX)),
            range(".embedding_length", u32::MAX.into(), 1 << 20),
            &["4294967295", "1048576"],
        ),
        (
            "too wide a feed-forward",
            set("mpt.feed_forward_length", count(u32::MAX)),
            range(".feed_forward_length", u32::MAX.into(), 1 << 20),
            &["4294967295"],
        ),
        ("no token", tall, range("token_embd.weight rows", 0, 1 << 24), &["token_embd.weight rows is 0"]),
        (
            "an epsilon that is no number",
            set("mpt.attention.layer_norm_epsilon", Value::F32(f32::NAN)),
            ShapeError::Float { key: ".attention.layer_norm_epsilon" },
            &["epsilon", "finite"],
        ),
        (
            "a negative bias",
            set("mpt.attention.max_alibi_bias", Value::F32(-8.0)),
            ShapeError::Float { key: ".attention.max_alibi_bias" },
            &["max_alibi_bias", "from 0"],
        ),
        (
            "an infinite clamp",
            set("mpt.attention.clamp_kqv", Value::F32(f32::INFINITY)),
            ShapeError::Float { key: ".attention.clamp_kqv" },
            &["clamp_kqv", "finite"],
        ),
        (
            "heads that do not divide",
            set("mpt.attention.head_count", count(7)),
            ShapeError::Heads { n_embd: 64, n_head: 7, n_head_kv: 8 },
            &["64", "7 heads", "8 KV"],
        ),
        (
            "KV heads that do not divide",
            set("mpt.attention.head_count_kv", count(3)),
            ShapeError::Heads { n_embd: 64, n_head: 8, n_head_kv: 3 },
            &["8 heads", "3 KV"],
        ),
        (
            "more KV heads than heads",
            set("mpt.attention.head_count_kv", count(16)),
            ShapeError::Heads { n_embd: 64, n_head: 8, n_head_kv: 16 },
            &["8 heads", "16 KV"],
        ),
        (
            "a baichuan of other layers",
            BAICHUAN.parts_of(&BAICHUAN.tensors(), "F32").without("baichuan.attention.max_alibi_bias"),
            ShapeError::Missing { key: ".attention.max_alibi_bias" },
            &["max_alibi_bias"],
        ),
        (
            "a falcon with rotary positions",
            FALCON.parts_of(&FALCON.tensors(), "F32").without("falcon.attention.max_alibi_bias"),
            ShapeError::Missing { key: ".attention.max_alibi_bias" },
            &["max_alibi_bias"],
        ),
        (
            "no positions",
            GPT2.parts_of(&GPT2.tensors(), "F32").without("position_embd.weight"),
            ShapeError::Missing { key: "position_embd.weight" },
            &["position_embd.weight"],
        ),
        ("positions for nothing", empty, range("position_embd.weight rows", 0, 1 << 24), &["rows is 0"]),
        (
            "slopes for a text of no length",
            set("mpt.attention.alibi_train_length", count(0)),
            range(".attention.alibi_train_length", 0, 1 << 24),
            &["alibi_train_length is 0"],
        ),
        (
            "a head of 2048",
            set("mpt.attention.head_count", count(1))
                .set("mpt.attention.head_count_kv", count(1))
                .set("mpt.embedding_length", count(2048)),
            ShapeError::HeadDim { found: 2048 },
            &["2048 wide", "1024"],
        ),
    ];
    for (what, parts, want, words) in cases {
        assert_error(what, LoadError::Shape(want), load(parts.file().bytes()), words);
    }
}
