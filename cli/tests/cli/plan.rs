//! `nearfield plan`: its output as text and as JSON, compared with real runs.

use std::fs;

use serde_json::Value;

use crate::{Folder, text, tiny};

const WORDS: &str = "the one in the water, on and over; her thin tower, then winter ";
const PARTS: [&str; 6] = ["kv_cache", "key_norms", "layer_table", "activations", "logits", "tokenizer"];

/// Plan as JSON. The exit code says whether the session fits.
fn json(f: &Folder, flags: &str) -> Value {
    let output = f.nearfield(&format!("plan tiny.gguf --json {flags}"));
    let told = text(&output.stdout);
    let plan: Value =
        serde_json::from_str(&told).unwrap_or_else(|error| panic!("{error}\n{told}{}", text(&output.stderr)));
    let fits = plan["fit"]["fits"].as_bool().unwrap_or(true);
    assert_eq!(output.status.code(), Some(i32::from(!fits)), "{told}");
    assert_eq!(text(&output.stderr).starts_with("nearfield: it does not fit: "), !fits);
    plan
}

/// Plan as text, of a session that does not fit.
fn does_not_fit(f: &Folder, flags: &str) -> String {
    let output = f.nearfield(&format!("plan tiny.gguf {flags}"));
    assert_eq!(output.status.code(), Some(1), "{}", text(&output.stderr));
    text(&output.stdout)
}

fn number(value: &Value) -> u64 {
    value.as_u64().unwrap_or_else(|| panic!("{value} is no number"))
}

/// Bytes of the arena of `run` with these flags.
fn arena(f: &Folder, flags: &str) -> u64 {
    let told = f.stderr(&format!("run tiny.gguf the -n 1 --seed 1 --verbose {flags}"));
    let parts = told.lines().skip_while(|line| !line.starts_with("memory")).skip(1).take(6);
    parts
        .map(|line| line.rsplit_once('%').unwrap().0.split_whitespace().rev().nth(1).unwrap().parse::<u64>().unwrap())
        .sum()
}

#[test]
fn the_memory_is_what_a_session_takes() {
    let f = Folder::new();
    // Both process 256 tokens at a time.
    for flags in ["--ctx 100", "--ctx 300 --kv q8_0 --sinks 3", "--ctx 300 --kv f32 --ring 64", "--ctx 300 --ring 0.1"]
    {
        let plan = json(&f, flags);
        let sum: u64 = PARTS.iter().map(|&part| number(&plan["memory"][part])).sum();
        assert_eq!(number(&plan["memory"]["total"]), sum);
        assert_eq!(sum, arena(&f, flags), "{flags}");
        let told = f.stdout(&format!("plan tiny.gguf {flags}"));
        assert!(told.starts_with("tiny.gguf: mpt, 2 layers"), "{told}");
        for part in PARTS {
            assert!(told.contains(&format!(" {} ", plan["memory"][part])), "{part} in\n{told}");
        }
        // The table of heads is printed only where a ring drops keys.
        assert_eq!(told.contains("slope"), flags.contains("--ring"), "{told}");
    }
    // The model has 2 layers and 2 KV heads of 8 columns; keys and values are in half precision.
    let plan = json(&f, "--ctx 100");
    assert_eq!(plan["memory"]["kv_cache"], 2 * 2 * 100 * 8 * 2 * 2);
    assert_eq!(plan["ring"], "full");
    let heads = &plan["rings"][0]["heads"];
    assert_eq!([&heads[0]["slope"], &heads[1]["slope"]], [0.0625, 0.00390625]);
    assert_eq!([&heads[0]["bytes"], &heads[0]["n_seen"], &heads[0]["n_rows"]], [6400, 100, 100]);
    assert_eq!(heads[1]["bias_cut"], 0.0);
}

