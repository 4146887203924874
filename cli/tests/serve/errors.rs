//! Errors: status, parameter and code for what is wrong.

use serde_json::{Value, json};

use crate::client::request;
use crate::server::Server;

/// Status, parameter and code.
type Found<'f> = (u16, Option<&'f str>, Option<&'f str>);

#[test]
fn a_wrong_request_says_what_is_wrong() {
    let server = Server::start("tiny.gguf --ctx 64 --max-body 5000");
    let long = "the ".repeat(100);
    let bodies: [(&str, Found<'_>); 31] = [
        ("", (400, None, Some("invalid_json"))),
        ("{\"prompt\":", (400, None, Some("invalid_json"))),
        ("[1]", (400, None, None)),
        (r#"{"model": "none"}"#, (404, Some("model"), Some("model_not_found"))),
        (r#"{"model": 3}"#, (400, Some("model"), Some("invalid_type"))),
        (r#"{"prompt": 3}"#, (400, Some("prompt"), Some("invalid_type"))),
        (r#"{"prompt": ["a", 1]}"#, (400, Some("prompt"), Some("invalid_type"))),
        (r#"{"prompt": []}"#, (400, Some("prompt"), Some("invalid_type"))),
        (r#"{"prompt": [99999]}"#, (400, Some("prompt"), None)),
        (r#"{"prompt": [4294967296]}"#, (400, Some("prompt"), Some("invalid_type"))),
        (r#"{"prompt": "a", "max_tokens": "many"}"#, (400, Some("max_tokens"), Some("invalid_type"))),
        (r#"{"prompt": "a", "temperature": "hot"}"#, (400, Some("temperature"), Some("invalid_type"))),
        (r#"{"prompt": "a", "temperature": -1}"#, (400, Some("temperature"), None)),
        (r#"{"prompt": "a", "temperature": 1e999}"#, (400, None, Some("invalid_json"))),
        (r#"{"prompt": "a", "top_p": 1.5}"#, (400, Some("top_p"), None)),
        (r#"{"prompt": "a", "n": 0}"#, (400, Some("n"), None)),
        (r#"{"prompt": "a", "n": 65}"#, (400, Some("n"), None)),
        (r#"{"prompt": "a", "logprobs": 99}"#, (400, Some("logprobs"), None)),
        (r#"{"prompt": "a", "logprobs": 1, "echo": true}"#, (400, Some("echo"), Some("unsupported_parameter"))),
        (r#"{"prompt": "a", "suffix": "b"}"#, (400, Some("suffix"), Some("unsupported_parameter"))),
        (r#"{"prompt": "a", "logit_bias": {"5": 101}}"#, (400, Some("logit_bias"), None)),
        (r#"{"prompt": "a", "logit_bias": {"99999": 1}}"#, (400, Some("logit_bias"), None)),
        (r#"{"prompt": "a", "logit_bias": 5}"#, (400, Some("logit_bias"), Some("invalid_type"))),
        (r#"{"prompt": "a", "presence_penalty": 2.5}"#, (400, Some("presence_penalty"), None)),
        (r#"{"prompt": "a", "frequency_penalty": "a"}"#, (400, Some("frequency_penalty"), Some("invalid_type"))),
        (r#"{"prompt": "a", "dry_base": 0}"#, (400, Some("dry_base"), None)),
        (r#"{"prompt": "a", "dry_sequence_breakers": [""]}"#, (400, Some("dry_sequence_breakers"), None)),
        (r#"{"prompt": "a", "stream": 1}"#, (400, Some("stream"), Some("invalid_type"))),
        (r#"{"prompt": "a", "stream_options": 1}"#, (400, Some("stream_options"), Some("invalid_type"))),
        (r#"{"prompt": "a", "stop": 1}"#, (400, Some("stop"), Some("invalid_type"))),
        (r#"{"prompt": "a", "seed": 0.5}"#, (400, Some("seed"), Some("invalid_type"))),
    ];
    let owned = |(status, param, code): Found<'_>| (status, param.map(String::from), code.map(String::from));
    for (body, want) in bodies {
        assert_eq!(server.post_text("/v1/completions", body).error(), owned(want), "{body}");
    }
    let want = owned((400, Some("prompt"), Some("context_length_exceeded")));
    assert_eq!(server.post("/v1/completions", json!({"prompt": long})).error(), want);
    let huge = json!({"prompt": "x".repeat(6000)});
    assert_eq!(server.post("/v1/completions", huge).error(), owned((413, None, Some("request_too_large"))));
    for path in ["/v1/embeddings", "/v1/rerank", "/embed"] {
        let body = json!({"input": "a", "inputs": "a", "query": "a", "documents": ["a"]});
        assert_eq!(server.post(path, body).error(), owned((400, Some("model"), Some("model_not_supported"))), "{path}");
    }
    // All the same, a right request is answered.
    assert_eq!(
        server.complete("the", json!({"max_tokens": 3, "seed": 1})),
        server.run("the", "-m tiny.gguf -n 3 --seed 1")
    );
}

#[test]
fn a_body_of_unknown_length_is_cut_off() {
    let server = Server::start("tiny.gguf --max-body 5000");
    let chunk = format!("{:x}\r\n{}\r\n", 4000, "x".repeat(4000));
    let body = chunk.repeat(3) + "0\r\n\r\n";
    let mut stream = crate::client::connect(&server.address);
    let head =
        format!("POST /v1/completions HTTP/1.1\r\nHost: {}\r\nTransfer-Encoding: chunked\r\n\r\n", server.address);
    std::io::Write::write_all(&mut stream, (head + &body).as_bytes()).unwrap();
    let answer = crate::client::answer(&mut std::io::BufReader::new(stream)).unwrap();
    assert_eq!(answer.error(), (413, None, Some("request_too_large".into())));
}

#[test]
fn a_wrong_path_or_method_is_told() {
    let server = Server::start("tiny.gguf");
    assert_eq!(server.get("/v1/nothing").error(), (404, None, Some("unknown_route".into())));
    assert_eq!(server.get("/v1/models/none").error(), (404, Some("model".into()), Some("model_not_found".into())));
    let answer = server.get("/v1/completions");
    assert_eq!(answer.error(), (405, None, Some("method_not_allowed".into())));
    assert_eq!(answer.headers["allow"], "POST");
    let answer = request(&server.address, "DELETE", "/health", "", b"");
    assert_eq!(answer.error(), (405, None, Some("method_not_allowed".into())));
}

#[test]
fn a_key_is_asked_for() {
    let server = Server::start_with(
        "tiny.gguf --api-key keys",
        &[("tiny.gguf", &crate::tiny::model("mpt")), ("keys", b"# of Alice\nalice\n\n  bob  \n")],
    );
    let with = |headers: &str, path: &str| request(&server.address, "GET", path, headers, b"").status;
    for wrong in [
        "",
        "Authorization: Bearer eve\r\n",
        "Authorization: alice\r\n",
        "Authorization: Bearer alic\r\n",
        "X-Api-Key: eve\r\n",
    ] {
        assert_eq!(with(wrong, "/v1/models"), 401, "{wrong}");
        assert_eq!(with(wrong, "/nothing"), 401, "{wrong}");
    }
    for right in ["Authorization: Bearer alice\r\n", "authorization: bearer bob\r\n", "X-Api-Key: bob\r\n"] {
        assert_eq!(with(right, "/v1/models"), 200, "{right}");
    }
    assert_eq!([with("", "/health"), with("", "/")], [200, 200]);
    let answer = server.get("/metrics");
    assert_eq!(answer.error(), (401, None, Some("invalid_api_key".into())));
    assert_eq!(answer.headers["www-authenticate"], "Bearer");
}

#[test]
fn pages_of_other_origins_get_nothing() {
    let server = Server::start("tiny.gguf");
    let ask = |server: &Server, origin: &str| {
        let headers = format!("Origin: {origin}\r\nContent-Type: text/plain\r\n");
        request(&server.address, "POST", "/v1/completions", &headers, br#"{"prompt": "a", "max_tokens": 1}"#)
    };
    let own = format!("http://{}", server.address);
    assert_eq!(ask(&server, &own).status, 200);
    for other in ["http://example.com", "null", "http://127.0.0.1:1"] {
        let answer = ask(&server, other);
        assert_eq!(answer.error(), (403, None, Some("origin_not_allowed".into())), "{other}");
        assert!(!answer.headers.contains_key("access-control-allow-origin"));
    }
    // The slash is none of an origin's.
    let server = Server::start("tiny.gguf --cors https://example.com/");
    let answer = ask(&server, "https://example.com");
    assert_eq!((answer.status, &*answer.headers["access-control-allow-origin"]), (200, "https://example.com"));
    assert_eq!(ask(&server, "https://example.org").status, 403);
    let asks = "Origin: https://example.com\r\nAccess-Control-Request-Headers: authorization,x-stainless-os\r\n";
    let preflight = request(&server.address, "OPTIONS", "/v1/completions", asks, b"");
    assert_eq!(&*preflight.headers["access-control-allow-headers"], "authorization,x-stainless-os");
    assert_eq!((preflight.status, &*preflight.headers["access-control-allow-methods"]), (204, "GET, POST"));
}

#[test]
fn arguments_that_make_no_sense_are_told_before_anything_is_served() {
    let server = Server::start("tiny.gguf");
    let port = server.address.rsplit(':').next().unwrap();
    let fails = |args: &[&str]| {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_nearfield"));
        let output = command.arg("serve").args(args).output().unwrap();
        assert!(!output.status.success());
        String::from_utf8(output.stderr).unwrap()
    };
    let error = fails(&["--port", port]);
    assert!(error.starts_with(&format!("nearfield: cannot listen on 127.0.0.1, port {port}: ")), "{error}");
    assert!(fails(&["-n", "-1"]).contains("an answer has an end"));
    assert!(fails(&["none.gguf", "--port", "0"]).contains("cannot open none.gguf"));
    assert!(fails(&["--temp", "-1", "--port", "0"]).contains("temperature of -1"));
    assert!(fails(&["--api-key", "none", "--port", "0"]).contains("cannot read none"));
}

#[test]
fn models_are_listed() {
    let server = Server::start("tiny.gguf tiny.gguf");
    let list = server.get("/v1/models").json();
    let ids: Vec<&Value> = list["data"].as_array().unwrap().iter().map(|model| &model["id"]).collect();
    assert_eq!((&list["object"], ids), (&json!("list"), vec![&json!("tiny"), &json!("tiny-2")]));
    let one = server.get("/v1/models/tiny-2").json();
    assert_eq!([&one["object"], &one["owned_by"], &one["meta"]["task"]], ["model", "nearfield", "generate"]);
    assert_eq!([&one["meta"]["n_layer"], &one["meta"]["n_head"]], [2, 4]);
    assert_eq!(server.get("/health").json(), json!({"status": "ok"}));
    for name in ["tiny-2", "tiny", "tiny.gguf"] {
        let answer = server.ok("/v1/completions", json!({"model": name, "prompt": "a", "max_tokens": 1}));
        assert_eq!(answer["model"], name.trim_end_matches(".gguf"));
    }
}
