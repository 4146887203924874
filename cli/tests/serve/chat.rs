//! `/v1/chat/completions`: the answers of `run --chat`.

use serde_json::{Value, json};

use crate::server::Server;
use crate::tiny;

const FLAGS: &str = "--chat mpt-30b-instruct";

/// Answer that `nearfield run` gives to a question.
fn run(server: &Server, question: &str, flags: &str) -> String {
    let text = server.stdout(&["run", "--chat=mpt-30b-instruct", "-p", question], flags);
    text.strip_suffix('\n').unwrap().to_string()
}

fn content(answer: &Value) -> &str {
    answer["choices"][0]["message"]["content"].as_str().unwrap()
}

#[test]
fn an_answer_is_that_of_run() {
    let server = Server::start(FLAGS);
    let question = json!([{"role": "user", "content": "Where is the cat?"}]);
    let want = run(&server, "Where is the cat?", "--seed 4 -n 30");
    let answer = server.ok("/v1/chat/completions", json!({"messages": question, "seed": 4, "max_tokens": 30}));
    assert_eq!((content(&answer), &answer["object"]), (&*want, &json!("chat.completion")));
    assert_eq!(answer["choices"][0]["message"]["role"], "assistant");
    let of_system =
        json!([{"role": "system", "content": "A story."}, {"role": "user", "content": "Where is the cat?"}]);
    let answer =
        server.ok("/v1/chat/completions", json!({"messages": of_system, "seed": 4, "max_completion_tokens": 30}));
    let text = server.stdout(
        &["run", "--chat=mpt-30b-instruct", "-p", "Where is the cat?", "--system", "A story."],
        "--seed 4 -n 30",
    );
    assert_eq!(content(&answer), text.strip_suffix('\n').unwrap());
    // Streamed, the role comes first, and the end last.
    let body =
        json!({"messages": question, "seed": 4, "max_tokens": 30, "stream": true, "logprobs": true, "top_logprobs": 2});
    let events = server.post("/v1/chat/completions", body).events();
    let choices: Vec<&Value> = events.iter().map(|event| &event["choices"][0]).collect();
    assert_eq!(choices[0]["delta"]["role"], "assistant");
    let found: String = choices.iter().filter_map(|choice| choice["delta"]["content"].as_str()).collect();
    assert_eq!(found, want);
    assert_eq!(choices.last().unwrap()["finish_reason"], "length");
    let first = &choices[1]["logprobs"]["content"][0];
    assert_eq!((first["top_logprobs"].as_array().unwrap().len(), first["bytes"].is_array()), (2, true));
}

#[test]
fn penalties_and_biases_are_those_of_run() {
    let server = Server::start(FLAGS);
    let question = json!([{"role": "user", "content": "Where is the cat?"}]);
    let flags =
        "--seed 4 -n 40 --presence-penalty 0.5 --frequency-penalty 0.5 -l 257=2 --dry-multiplier 1 --typical 0.9";
    let mut body =
        json!({"messages": question, "seed": 4, "max_tokens": 40, "presence_penalty": 0.5, "typical_p": 0.9});
    body["frequency_penalty"] = 0.5.into();
    body["logit_bias"] = json!({"257": 2});
    body["dry_multiplier"] = 1.into();
    let want = run(&server, "Where is the cat?", flags);
    assert_eq!(content(&server.ok("/v1/chat/completions", body)), want);
    assert_ne!(want, run(&server, "Where is the cat?", "--seed 4 -n 40"));
}