#[test]
fn rings_for_a_budget_and_back() {
    let f = Folder::new();
    let full = number(&json(&f, "--ctx 1000")["rings"][0]["cache_bytes"]);
    for budget in [full, full * 3 / 4, full / 2] {
        let flags = format!("--ctx 1000 --batch 32 --kv-budget {budget}");
        let plan = json(&f, &flags);
        let ring = plan["ring"].as_str().unwrap();
        let rings = &plan["rings"][0];
        assert_eq!((plan["rings"].as_array().unwrap().len(), &rings["by"]), (1, &Value::from("bias")));
        assert!(number(&rings["cache_bytes"]) <= budget, "{plan}");
        assert_eq!(ring == "full", budget == full);
        if budget < full {
            // The flat head keeps more keys, and both lose the same as far as whole blocks allow.
            let heads = rings["heads"].as_array().unwrap();
            let keys: Vec<String> = heads.iter().map(|head| head["n_seen"].to_string()).collect();
            assert_eq!(ring, format!("heads:{}", keys.join(",")));
            assert!(number(&heads[0]["n_seen"]) < number(&heads[1]["n_seen"]), "{plan}");
            assert!(f.stdout(&format!("plan tiny.gguf {flags}")).contains(&format!("\n  --ring {ring}\n")));
        }
        let path = f.write("plan.json", plan.to_string().as_bytes());
        let again = json(&f, "--ctx 1000 --batch 32 --ring @plan.json");
        assert_eq!(again["memory"], plan["memory"]);
        assert_eq!(again["rings"][0]["heads"], rings["heads"]);
        fs::remove_file(path).unwrap();
    }
    let ring = |budget: &str| json(&f, &format!("--ctx 1000 --batch 32 --kv-budget {budget}"))["ring"].clone();
    assert_eq!(ring("20K"), ring("20480"));
}

/// All commands that run a model accept the plan's ring.
#[test]
fn rings_of_heads_run() {
    let f = Folder::new();
    f.write("text", WORDS.repeat(8).as_bytes());
    let plan = json(&f, "--ctx 200 --batch 32 --kv-budget 8000");
    f.write("plan.json", plan.to_string().as_bytes());
    let ring = plan["ring"].as_str().unwrap();
    assert!(ring.starts_with("heads:"), "{ring}");
    let hash = |ring: &str| {
        let line = format!("run tiny.gguf the -n 180 --seed 1 --temp 0 --ctx 200 --hash --ring {ring}");
        let told = f.stderr(&line);
        told.lines().find(|line| line.starts_with("hash")).unwrap().to_owned()
    };
    assert_eq!(hash("@plan.json"), hash(ring));
    assert_eq!(hash("heads:64,64"), hash("64"));
    let table = |ring: &str| f.stdout(&format!("perplexity tiny.gguf -f text --ctx 200 --ring {ring}"));
    assert_eq!(table("@plan.json"), table(ring));
    assert!(table(ring) != table("32") && table(ring) != table("full"));
    let bench = f.stdout(&format!("bench tiny.gguf -p 0 -n 2 -d 150 -r 1 --no-peaks -o json --ring {ring}"));
    let row: Value = serde_json::from_str(&bench).unwrap();
    assert_eq!(row[0]["ring"], ring);
    let full = f.stdout("bench tiny.gguf -p 0 -n 2 -d 150 -r 1 --no-peaks -o json");
    let full: Value = serde_json::from_str(&full).unwrap();
    assert!(number(&row[0]["keys_visited"]) < number(&full[0]["keys_visited"]));
    f.stdout("logits tiny.gguf --tokens 1,2,3 -o rows.npy --ring @plan.json");
}

