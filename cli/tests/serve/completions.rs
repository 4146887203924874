//! `/v1/completions`: texts, streams, their fields.

use serde_json::{Value, json};

use crate::server::Server;
use crate::tiny;

const PROMPT: &str = "Once upon a time";

fn text(answer: &Value) -> &str {
    answer["choices"][0]["text"].as_str().unwrap()
}

#[test]
fn a_text_is_that_of_run() {
    let server = Server::start("");
    let settings: [(Value, &str); 13] = [
        (json!({"seed": 1}), "--seed 1"),
        (json!({"seed": 2, "max_tokens": 20}), "--seed 2 -n 20"),
        (json!({"temperature": 0, "max_tokens": 40}), "--temp 0 -n 40"),
        (json!({"seed": 3, "temperature": 1.5, "top_k": 0, "top_p": 1}), "--seed 3 --temp 1.5 --top-k 0 --top-p 1"),
        (json!({"seed": 4, "min_p": 0.2, "repeat_penalty": 1.3}), "--seed 4 --min-p 0.2 --repeat-penalty 1.3"),
        (
            json!({"seed": 8, "presence_penalty": 0.5, "frequency_penalty": 0.75, "repeat_last_n": 90}),
            "--seed 8 --presence-penalty 0.5 --frequency-penalty 0.75 --repeat-last-n 90",
        ),
        (json!({"seed": 9, "logit_bias": {"257": 3, "12": -100}}), "--seed 9 -l 257=3 -l 12-100"),
        (
            json!({"temperature": 0, "logit_bias": [["the", false], [257, 2.5]], "ignore_eos": true}),
            "--temp 0 -l the=false -l 257+2.5 --ignore-eos",
        ),
        (
            json!({"temperature": 0, "dry_multiplier": 0.8, "dry_allowed_length": 1, "dry_penalty_last_n": -1}),
            "--temp 0 --dry-multiplier 0.8 --dry-allowed-length 1 --dry-penalty-last-n 10000",
        ),
        (
            json!({
                "seed": 10, "typical_p": 0.7, "dry_multiplier": 2, "dry_base": 1.5, "dry_sequence_breakers": ["the", "o"]
            }),
            "--seed 10 --typical 0.7 --dry-multiplier 2 --dry-base 1.5 --dry-sequence-breaker o --dry-sequence-breaker the",
        ),
        (json!({"seed": 5, "stop": ["the", "."]}), "--seed 5 --stop the --stop ."),
        (json!({"seed": 6, "stop": "\n"}), "--seed 6 --stop \n"),
        (json!({"seed": 7, "max_tokens": 0}), "--seed 7 -n 0"),
    ];
    for (settings, flags) in settings {
        // The line feed is no separator of flags.
        let want = match flags.strip_suffix("--stop \n") {
            Some(flags) => {
                let text = server.stdout(&["run", "-p", PROMPT, "--stop", "\n"], flags);
                text.strip_prefix(PROMPT).unwrap().strip_suffix('\n').unwrap().to_string()
            }
            None => server.run(PROMPT, flags),
        };
        assert_eq!(server.complete(PROMPT, settings.clone()), want, "{settings}");
        // Again, in a slot that has read the prompt before.
        assert_eq!(server.complete(PROMPT, settings.clone()), want, "{settings}");
    }
}

#[test]
fn an_answer_has_openais_fields() {
    let server = Server::start("tiny.gguf");
    let body = json!({"model": "tiny", "prompt": PROMPT, "seed": 3, "max_tokens": 12});
    let answer = server.ok("/v1/completions", body.clone());
    assert_eq!([&answer["object"], &answer["model"]], ["text_completion", "tiny"]);
    assert!(answer["id"].as_str().unwrap().starts_with("cmpl-") && answer["created"].is_u64());
    let choice = &answer["choices"][0];
    assert_eq!((&choice["index"], &choice["logprobs"], &choice["seed"]), (&json!(0), &Value::Null, &json!(3)));
    assert_eq!(choice["finish_reason"], "length");
    let n_prompt = server.stdout(&["tokenize", "tiny.gguf", PROMPT], "").split_whitespace().count();
    let usage = |n_cached: usize| {
        json!({
            "prompt_tokens": n_prompt,
            "completion_tokens": 12,
            "total_tokens": n_prompt + 12,
            "prompt_tokens_details": {"cached_tokens": n_cached},
        })
    };
    assert_eq!(answer["usage"], usage(0));
    let again = server.ok("/v1/completions", body);
    assert_eq!((again["usage"].clone(), text(&again)), (usage(n_prompt - 1), text(&answer)));
    assert_ne!(again["id"], answer["id"]);
    assert_eq!(answer["timings"]["predicted_n"], 12);
}

