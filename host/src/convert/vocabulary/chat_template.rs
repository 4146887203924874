//! Chat templates: in files of their own, or in `tokenizer_config.json` as one text or a list of named ones.
//!
//! Source: `transformers`, `tokenization_utils_base.py`; the keys are those of gguf-py's `add_chat_template`.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use nearfield::gguf::{Value as Meta, ValueType};
use serde_json::Value;

use crate::convert::config::Config;
use crate::error::{Context, Result};
use crate::gguf_out::GgufOut;

/// Name of the template that is used where none is named.
const DEFAULT: &str = "default";

/// Chat templates by name.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ChatTemplates(BTreeMap<String, String>);

impl ChatTemplates {
    /// Reads the templates of a directory whose `tokenizer_config.json` is `settings`. A file of its own counts before a
    /// template in `settings`.
    pub fn read(directory: &Path, settings: &Config) -> Result<Self> {
        let mut templates = BTreeMap::new();
        match settings.value("chat_template") {
            Some(Value::String(template)) => drop(templates.insert(DEFAULT.into(), template.clone())),
            Some(Value::Array(list)) => {
                for named in list {
                    let text = |key: &str| named.get(key).and_then(Value::as_str).map(str::to_owned);
                    let (Some(name), Some(template)) = (text("name"), text("template")) else {
                        return Err(
                            settings.refuse(format_args!("`chat_template` has {named}, not a name and a template"))
                        );
                    };
                    templates.insert(name, template);
                }
            }
            None => {}
            Some(other) => {
                return Err(settings.refuse(format_args!("`chat_template` is {other}, not a text or a list")));
            }
        }
        let read = |path: &Path| fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()));
        let path = directory.join("chat_template.jinja");
        if path.is_file() {
            templates.insert(DEFAULT.into(), read(&path)?);
        }
        for entry in fs::read_dir(directory.join("additional_chat_templates")).into_iter().flatten().flatten() {
            let path = entry.path();
            if let (Some(name), true) = (path.file_stem(), path.extension().is_some_and(|end| end == "jinja")) {
                templates.insert(name.to_string_lossy().into_owned(), read(&path)?);
            }
        }
        Ok(Self(templates))
    }

    /// Puts the templates into a file's metadata.
    pub fn write(&self, out: &mut GgufOut) {
        if let Some(template) = self.0.get(DEFAULT) {
            out.meta("tokenizer.chat_template", Meta::String(template.as_bytes()));
        }
        let plain = |name: &str| name.replace(|c: char| !c.is_ascii_alphanumeric(), "_");
        let named: BTreeMap<String, &String> = self
            .0
            .iter()
            .filter(|(name, _)| *name != DEFAULT)
            .map(|(name, template)| (plain(name), template))
            .collect();
        for (name, template) in &named {
            out.meta(&format!("tokenizer.chat_template.{name}"), Meta::String(template.as_bytes()));
        }
        if !named.is_empty() {
            let names = named.keys().map(|name| Meta::String(name.as_bytes()));
            out.meta_array("tokenizer.chat_templates", ValueType::String, names);
        }
    }
}
