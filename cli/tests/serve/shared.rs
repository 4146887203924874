//! Many requests at once: each answer is the one that it would be alone.

use std::io::{BufReader, Write};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::client::{answer, chunk, connect, request};
use crate::server::Server;

/// Prompts of several lengths, some with a common beginning.
fn prompts() -> Vec<String> {
    let story = "Once upon a time there was a little dog named Max who lived in a big house. ";
    (0..12).map(|i| format!("{}{}", story.repeat(i % 4), ["The cat", "One day", "Lily"][i % 3])).collect()
}

#[test]
fn whatever_runs_beside_it_a_text_is_that_of_run() {
    let server = Server::start("--slots 3 --ctx 512");
    let prompts = prompts();
    let want: Vec<String> =
        prompts.iter().enumerate().map(|(seed, prompt)| server.run(prompt, &format!("--seed {seed} -n 40"))).collect();
    for round in 0..3 {
        thread::scope(|scope| {
            for (seed, (prompt, want)) in prompts.iter().zip(&want).enumerate() {
                let server = &server;
                scope.spawn(move || {
                    let body =
                        json!({"prompt": prompt, "seed": seed, "max_tokens": 40, "stream": (seed + round) % 2 == 0});
                    let answer = server.post("/v1/completions", body.clone());
                    assert_eq!(answer.status, 200, "{}", answer.body);
                    let events = if body["stream"] == true { answer.events() } else { vec![answer.json()] };
                    let text: String =
                        events.iter().map(|event| event["choices"][0]["text"].as_str().unwrap()).collect();
                    assert_eq!(&text, want, "{prompt:?}");
                });
            }
        });
    }
    wait_for(|| server.count("running") == 0.0);
    assert!(server.count("reused_tokens_total") > 0.0);
    // Texts shared passes: fewer were needed than tokens were drawn.
    assert!(server.count("passes_total") < server.count("generated_tokens_total"));
}

#[test]
fn a_long_prompt_does_not_stop_the_others() {
    let server = Server::start("--slots 2 --ctx 4096 --threads 1");
    let long = "The dog ran and the cat sat. ".repeat(400);
    thread::scope(|scope| {
        let reading = scope.spawn(|| server.ok("/v1/completions", json!({"prompt": long, "max_tokens": 1})));
        thread::sleep(Duration::from_millis(50));
        let short = server.ok("/v1/completions", json!({"prompt": "Once", "max_tokens": 5, "seed": 1}));
        assert!(!reading.is_finished(), "{}", short["timings"]);
        assert!(reading.join().unwrap()["usage"]["prompt_tokens"].as_u64().unwrap() > 2000);
    });
}

#[test]
fn a_client_that_goes_frees_its_slot() {
    let server = Server::start("tiny.gguf --slots 1 --ctx 100000 --threads 1");
    let endless = json!({"prompt": "Once", "max_tokens": -1, "stream": true, "seed": 1, "temperature": 0}).to_string();
    for is_streamed in [true, false] {
        let body = endless.replace("\"stream\":true", &format!("\"stream\":{is_streamed}"));
        let mut stream = connect(&server.address);
        let head = format!("POST /v1/completions HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n", body.len());
        stream.write_all((head + &body).as_bytes()).unwrap();
        if is_streamed {
            let mut reader = BufReader::new(&stream);
            let mut line = String::new();
            while line != "\r\n" {
                line.clear();
                std::io::BufRead::read_line(&mut reader, &mut line).unwrap();
            }
            assert!(chunk(&mut reader).is_some());
        } else {
            wait_for(|| server.count("running") == 1.0);
        }
        drop(stream);
        // The next text has the only slot.
        assert_eq!(
            server.complete("Once", json!({"seed": 1, "max_tokens": 8})),
            server.run("Once", "-m tiny.gguf --seed 1 -n 8")
        );
    }
    assert_eq!(server.count("cancelled_total"), 2.0);
}

