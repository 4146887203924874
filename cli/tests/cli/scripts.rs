//! Output for scripts: text alone, JSON objects, log-probabilities, and a report of three lines.

use std::fs::File;
use std::process::Stdio;

use serde_json::Value;

use crate::tokens::filter;
use crate::{Folder, text, tiny};

/// The JSON objects of a command, one a line.
fn objects(f: &Folder, line: &str) -> Vec<Value> {
    let output = f.nearfield(line);
    assert_eq!((text(&output.stderr), output.status.code()), (String::new(), Some(0)), "{line}");
    parsed(&output.stdout)
}

fn parsed(lines: &[u8]) -> Vec<Value> {
    let lines = text(lines);
    assert!(lines.ends_with('\n'), "{lines}");
    lines.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}\n{line}"))).collect()
}

fn object(f: &Folder, line: &str) -> Value {
    let [object] = &objects(f, line)[..] else { panic!("{line}") };
    object.clone()
}

const RUN: &str = "run tiny.gguf he-on -n 9 --seed 3 --temp 1 --top-k 0";

#[test]
fn quiet_is_the_text_alone() {
    let f = Folder::new();
    let loud = f.nearfield(RUN);
    let quiet = f.nearfield(&format!("{RUN} -q"));
    assert_eq!(text(&quiet.stderr), "");
    assert_eq!(quiet.stdout, loud.stdout);
    // A note on the text is left out, too; an error is not.
    assert!(f.stderr("run tiny.gguf beep -n 50 --ctx 16 --temp 0").contains("is full"));
    assert_eq!(f.stderr("run tiny.gguf beep -n 50 --ctx 16 --temp 0 -q"), "");
    f.fails("run tiny.gguf beep --ctx 4 -q", 1, "the prompt has 5 tokens, the context 4: --ctx N makes room for more");
    f.fails("run tiny.gguf -q -v", 2, "the argument '--quiet' cannot be used with '--verbose'");
}

#[test]
fn the_prompt_need_not_be_repeated() {
    let f = Folder::new();
    let whole = f.stdout(RUN);
    let new = whole.strip_prefix("he-on").unwrap();
    assert_eq!(f.stdout(&format!("{RUN} --no-echo")), new);
    assert_eq!(f.stdout(&format!("{RUN} --no-display-prompt -q")), new);
    // Neither is the text behind a hole.
    f.write("fim.gguf", &tiny::model_with("mpt", &["<fim_prefix>", "<fim_middle>", "<fim_suffix>"]));
    let hole = "run fim.gguf -p he --suffix on -n 6 --temp 0";
    let (whole, middle) = (f.stdout(hole), f.stdout(&format!("{hole} --no-echo")));
    assert_eq!(whole, format!("he{}on\n", middle.strip_suffix('\n').unwrap()));
    // The hash is that of the whole text.
    let hash = |flags: &str| {
        f.stderr(&format!("{RUN} --hash {flags}")).lines().find(|line| line.starts_with("hash")).unwrap().to_owned()
    };
    assert_eq!(hash(""), hash("--no-echo"));
}

/// Three lines by default; all with `--verbose`.
#[test]
fn the_report_is_short() {
    let f = Folder::new();
    let words =
        |report: &str| report.lines().map(|line| line.split(' ').next().unwrap().to_owned()).collect::<Vec<_>>();
    assert_eq!(words(&f.stderr(RUN)), ["prompt", "text", "seed"]);
    assert_eq!(words(&f.stderr("run tiny.gguf he --temp 0 -n 1")), ["prompt", "text"]);
    let report = f.stderr("run tiny.gguf he --temp 0 -n 1");
    assert!(report.starts_with("prompt   2 tokens in ") && report.contains("\ntext     1 token in "), "{report}");
    let all = f.stderr(&format!("{RUN} -v"));
    for word in ["model ", "memory ", "prompt ", "text ", "arena ", "keys ", "seed "] {
        assert!(all.lines().any(|line| line.starts_with(word)), "{word}\n{all}");
    }
}