#[test]
fn a_stream_has_the_same_text() {
    let server = Server::start("");
    for settings in
        [json!({"seed": 1}), json!({"seed": 5, "stop": ["the", "."]}), json!({"seed": 2, "n": 3, "max_tokens": 30})]
    {
        let mut body = json!({"prompt": PROMPT});
        body.as_object_mut().unwrap().extend(settings.as_object().unwrap().clone());
        let whole = server.ok("/v1/completions", body.clone());
        body["stream"] = true.into();
        body["stream_options"] = json!({"include_usage": true});
        let events = server.post("/v1/completions", body).events();
        let (last, pieces) = events.split_last().unwrap();
        assert_eq!(
            (last["choices"].as_array().unwrap().len(), &last["usage"]["completion_tokens"]),
            (0, &whole["usage"]["completion_tokens"])
        );
        for choice in whole["choices"].as_array().unwrap() {
            let of_choice =
                || pieces.iter().map(|piece| &piece["choices"][0]).filter(|piece| piece["index"] == choice["index"]);
            let found: String = of_choice().map(|piece| piece["text"].as_str().unwrap()).collect();
            assert_eq!(found, choice["text"].as_str().unwrap());
            assert!(of_choice().count() > 2, "it came in pieces");
            let reasons: Vec<&Value> = of_choice().map(|piece| &piece["finish_reason"]).collect();
            let (end, before) = reasons.split_last().unwrap();
            assert!(*end == &choice["finish_reason"] && before.iter().all(|reason| reason.is_null()));
        }
    }
}

#[test]
fn several_texts_have_seeds_that_follow_each_other() {
    let server = Server::start("--slots 2");
    let body = json!({"prompt": [PROMPT, "The dog"], "n": 2, "seed": 10, "max_tokens": 15, "echo": true});
    let answer = server.ok("/v1/completions", body);
    let choices = answer["choices"].as_array().unwrap();
    assert_eq!(choices.len(), 4);
    for (i, choice) in choices.iter().enumerate() {
        let (prompt, seed) = ([PROMPT, "The dog"][i / 2], 10 + i % 2);
        assert_eq!(choice["index"], i);
        assert_eq!(choice["seed"], seed);
        let want = prompt.to_string() + &server.run(prompt, &format!("--seed {seed} -n 15"));
        assert_eq!(choice["text"], want, "with the prompt before it");
    }
}

#[test]
fn a_prompt_may_be_tokens() {
    let server = Server::start("tiny.gguf");
    let ids = server.stdout(&["tokenize", "tiny.gguf", PROMPT], "");
    let ids: Vec<u32> = ids.split_whitespace().map(|id| id.parse().unwrap()).collect();
    let with = |prompt: Value| {
        server.ok("/v1/completions", json!({"prompt": prompt, "seed": 4, "max_tokens": 20, "echo": true}))
    };
    let (of_text, of_ids) = (with(PROMPT.into()), with(json!(ids)));
    assert_eq!(text(&of_text), text(&of_ids));
    assert_eq!(with(json!([ids, ids]))["choices"].as_array().unwrap().len(), 2);
}

#[test]
fn log_probabilities_are_those_of_the_logits() {
    let server = Server::start("tiny.gguf");
    let body = json!({"prompt": PROMPT, "temperature": 0, "max_tokens": 6, "logprobs": 3});
    let answer = server.ok("/v1/completions", body.clone());
    let found = &answer["choices"][0]["logprobs"];
    let (tokens, numbers) = (found["tokens"].as_array().unwrap(), found["token_logprobs"].as_array().unwrap());
    assert_eq!((tokens.len(), numbers.len()), (6, 6));
    let all: String = tokens.iter().map(|token| token.as_str().unwrap()).collect();
    assert!(all == text(&answer) || all.contains("bytes:"), "{all}");
    for (i, top) in found["top_logprobs"].as_array().unwrap().iter().enumerate() {
        let top = top.as_object().unwrap();
        let best = top.values().map(|number| number.as_f64().unwrap()).fold(f64::NEG_INFINITY, f64::max);
        assert_eq!(numbers[i].as_f64(), Some(best), "the likeliest token was taken");
        assert_eq!((top.len(), best < 0.0), (3, true));
    }
    // The first of them, by the command's own logits.
    let ids = server.stdout(&["tokenize", "tiny.gguf", PROMPT], "").trim().replace(' ', ",");
    server.stdout(&["logits", "tiny.gguf", "--tokens", &ids, "-o", "out.npy"], "");
    let row = server.last_row("out.npy", tiny::N_VOCAB);
    let logits = &row[..tiny::N_TOKENS];
    let highest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let sum: f64 = logits.iter().map(|&logit| f64::from(logit - highest).exp()).sum();
    assert!((numbers[0].as_f64().unwrap() + sum.ln()).abs() < 1e-5);
    // In a stream, each piece has those of its tokens.
    let mut body = body;
    body["stream"] = true.into();
    let events = server.post("/v1/completions", body).events();
    let pieces = events.iter().filter_map(|event| event["choices"][0]["logprobs"]["token_logprobs"].as_array());
    assert_eq!(pieces.flatten().cloned().collect::<Vec<_>>(), *numbers);
}