/// Waits until a condition holds.
fn wait_for(condition: impl Fn() -> bool) {
    let began = Instant::now();
    while !condition() {
        assert!(began.elapsed() < Duration::from_secs(60));
        thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn a_full_queue_says_when_to_come_again() {
    let server = Server::start("tiny.gguf --slots 1 --queue 1 --ctx 100000 --threads 1");
    let long = || {
        let body = json!({"prompt": "Once", "max_tokens": -1, "stream": true, "temperature": 0}).to_string();
        let mut stream = connect(&server.address);
        let head = format!("POST /v1/completions HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n", body.len());
        stream.write_all((head + &body).as_bytes()).unwrap();
        stream
    };
    let running = long();
    wait_for(|| server.count("running") == 1.0);
    let waiting = long();
    wait_for(|| server.count("waiting") == 1.0);
    let refused = server.post("/v1/completions", json!({"prompt": "Once"}));
    assert_eq!(refused.error(), (503, None, Some("queue_full".into())));
    assert!(refused.headers["retry-after"].parse::<u64>().unwrap() >= 1);
    // Whoever waits and goes makes room.
    drop(waiting);
    thread::scope(|scope| {
        let next = scope.spawn(|| {
            loop {
                let answer = server.post("/v1/completions", json!({"prompt": "Once", "seed": 2, "max_tokens": 4}));
                if answer.status == 200 {
                    return answer.json();
                }
            }
        });
        wait_for(|| server.count("waiting") == 1.0);
        drop(running);
        assert_eq!(next.join().unwrap()["choices"][0]["text"], server.run("Once", "-m tiny.gguf --seed 2 -n 4"));
    });
}

#[test]
fn a_request_has_its_time() {
    let server = Server::start("tiny.gguf --slots 1 --ctx 100000 --timeout 1 --threads 1");
    let body = json!({"prompt": "Once", "max_tokens": -1, "temperature": 0});
    assert_eq!(server.post("/v1/completions", body.clone()).error(), (504, None, Some("timeout".into())));
    let mut body = body;
    body["stream"] = true.into();
    let answer = server.post("/v1/completions", body);
    let last = answer.body.trim_end().rsplit("\n\n").next().unwrap().strip_prefix("data: ").unwrap();
    assert_eq!(serde_json::from_str::<Value>(last).unwrap()["error"]["code"], "timeout");
}

#[test]
fn a_connection_carries_several_requests() {
    let server = Server::start("tiny.gguf");
    let mut stream = BufReader::new(connect(&server.address));
    for _ in 0..3 {
        let body = r#"{"prompt": "a", "max_tokens": 2, "seed": 1}"#;
        let head = format!("POST /v1/completions HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n", body.len());
        stream.get_mut().write_all((head + body).as_bytes()).unwrap();
        assert_eq!(answer(&mut stream).unwrap().status, 200);
    }
}

/// Sends SIGTERM to a server.
#[cfg(unix)]
fn terminate(server: &Server) {
    assert!(std::process::Command::new("kill").arg(server.process.id().to_string()).status().unwrap().success());
}

#[cfg(unix)]
#[test]
fn a_signal_lets_running_requests_end() {
    let mut server = Server::start("tiny.gguf --slots 1 --ctx 4096 --threads 1");
    let want = server.run("Once", "-m tiny.gguf --seed 3 -n 200 --temp 0");
    let address = server.address.clone();
    let running = thread::spawn(move || {
        let body = json!({"prompt": "Once", "seed": 3, "max_tokens": 200, "temperature": 0}).to_string();
        request(&address, "POST", "/v1/completions", "", body.as_bytes())
    });
    wait_for(|| server.count("running") == 1.0 || running.is_finished());
    terminate(&server);
    assert_eq!(running.join().unwrap().json()["choices"][0]["text"], want);
    assert_eq!(server.process.wait().unwrap().code(), Some(0));
}

#[cfg(unix)]
#[test]
fn after_the_grace_running_requests_are_told() {
    let mut server = Server::start("tiny.gguf --slots 1 --ctx 100000 --threads 1 --grace 0");
    let address = server.address.clone();
    let running = thread::spawn(move || {
        let body = json!({"prompt": "Once", "max_tokens": -1, "temperature": 0}).to_string();
        request(&address, "POST", "/v1/completions", "", body.as_bytes())
    });
    wait_for(|| server.count("running") == 1.0);
    terminate(&server);
    assert_eq!(running.join().unwrap().error(), (503, None, Some("shutting_down".into())));
    assert_eq!(server.process.wait().unwrap().code(), Some(0));
}