#[test]
fn a_text_is_one_object() {
    let f = Folder::new();
    let whole = f.stdout(RUN);
    let report = f.stderr(&format!("{RUN} --hash"));
    let found = object(&f, &format!("{RUN} --json"));
    assert_eq!(found["model"], "tiny.gguf");
    assert_eq!(format!("he-on{}\n", found["text"].as_str().unwrap()), whole);
    assert_eq!(found["finish_reason"], "length");
    assert_eq!(found["seed"], 3);
    let ids: Vec<String> = found["tokens"].as_array().unwrap().iter().map(Value::to_string).collect();
    assert_eq!(ids.len(), 9);
    assert_eq!(f.stdout(&format!("detokenize tiny.gguf {}", ids.join(" "))), found["text"].as_str().unwrap());
    let n_prompt = f.stdout("tokenize tiny.gguf he-on").split_whitespace().count();
    let usage = &found["usage"];
    assert_eq!(
        [&usage["prompt_tokens"], &usage["completion_tokens"], &usage["total_tokens"]],
        [n_prompt, 9, n_prompt + 9]
    );
    assert_eq!(usage["prompt_tokens_details"]["cached_tokens"], 0);
    let timings = &found["timings"];
    assert_eq!([&timings["prompt_n"], &timings["predicted_n"]], [n_prompt, 9]);
    for name in ["prompt_ms", "prompt_per_second", "predicted_ms", "predicted_per_second"] {
        assert!(timings[name].as_f64().unwrap() > 0.0, "{name}");
    }
    let hash = format!(
        "hash     text {} logits {}",
        found["hash"]["text"].as_str().unwrap(),
        found["hash"]["logits"].as_str().unwrap()
    );
    assert!(report.contains(&hash), "{hash}\n{report}");
    assert!(found["arena_bytes"].as_u64().unwrap() > 1000);
    assert_eq!(found["keys_visited"], 1.0);
    assert!(found.get("logprobs").is_none() && found.get("bytes").is_none());
    // With --verbose the report is there as well.
    assert!(f.stderr(&format!("{RUN} --json -v")).contains("\ntext     9 tokens in "));
}

#[test]
fn the_reason_of_the_end_is_told() {
    let f = Folder::new();
    let reason =
        |flags: &str| object(&f, &format!("run tiny.gguf beep --seed 2 --json {flags}"))["finish_reason"].clone();
    assert_eq!(reason("-n 4"), "length");
    assert_eq!(reason("-n 0"), "length");
    assert_eq!(reason("-n 2000 --temp 3 --top-k 0"), "stop");
    // Notes are for people, who read standard error; here the object says it.
    let output = f.nearfield("run tiny.gguf beep --json -n -2 --ctx 16 --temp 0");
    assert_eq!(parsed(&output.stdout)[0]["finish_reason"], "context");
    f.fails("run tiny.gguf beep --json --endless", 2, "the argument '--json' cannot be used with '--endless'");
    f.fails(
        "run tiny.gguf beep --json -n -1",
        1,
        "--json prints an object at the end of a text, and this one has none",
    );
}

#[cfg(unix)]
#[test]
fn ctrl_c_ends_with_an_object() {
    use std::io::Read;

    let f = Folder::new();
    let mut child = crate::pipes::start(&f, "run tiny.gguf Once --json -n 400000 --temp 0 --verbose");
    // The session is reported before the text begins.
    child.stderr.as_mut().unwrap().read_exact(&mut [0; 20]).unwrap();
    crate::pipes::interrupt(&child);
    let mut out = Vec::new();
    child.stdout.take().unwrap().read_to_end(&mut out).unwrap();
    assert_eq!(crate::pipes::end(child).0, Some(130));
    let [found] = &parsed(&out)[..] else { panic!("{}", text(&out)) };
    assert_eq!(found["finish_reason"], "interrupted");
    assert_eq!(found["usage"]["completion_tokens"], found["tokens"].as_array().unwrap().len());
}

