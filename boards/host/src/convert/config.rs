//! The JSON files of a Hugging Face directory, with errors that name the file and the key.

use std::fmt;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Map, Value};

/// An object in a JSON file.
#[derive(Clone, Debug)]
pub struct Config {
    /// The file, and the way to the object in it; for messages.
    place: String,
    object: Map<String, Value>,
}

/// The names that a key goes by, as people say them.
struct Names<'a>(&'a [&'a str]);

impl fmt::Display for Names<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, name) in self.0.iter().enumerate() {
            write!(f, "{}`{name}`", if i > 0 { " or " } else { "" })?;
        }
        Ok(())
    }
}

/// The JSON in a file.
pub fn read_json(path: &Path) -> Result<Value> {
    let text = fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    serde_json::from_slice(&text).with_context(|| format!("{} is not JSON", path.display()))
}

impl Config {
    /// The object that a file holds.
    pub fn read(path: &Path) -> Result<Self> {
        match read_json(path)? {
            Value::Object(object) => Ok(Self { place: path.display().to_string(), object }),
            _ => bail!("{} is not a JSON object", path.display()),
        }
    }

    /// An object in a file that was read, by the way to it.
    pub fn of(place: &str, object: &Map<String, Value>) -> Self {
        Self { place: place.into(), object: object.clone() }
    }

    /// The object that a file holds, or an empty one where there is no such file.
    pub fn read_if_there(path: &Path) -> Result<Self> {
        match path.exists() {
            true => Self::read(path),
            false => Ok(Self { place: path.display().to_string(), object: Map::new() }),
        }
    }

    /// An object inside this one; empty if it is not there.
    pub fn within(&self, key: &str) -> Result<Self> {
        let object = match self.get(&[key]) {
            None => Map::new(),
            Some((_, Value::Object(object))) => object.clone(),
            Some((name, value)) => bail!(self.wrong(name, value, "an object")),
        };
        Ok(Self { place: format!("{}, {key}", self.place), object })
    }

    /// The first of the keys that is there, with its value; `null` is not there.
    fn get<'s, 'k>(&'s self, keys: &[&'k str]) -> Option<(&'k str, &'s Value)> {
        keys.iter().find_map(|&key| self.object.get(key).filter(|value| !value.is_null()).map(|value| (key, value)))
    }

    fn wrong(&self, name: &str, value: &Value, want: &str) -> String {
        format!("{}: `{name}` is {value}, not {want}", self.place)
    }

    /// Whether a key is there, and not `null`.
    pub fn has(&self, key: &str) -> bool {
        self.get(&[key]).is_some()
    }

    /// A value of any kind.
    pub fn value(&self, key: &str) -> Option<&Value> {
        self.get(&[key]).map(|(_, value)| value)
    }

    /// A text.
    pub fn text(&self, key: &str) -> Result<Option<&str>> {
        match self.get(&[key]) {
            None => Ok(None),
            Some((_, Value::String(text))) => Ok(Some(text)),
            Some((name, value)) => bail!(self.wrong(name, value, "a text")),
        }
    }

    /// A count under any of the names, from 0 on.
    pub fn optional_count(&self, keys: &[&str]) -> Result<Option<usize>> {
        let Some((name, value)) = self.get(keys) else { return Ok(None) };
        let count = value.as_u64().and_then(|n| u32::try_from(n).ok());
        count.map(|n| Some(n as usize)).with_context(|| self.wrong(name, value, "a count"))
    }

    /// A count under any of the names, from 1 on, which has to be there.
    pub fn count(&self, keys: &[&str]) -> Result<usize> {
        let count = self.optional_count(keys)?.with_context(|| format!("{} has no {}", self.place, Names(keys)))?;
        ensure!(count > 0, "{}: {} is 0", self.place, Names(keys));
        Ok(count)
    }

    /// A number under any of the names.
    pub fn optional_number(&self, keys: &[&str]) -> Result<Option<f64>> {
        let Some((name, value)) = self.get(keys) else { return Ok(None) };
        let number = value.as_f64().filter(|x| x.is_finite());
        number.map(Some).with_context(|| self.wrong(name, value, "a number"))
    }

    /// A number under any of the names, which has to be there.
    pub fn number(&self, keys: &[&str]) -> Result<f64> {
        self.optional_number(keys)?.with_context(|| format!("{} has no {}", self.place, Names(keys)))
    }

    /// Yes or no; `default` if it is not there.
    pub fn flag(&self, key: &str, default: bool) -> Result<bool> {
        match self.get(&[key]) {
            None => Ok(default),
            Some((_, Value::Bool(flag))) => Ok(*flag),
            Some((name, value)) => bail!(self.wrong(name, value, "true or false")),
        }
    }

    /// Checks that a setting, if it is there, is one of the values that can be converted.
    pub fn only(&self, key: &str, wanted: &[Value]) -> Result<()> {
        match self.get(&[key]) {
            Some((name, value)) if !wanted.contains(value) => {
                let wanted: Vec<String> = wanted.iter().map(Value::to_string).collect();
                match wanted.is_empty() {
                    true => bail!("{}: `{name}` is {value}, which cannot be converted", self.place),
                    false => {
                        bail!("{}: `{name}` is {value}: only {} can be converted", self.place, wanted.join(" or "))
                    }
                }
            }
            _ => Ok(()),
        }
    }

    /// An error about this object.
    pub fn refuse(&self, why: impl fmt::Display) -> anyhow::Error {
        anyhow::anyhow!("{}: {why}", self.place)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn config(value: Value) -> Config {
        Config { place: "config.json".into(), object: value.as_object().unwrap().clone() }
    }

    #[test]
    fn keys_have_several_names_and_null_is_none() {
        let config = config(json!({"n_embed": null, "hidden_size": 64, "eps": 1e-5, "alibi": true}));
        assert_eq!(config.count(&["n_embed", "hidden_size"]).unwrap(), 64);
        assert_eq!(config.optional_count(&["n_embed"]).unwrap(), None);
        assert_eq!(config.number(&["eps"]).unwrap(), 1e-5);
        assert!(config.flag("alibi", false).unwrap() && config.flag("rope", true).unwrap());
        assert!(config.within("attn_config").unwrap().flag("alibi", true).unwrap());
    }

    #[test]
    fn errors_name_the_file_the_key_and_the_value() {
        let config = config(json!({"n": "x", "zero": 0, "less": -1, "act": "relu", "flag": 1}));
        let error = |result: Result<usize>| result.unwrap_err().to_string();
        assert_eq!(error(config.count(&["a", "b"])), "config.json has no `a` or `b`");
        assert_eq!(error(config.count(&["n"])), "config.json: `n` is \"x\", not a count");
        assert_eq!(error(config.count(&["zero"])), "config.json: `zero` is 0");
        assert_eq!(error(config.count(&["less"])), "config.json: `less` is -1, not a count");
        let only = config.only("act", &[json!("gelu"), json!("silu")]).unwrap_err();
        assert_eq!(only.to_string(), "config.json: `act` is \"relu\": only \"gelu\" or \"silu\" can be converted");
        let none = config.only("n", &[]).unwrap_err();
        assert_eq!(none.to_string(), "config.json: `n` is \"x\", which cannot be converted");
        assert_eq!(config.flag("flag", true).unwrap_err().to_string(), "config.json: `flag` is 1, not true or false");
    }
}
