//! JSON files of a Hugging Face directory, with errors that name the file and the key.

use std::fmt;
use std::fs;
use std::path::Path;

use serde_json::{Map, Value};

use crate::error::{Context, Result, bail, ensure};
use crate::lfs_pointer;

/// Object in a JSON file.
#[derive(Clone, Debug)]
pub struct Config {
    /// Path of the file, and the way to the object in it; for messages.
    place: String,
    object: Map<String, Value>,
}

/// Names of a key, as a sentence lists them.
struct Names<'a>(&'a [&'a str]);

impl fmt::Display for Names<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, name) in self.0.iter().enumerate() {
            write!(f, "{}`{name}`", if i > 0 { " or " } else { "" })?;
        }
        Ok(())
    }
}

/// Reads a file of JSON.
pub fn read_json(path: &Path) -> Result<Value> {
    let text = fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    lfs_pointer::check(&text).with_context(|| path.display().to_string())?;
    let is_utf16 = [b"\xff\xfe", b"\xfe\xff"].iter().any(|mark| text.starts_with(*mark));
    ensure!(!is_utf16, "{} is UTF-16: save it as UTF-8", path.display());
    parse_json(&text).with_context(|| format!("{} is not JSON", path.display()))
}

/// Parses JSON as Python's `json` does, with `NaN` and `Infinity`. These become strings here, so that an error about a number
/// shows the name. A byte order mark before UTF-8 is skipped.
fn parse_json(text: &[u8]) -> serde_json::Result<Value> {
    let text = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text);
    serde_json::from_slice(text).or_else(|error| serde_json::from_slice(&without_constants(text)).map_err(|_| error))
}

/// Copy of `json` with Python's constants in quotes.
fn without_constants(json: &[u8]) -> Vec<u8> {
    const CONSTANTS: [&[u8]; 3] = [b"NaN", b"-Infinity", b"Infinity"];
    let mut out = Vec::with_capacity(json.len());
    let (mut is_text, mut rest) = (false, json);
    while let [first, behind @ ..] = rest {
        let constant = CONSTANTS.iter().find(|constant| !is_text && rest.starts_with(constant));
        let n = match (constant, first) {
            (Some(constant), _) => {
                out.extend([b"\"", *constant, b"\""].concat());
                rest = &rest[constant.len()..];
                continue;
            }
            (None, b'\\') if is_text && !behind.is_empty() => 2,
            _ => 1,
        };
        is_text ^= *first == b'"';
        out.extend(&rest[..n]);
        rest = &rest[n..];
    }
    out
}

impl Config {
    /// Reads the object in a file.
    pub fn read(path: &Path) -> Result<Self> {
        match read_json(path)? {
            Value::Object(object) => Ok(Self { place: path.display().to_string(), object }),
            _ => bail!("{} is not a JSON object", path.display()),
        }
    }

    /// Object in a file that was read already; `place` is the way to it.
    pub fn of(place: &str, object: &Map<String, Value>) -> Self {
        Self { place: place.into(), object: object.clone() }
    }

    /// Reads the object in a file; an empty one where there is no such file.
    pub fn read_if_there(path: &Path) -> Result<Self> {
        match path.exists() {
            true => Self::read(path),
            false => Ok(Self { place: path.display().to_string(), object: Map::new() }),
        }
    }

    /// Object under `key`; empty if there is none.
    pub fn within(&self, key: &str) -> Result<Self> {
        let object = match self.get(&[key]) {
            None => Map::new(),
            Some((_, Value::Object(object))) => object.clone(),
            Some((name, value)) => bail!(self.wrong(name, value, "an object")),
        };
        Ok(Self { place: format!("{}, {key}", self.place), object })
    }