/// The prefix of a snapshot need not be run.
#[test]
fn cached_tokens_are_counted() {
    let f = Folder::new();
    f.stdout("run tiny.gguf he-on -n 0 --save-kv a.kv");
    let found = object(&f, "run tiny.gguf the --load-kv a.kv -n 2 --temp 0 --json");
    let whole = object(&f, "run tiny.gguf he-onthe -n 2 --temp 0 --json");
    assert_eq!(whole["usage"]["prompt_tokens_details"]["cached_tokens"], 0);
    let (n, n_run) =
        (found["usage"]["prompt_tokens"].as_u64().unwrap(), found["timings"]["prompt_n"].as_u64().unwrap());
    assert_eq!(found["usage"]["prompt_tokens_details"]["cached_tokens"], n - n_run);
    assert!(n_run < n);
}

#[test]
fn log_probabilities_are_those_of_the_logits() {
    let f = Folder::new();
    let found = object(&f, "run tiny.gguf he-on -n 5 --temp 0 --kv f32 --json --logprobs 4");
    let tokens: Vec<u64> = found["tokens"].as_array().unwrap().iter().map(|id| id.as_u64().unwrap()).collect();
    let content = found["logprobs"]["content"].as_array().unwrap();
    assert_eq!(content.len(), 5);
    // The logits of the same text, from another command.
    let prompt = f.stdout("tokenize tiny.gguf he-on");
    let ids: Vec<String> =
        prompt.split_whitespace().map(str::to_owned).chain(tokens.iter().map(u64::to_string)).collect();
    f.stdout(&format!("logits tiny.gguf --kv f32 -o out.npy --tokens {}", ids.join(",")));
    let bytes = std::fs::read(f.path().join("out.npy")).unwrap();
    let all: Vec<f32> = bytes[128..].chunks_exact(4).map(|x| f32::from_le_bytes(x.try_into().unwrap())).collect();
    let rows: Vec<&[f32]> = all.chunks_exact(tiny::N_VOCAB).collect();
    for (i, at) in content.iter().enumerate() {
        // The matrix has more rows than there are tokens.
        let row = &rows[ids.len() - 5 + i - 1][..tiny::N_TOKENS];
        let sum: f64 = row.iter().map(|&x| f64::from(x).exp()).sum();
        let want = |id: u64| f64::from(row[id as usize]) - sum.ln();
        assert_eq!(at["id"], tokens[i]);
        let top = at["top_logprobs"].as_array().unwrap();
        assert_eq!(top.len(), 4);
        // Greedy text takes the likeliest token.
        assert_eq!([&top[0]["id"], &top[0]["logprob"]], [&at["id"], &at["logprob"]]);
        for (near, next) in top.iter().zip(&top[1..]) {
            assert!(near["logprob"].as_f64() >= next["logprob"].as_f64());
        }
        for one in top.iter().chain([at]) {
            let (id, logprob) = (one["id"].as_u64().unwrap(), one["logprob"].as_f64().unwrap());
            assert!((logprob - want(id)).abs() < 1e-5, "{one} instead of {}", want(id));
        }
    }
    // The bytes of the tokens are those of the text.
    let bytes: Vec<u8> = content
        .iter()
        .flat_map(|at| at["bytes"].as_array().unwrap())
        .map(|byte| byte.as_u64().unwrap() as u8)
        .collect();
    assert_eq!(String::from_utf8_lossy(&bytes), found["text"].as_str().unwrap());
    let none = object(&f, "run tiny.gguf he-on -n 5 --temp 0 --kv f32 --json --logprobs 0");
    assert_eq!(none["logprobs"]["content"][0]["top_logprobs"], Value::Array(vec![]));
    assert_eq!(none["logprobs"]["content"][0]["logprob"], content[0]["logprob"]);
    let all = object(&f, "run tiny.gguf he-on -n 1 --temp 0 --json --logprobs 100000");
    assert_eq!(all["logprobs"]["content"][0]["top_logprobs"].as_array().unwrap().len(), tiny::N_TOKENS);
    f.fails("run tiny.gguf he --logprobs 2", 2, "the following required arguments were not provided: --json");
}

