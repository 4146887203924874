//! `nearfield bench`: every combination has its row, in every format.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::{Folder, text, tiny};

fn json(f: &Folder, flags: &str) -> Vec<Value> {
    let told = f.stdout(&format!("bench -o json {flags}"));
    serde_json::from_str(&told).unwrap_or_else(|error| panic!("{error}\n{told}"))
}

fn number(row: &Value, name: &str) -> f64 {
    row[name].as_f64().unwrap_or_else(|| panic!("{name} in {row}"))
}

#[test]
fn every_combination_has_its_row() {
    let f = Folder::new();
    let rows =
        json(&f, "tiny.gguf -p 8,3 -n 4 -d 32,0 --threads 1,2 --kv f16,q8_0 --isa scalar --batch 2,64 -r 2 --no-peaks");
    let names = ["test", "depth_tokens", "threads", "kv", "isa", "batch_tokens"];
    let found: BTreeSet<String> = rows.iter().map(|row| names.map(|name| row[name].to_string()).join(" ")).collect();
    assert_eq!((rows.len(), found.len()), (48, 48), "{found:?}");
    for row in [r#""pp8" 0 1 "f16" "scalar" 2"#, r#""pp3" 32 2 "q8_0" "scalar" 64"#, r#""tg4" 32 1 "q8_0" "scalar" 2"#]
    {
        assert!(found.contains(row), "{row}\n{found:?}");
    }
    for row in &rows {
        assert_eq!(row["repetitions"], 2);
        assert_eq!([&row["model"], &row["weights"]], ["tiny.gguf", "F32+Q8_0"]);
        let rates: Vec<f64> =
            row["samples_tokens_per_second"].as_array().unwrap().iter().map(|x| x.as_f64().unwrap()).collect();
        assert_eq!(rates.len(), 2);
        assert_eq!(number(row, "tokens_per_second_min"), rates[0].min(rates[1]));
        assert_eq!(number(row, "tokens_per_second_max"), rates[0].max(rates[1]));
        assert!((number(row, "tokens_per_second") - (rates[0] + rates[1]) / 2.0).abs() < 1e-6 * rates[0]);
        assert!(row["read_bandwidth_share"].is_null() && row["int8_peak_share"].is_null());
    }
}

/// Counts of keys, bytes and products do not depend on the machine.
#[test]
fn keys_bytes_and_products_are_counted() {
    let f = Folder::new();
    // The model has 2 layers and 4 heads of 8 columns on 2 KV heads.
    let row =
        |flags: &str| json(&f, &format!("tiny.gguf -r 1 --no-peaks --horizon-eps 0 --threads 1 {flags}")).remove(0);
    for (kv, bytes_per_key) in [("f32", 64), ("f16", 32), ("q8_0", 20), ("q4_0", 12), ("f16/q4_0", 22)] {
        let tg = row(&format!("-p 0 -n 3 -d 5 --kv {kv}"));
        // Queries at 5, 6 and 7 see the keys before them and their own.
        let keys = 6 + 7 + 8;
        assert_eq!([&tg["keys_visited"], &tg["keys_held"]], [2 * 4 * keys, 2 * 4 * keys], "{tg}");
        let kv_bytes = (2 * 2 * keys * bytes_per_key) as f64 / 3.0;
        assert_eq!(number(&tg, "kv_bytes_per_token"), kv_bytes);
        assert_eq!(number(&tg, "bytes_per_token"), number(&tg, "weight_bytes_per_token") + kv_bytes);
        assert!(tg["macs_per_second"].is_null() && tg["weight_macs_per_token"].is_null());
    }
    let pp = row("-p 4 -n 0 -d 2");
    let keys = 3 + 4 + 5 + 6;
    assert_eq!(pp["keys_visited"], 2 * 4 * keys);
    assert_eq!(pp["keys_visited_by_head"], Value::from(vec![keys; 2 * 4]));
    // Weights: qkv 64 x 32, output 32 x 32, up and down 64 x 32 in 2 layers; one row of logits from 272 x 32 for all 4 tokens.
    assert_eq!(number(&pp, "weight_macs_per_token"), (2 * (3 * 64 * 32 + 32 * 32) + 272 * 32 / 4) as f64);
    assert_eq!(number(&pp, "attention_macs_per_token"), (2 * 4 * keys * 2 * 8 / 4) as f64);
    assert!(pp["bytes_per_token"].is_null());
    // With a horizon, deep in a text, some keys are skipped.
    let horizon = json(&f, "tiny.gguf -p 0 -n 1 -d 600 -r 1 --no-peaks").remove(0);
    assert!(number(&horizon, "keys_visited") < 0.9 * number(&horizon, "keys_held"), "{horizon}");
}

/// Sequences visit their own keys, and share the weights.
#[test]
fn sequences_run_together() {
    let f = Folder::new();
    let rows =
        json(&f, "tiny.gguf -p 4 -n 3 -d 5 -r 2 --no-peaks --horizon-eps 0 --threads 2 --batch 2 --sequences 1,3");
    let [_, one, prompts, three] = &rows[..] else { panic!("{rows:?}") };
    let heads = 2 * 4;
    assert_eq!([&one["sequences"], &three["sequences"], &three["test"]], [&1.into(), &3.into(), &Value::from("tg3")]);
    assert_eq!([&three["keys_visited"], &three["keys_held"]], [3 * heads * (6 + 7 + 8); 2]);
    assert_eq!(prompts["keys_visited"], 3 * heads * (6 + 7 + 8 + 9));
    assert_eq!(number(three, "kv_bytes_per_token"), number(one, "kv_bytes_per_token"));
    let of_weights = |row| number(row, "bytes_per_token") - number(row, "kv_bytes_per_token");
    assert!((of_weights(one) / of_weights(three) - 3.0).abs() < 1e-9);
    let table = f.stdout("bench tiny.gguf -p 0 -n 2 -r 1 --no-peaks --threads 1 --sequences 2");
    assert!(table.contains("tg2 x2 "), "{table}");
    f.fails("bench --sequences 0", 2, "invalid value '0' for '--sequences <N,...>': 0 is not in 1..=65535");
}

/// A text is run from its beginning, and visits as many keys as in a session.
#[test]
fn a_text_of_ones_own() {
    let f = Folder::new();
    let words = "the one in the water, on and over; her thin tower, then winter<|endoftext|>".repeat(9);
    f.write("text", words.as_bytes());
    let ids = |special: &str| {
        let ids = f.command(["tokenize", "tiny.gguf", "-p", &words, special]).output().unwrap();
        crate::text(&ids.stdout).split_whitespace().count()
    };
    let n = ids("--special");
    let visited = |flags: &str| {
        let row =
            json(&f, &format!("tiny.gguf -p 0 -n 4 -d {} -r 1 --no-peaks --horizon-eps 0.01 {flags}", n - 4)).remove(0);
        (row["text"].as_str().unwrap().to_owned(), row["keys_visited"].as_u64().unwrap(), row["depth_tokens"].clone())
    };
    let (text, keys, depth) = visited("--text text --special");
    assert_eq!((text.as_str(), depth.as_u64()), ("text", Some(n as u64 - 4)));
    let (random, others, _) = visited("");
    assert_eq!(random, "random tokens");
    assert_ne!(keys, others, "other tokens have other horizons");
    let short = format!("text: {n} tokens: depth and test together are {}", n + 1);
    f.fails(&format!("bench tiny.gguf -p 0 -n 5 -d {} --text text --special", n - 4), 1, &short);
    // The text is longer if names of control tokens are not parsed.
    assert!(ids("--no-bos") > n);
    json(&f, &format!("tiny.gguf -p 0 -n 5 -d {} -r 1 --no-peaks --text text", n - 4));
    f.fails("bench --text none", 1, "none: cannot be read: No such file");
    f.fails("bench --special", 2, "the following required arguments were not provided: --text <FILE>");
}

#[test]
fn shares_are_of_what_the_machine_can_do() {
    let f = Folder::new();
    let rows = json(&f, "-p 40 -n 10 -r 1 --threads 1");
    let [pp, tg] = &rows[..] else { panic!("{rows:?}") };
    assert_eq!(pp["model"], "the built-in model");
    let share = number(pp, "macs_per_second") / number(pp, "int8_peak_macs_per_second");
    assert!((number(pp, "int8_peak_share") / share - 1.0).abs() < 1e-9 && share > 0.0);
    let rate = number(tg, "bytes_per_token") * number(tg, "tokens_per_second");
    let share = rate / number(tg, "read_bandwidth_bytes_per_second");
    assert!((number(tg, "read_bandwidth_share") / share - 1.0).abs() < 1e-9 && share > 0.0);
    assert!(number(tg, "read_bandwidth_buffer_bytes") > 0.0);
}

#[test]
fn every_format_has_the_rows() {
    let f = Folder::new();
    let told =
        |format: &str| f.stdout(&format!("bench tiny.gguf -p 8 -n 4 -d 0,40 -r 2 --threads 1 --no-peaks -o {format}"));
    let rows: Vec<Value> = serde_json::from_str(&told("json")).unwrap();

    let csv = told("csv");
    let fields: Vec<Vec<&str>> = csv.lines().map(|line| line.split(',').collect()).collect();
    let names: BTreeSet<&str> = rows[0].as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(fields[0].iter().copied().collect::<BTreeSet<_>>(), names);
    assert_eq!(fields.len(), 1 + 4);
    assert!(fields.iter().all(|line| line.len() == names.len()), "{csv}");
    let of = |line: usize, name: &str| fields[line][fields[0].iter().position(|n| *n == name).unwrap()];
    assert_eq!([of(1, "model"), of(1, "test"), of(4, "depth_tokens")], ["tiny.gguf", "pp8", "40"]);
    assert_eq!(of(1, "samples_tokens_per_second").split(' ').count(), 2);

    let md = told("md");
    let columns: Vec<usize> = md.lines().map(|line| line.matches('|').count()).collect();
    assert!(columns.len() == 2 + 4 && columns.iter().all(|&n| n == columns[0]), "{md}");
    assert!(
        md.starts_with("| model | weights | layout | size |")
            && md.lines().nth(1).unwrap().starts_with("| --- | --- | --- | ---: |")
    );

    let table = told("table");
    let lines: Vec<&str> = table.lines().collect();
    // The model, the settings that all rows share, an empty line, the titles, the rows.
    assert_eq!(lines.len(), 4 + 4, "{table}");
    assert!(
        ["plain", "interleaved"].iter().any(|layout| lines[0].starts_with(&format!("tiny.gguf: F32+Q8_0, {layout}, "))),
        "{table}"
    );
    assert!(lines[1].contains(", 1 thread, kv f16, batch "), "{table}");
    let titles: Vec<&str> = lines[3].split_whitespace().collect();
    assert_eq!(titles[..8], ["depth", "test", "tokens/s", "(min..max)", "moved", "or", "done", "keys"], "{table}");
    assert!(lines[4].starts_with("    0  pp8 ") && lines[7].starts_with("   40  tg4 "), "{table}");
}

/// Combinations of everything have a table of 100 columns, and CSV has what it leaves out.
#[test]
fn tables_fit_a_hundred_columns() {
    let f = Folder::new();
    let long = format!("{}-Q8_0.gguf", "long-name-of-a-model".repeat(6));
    f.write(&long, &crate::tiny::model("mpt"));
    let line = format!(
        "bench tiny.gguf {long} -p 8 -n 4 -d 0,40 -r 1 --kv f16,q8_0/q4_0 --threads 1,2 --batch 32,64 --no-peaks"
    );
    let output = f.nearfield(&line);
    let (table, notes) = (crate::text(&output.stdout), crate::text(&output.stderr));
    assert!(table.lines().chain(notes.lines()).all(|line| line.chars().count() <= 100), "{table}{notes}");
    assert!(table.lines().nth(4).unwrap().starts_with("model  "), "{table}");
    assert_eq!(table.lines().count(), 2 + 1 + 1 + 1 + 2 * 2 * 2 * 2 * 2 * 2, "{table}");
    assert!(notes.contains("left out, since lines end after 100 columns: "), "{notes}");
}

#[test]
fn models_are_measured_in_turn_and_drawn() {
    let f = Folder::new();
    f.write("other.gguf", &crate::tiny::model("mpt"));
    f.write("lines.svg", b"old");
    let rows = json(&f, "tiny.gguf other.gguf -p 8 -n 4 -d 0,8 -r 1 --threads 1 --no-peaks --plot lines.svg");
    let models: Vec<&str> = rows.iter().map(|row| row["model"].as_str().unwrap()).collect();
    assert_eq!(models, [["tiny.gguf"; 4], ["other.gguf"; 4]].concat());
    let svg = std::fs::read_to_string(f.path().join("lines.svg")).unwrap();
    assert!(svg.starts_with("<svg") && svg.trim_end().ends_with("</svg>"));
    for label in ["tiny.gguf, pp8", "tiny.gguf, tg4", "other.gguf, pp8", "other.gguf, tg4"] {
        assert_eq!(svg.matches(&format!("\n{label}\n")).count(), 1, "{label}");
    }
    // The first line has disks: one for each depth, and one in the legend.
    assert_eq!(svg.matches("<circle").count(), 2 + 1);
}

#[test]
fn what_cannot_be_measured_is_an_error() {
    let f = Folder::new();
    f.write("text.gguf", b"Once upon a time");
    let cases = [
        ("none.gguf", "cannot open none.gguf: No such file"),
        ("tiny.gguf text.gguf", "text.gguf: not a GGUF file: it begins with \"Once\""),
        ("--isa scalar,vax", "no kernels called \"vax\" for this machine: it has scalar"),
        ("--isa=", "no kernels called \"\" for this machine"),
        ("-p 0 -n 0", "nothing to time: -p or -n has to be above 0"),
        ("-d 16777216", "a context of 16777728 tokens: 1 to 16777216 can run"),
        ("-d 18446744073709551615", "a context of 18446744073709551615 tokens: 1 to 16777216 can run"),
        ("--batch 64,0", "a batch of 0 tokens"),
        ("--horizon-eps NaN", "the horizon's epsilon is negative or not a number"),
        ("-r 1 --plot none/out.svg", "cannot write none/out.svg: there is no folder none"),
    ];
    for (flags, want) in cases {
        f.fails(&format!("bench {flags}"), 1, want);
    }
    let cases = [
        ("-p 1,x", "invalid value 'x' for '--prompt <N,...>': invalid digit"),
        ("-d=", "invalid value '' for '--depth <N,...>': cannot parse integer from empty string"),
        (
            "--kv f16,f64",
            "invalid value 'f64' for '--kv <TYPE|K/V,...>': one of f32, f16, q8_0 and q4_0, or two of them",
        ),
        ("--threads 1,0", "invalid value '0' for '--threads <T,...>': 0 is not in 1..=1024"),
        ("-r 0", "invalid value '0' for '--repetitions <N>': 0 is not in 1..=65535"),
        ("-o xml", "invalid value 'xml' for '--output <FORMAT>' [possible values: table, json, csv, md]"),
    ];
    for (flags, want) in cases {
        f.fails(&format!("bench {flags}"), 2, want);
    }
}

/// An encoder embeds texts; each sees its own keys alone.
#[test]
fn encoders_embed_texts() {
    let f = Folder::new();
    f.write("encoder.gguf", &tiny::encoder(false));
    let flags = "encoder.gguf -p 5,0,40 --texts 7 --threads 1,2 --batch 16,256 -r 2 --no-peaks --horizon-eps 0";
    let rows = json(&f, flags);
    let tests: Vec<&str> = rows.iter().map(|row| row["test"].as_str().unwrap()).collect();
    assert_eq!(tests, ["embed7x5", "embed7x40"].repeat(4));
    for (row, n) in rows.iter().zip([5, 40].into_iter().cycle()) {
        assert_eq!([&row["test_tokens"], &row["depth_tokens"]], [7 * n, 0]);
        assert_eq!([&row["kv"], &row["text"]], ["f32", "random tokens"]);
        assert!((number(row, "texts_per_second") * n as f64 / number(row, "tokens_per_second") - 1.0).abs() < 1e-9);
        // 2 layers of 4 heads; 4 matrices of 32 x 32 and 3 of 64 x 32 in each layer.
        assert_eq!([&row["keys_visited"], &row["keys_held"]], [2 * 4 * 7 * n * n; 2]);
        assert_eq!(number(row, "weight_macs_per_token"), (2 * (4 * 32 * 32 + 3 * 64 * 32)) as f64);
        assert_eq!(number(row, "attention_macs_per_token"), (2 * 4 * n * 2 * 8) as f64);
        assert!(row["bytes_per_token"].is_null());
    }
    // Beside a decoder; the lengths are those of either by default.
    let rows = json(&f, "tiny.gguf encoder.gguf -n 1 --texts 1 -r 1 --threads 1 --no-peaks");
    let tests: Vec<&str> = rows.iter().map(|row| row["test"].as_str().unwrap()).collect();
    assert_eq!(tests, ["pp512", "tg1", "embed1x20", "embed1x95", "embed1x512"]);
    assert!(rows[0]["texts_per_second"].is_null());
    for format in ["table", "md"] {
        let has_texts =
            |model| f.stdout(&format!("bench {model} -p 5 -n 0 -r 1 --no-peaks -o {format}")).contains("texts/s");
        assert_eq!([has_texts("tiny.gguf"), has_texts("encoder.gguf")], [false, true]);
    }
    f.write("text", b"the winter in the winter");
    for (flags, want) in [
        ("-p 0", "nothing to time: an encoder needs a -p above 0"),
        ("-d 5", "an encoder sees each text alone: --depth, --ring and --sequences are for models that continue texts"),
        ("--ring 5", "an encoder sees each text alone"),
        ("--sequences 1,2", "an encoder sees each text alone"),
        ("-p 20 --texts 9 --text text", "text: 15 tokens: depth and test together are 180"),
        ("--batch 0", "a batch of 0 tokens"),
    ] {
        f.fails(&format!("bench encoder.gguf {flags}"), 1, want);
    }
}

/// Each step waits for a line and writes one; the results follow after the last.
#[test]
fn turns_are_taken_one_by_one() {
    use std::io::{BufRead, BufReader, Read, Write};
    use std::process::Stdio;

    let f = Folder::new();
    let begin = || {
        let line = "bench tiny.gguf -p 4 -n 2 -d 0,9 --threads 1,2 -r 1 --no-peaks -o json --turns";
        let mut child = f.command(line.split(' ')).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let (input, output) = (child.stdin.take().unwrap(), BufReader::new(child.stdout.take().unwrap()));
        (child, input, output)
    };
    let (mut child, mut input, mut output) = begin();
    for depth in [0, 9] {
        let filled = format!("filled {depth}");
        for want in [filled.as_str(), "pp4 with 1 in ", "tg2 with 1 in ", "pp4 with 2 in ", "tg2 with 2 in "] {
            input.write_all(b"\n").unwrap();
            let mut line = String::new();
            output.read_line(&mut line).unwrap();
            assert!(line.starts_with(want) && line.ends_with('\n'), "want {want}, got {line}");
        }
    }
    let mut told = String::new();
    output.read_to_string(&mut told).unwrap();
    assert_eq!(serde_json::from_str::<Vec<Value>>(&told).unwrap().len(), 8);
    assert!(child.wait().unwrap().success());

    // The other program closes the pipe: the rows measured so far are printed.
    let (mut child, mut input, mut output) = begin();
    input.write_all(b"\n\n").unwrap();
    drop(input);
    let mut told = String::new();
    output.read_to_string(&mut told).unwrap();
    let (turns, rows) = told.split_once("\n[").unwrap();
    assert_eq!(turns.lines().count(), 2, "{turns}");
    assert_eq!(serde_json::from_str::<Vec<Value>>(&format!("[{rows}")).unwrap().len(), 1);
    assert_eq!(child.wait().unwrap().code(), Some(130));
}

#[cfg(unix)]
#[test]
fn a_closed_pipe_is_the_end_and_no_error() {
    let f = Folder::new();
    for format in ["table", "json", "csv", "md"] {
        let mut child =
            crate::pipes::start(&f, &format!("bench tiny.gguf -p 4 -n 4 -r 1 --threads 1 --no-peaks -o {format}"));
        drop(child.stdout.take());
        let (code, error) = crate::pipes::end(child);
        assert!(code == Some(0) && !error.contains("nearfield:"), "{format}: {code:?} {error}");
    }
}

#[cfg(unix)]
#[test]
fn ctrl_c_leaves_what_there_is() {
    use std::io::Read;
    use std::time::Duration;

    let f = Folder::new();
    // The time to begin depends on the machine, so each try waits longer.
    for patience in [100, 400, 2000, 10_000] {
        let mut child =
            crate::pipes::start(&f, "bench tiny.gguf -p 4 -n 4 -r 65535 --threads 1 --no-peaks -o json --plot out.svg");
        std::thread::sleep(Duration::from_millis(patience));
        crate::pipes::interrupt(&child);
        let mut told = String::new();
        child.stdout.take().unwrap().read_to_string(&mut told).unwrap();
        let (code, error) = crate::pipes::end(child);
        if told.is_empty() {
            continue;
        }
        assert_eq!(code, Some(130), "{error}");
        let rows: Vec<Value> = serde_json::from_str(&told).unwrap();
        assert!((1..=2).contains(&rows.len()), "{told}");
        let n = number(&rows[0], "repetitions");
        assert!((1.0..65535.0).contains(&n), "{n}");
        assert!(text(&std::fs::read(f.path().join("out.svg")).unwrap()).ends_with("</svg>\n"));
        return;
    }
    panic!("it never began");
}
