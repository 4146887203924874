//! `grammar`, `json_schema` and `response_format`: texts that are held to a form.

use serde_json::{Value, json};

use crate::server::Server;

const PROMPT: &str = "Once upon a time";
const SCHEMA: &str = r#"{"type": "object", "properties": {"who": {"enum": ["cat", "dog"]}, "age": {"type": "integer", "minimum": 1, "maximum": 20}, "name": {"type": "string", "maxLength": 12}}, "required": ["who", "age", "name"]}"#;

/// The text of `run` with a flag whose value has spaces.
fn run(server: &Server, flag: &str, value: &str, flags: &str) -> String {
    let text = server.stdout(&["run", "-p", PROMPT, flag, value], flags);
    text.strip_prefix(PROMPT).unwrap().strip_suffix('\n').unwrap().to_string()
}

#[test]
fn a_text_with_a_form_is_that_of_run() {
    let server = Server::start("--slots 3");
    let schema: Value = serde_json::from_str(SCHEMA).unwrap();
    let grammar = r#"root ::= " The " ("cat" | "dog") " is " [1-9] [0-9]? " years old." "#;
    for seed in 1..6 {
        let flags = format!("--seed {seed} -n 300");
        let settings = |form: Value| {
            let mut settings = json!({"seed": seed, "max_tokens": 300});
            settings.as_object_mut().unwrap().extend(form.as_object().unwrap().clone());
            settings
        };
        let want = run(&server, "--grammar", grammar, &flags);
        assert_eq!(server.complete(PROMPT, settings(json!({"grammar": grammar}))), want);
        let want = run(&server, "--json-schema", SCHEMA, &flags);
        let found: Value = serde_json::from_str(&want).unwrap();
        assert!((1..=20).contains(&found["age"].as_u64().unwrap()), "{want}");
        for form in [
            json!({"json_schema": schema}),
            json!({"response_format": {"type": "json_object", "schema": schema}}),
            json!({"response_format": {"type": "json_schema", "json_schema": {"name": "a", "schema": schema}}}),
        ] {
            // `json!` sorts members, so the schema goes as it is written.
            let body = settings(form).to_string().replace(&schema.to_string(), SCHEMA);
            let body = body.replacen('{', &format!("{{\"prompt\": \"{PROMPT}\", "), 1);
            let answer = server.post_text("/v1/completions", &body);
            assert_eq!(answer.status, 200, "{}", answer.body);
            let choice = &answer.json()["choices"][0];
            assert_eq!((choice["text"].as_str(), &choice["finish_reason"]), (Some(&*want), &json!("stop")));
        }
    }
}

#[test]
fn texts_with_and_without_forms_share_passes() {
    let server = Server::start("--slots 4");
    let grammar = r#"root ::= (" " ("red" | "green" | "blue"))+"#;
    let want: Vec<String> =
        (0..4).map(|seed| run(&server, "--grammar", grammar, &format!("--seed {seed} -n 20"))).collect();
    let free = server.run(PROMPT, "--seed 9 -n 20");
    std::thread::scope(|scope| {
        for (seed, want) in want.iter().enumerate() {
            let server = &server;
            scope.spawn(move || {
                let settings = json!({"grammar": grammar, "seed": seed, "max_tokens": 20});
                assert_eq!(server.complete(PROMPT, settings), *want);
            });
        }
        scope.spawn(|| assert_eq!(server.complete(PROMPT, json!({"seed": 9, "max_tokens": 20})), free));
    });
    let body = json!({"prompt": PROMPT, "grammar": grammar, "seed": 0, "n": 4, "max_tokens": 20});
    let answer = server.ok("/v1/completions", body);
    let texts: Vec<&str> =
        answer["choices"].as_array().unwrap().iter().map(|choice| choice["text"].as_str().unwrap()).collect();
    assert_eq!(texts, want);
}

#[test]
fn any_object_is_json() {
    let server = Server::start("");
    let mut n_whole = 0;
    for seed in 0..4 {
        // A model of stories seldom ends an object: what it would write counts little here.
        let body = json!({
            "prompt": PROMPT,
            "response_format": {"type": "json_object"},
            "seed": seed,
            "max_tokens": 400,
            "temperature": 2,
            "top_k": 0,
            "top_p": 1,
            "min_p": 0,
        });
        let answer = server.ok("/v1/completions", body);
        let choice = &answer["choices"][0];
        let text = choice["text"].as_str().unwrap();
        assert!(text.starts_with('{'), "{text}");
        if choice["finish_reason"] == "stop" {
            let found: Value = serde_json::from_str(text).unwrap();
            assert!(found.is_object(), "{found}");
            n_whole += 1;
        }
    }
    assert!(n_whole > 0);
    let body = json!({"prompt": PROMPT, "response_format": {"type": "text"}, "seed": 1, "max_tokens": 5});
    assert_eq!(server.ok("/v1/completions", body)["choices"][0]["text"], *server.run(PROMPT, "--seed 1 -n 5"));
}

#[test]
fn a_form_that_is_none_is_refused() {
    let server = Server::start("");
    for (form, param, message) in [
        (json!({"grammar": "root = x"}), Some("grammar"), "line 1, column 6: expected ::=, found '='"),
        (json!({"grammar": "root ::= root"}), Some("grammar"), "line 1"),
        // One token would take more time than it may, since the other texts of a pass wait for it.
        (json!({"grammar": "root ::= ((([a-z ]{0,90}){0,90}){0,90}){0,90}"}), Some("grammar"), "the grammar has "),
        (json!({"grammar": 5}), Some("grammar"), "grammar has to be a string, it is the number 5"),
        (json!({"json_schema": {"not": {}}}), Some("json_schema"), "#/not is not supported"),
        (
            json!({"response_format": "json"}),
            Some("response_format"),
            "response_format has to be an object, it is the string \"json\"",
        ),
        (json!({"response_format": {}}), Some("type"), "type is missing: it has to be a string"),
        (
            json!({"response_format": {"type": "xml"}}),
            Some("response_format"),
            "response_format.type has to be text, json_object or json_schema, it is \"xml\"",
        ),
        (
            json!({"response_format": {"type": "json_schema", "json_schema": {}}}),
            Some("response_format"),
            "response_format.json_schema.schema is missing: it has to be a JSON Schema",
        ),
        (
            json!({"grammar": "root ::= \"a\"", "json_schema": {}}),
            None,
            "grammar, json_schema and response_format: a text has one form",
        ),
    ] {
        let mut body = json!({"prompt": PROMPT});
        body.as_object_mut().unwrap().extend(form.as_object().unwrap().clone());
        let answer = server.post("/v1/completions", body);
        let error = &answer.json()["error"];
        assert_eq!((answer.status, error["param"].as_str()), (400, param), "{error}");
        assert!(error["message"].as_str().unwrap().starts_with(message), "{error}");
    }
}
