//! `/tokenize` and `/detokenize`.

use serde_json::json;

use crate::server::Server;

#[test]
fn tokens_are_those_of_tokenize() {
    let server = Server::start("tiny.gguf");
    let text = "in the winter é 🙂";
    let ids = server.stdout(&["tokenize", "tiny.gguf", text], "");
    let ids: Vec<u32> = ids.split_whitespace().map(|id| id.parse().unwrap()).collect();
    let answer = server.ok("/tokenize", json!({"content": text}));
    assert_eq!((&answer["tokens"], &answer["count"]), (&json!(ids), &json!(ids.len())));
    assert_eq!(server.ok("/detokenize", json!({"tokens": ids}))["content"], text);
    let pieces = server.ok("/tokenize", json!({"content": "the é", "with_pieces": true}));
    let pieces = pieces["tokens"].as_array().unwrap();
    assert!(pieces.iter().any(|piece| piece["piece"] == json!([0xc3])), "half a character is bytes: {pieces:?}");
    let special = |parse: bool| {
        server.ok("/tokenize", json!({"content": "<|endoftext|>", "parse_special": parse, "add_special": false}))["count"].clone()
    };
    assert_eq!([special(true), special(false)], [json!(1), json!(13)]);
    assert_eq!(
        server.post("/tokenize", json!({})).error(),
        (400, Some("content".into()), Some("missing_required_parameter".into()))
    );
    assert_eq!(server.post("/detokenize", json!({"tokens": [99999]})).error().1, Some("tokens".into()));
}
