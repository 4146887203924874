//! Pooling of converted encoders: the settings of a sentence-transformers folder reach the file.

use std::fs;
use std::path::Path;
use std::process::Command;

use nearfield::Gguf;
use nearfield::gguf::Value as Meta;
use serde_json::{Value, json};

use crate::hugging_face::write_json;
use crate::model::{self, Floats};
use crate::nearfield;

/// Pooling of the converted folder as GGUF's number, or the error.
fn converted(folder: &Path) -> Result<u64, String> {
    let file = folder.with_extension("gguf");
    let arguments = ["convert", folder.to_str().unwrap(), "-o", file.to_str().unwrap(), "--type", "F32", "--force"];
    nearfield(&arguments)?;
    let bytes = fs::read(&file).unwrap();
    let gguf = Gguf::parse(&bytes).unwrap();
    Ok(gguf.get("jina-bert-v2.pooling_type").and_then(Meta::as_u64).unwrap())
}

fn encoder(folder: &Path) -> std::path::PathBuf {
    let path = folder.join("encoder");
    model::all().into_iter().find(|model| model.name == "jina-v2-small").unwrap().write(&path, Floats::F32);
    path
}

#[test]
fn a_folder_says_how_its_rows_are_pooled() {
    let temporary = tempfile::tempdir().unwrap();
    let folder = encoder(temporary.path());
    assert_eq!(converted(&folder), Ok(1), "without a word the mean");
    fs::create_dir(folder.join("1_Pooling")).unwrap();
    let with = |config: Value| {
        write_json(&folder.join("1_Pooling"), "config.json", &config);
        converted(&folder)
    };
    let flags = |set: &[&str]| {
        let names =
            ["cls_token", "mean_tokens", "max_tokens", "mean_sqrt_len_tokens", "weightedmean_tokens", "lasttoken"];
        let flag = |name: &str| (format!("pooling_mode_{name}"), json!(set.contains(&name)));
        Value::Object(names.map(flag).into_iter().chain([("word_embedding_dimension".into(), json!(128))]).collect())
    };
    assert_eq!(with(flags(&["mean_tokens"])), Ok(1));
    assert_eq!(with(flags(&["cls_token"])), Ok(2));
    assert_eq!(with(flags(&["lasttoken"])), Ok(3));
    for (mode, number) in [("mean", 1), ("cls", 2), ("lasttoken", 3)] {
        assert_eq!(with(json!({"embedding_dimension": 128, "pooling_mode": mode, "include_prompt": true})), Ok(number));
        assert_eq!(with(json!({"pooling_mode": [mode]})), Ok(number));
    }
    for (config, want) in [
        (flags(&["max_tokens"]), "pooling by max: only mean, cls and lasttoken can be converted"),
        (json!({"pooling_mode": "weightedmean"}), "pooling by weightedmean: only mean"),
        (json!({"pooling_mode": "mean_sqrt_len_tokens"}), "pooling by mean_sqrt_len_tokens: only mean"),
        (flags(&[]), "no pooling: none of its flags is true"),
        (flags(&["cls_token", "mean_tokens"]), "several poolings behind each other (mean, cls): only one"),
        (json!({"pooling_mode": ["mean", "max"]}), "several poolings behind each other (mean, max): only one"),
        (json!({"pooling_mode": "mean", "include_prompt": false}), "`include_prompt` is false: only true"),
    ] {
        let error = with(config).unwrap_err();
        assert!(error.contains("1_Pooling/config.json: ") && error.contains(want), "{error}");
    }
}

#[test]
fn modules_say_where_the_pooling_is() {
    let temporary = tempfile::tempdir().unwrap();
    let folder = encoder(temporary.path());
    for (path, mode) in [("1_Pooling", "mean"), ("2_Pool", "cls")] {
        fs::create_dir(folder.join(path)).unwrap();
        write_json(&folder.join(path), "config.json", &json!({"pooling_mode": mode}));
    }
    let module =
        |path: &str, class: &str| json!({"path": path, "type": format!("sentence_transformers.models.{class}")});
    let with = |modules: &[Value]| {
        write_json(&folder, "modules.json", &json!(modules));
        converted(&folder)
    };
    let transformer = module("", "Transformer");
    assert_eq!(with(&[transformer.clone(), module("1_Pooling", "Pooling"), module("2_Normalize", "Normalize")]), Ok(1));
    assert_eq!(with(&[transformer.clone(), module("2_Pool", "Pooling")]), Ok(2));
    let error = with(&[transformer, module("1_Pooling", "Pooling"), module("2_Dense", "Dense")]).unwrap_err();
    assert!(error.contains("modules.json: a module of type Dense cannot be converted"), "{error}");
}

#[test]
fn the_file_embeds_as_it_says() {
    let temporary = tempfile::tempdir().unwrap();
    let folder = encoder(temporary.path());
    fs::create_dir(folder.join("1_Pooling")).unwrap();
    write_json(&folder.join("1_Pooling"), "config.json", &json!({"pooling_mode_cls_token": true}));
    assert_eq!(converted(&folder), Ok(2));
    let file = folder.with_extension("gguf");
    let embed =
        |more: &[&str]| nearfield(&[&["embed", file.to_str().unwrap(), "--tokens", "1,2,3,4"], more].concat()).unwrap();
    assert_eq!(embed(&[]), embed(&["--pooling", "cls"]));
    assert_ne!(embed(&[]), embed(&["--pooling", "mean"]));
}

#[test]
fn prompts_and_lengths_that_no_file_can_say_are_told() {
    let temporary = tempfile::tempdir().unwrap();
    let folder = encoder(temporary.path());
    let told = || {
        let output = Command::new(env!("CARGO_BIN_EXE_nearfield"))
            .args(["convert", folder.to_str().unwrap(), "--force", "-o"])
            .arg(folder.with_extension("gguf"))
            .output()
            .unwrap();
        assert!(output.status.success());
        let lines = String::from_utf8(output.stderr).unwrap();
        lines.lines().filter(|line| line.contains("sentence-transformers")).map(str::to_owned).collect::<Vec<_>>()
    };
    let prompts = |default: Value| {
        let config = json!({"prompts": {"query": "query: ", "document": ""}, "default_prompt_name": default});
        write_json(&folder, "config_sentence_transformers.json", &config);
    };
    assert_eq!(told(), [""; 0]);
    for default in [json!(null), json!("document")] {
        prompts(default);
        assert_eq!(told(), [""; 0]);
    }
    prompts(json!("query"));
    write_json(&folder, "sentence_bert_config.json", &json!({"max_seq_length": 16, "do_lower_case": false}));
    let want = [
        "sentence-transformers puts \"query: \" before each text of this model: give it with the text",
        "sentence-transformers cuts texts of this model after 16 tokens; nearfield reads 8192",
    ];
    assert_eq!(told(), want);
}