#[test]
fn whether_it_fits() {
    let f = Folder::new();
    let told = f.stdout("plan tiny.gguf --board nrf52840-dk --ctx 256");
    assert!(told.contains("\nnrf52840-dk (nRF52840, Cortex-M4F)\n") && told.ends_with("it fits\n"), "{told}");
    let plan = json(&f, "--board nrf52840-dk --ctx 256");
    let [ram, flash] = [0, 1].map(|i| &plan["fit"]["needs"][i]);
    assert_eq!([&plan["fit"]["fits"], &ram["fits"], &flash["fits"]], [true; 3]);
    assert_eq!([&ram["memory"], &flash["memory"], &plan["n_batch"]], [&"RAM".into(), &"flash".into(), &Value::from(8)]);
    assert_eq!([&ram["have"], &flash["have"]], [256 << 10, 1 << 20]);
    // The tokenizer's index is in flash.
    let arena = number(&plan["memory"]["total"]) - number(&plan["memory"]["tokenizer"]);
    assert_eq!(number(&ram["parts"]["arena"]), arena);
    assert_eq!(flash["parts"]["tokenizer index"], plan["memory"]["tokenizer"]);
    assert_eq!(flash["parts"]["model"], plan["model_bytes"]);
    let sum = |need: &Value| need["parts"].as_object().unwrap().values().map(number).sum::<u64>();
    assert_eq!([sum(ram), sum(flash)], [number(&ram["need"]), number(&flash["need"])]);
    assert_eq!(plan["fit"]["advice"], Value::Array(vec![]));
    // A computer has a single memory.
    let plan = json(&f, "--board pi-zero");
    let parts = &plan["fit"]["needs"][0]["parts"];
    assert_eq!([&parts["model"], &parts["tokenizer index"]], [&plan["model_bytes"], &plan["memory"]["tokenizer"]]);
    assert_eq!(plan["n_batch"], 256);
}

/// A storage's layers take no memory but two buffers.
#[test]
fn layers_may_come_from_a_storage() {
    let f = Folder::new();
    let whole = json(&f, "");
    let n = number(&json(&f, "--layers 0")["weights"]["read_per_pass"]);
    let all = |plan: &Value| number(&plan["weights"]["resident"]);
    let mut before = 0;
    for n_layers in 0..2 {
        let plan = json(&f, &format!("--layers {n_layers} --board nrf52840-dk --ctx 256"));
        let [ram, flash] = [0, 1].map(|i| &plan["fit"]["needs"][i]["parts"]);
        assert_eq!([&ram["two layers"], &flash["model"]], [&plan["weights"]["buffers"], &plan["weights"]["resident"]]);
        let left = number(&whole["model_bytes"]) - all(&plan);
        // A buffer holds whole blocks of 512 bytes.
        let per_layer = number(&plan["weights"]["buffers"]) / 2;
        assert!(per_layer.is_multiple_of(512) && left <= per_layer * (2 - n_layers) && all(&plan) > before, "{plan}");
        assert_eq!(plan["fit"]["computed_tokens_per_second"], Value::Null);
        before = all(&plan);
    }
    assert_eq!(n, 0, "two layers stay in the buffers");
    // The part in flash alone counts, for the bytes that are missing and for advice.
    let plan = json(&f, "--layers 0 --flash 210K");
    let flash = &plan["fit"]["needs"][0];
    assert_eq!(
        [&flash["parts"]["model"], &flash["fits"]],
        [&plan["weights"]["resident"], &Value::from(false)],
        "{plan}"
    );
    for advice in plan["fit"]["advice"].as_array().unwrap() {
        assert!(number(&advice["need"]) <= number(&flash["have"]), "{advice}");
    }
    let told = f.stdout("plan tiny.gguf --layers 1");
    assert!(told.contains("\nweights ") && told.contains("1 of 2 layers, and all that belongs to none"), "{told}");
    f.fails("plan tiny.gguf --layers 2", 1, "--layers 2: a number below 2, all layers of the model, is needed");
}