    /// First of the keys that is present, with its value; `null` counts as absent.
    fn get<'s, 'k>(&'s self, keys: &[&'k str]) -> Option<(&'k str, &'s Value)> {
        keys.iter().find_map(|&key| self.object.get(key).filter(|value| !value.is_null()).map(|value| (key, value)))
    }

    /// First of the keys that is present, with its value; an error if several are present and differ.
    fn get_number<'s, 'k>(&'s self, keys: &[&'k str]) -> Result<Option<(&'k str, &'s Value)>> {
        let Some((name, value)) = self.get(keys) else { return Ok(None) };
        for key in keys {
            let Some((other_name, other)) = self.get(&[key]) else { continue };
            let is_same = value == other || value.as_f64().is_some_and(|x| other.as_f64() == Some(x));
            ensure!(is_same, "{}: `{name}` is {value}, and `{other_name}` {other}", self.place);
        }
        Ok(Some((name, value)))
    }

    fn wrong(&self, name: &str, value: &Value, want: &str) -> String {
        format!("{}: `{name}` is {value}, not {want}", self.place)
    }

    /// True if the key is present and not `null`.
    pub fn has(&self, key: &str) -> bool {
        self.get(&[key]).is_some()
    }

    /// Value of any kind.
    pub fn value(&self, key: &str) -> Option<&Value> {
        self.get(&[key]).map(|(_, value)| value)
    }

    /// String; an error for another kind of value.
    pub fn text(&self, key: &str) -> Result<Option<&str>> {
        match self.get(&[key]) {
            None => Ok(None),
            Some((_, Value::String(text))) => Ok(Some(text)),
            Some((name, value)) => bail!(self.wrong(name, value, "a text")),
        }
    }

    /// Integer from 0 to 2^32 - 1 under any of the names; `None` if none is present.
    pub fn optional_count(&self, keys: &[&str]) -> Result<Option<usize>> {
        let Some((name, value)) = self.get_number(keys)? else { return Ok(None) };
        let count = value.as_u64().and_then(|n| u32::try_from(n).ok());
        count.map(|n| Some(n as usize)).with_context(|| self.wrong(name, value, "a count"))
    }

    /// Integer from 1 to 2^32 - 1 under any of the names; an error if none is present.
    pub fn count(&self, keys: &[&str]) -> Result<usize> {
        let count = self.optional_count(keys)?.with_context(|| format!("{} has no {}", self.place, Names(keys)))?;
        ensure!(count > 0, "{}: {} is 0", self.place, Names(keys));
        Ok(count)
    }

    /// Integer from 1 to 2^32 - 1 under any of the names; `None` if none is present.
    pub fn optional_positive_count(&self, keys: &[&str]) -> Result<Option<usize>> {
        let count = self.optional_count(keys)?;
        ensure!(count != Some(0), "{}: {} is 0", self.place, Names(keys));
        Ok(count)
    }

    /// Number under any of the names. As F32, which the file stores, it has to be finite and fulfil `holds`; the error says
    /// that it is not `want`.
    fn number_that(&self, keys: &[&str], holds: fn(f32) -> bool, want: &str) -> Result<Option<f64>> {
        let Some((name, value)) = self.get_number(keys)? else { return Ok(None) };
        let number = value.as_f64().map(|x| x as f32);
        let want = if number.is_some_and(|x| x.is_infinite()) { "a number that F32 holds" } else { want };
        ensure!(number.is_some_and(|x| x.is_finite() && holds(x)), self.wrong(name, value, want));
        Ok(value.as_f64())
    }

    /// Finite number under any of the names; `None` if none is present.
    pub fn optional_number(&self, keys: &[&str]) -> Result<Option<f64>> {
        self.number_that(keys, |_| true, "a number")
    }

    /// Number above 0 under any of the names; `None` if none is present.
    pub fn positive_number(&self, keys: &[&str]) -> Result<Option<f64>> {
        self.number_that(keys, |x| x > 0.0, "a number above 0")
    }

    /// Number from 0 on under any of the names, such as the epsilon of a norm or a limit; `None` if none is present.
    pub fn number_from_0(&self, keys: &[&str]) -> Result<Option<f64>> {
        self.number_that(keys, |x| x >= 0.0, "a number from 0 on")
    }

    /// Boolean; `default` if the key is absent.
    pub fn flag(&self, key: &str, default: bool) -> Result<bool> {
        match self.get(&[key]) {
            None => Ok(default),
            Some((_, Value::Bool(flag))) => Ok(*flag),
            Some((name, value)) => bail!(self.wrong(name, value, "true or false")),
        }
    }

    /// Checks that a setting, if present, is one of the values that can be converted.
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

    /// Checks that a setting is one of the values that can be converted; if it is absent, `default` counts.
    pub fn only_with_default(&self, key: &str, default: &Value, wanted: &[Value]) -> Result<()> {
        if self.has(key) {
            return self.only(key, wanted);
        }
        let wanted: Vec<String> = wanted.iter().map(Value::to_string).collect();
        bail!("{} has no `{key}`, which means {default}: only {} can be converted", self.place, wanted.join(" or "))
    }

    /// Error about this object.
    pub fn refuse(&self, why: impl fmt::Display) -> crate::error::Error {
        crate::error::Error::Invalid(format!("{}: {why}", self.place))
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
        assert_eq!(config.optional_number(&["eps"]).unwrap(), Some(1e-5));
        assert!(config.flag("alibi", false).unwrap() && config.flag("rope", true).unwrap());
        assert!(config.within("attn_config").unwrap().flag("alibi", true).unwrap());
    }

    #[test]
    fn json_as_python_reads_it() {
        let json = |text: &[u8]| parse_json(text).map_err(|error| error.to_string());
        assert_eq!(json(b"\xef\xbb\xbf{\"a\": 1}"), Ok(json!({"a": 1})));
        let constants = br#"{"a": NaN, "b": [Infinity, -Infinity, -1], "NaN\\\"": "NaN \" Infinity"}"#;
        let want = json!({"a": "NaN", "b": ["Infinity", "-Infinity", -1], "NaN\\\"": "NaN \" Infinity"});
        assert_eq!(json(constants), Ok(want));
        assert_eq!(json(b"{} // a comment"), Err("trailing characters at line 1 column 4".into()));
        assert_eq!(json(b"[1, nan]"), Err("expected ident at line 1 column 6".into()));
    }

    #[test]
    fn numbers_have_bounds_and_one_value() {
        let config =
            config(json!({"zero": 0, "less": -1e-5, "huge": 1e39, "nan": "NaN", "two": 2, "two_too": 2.0, "n": 4}));
        let error = |result: Result<Option<f64>>| result.unwrap_err().to_string();
        assert_eq!(config.number_from_0(&["zero"]).unwrap(), Some(0.0));
        assert_eq!(config.number_from_0(&["two", "two_too"]).unwrap(), Some(2.0));
        assert_eq!(error(config.positive_number(&["zero"])), "config.json: `zero` is 0, not a number above 0");
        assert_eq!(error(config.number_from_0(&["less"])), "config.json: `less` is -0.00001, not a number from 0 on");
        assert_eq!(
            error(config.optional_number(&["huge"])),
            "config.json: `huge` is 1e+39, not a number that F32 holds"
        );
        assert_eq!(error(config.optional_number(&["nan"])), "config.json: `nan` is \"NaN\", not a number");
        assert_eq!(error(config.optional_number(&["n", "two"])), "config.json: `n` is 4, and `two` 2");
        let zero = config.optional_positive_count(&["zero"]).unwrap_err().to_string();
        assert_eq!(zero, "config.json: `zero` is 0");
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