#[test]
fn each_token_may_tell_the_keys_that_it_visited() {
    let server = Server::start("tiny.gguf --slots 2");
    let body = json!({"prompt": "the ".repeat(60), "seed": 4, "max_tokens": 5, "visited_keys": true});
    let plain = server.ok("/v1/completions", json!({"prompt": "the ".repeat(60), "seed": 4, "max_tokens": 5}));
    for _ in 0..2 {
        let answer = server.ok("/v1/completions", body.clone());
        assert_eq!(text(&answer), text(&plain));
        let keys = answer["choices"][0]["visited_keys"].as_array().unwrap();
        assert_eq!(keys.len(), 5);
        let n_prompt = answer["usage"]["prompt_tokens"].as_u64().unwrap();
        for (token, pos) in keys.iter().zip(n_prompt - 1..) {
            assert_eq!(token["pos"], pos);
            let layers = token["visited"].as_array().unwrap();
            assert_eq!(layers.len(), 2);
            for head in layers.iter().flat_map(|layer| layer.as_array().unwrap()) {
                let visited = head.as_u64().unwrap();
                assert!(0 < visited && visited <= pos + 1, "{visited} of {pos}");
            }
        }
    }
}

#[test]
fn a_steep_head_does_not_look_back_to_the_beginning() {
    let server = Server::start("");
    let body = json!({"prompt": "The dog ran. ".repeat(200), "max_tokens": 1, "visited_keys": true});
    let answer = server.ok("/v1/completions", body);
    let layers = answer["choices"][0]["visited_keys"][0]["visited"].clone();
    let visited = layers.as_array().unwrap().iter().flat_map(|layer| layer.as_array().unwrap());
    let visited: Vec<u64> = visited.map(|head| head.as_u64().unwrap()).collect();
    let n_prompt = answer["usage"]["prompt_tokens"].as_u64().unwrap();
    let (least, most) = (visited.iter().min().unwrap(), visited.iter().max().unwrap());
    assert!(*least < n_prompt / 2 && *most <= n_prompt, "{visited:?} of {n_prompt}");
}

#[test]
fn a_full_context_ends_a_text() {
    let server = Server::start("tiny.gguf --ctx 40");
    let answer = server.ok("/v1/completions", json!({"prompt": PROMPT, "seed": 4, "max_tokens": -1}));
    assert_eq!(answer["choices"][0]["finish_reason"], "length");
    assert_eq!(answer["usage"]["total_tokens"], 41, "the last token needs no position");
    assert_eq!(text(&answer), server.run(PROMPT, "-m tiny.gguf --seed 4 --ctx 40 -n -2"));
}

#[test]
fn a_snapshot_stands_before_all_prompts() {
    let server = Server::start("tiny.gguf");
    server.stdout(&["run", "tiny.gguf", "-p", &"the winter in ".repeat(20), "--save-kv", "before.kv"], "-n 0");
    let beside = server.beside("tiny.gguf --load-kv before.kv --slots 2");
    for (prompt, seed) in [(" Once", 1), (" upon", 2), (" Once", 1), ("", 3)] {
        let flags = format!("--load-kv before.kv --seed {seed} -n 20 --repeat-penalty 1.2");
        let want = server.stdout(&["run", "tiny.gguf", "-p", prompt], &flags);
        let settings = json!({"seed": seed, "max_tokens": 20, "repeat_penalty": 1.2});
        let found = beside.complete(prompt, settings);
        assert_eq!(format!("{prompt}{found}\n"), want, "{prompt:?}");
    }
    let long = json!({"prompt": " Once", "dry_multiplier": 1, "dry_penalty_last_n": -1});
    assert_eq!(beside.post("/v1/completions", long).error(), (400, Some("dry_penalty_last_n".into()), None));
    let answer = beside.ok("/v1/completions", json!({"prompt": " Once", "max_tokens": 1}));
    assert!(answer["usage"]["prompt_tokens"].as_u64().unwrap() < 10, "the snapshot is not read again");
    let models = beside.get("/v1/models").json();
    assert_eq!([&models["data"][0]["meta"]["chat"], &models["data"][0]["meta"]["infill"]], [false, false]);
}