/// Each advice is planned again here with its flags, and fits.
#[test]
fn what_would_make_it_fit() {
    let f = Folder::new();
    let mut n_advised = 0;
    let cases = [
        ("--ctx 2000", "100K"),
        ("--ctx 2000 --kv q8_0", "60K"),
        ("--ctx 2000 --batch 128 --kv f32", "200K"),
        ("--ctx 2000 --batch 128", "60K"),
        ("--ctx 2000 --endless --sinks 4", "80K"),
    ];
    for (flags, ram) in cases {
        let plan = json(&f, &format!("{flags} --ram {ram}"));
        assert_eq!(plan["fit"]["fits"], false, "{flags}");
        let advice = plan["fit"]["advice"].as_array().unwrap();
        assert!(!advice.is_empty(), "{flags} in {ram}");
        for advice in advice {
            let what = advice["what"].as_str().unwrap();
            // A repeated flag is an error, so the new one replaces the old.
            let mut words: Vec<&str> = flags.split(' ').collect();
            for flag in what.split(' ').filter(|word| word.starts_with("--")) {
                if let Some(at) = words.iter().position(|word| *word == flag) {
                    words.drain(at..at + 2);
                }
            }
            let again = json(&f, &format!("{} {what} --ram {ram}", words.join(" ")));
            assert_eq!(again["fit"]["fits"], true, "{flags}: {what}\n{again}");
            assert_eq!(again["fit"]["needs"][0]["need"], advice["need"], "{flags}: {what}");
            n_advised += 1;
        }
        let told = does_not_fit(&f, &format!("{flags} --ram {ram}"));
        assert!(told.contains("\nit does not fit\n") && told.contains("what would make it fit"), "{told}");
    }
    assert!(n_advised > 7, "{n_advised}");
    let plan = json(&f, "--ram 20K");
    assert_eq!(plan["fit"]["advice"], Value::Array(vec![]), "the firmware alone takes more");
    assert!(does_not_fit(&f, "--ram 20K").ends_with("nothing that was tried would make it fit\n"));
    // A short context would make the RAM suffice, but nothing makes the flash suffice.
    let told = does_not_fit(&f, "--ram 60K --flash 1K");
    assert!(told.ends_with("nothing that was tried would make it fit\n"), "{told}");
    assert!(does_not_fit(&f, "--ram 60K").contains("--ctx "));
    // A context of a few tokens is no advice.
    let need =
        |ctx: usize| number(&json(&f, &format!("--ctx {ctx} --kv q4_0 --batch 1 --ram 1M"))["fit"]["needs"][0]["need"]);
    for (ctx, is_advised) in [(128, true), (96, false)] {
        let told = does_not_fit(&f, &format!("--ctx 4000 --kv q4_0 --batch 1 --ram {}", need(ctx)));
        assert_eq!(told.contains(&format!("--ctx {ctx} ")), is_advised, "{told}");
    }
    // One byte of flash is missing for the embedding, which is in single precision.
    let need = number(&json(&f, "--flash 1K")["fit"]["needs"][0]["need"]);
    let plan = json(&f, &format!("--flash {}", need - 1));
    let advice = &plan["fit"]["advice"][0];
    let what = "nearfield quantize --pure IN.gguf OUT.gguf Q8_0";
    assert_eq!([&advice["memory"], &advice["what"]], ["flash", what], "{plan}");
    // The embedding has 272 rows of 32: a block of 34 bytes instead of 128.
    assert_eq!(number(&advice["need"]), need - 272 * (128 - 34));
    let told = f.nearfield("quantize --pure tiny.gguf small.gguf Q8_0");
    assert!(told.status.success(), "{}", text(&told.stderr));
    let small: Value = serde_json::from_str(&f.stdout("plan small.gguf --json --flash 1M")).unwrap();
    // The header of the quantized file is a few bytes longer.
    let found = number(&small["fit"]["needs"][0]["need"]);
    assert!(found.abs_diff(number(&advice["need"])) < 512, "{found}, {advice}");
    assert_eq!(json(&f, &format!("--flash {need}"))["fit"]["fits"], true);
}

#[test]
fn the_speed_on_a_board_is_computed() {
    let f = Folder::new();
    assert!(f.nearfield("quantize --pure tiny.gguf small.gguf Q8_0").status.success());
    let plan = |flags: &str| f.stdout(&format!("plan small.gguf --ctx 256 {flags}"));
    let told = plan("--board pico2");
    let line = told.lines().last().unwrap();
    assert!(line.starts_with("  speed  ") && line.contains(" tokens/s, computed ("), "{told}");
    let speed = |board: &str| {
        let plan: Value = serde_json::from_str(&plan(&format!("--json --board {board}"))).unwrap();
        let speed = plan["fit"]["computed_tokens_per_second"].clone();
        speed.as_array().map(|speed| [0, 1].map(|i| speed[i].as_f64().unwrap()))
    };
    let ([least, most], [pico, _]) = (speed("pico2").unwrap(), speed("pico").unwrap());
    assert!(0.0 < pico && pico < least && least <= most, "{pico} {least} {most}");
    // Emulators have no clock, and the kernels for F32 were not counted.
    assert_eq!(speed("mps2-an386"), None);
    assert!(f.stdout("plan tiny.gguf --ctx 256 --board pico2").ends_with("it fits\n"));
}