/// Threads, kernels and drafts change no digit of what is told of a text.
#[test]
fn objects_are_the_same_on_every_machine() {
    let f = Folder::new();
    let found = |flags: &str| {
        let mut found = object(&f, &format!("run tiny.gguf he-on -n 30 --seed 3 --temp 1 --json --logprobs 3 {flags}"));
        found["timings"].take();
        found
    };
    let want = found("-t 1 --isa scalar --draft off");
    assert_eq!(found("-t 2"), want);
}

#[test]
fn an_answer_is_an_object() {
    let f = Folder::new();
    let chat = "run tiny.gguf --chat=plain -n 4 --temp 0";
    let answer = f.stdout(&format!("{chat} -p he"));
    let found = object(&f, &format!("{chat} -p he --json"));
    assert_eq!(format!("{}\n", found["text"].as_str().unwrap()), answer);
    assert_eq!(parsed(&filter(&f, &format!("{chat} -p - --json"), b"he\n"))[0]["tokens"], found["tokens"]);
    f.fails(&format!("{chat} --json"), 1, "--json with --chat answers one question: -p TEXT or -f FILE asks it");
}

#[test]
fn tokens_and_their_pieces() {
    let f = Folder::new();
    let found = object(&f, "tokenize tiny.gguf he --json");
    assert_eq!(found["tokens"].to_string(), format!("[{},256]", tiny::END));
    assert_eq!(found["pieces"].to_string(), "[\"<|endoftext|>\",\"he\"]");
    let found = parsed(&filter(&f, "tokenize tiny.gguf --no-bos --json", "世".as_bytes()));
    assert_eq!(found[0]["pieces"].to_string(), "[[228],[184],[150]]");
    assert_eq!(
        parsed(&filter(&f, "tokenize tiny.gguf --no-bos --json", b""))[0].to_string(),
        "{\"pieces\":[],\"tokens\":[]}"
    );
}

#[test]
fn vectors_and_scores() {
    let f = Folder::new();
    f.write("encoder.gguf", &tiny::encoder(false));
    f.write("reranker.gguf", &tiny::encoder(true));
    let lines = f.stdout("embed encoder.gguf the in the-winter");
    let found = objects(&f, "embed encoder.gguf the in the-winter --json");
    assert_eq!(found.len(), 3);
    for (i, (line, found)) in lines.lines().zip(&found).enumerate() {
        assert_eq!([&found["object"], &found["index"]], [&Value::from("embedding"), &Value::from(i)]);
        let want: Vec<f32> = line.split(' ').map(|x| x.parse().unwrap()).collect();
        let vector: Vec<f32> =
            found["embedding"].as_array().unwrap().iter().map(|x| x.to_string().parse().unwrap()).collect();
        assert_eq!(vector, want);
        assert_eq!(found["usage"]["prompt_tokens"], found["usage"]["total_tokens"]);
    }
    let scores = f.stdout("rerank reranker.gguf the he in on");
    let found = objects(&f, "rerank reranker.gguf the he in on --json");
    let told: Vec<String> = found
        .iter()
        .map(|found| {
            let number = found["index"].as_u64().unwrap() + 1;
            format!("{}\t{number}\t{}", found["relevance_score"], found["document"]["text"].as_str().unwrap())
        })
        .collect();
    assert_eq!(told, scores.lines().collect::<Vec<_>>());
    // A text that is not UTF-8 has its bytes beside it.
    let found = parsed(&filter(&f, "rerank reranker.gguf the --json", b"a\xff\tb\n"));
    assert_eq!(found[0]["document"].to_string(), "{\"bytes\":[97,255,9,98],\"text\":\"a\u{fffd}\\tb\"}");
    f.fails(
        "embed encoder.gguf the --json -o a.npy",
        2,
        "the argument '--json' cannot be used with '--output <FILE.npy>'",
    );
}