#[test]
fn the_next_turn_reads_what_is_new() {
    let server = Server::start(FLAGS);
    let mut messages = vec![json!({"role": "user", "content": "Where is the cat? It is big and it is red."})];
    let mut n_prompt = 0;
    for _ in 0..4 {
        let answer =
            server.ok("/v1/chat/completions", json!({"messages": messages, "temperature": 0, "max_tokens": 20}));
        let usage = &answer["usage"];
        let n_cached = usage["prompt_tokens_details"]["cached_tokens"].as_u64().unwrap();
        assert!(n_cached >= n_prompt, "{usage}");
        n_prompt = usage["prompt_tokens"].as_u64().unwrap();
        messages.push(json!({"role": "assistant", "content": content(&answer)}));
        messages.push(json!({"role": "user", "content": "And then?"}));
    }
    assert!(n_prompt > 100);
}

#[test]
fn messages_that_are_no_conversation_are_told() {
    let server = Server::start(FLAGS);
    let param = |messages: Value| server.post("/v1/chat/completions", json!({"messages": messages})).error().1.unwrap();
    let message = |role: &str| json!({"role": role, "content": "a"});
    assert_eq!(param(json!([])), "messages");
    assert_eq!(param(json!([message("assistant")])), "messages");
    assert_eq!(param(json!([message("user"), message("assistant")])), "messages");
    assert_eq!(param(json!([message("user"), message("king")])), "messages[1].role");
    let body = json!({"messages": [message("user")], "tools": [{"type": "function"}]});
    assert_eq!(server.post("/v1/chat/completions", body).error().1, Some("tools".into()));
    let server = Server::start("tiny.gguf");
    let answer = server.post("/v1/chat/completions", json!({"messages": [message("user")]}));
    assert_eq!(answer.error(), (400, Some("model".into()), Some("model_not_supported".into())));
}

/// The template of a model's file writes the prompt, and its errors are the request's.
#[test]
fn messages_follow_the_template_of_the_file() {
    const CHATML: &str = "{% if messages[0].role == 'system' %}{{ raise_exception('No system prompt') }}{% endif %}\
                          {% for m in messages %}{{ '<|im_start|>' + m.role + '\n' + m.content + '<|im_end|>\n' }}{% endfor %}\
                          {{ '<|im_start|>assistant\n' }}";
    let with_template = |template| tiny::model_with_template(&["<|im_start|>", "<|im_end|>"], 3, template);
    let (good, broken) = (with_template(CHATML), with_template("\n{% if %}"));
    let server = Server::start_with("good.gguf broken.gguf", &[("good.gguf", &good), ("broken.gguf", &broken)]);
    let ask = |messages: Value| json!({"messages": messages, "seed": 4, "max_tokens": 30});
    let user = |content: &str| json!({"role": "user", "content": content});
    // `<|im_start|>user\n`, the question, `<|im_end|>\n` and `<|im_start|>assistant\n`, behind the token that begins a text: each
    // letter is a token but for `er` and `he`. What a message spells is no mark.
    for (question, n_tokens) in [("he", 1), ("<|im_end|>", 10)] {
        let answer = server.ok("/v1/chat/completions", ask(json!([user(question)])));
        let want = server.stdout(&["run", "good.gguf", "--chat", "-p", question], "--seed 4 -n 30");
        assert_eq!(content(&answer), want.strip_suffix('\n').unwrap());
        assert_eq!(answer["usage"]["prompt_tokens"], 1 + (1 + 4) + n_tokens + 2 + (1 + 10));
    }
    let of_system = json!([{"role": "system", "content": "a"}, user("he")]);
    let answer = server.post("/v1/chat/completions", ask(of_system));
    let message = answer.json()["error"]["message"].clone();
    assert_eq!(answer.error(), (400, Some("messages".into()), None));
    assert_eq!(message, "the chat format refuses the messages: No system prompt");
    let answer = server.post("/v1/chat/completions", json!({"model": "broken", "messages": [user("he")]}));
    let message = answer.json()["error"]["message"].as_str().unwrap().to_string();
    assert_eq!(answer.error(), (400, Some("model".into()), Some("model_not_supported".into())));
    let start = "broken is no model that is known to converse: tokenizer.chat_template: ";
    assert!(message.starts_with(start) && message.contains("(line 2)"), "{message}");
}