/// If all keys have equal scores, the share that a ring cuts off follows from the slope alone, query by query.
#[test]
fn a_text_is_measured() {
    let f = Folder::new();
    f.write("text", WORDS.repeat(20).as_bytes());
    f.write("tiny.gguf", &tiny::flat());
    // The slopes are unscaled, scaled, or shrink along the text; `at(pos)` is the slope of a query as a multiple of that at the
    // end.
    type At = fn(i32) -> f64;
    let shrinking: At = |pos| 200.0 / f64::from((pos + 1).max(50));
    let cases: [(&str, &str, At); 5] = [
        ("f32", "model", |_| 1.0),
        ("f16", "model", |_| 1.0),
        ("q8_0", "model", |_| 1.0),
        ("f32", "2", |_| 1.0),
        ("f16", "train:50", shrinking),
    ];
    for (kv, scale, at) in cases {
        let flags = format!("--ctx 200 --kv {kv} --alibi-scale {scale} --calibrate text");
        let plan = json(&f, &format!("{flags} --loss 0.05 --outliers 0 --threads 2"));
        assert_eq!(plan["alibi_scale"], scale);
        let [by_bias, by_text] = [&plan["rings"][0], &plan["rings"][1]];
        assert_eq!(
            [&by_bias["by"], &by_text["by"], &plan["ring"]],
            ["bias", "text", by_text["ring"].as_str().unwrap()]
        );
        for rings in [by_bias, by_text] {
            for head in rings["heads"].as_array().unwrap() {
                // Two query heads share a KV head.
                let flat = head["slope"].as_f64().unwrap();
                let n_blocks = number(&head["n_seen"]).div_ceil(32) as i32;
                let cut = |slope: f64, pos: i32| {
                    let slope = slope * at(pos);
                    let n_seen = pos - 32 * (pos / 32 + 1 - n_blocks).max(0);
                    let sum =
                        |keys: std::ops::RangeInclusive<i32>| keys.map(|d| (-slope * f64::from(d)).exp()).sum::<f64>();
                    sum(n_seen + 1..=pos) / sum(0..=pos)
                };
                let last = 32 * n_blocks..200;
                let all: Vec<f64> =
                    [flat, 4.0 * flat].iter().flat_map(|&slope| last.clone().map(move |pos| cut(slope, pos))).collect();
                let most = all.iter().copied().fold(0.0, f64::max);
                let mean = all.iter().sum::<f64>() / all.len().max(1) as f64;
                for (name, want) in [("text_cut_most", most), ("text_cut_mean", mean), ("held_out_cut_most", most)] {
                    let found = head[name].as_f64().unwrap();
                    assert!((found - want).abs() <= 1e-4 * want, "{kv}, {name}: {found} instead of {want}\n{head}");
                }
                assert!(most <= 0.05 || rings["by"] == "bias", "{head}");
                assert!(most <= head["bias_cut"].as_f64().unwrap_or(1.0), "{head}");
            }
        }
        let keys = |rings: &Value| number(&rings["heads"][0]["n_seen"]);
        assert!(keys(by_text) < keys(by_bias), "a measurement may tighten: {plan}");
    }
}

