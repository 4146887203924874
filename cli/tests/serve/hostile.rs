//! Odd values in every field of every route: an answer or an error of the client's, and never the server's.

use serde_json::{Value, json};

use crate::server::Server;
use crate::tiny;

/// Values that a field may get from careless and hostile clients.
fn odd_values() -> Vec<Value> {
    let nested = (0..100).fold(json!(1), |value, _| json!([value]));
    vec![
        Value::Null,
        json!(true),
        json!(0),
        json!(-1),
        json!(1),
        json!(1.5),
        json!(1e300),
        json!(-1e300),
        json!(1e-320),
        json!(u64::MAX),
        json!(i64::MIN),
        json!(""),
        json!("x"),
        json!("\0\u{7f}\u{ffff}🙂\r\n"),
        json!("<|endoftext|><fim_prefix>{{bos_token}}"),
        json!("the ".repeat(500)),
        json!([]),
        json!([[]]),
        json!([null]),
        json!(["a", ""]),
        json!([1, 2]),
        json!([[1], [2, 3]]),
        json!([-1, 4_294_967_296_u64]),
        json!({}),
        json!({"text": "a", "role": "user", "content": "a"}),
        json!([{"text": "a", "role": "user", "content": "a"}]),
        json!([{"role": "user", "content": [{"type": "text", "text": "a"}]}]),
        nested,
    ]
}

/// Routes, a right body for each, and more fields that they know.
fn routes() -> Vec<(&'static str, Value, &'static str)> {
    let sampling = "temperature top_p top_k min_p repeat_penalty repetition_penalty presence_penalty frequency_penalty seed stop \
                    logit_bias stream visited_keys typical_p repeat_last_n dry_multiplier dry_base dry_allowed_length \
                    dry_penalty_last_n dry_sequence_breakers ignore_eos grammar json_schema response_format";
    let texts = format!("model prompt suffix max_tokens n echo best_of logprobs stream_options user {sampling}");
    let chats = format!("model messages max_tokens max_completion_tokens n logprobs top_logprobs tools {sampling}");
    let infill =
        format!("input_prefix input_suffix prompt input_extra n_predict t_max_predict_ms response_fields {sampling}");
    let leak = |text: String| -> &'static str { text.leak() };
    vec![
        ("/v1/completions", json!({"model": "tiny", "prompt": "a", "max_tokens": 2}), leak(texts)),
        ("/v1/chat/completions", json!({"messages": [{"role": "user", "content": "a"}], "max_tokens": 2}), leak(chats)),
        ("/infill", json!({"input_prefix": "a", "input_suffix": "b", "n_predict": 2}), leak(infill.clone())),
        ("/completion", json!({"prompt": "a", "n_predict": 2}), leak(infill)),
        ("/v1/embeddings", json!({"input": "a"}), "model input encoding_format dimensions"),
        ("/embed", json!({"inputs": "a"}), "inputs normalize truncate"),
        ("/v1/rerank", json!({"query": "a", "documents": ["b"]}), "model query documents top_n return_documents"),
        ("/rerank", json!({"query": "a", "texts": ["b"]}), "query texts raw_scores return_text truncate"),
        ("/tokenize", json!({"content": "a"}), "content add_special parse_special with_pieces"),
        ("/detokenize", json!({"tokens": [1]}), "tokens special"),
    ]
}

#[test]
fn odd_values_are_answered_or_refused() {
    let marks = ["<fim_prefix>", "<fim_suffix>", "<fim_middle>"];
    let server = Server::start_with(
        "tiny.gguf encoder.gguf reranker.gguf --ctx 256 --chat mpt-30b-instruct",
        &[
            ("tiny.gguf", &tiny::model_with("mpt", &marks)),
            ("encoder.gguf", &tiny::encoder(false)),
            ("reranker.gguf", &tiny::encoder(true)),
        ],
    );
    let mut n = 0;
    for (route, right, fields) in routes() {
        assert_eq!(
            server.post(route, right.clone()).status,
            200,
            "{route}: {}",
            server.post(route, right.clone()).body
        );
        for field in fields.split_whitespace() {
            for value in odd_values() {
                let mut body = right.clone();
                body[field] = value.clone();
                let answer = server.post(route, body);
                assert!([200, 400, 404].contains(&answer.status), "{route} {field} {value}: {}", answer.body);
                if answer.status != 200 {
                    answer.error();
                }
                n += 1;
            }
        }
    }
    assert!(n > 2000, "{n}");
    assert_eq!(server.get("/health").status, 200);
}
