//! `/infill` and `/completion`, as llama.vim and other clients of llama.cpp's server send them; `suffix` of OpenAI's API.

use serde_json::{Value, json};

use crate::server::Server;
use crate::tiny;

const MARKS: [&str; 3] = ["<fim_prefix>", "<fim_suffix>", "<fim_middle>"];

/// Text that `nearfield run --suffix` puts between prefix and suffix.
fn run(server: &Server, prefix: &str, suffix: &str, flags: &str) -> String {
    let text = server.stdout(&["run", "code.gguf", "-p", prefix, "--suffix", suffix], flags);
    let text = text.strip_suffix('\n').unwrap();
    text.strip_prefix(prefix).unwrap().strip_suffix(suffix).unwrap().to_string()
}

fn server() -> Server {
    Server::start_with("code.gguf", &[("code.gguf", &tiny::model_with("mpt", &MARKS))])
}

#[test]
fn a_hole_is_filled_as_run_does() {
    let server = server();
    let want = run(&server, "fn in(", ") on", "--seed 5 -n 20");
    let body = json!({"input_prefix": "fn in(", "input_suffix": ") on", "n_predict": 20, "seed": 5});
    assert_eq!(server.ok("/infill", body.clone())["content"], want);
    assert_eq!(server.complete("fn in(", json!({"suffix": ") on", "max_tokens": 20, "seed": 5})), want);
    // The prompt stands right before the hole.
    let cut = json!({"input_prefix": "fn ", "prompt": "in(", "input_suffix": ") on", "n_predict": 20, "seed": 5});
    assert_eq!(server.ok("/infill", cut)["content"], want);
    let mut body = body;
    body["stream"] = true.into();
    let answer = server.post("/infill", body);
    let events: Vec<Value> =
        answer.body.split_terminator("\n\n").map(|event| serde_json::from_str(&event[6..]).unwrap()).collect();
    assert_eq!(events.iter().map(|event| event["content"].as_str().unwrap()).collect::<String>(), want);
    assert_eq!(events.last().unwrap()["stop"], true);
}

/// Bodies of llama.vim (autoload/llama.vim: `llama#fim` and `s:ring_update`), and the fields that it reads.
#[test]
fn llama_vim_is_served() {
    let server = server();
    let extra = json!([{"text": "in the", "time": [1, 2], "filename": "a.rs"}]);
    let body = json!({
        "input_prefix": "the in\n",
        "input_suffix": "on\n",
        "input_extra": extra,
        "prompt": "  on",
        "n_predict": 12,
        // The plugin sends none: two answers are compared here.
        "seed": 7,
        "n_indent": 2,
        "top_k": 40,
        "top_p": 0.99,
        "stream": false,
        "samplers": ["top_k", "top_p", "infill"],
        "cache_prompt": true,
        "t_max_prompt_ms": 500,
        "t_max_predict_ms": 60_000,
        "response_fields": [
            "content",
            "timings/prompt_n",
            "timings/prompt_ms",
            "timings/prompt_per_token_ms",
            "timings/prompt_per_second",
            "timings/predicted_n",
            "timings/predicted_ms",
            "timings/predicted_per_token_ms",
            "timings/predicted_per_second",
            "truncated",
            "tokens_cached",
        ],
    });
    let answer = server.ok("/infill", body.clone());
    let fields = body["response_fields"].as_array().unwrap();
    assert!(fields.iter().all(|path| answer.get(path.as_str().unwrap()).is_some()), "{answer}");
    assert_eq!(answer.as_object().unwrap().len(), fields.len());
    let mut whole = body;
    whole.as_object_mut().unwrap().remove("response_fields");
    assert_eq!(server.ok("/infill", whole)["timings"]["predicted_n"], answer["timings/predicted_n"]);
    let update = json!({
        "input_prefix": "",
        "input_suffix": "",
        "input_extra": extra,
        "prompt": "",
        "n_predict": 0,
        "temperature": 0.0,
        "stream": false,
        "samplers": [],
        "cache_prompt": true,
        "t_max_prompt_ms": 1,
        "t_max_predict_ms": 1,
        "response_fields": [""],
    });
    assert_eq!(server.ok("/infill", update), json!({}));
}

#[test]
fn a_text_is_continued_as_llama_cpps_server_does() {
    let server = server();
    let answer = server.ok("/completion", json!({"prompt": "the", "n_predict": 10, "seed": 3}));
    assert_eq!(answer["content"], server.run("the", "-m code.gguf -n 10 --seed 3"));
    assert_eq!([&answer["stop_type"], &answer["stop"]], [&json!("limit"), &json!(true)]);
}