/// A bound for any text holds on this one.
#[test]
fn certified_and_calibrated() {
    let f = Folder::new();
    f.write("text", WORDS.repeat(70).as_bytes());
    for kv in ["f32", "q8_0"] {
        let plan = json(&f, &format!("--ctx 1024 --kv {kv} --certify --calibrate text"));
        let by: Vec<&str> =
            plan["rings"].as_array().unwrap().iter().map(|rings| rings["by"].as_str().unwrap()).collect();
        assert_eq!(by, ["bias", "weights", "text"]);
        for rings in plan["rings"].as_array().unwrap() {
            for head in rings["heads"].as_array().unwrap() {
                let bound = head["any_text_cut"].as_f64().unwrap_or(1.0);
                assert!(head["text_cut_most"].as_f64().unwrap() <= bound, "{head}");
                assert!(head["bias_cut"].as_f64().unwrap_or(1.0) <= bound, "{head}");
            }
        }
        let certified = &plan["rings"][1]["heads"][0];
        assert!(number(&certified["n_seen"]) < 1024, "a steep head forgets, whatever the text: {certified}");
        let bound = certified["any_text_cut"].as_f64().unwrap();
        assert!(bound > 0.0 && bound <= 1.0 / 1024.0, "{certified}");
        assert_eq!(plan["rings"][1]["heads"][1]["n_seen"], 1024);
        assert!(number(&plan["rings"][2]["heads"][0]["n_seen"]) < number(&certified["n_seen"]), "{plan}");
    }
    let told = f.stdout("plan tiny.gguf --ctx 1024 --certify --calibrate text");
    let at = |text: &str| told.find(text).unwrap_or_else(|| panic!("{text} in\n{told}"));
    let parts = ["rings by the bias", "rings by a bound for any text", "rings by a measurement on text: no bound"];
    assert!(parts.map(at).is_sorted(), "{told}");
    // Without queries and keys, scores cannot lie apart.
    f.write("tiny.gguf", &tiny::flat());
    let plan = json(&f, "--ctx 1024 --certify");
    let head = &plan["rings"][1]["heads"][0];
    assert!(head["any_text_cut"].as_f64().unwrap() > 0.0);
    assert_eq!(head["any_text_cut"], head["bias_cut"]);
}

#[test]
fn what_cannot_be_planned() {
    let f = Folder::new();
    f.write("text", WORDS.as_bytes());
    f.write("empty.json", b"{}");
    let fails = |flags: &str, code, want: &str| f.fails(&format!("plan tiny.gguf {flags}"), code, want);
    fails("--board vax", 2, "invalid value 'vax' for '--board <NAME>' [possible values: stm32f411, microbit-v2, ");
    fails("--ram 1k", 2, "invalid value '1k' for '--ram <BYTES>': a number of bytes such as 98304, 96K or 1.5M");
    fails("--kv-budget x", 2, "invalid value 'x' for '--kv-budget <BYTES>': a number of bytes");
    fails("--board pico2 --ram 1M", 2, "the argument '--board <NAME>' cannot be used with '--ram <BYTES>'");
    fails("--ring 64 --kv-budget 1M", 2, "the argument '--ring <RING>' cannot be used with '--kv-budget <BYTES>'");
    fails("--ring heads:1,x", 2, "invalid value 'heads:1,x' for '--ring <RING>': full, a number of keys, a share");
    fails("--ring @none", 2, "invalid value '@none' for '--ring <RING>': cannot read none: No such file");
    fails("--ring @empty.json", 2, "invalid value '@empty.json' for '--ring <RING>': empty.json has no ring");
    fails("--ring heads:64", 1, "rings by head: found 1, expected 2, one for each KV head");
    fails("--kv-budget 100", 1, "a budget of 100 bytes: one block of keys in each head takes ");
    fails("--ctx 0", 1, "a context of 0 tokens: 1 to 16777216 can run");
    fails("--batch 0", 1, "a batch of 0 tokens");
    fails("--calibrate none", 1, "cannot read none: No such file");
    fails("--calibrate text", 1, "text: ");
    fails("--calibrate text --ctx 20 --loss 2", 2, "invalid value '2' for '--loss <E>': a share between 0 and 1");
    fails("--calibrate text --outliers 1", 2, "invalid value '1' for '--outliers <E>': a share from 0 to 1");
    fails("--outliers 0.1", 2, "the following required arguments were not provided: --calibrate <FILE>");
    f.fails("run tiny.gguf the --ring heads:32", 1, "rings by head: found 1, expected 2, one for each KV head");
    let output = f.nearfield("plan --board pico2 --ctx 448 --kv q8_0");
    assert!(output.status.success(), "{}", text(&output.stderr));
}
