//! `/v1/embeddings`, `/v1/rerank` and the routes of text-embeddings-inference: the numbers of `embed` and `rerank`.

use std::thread;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::server::Server;
use crate::tiny;

fn server(line: &str) -> Server {
    let (encoder, reranker) = (tiny::encoder(false), tiny::encoder(true));
    let files: [(&str, &[u8]); 3] =
        [("encoder.gguf", &encoder), ("reranker.gguf", &reranker), ("tiny.gguf", &tiny::model("mpt"))];
    Server::start_with(line, &files)
}

/// Vectors that `nearfield embed` prints.
fn embed(server: &Server, model: &str, texts: &[&str]) -> Vec<Vec<f32>> {
    let args: Vec<&str> = ["embed", model].into_iter().chain(texts.iter().copied()).collect();
    let lines = server.stdout(&args, "");
    lines.lines().map(|line| line.split(' ').map(|x| x.parse().unwrap()).collect()).collect()
}

fn vector(value: &Value) -> Vec<f32> {
    value.as_array().unwrap().iter().map(|x| x.as_f64().unwrap() as f32).collect()
}

const TEXTS: [&str; 3] = ["the", "in the winter", "on"];

#[test]
fn embeddings_are_those_of_embed() {
    let server = server("tiny.gguf encoder.gguf");
    let want = embed(&server, "encoder.gguf", &TEXTS);
    let answer = server.ok("/v1/embeddings", json!({"input": TEXTS}));
    assert_eq!([&answer["object"], &answer["model"], &answer["data"][0]["object"]], ["list", "encoder", "embedding"]);
    let found: Vec<Vec<f32>> =
        answer["data"].as_array().unwrap().iter().map(|data| vector(&data["embedding"])).collect();
    assert_eq!(found, want);
    assert_eq!(answer["data"][2]["index"], 2);
    assert!(answer["usage"]["total_tokens"].as_u64().unwrap() > 3);
    // One text, as tokens, in base64, and cut.
    let ids = server.stdout(&["tokenize", "encoder.gguf", TEXTS[1]], "");
    let ids: Vec<u32> = ids.split_whitespace().map(|id| id.parse().unwrap()).collect();
    let of = |body: Value| server.ok("/v1/embeddings", body)["data"][0]["embedding"].clone();
    assert_eq!(vector(&of(json!({"input": TEXTS[1]}))), want[1]);
    assert_eq!(vector(&of(json!({"input": ids}))), want[1]);
    let bytes = STANDARD.decode(of(json!({"input": TEXTS[1], "encoding_format": "base64"})).as_str().unwrap()).unwrap();
    assert_eq!(bytes, want[1].iter().flat_map(|x| x.to_le_bytes()).collect::<Vec<_>>());
    let cut = vector(&of(json!({"input": TEXTS[1], "dimensions": 8})));
    let length = |x: &[f32]| x.iter().map(|x| x * x).sum::<f32>().sqrt();
    assert!(cut.len() == 8 && (length(&cut) - 1.0).abs() < 1e-6);
    assert!((cut[0] / cut[1] - want[1][0] / want[1][1]).abs() < 1e-4);
}

#[test]
fn embeddings_do_not_depend_on_what_runs_beside_them() {
    let server = server("encoder.gguf");
    let texts: Vec<String> = (1..40).map(|i| "the winter in ".repeat(i % 7 + 1) + &i.to_string()).collect();
    let refs: Vec<&str> = texts.iter().map(String::as_str).collect();
    let want = embed(&server, "encoder.gguf", &refs);
    thread::scope(|scope| {
        for (i, part) in texts.chunks(5).enumerate() {
            let (server, want) = (&server, &want[5 * i..]);
            scope.spawn(move || {
                let answer = server.ok("/v1/embeddings", json!({"input": part}));
                for (data, want) in answer["data"].as_array().unwrap().iter().zip(want) {
                    assert_eq!(&vector(&data["embedding"]), want);
                }
            });
        }
    });
}

#[test]
fn text_embeddings_inference_has_its_own_form() {
    let server = server("encoder.gguf reranker.gguf --ctx 16");
    let want = embed(&server, "encoder.gguf", &TEXTS);
    let answer = server.ok("/embed", json!({"inputs": TEXTS}));
    assert_eq!(answer.as_array().unwrap().iter().map(vector).collect::<Vec<_>>(), want);
    assert_eq!(vector(&server.ok("/embed", json!({"inputs": TEXTS[0]}))[0]), want[0]);
    let raw = vector(&server.ok("/embed", json!({"inputs": TEXTS[0], "normalize": false}))[0]);
    let lines = server.stdout(&["embed", "encoder.gguf", "--no-normalize", TEXTS[0]], "");
    assert_eq!(raw, lines.split_whitespace().map(|x| x.parse().unwrap()).collect::<Vec<f32>>());
    let long = "the winter ".repeat(20);
    assert_eq!(server.post("/embed", json!({"inputs": long})).error().2, Some("context_length_exceeded".into()));
    assert_eq!(
        server.ok("/embed", json!({"inputs": long, "truncate": true}))[0].as_array().unwrap().len(),
        tiny::N_COLUMNS
    );
    let scores = server.ok("/rerank", json!({"query": "the", "texts": TEXTS, "raw_scores": true, "return_text": true}));
    let ranked = server.ok("/v1/rerank", json!({"query": "the", "documents": TEXTS}));
    for (a, b) in scores.as_array().unwrap().iter().zip(ranked["results"].as_array().unwrap()) {
        assert_eq!(a["index"], b["index"]);
        assert_eq!(a["text"], TEXTS[a["index"].as_u64().unwrap() as usize]);
    }
}

#[test]
fn documents_are_ranked_as_rerank_does() {
    let server = server("tiny.gguf encoder.gguf reranker.gguf");
    let lines = server.stdout(&["rerank", "reranker.gguf", "the", TEXTS[0], TEXTS[1], TEXTS[2]], "--sigmoid");
    let want: Vec<(f32, u64)> = lines
        .lines()
        .map(|line| {
            let mut words = line.split('\t');
            (words.next().unwrap().trim().parse().unwrap(), words.next().unwrap().trim().parse().unwrap())
        })
        .collect();
    let answer = server.ok("/v1/rerank", json!({"query": "the", "documents": TEXTS, "return_documents": true}));
    let results = answer["results"].as_array().unwrap();
    assert_eq!((results.len(), &answer["model"]), (3, &json!("reranker")));
    for (result, (score, number)) in results.iter().zip(&want) {
        let index = result["index"].as_u64().unwrap();
        assert_eq!(index + 1, *number);
        assert!((result["relevance_score"].as_f64().unwrap() as f32 - score).abs() < 1e-4);
        assert_eq!(result["document"]["text"], TEXTS[index as usize]);
    }
    let first = server.ok("/v1/rerank", json!({"query": "the", "documents": [{"text": "the"}, "on"], "top_n": 1}));
    assert_eq!(first["results"].as_array().unwrap().len(), 1);
}
