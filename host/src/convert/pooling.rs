//! Pooling of an encoder's rows in a sentence-transformers folder: `modules.json` and the pooling's own configuration.
//!
//! Source: `sentence_transformers/models/Pooling.py` and its kin. Before version 5 each mode has a flag, since then there is
//! one name.

use std::path::Path;

use serde_json::Value;

use super::config::{Config, read_json};
use super::families::Pooling;
use crate::error::{Result, bail, ensure};
use crate::monitor::Monitor;

/// Folder of the pooling's configuration if there is no `modules.json`.
const USUAL: &str = "1_Pooling";
/// Modes: the flag of old files, the name in new ones, and GGUF's value if it has one.
const MODES: [(&str, &str, Option<Pooling>); 6] = [
    ("pooling_mode_mean_tokens", "mean", Some(Pooling::Mean)),
    ("pooling_mode_cls_token", "cls", Some(Pooling::Cls)),
    ("pooling_mode_lasttoken", "lasttoken", Some(Pooling::Last)),
    ("pooling_mode_max_tokens", "max", None),
    ("pooling_mode_mean_sqrt_len_tokens", "mean_sqrt_len_tokens", None),
    ("pooling_mode_weightedmean_tokens", "weightedmean", None),
];

/// Pooling of the rows; `None` if the directory does not say it.
///
/// # Errors
/// For a mode, or a module behind the pooling, that a GGUF file cannot express.
pub fn read(directory: &Path) -> Result<Option<Pooling>> {
    let Some(folder) = folder(directory)? else { return Ok(None) };
    let path = directory.join(folder).join("config.json");
    if !path.is_file() {
        return Ok(None);
    }
    let config = Config::read(&path)?;
    config.only("include_prompt", &[Value::Bool(true)])?;
    let mut names: Vec<String> = Vec::new();
    match config.value("pooling_mode") {
        Some(Value::String(name)) => names.extend(name.split('+').map(Into::into)),
        Some(Value::Array(list)) => names.extend(list.iter().map(|name| name.as_str().unwrap_or_default().into())),
        Some(other) => return Err(config.refuse(format_args!("`pooling_mode` is {other}, not a name"))),
        None => {
            for (flag, name, _) in MODES {
                if config.flag(flag, false)? {
                    names.push(name.into());
                }
            }
        }
    }
    match &names[..] {
        [] if config.value("pooling_mode_mean_tokens").is_some() => {
            Err(config.refuse(format_args!("no pooling: none of its flags is true, so that no vector is made")))
        }
        // A configuration without a mode means the class's default.
        [] => Ok(Some(Pooling::Mean)),
        [name] => {
            let mode = MODES.iter().find(|(_, known, _)| known == name).and_then(|(.., pooling)| *pooling);
            let why =
                || config.refuse(format_args!("pooling by {name}: only mean, cls and lasttoken can be converted"));
            mode.map(Some).ok_or_else(why)
        }
        several => Err(config.refuse(format_args!(
            "vectors of several poolings behind each other ({}): only one can be converted",
            several.join(", ")
        ))),
    }
}

/// Notes the settings of such a folder that a GGUF file cannot express: prompts and a length at which texts are cut.
///
/// # Errors
/// For files that are not JSON.
pub fn tell_what_is_left_out(directory: &Path, n_ctx: usize, monitor: &Monitor) -> Result<()> {
    let read = |name: &str| match directory.join(name) {
        path if path.is_file() => Config::read(&path).map(Some),
        _ => Ok(None),
    };
    if let Some(config) = read("config_sentence_transformers.json")?
        && let Some(Value::String(name)) = config.value("default_prompt_name")
        && let Some(prompt) = config.value("prompts").and_then(|prompts| prompts.get(name)).and_then(Value::as_str)
        && !prompt.is_empty()
    {
        monitor.note(format_args!(
            "sentence-transformers puts {prompt:?} before each text of this model: give it with the text"
        ));
    }
    if let Some(config) = read("sentence_bert_config.json")?
        && let Some(limit) = config.value("max_seq_length").and_then(Value::as_u64)
        && limit < n_ctx as u64
    {
        monitor.note(format_args!(
            "sentence-transformers cuts texts of this model after {limit} tokens; nearfield reads {n_ctx}"
        ));
    }
    Ok(())
}

/// Folder of the pooling, by `modules.json` or its usual name; `None` where the rows are not pooled.
fn folder(directory: &Path) -> Result<Option<String>> {
    let path = directory.join("modules.json");
    if !path.is_file() {
        return Ok(Some(USUAL.into()));
    }
    let Value::Array(modules) = read_json(&path)? else { bail!("{} is not a list of modules", path.display()) };
    let mut pooling = None;
    for module in &modules {
        let text = |key| module.get(key).and_then(Value::as_str).unwrap_or_default();
        // A type is a class's whole name, such as `sentence_transformers.models.Pooling`; its last part counts.
        match text("type").rsplit('.').next().unwrap_or_default() {
            "Pooling" => pooling = Some(text("path").to_owned()),
            // Normalization of vectors is an option of the command, and dropout is for training alone.
            "Transformer" | "Normalize" | "Dropout" => {}
            other => bail!("{}: a module of type {other} cannot be converted", path.display()),
        }
    }
    ensure!(
        pooling.as_ref().is_none_or(|folder| !folder.contains("..")),
        "{}: a path out of the folder",
        path.display()
    );
    Ok(pooling)
}