#[test]
fn the_contents_of_a_file_are_an_object() {
    let f = Folder::new();
    let found = object(&f, "inspect tiny.gguf --json -c 100");
    assert_eq!(
        [&found["name"], &found["gguf_version"], &found["n_files"]],
        [&Value::from("tiny.gguf"), &3.into(), &1.into()]
    );
    assert_eq!(found["bytes"], tiny::model("mpt").len());
    assert_eq!(found["metadata"]["general.architecture"], "mpt");
    assert_eq!(found["metadata"]["mpt.attention.head_count_kv"], 2);
    let merges = &found["metadata"]["tokenizer.ggml.merges"];
    assert_eq!(
        [&merges["type"], &merges["len"], &merges["first"][0]],
        [&Value::from("string"), &8.into(), &"h e".into()]
    );
    let tensors = found["tensors"].as_array().unwrap();
    let down = tensors.iter().find(|tensor| tensor["name"] == "blk.1.ffn_down.weight").unwrap();
    assert_eq!([&down["type"], &down["shape"][0], &down["shape"][1]], [&Value::from("Q8_0"), &64.into(), &32.into()]);
    assert_eq!([&found["shape"]["n_layer"], &found["shape"]["n_head_kv"]], [2, 2]);
    assert_eq!(found["error"], Value::Null);
    // The plan is that of `nearfield plan`, but for the batch.
    assert_eq!(found["memory"]["n_ctx"], 100);
    let plan: Value = serde_json::from_str(&f.stdout("plan tiny.gguf -c 100 --kv q8_0 --json")).unwrap();
    assert_eq!(found["memory"]["kv"]["q8_0"], plan["memory"]);

    // A file that cannot run is shown as far as it can be read.
    f.write("other.gguf", &tiny::model("llama"));
    let output = f.nearfield("inspect other.gguf --json");
    assert_eq!(output.status.code(), Some(1));
    let found = &parsed(&output.stdout)[0];
    assert!(found["error"].as_str().unwrap().contains("general.architecture is llama"), "{found}");
    assert_eq!([&found["shape"], &found["memory"]], [&Value::Null, &Value::Null]);
    assert_eq!(found["tensors"].as_array().unwrap().len(), tensors.len());

    f.write("encoder.gguf", &tiny::encoder(false));
    let found = object(&f, "inspect encoder.gguf --json");
    assert_eq!(found["shape"]["is_encoder"], true);
    assert!(found["memory"]["kv"]["f32"]["document"].as_u64().unwrap() > 0);

    f.stdout("run tiny.gguf he -n 3 --seed 7 --save-kv a.kv");
    let found = object(&f, "inspect a.kv --json");
    assert_eq!([&found["name"], &found["model_name"], &found["kv"]], ["a.kv", "tiny.gguf", "f16"]);
    assert_eq!([&found["n_layer"], &found["n_tokens"]], [2, 4]);
}

#[cfg(target_os = "linux")]
#[test]
fn objects_that_cannot_be_written() {
    let f = Folder::new();
    f.write("encoder.gguf", &tiny::encoder(false));
    let full = File::options().write(true).open("/dev/full").unwrap();
    for line in [
        &format!("{RUN} --json"),
        "tokenize tiny.gguf he --json",
        "inspect tiny.gguf --json",
        "embed encoder.gguf he --json",
        "completions bash",
        "man",
    ] {
        let output = f.command(line.split(' ')).stdout(full.try_clone().unwrap()).output().unwrap();
        assert_eq!(output.status.code(), Some(1), "{line}");
        let want = "nearfield: cannot write to standard output: No space left on device (os error 28)\n";
        assert_eq!(text(&output.stderr), want, "{line}");
        // A closed pipe is no error.
        let mut child = f.command(line.split(' ')).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        drop(child.stdout.take());
        assert_eq!(crate::pipes::end(child), (Some(0), String::new()), "{line}");
    }
}
