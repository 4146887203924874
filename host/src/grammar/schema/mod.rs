//! JSON Schema (draft 2020-12) to GBNF.
//!
//! Each text of the grammar is valid by the schema. Not each valid text is one of the grammar, which is narrower where that helps:
//! objects have the properties that are named, in their order, and others only if `additionalProperties` asks for them; arrays with
//! `prefixItems` have all of these; numbers have at most 16 digits; a schema without `type` describes the values that its keywords are
//! about.
//!
//! | keywords | |
//! |---|---|
//! | `type`, `enum`, `const`, `$ref` (within the document), `$defs` | |
//! | `allOf`, `anyOf`, `oneOf` | keywords beside them are added to each branch; branches of `oneOf` have to differ in type, or in a constant |
//! | `properties`, `required`, `additionalProperties` | |
//! | `items`, `prefixItems`, `minItems`, `maxItems` | |
//! | `minLength`, `maxLength`, `pattern`, `format` | `pattern` without look-around and back-references; `date`, `time`, `date-time`, `uuid`, `ipv4`, and others say nothing; `pattern` or `format` alone |
//! | `minimum`, `maximum`, `exclusiveMinimum`, `exclusiveMaximum` | of integers, and of numbers where they are integers |
//!
//! Annotations, such as `title`, and keywords that the standard does not know are ignored. Any other keyword is an error that names its
//! path.

mod array;
mod chars;
mod merge;
mod number;
mod object;
mod pattern;
mod string;

use std::collections::HashMap;

use super::gbnf::{self, NOTHING, any_of};
use super::json::{Json, Members};
use crate::error::{Context, Result, bail, ensure};

/// Schemas in each other, at most, without those that a `$ref` names.
const MAX_DEPTH: usize = 64;
/// Rules of a grammar at most: branches that are merged can multiply.
const MAX_RULES: usize = 100_000;

/// Values that may be copied while schemas are merged: a few lines can ask for an endless number.
const MAX_MERGED: usize = 10_000_000;

/// White space between tokens of JSON, as llama.cpp writes it.
const SPACE: &str = "space";

/// Rules that every schema may use.
const COMMON: &str = r#"space ::= | " " | "\n"{1,2} [ \t]{0,20}
value ::= object | array | string | number | "true" | "false" | "null"
object ::= "{" space (string space ":" space value space ("," space string space ":" space value space)*)? "}"
array ::= "[" space (value space ("," space value space)*)? "]"
string ::= "\"" char* "\""
char ::= [^"\\\x7F\x00-\x1F] | "\\" (["\\bfnrt/] | "u" hex4)
hex4 ::= [0-9a-cA-CefEF] [0-9a-fA-F]{3} | [dD] [0-7] [0-9a-fA-F]{2}
integer ::= "-"? ("0" | [1-9] [0-9]{0,15})
number ::= integer ("." [0-9]{1,16})? ([eE] [-+]? [0-9]{1,2})?
"#;

/// Keywords of the standard, and of its earlier versions, that are not supported.
const UNSUPPORTED: [&str; 24] = [
    "$id",
    "not",
    "if",
    "then",
    "else",
    "patternProperties",
    "propertyNames",
    "minProperties",
    "maxProperties",
    "dependentRequired",
    "dependentSchemas",
    "dependencies",
    "contains",
    "minContains",
    "maxContains",
    "uniqueItems",
    "unevaluatedItems",
    "unevaluatedProperties",
    "multipleOf",
    "additionalItems",
    "$dynamicRef",
    "$recursiveRef",
    "$anchor",
    "$dynamicAnchor",
];

/// Keywords about values of each type.
const OF_TYPES: [(&str, &[&str]); 4] = [
    ("object", &["properties", "required", "additionalProperties"]),
    ("array", &["items", "prefixItems", "minItems", "maxItems"]),
    ("string", &["minLength", "maxLength", "pattern", "format"]),
    ("number", &["minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"]),
];

/// Types, in the order in which they are written where a schema names none.
const TYPES: [&str; 7] = ["object", "array", "string", "integer", "number", "boolean", "null"];

/// Writes the grammar of the JSON texts that a schema describes.
///
/// # Errors
/// When the schema has a keyword or a value that is not supported; the message begins with its path.
pub fn to_gbnf(schema: &Json) -> Result<String> {
    let mut writer = Writer {
        root: schema,
        rules: String::from(COMMON),
        n_rules: 0,
        refs: HashMap::new(),
        unwritten: Vec::new(),
        depth: 0,
        n_merged: 0,
    };
    let root = writer.value(schema, "#")?;
    // A reference may name a schema with other references, so that none is written within another.
    while let Some((name, schema, path)) = writer.unwritten.pop() {
        let body = writer.value(schema, &path)?;
        writer.define(&name, &body);
    }
    // The names of rules are numbers, so none is `root`.
    Ok(format!("root ::= {root}\n{}", writer.rules))
}

/// Grammar while it is written.
struct Writer<'s> {
    root: &'s Json,
    rules: String,
    n_rules: usize,
    /// Rule of each `$ref`.
    refs: HashMap<String, String>,
    /// Rules of references that are still to be written: name, schema and its path.
    unwritten: Vec<(String, &'s Json, String)>,
    depth: usize,
    /// Values that were copied while schemas were merged.
    n_merged: usize,
}

impl<'s> Writer<'s> {
    /// Adds a rule and returns its name.
    fn rule(&mut self, body: &str) -> Result<String> {
        let name = self.new_name()?;
        self.define(&name, body);
        Ok(name)
    }

    fn new_name(&mut self) -> Result<String> {
        self.n_rules += 1;
        ensure!(self.n_rules <= MAX_RULES, "the schema has more than {MAX_RULES} parts");
        Ok(format!("r{}", self.n_rules))
    }

    fn define(&mut self, name: &str, body: &str) {
        self.rules.push_str(&format!("{name} ::= {body}\n"));
    }

    /// Right side for the values of a schema at `path`.
    fn value(&mut self, schema: &Json, path: &str) -> Result<String> {
        ensure!(self.depth < MAX_DEPTH, "{path}: more than {MAX_DEPTH} schemas in each other");
        self.depth += 1;
        let value = self.value_of(schema, path);
        self.depth -= 1;
        value
    }

    fn value_of(&mut self, schema: &Json, path: &str) -> Result<String> {
        let members = match schema {
            Json::Bool(true) => return Ok("value".into()),
            Json::Bool(false) => return Ok(NOTHING.into()),
            Json::Object(members) => members,
            _ => bail!("{path}: a schema is an object, true or false, and not {}", schema.text()),
        };
        check_keywords(members, path)?;
        if let [("$ref", target)] = &keywords(members)[..] {
            return self.reference(target, path);
        }
        let Json::Object(members) = self.merged(members, path)? else { return Ok(NOTHING.into()) };
        for keyword in ["anyOf", "oneOf"] {
            let Some(branches) = members.iter().find(|(name, _)| name == keyword) else { continue };
            let branches =
                branches.1.as_array().with_context(|| format!("{path}/{keyword}: an array of schemas is expected"))?;
            let is_other = |name: &str| name != keyword && name != "unevaluatedProperties";
            let others: Members = members.iter().filter(|(name, _)| is_other(name)).cloned().collect();
            return self.branches(branches, others, keyword, path);
        }
        self.plain(&members, path)
    }

    /// Values of any of the branches that also obey `others`.
    fn branches(&mut self, branches: &[Json], others: Members, keyword: &str, path: &str) -> Result<String> {
        let has_others = !keywords(&others).is_empty();
        let mut merged = Vec::new();
        for (i, branch) in branches.iter().enumerate() {
            let at = format!("{path}/{keyword}/{i}");
            merged.push(if has_others {
                self.both(&Json::Object(others.clone()), branch, &at)?
            } else {
                branch.clone()
            });
        }
        if keyword == "oneOf" {
            self.check_disjoint(&merged, path)?;
        }
        let mut alternatives = Vec::new();
        for (i, branch) in merged.iter().enumerate() {
            alternatives.push(self.value(branch, &format!("{path}/{keyword}/{i}"))?);
        }
        Ok(any_of(alternatives))
    }

    /// Values of a schema without references and branches.
    fn plain(&mut self, members: &Members, path: &str) -> Result<String> {
        let get = |name: &str| members.iter().find(|(other, _)| other == name).map(|(_, value)| value);
        let constants = match (get("const"), get("enum")) {
            (Some(value), None) => Some(vec![value.clone()]),
            (None, Some(values)) => {
                Some(values.as_array().with_context(|| format!("{path}/enum: an array is expected"))?.to_vec())
            }
            (None, None) => None,
            (Some(value), Some(values)) => {
                let is_in = values.as_array().unwrap_or_default().iter().any(|other| other.equals(value));
                Some(if is_in { vec![value.clone()] } else { vec![] })
            }
        };
        let types = types(members, path)?;
        if let Some(values) = constants {
            return self.constants(&values, members, &types, path);
        }
        let named = get("type").is_some();
        let about: Vec<&str> = OF_TYPES
            .iter()
            .filter(|(_, keywords)| keywords.iter().any(|keyword| get(keyword).is_some()))
            .map(|&(name, _)| name)
            .collect();
        let chosen: Vec<&str> = match (named, about.is_empty()) {
            (true, _) => types,
            (false, true) => return Ok("value".into()),
            (false, false) => about,
        };
        let mut alternatives = Vec::new();
        for name in chosen {
            alternatives.push(match name {
                "object" => self.object(members, path)?,
                "array" => self.array(members, path)?,
                "string" => self.string(members, path)?,
                "integer" => number::integer(members, path)?,
                "number" => number::number(members, path)?,
                "boolean" => "\"true\" | \"false\"".into(),
                _ => "\"null\"".into(),
            });
        }
        Ok(any_of(alternatives))
    }

    /// Constants that the other keywords allow.
    fn constants(&mut self, values: &[Json], members: &Members, types: &[&str], path: &str) -> Result<String> {
        let others =
            members.iter().map(|(name, _)| name.as_str()).filter(|name| OF_TYPES.iter().any(|of| of.1.contains(name)));
        if let Some(other) = others.into_iter().next() {
            bail!("{path}/{other}: beside a constant it is not supported");
        }
        let fits = |value: &&Json| {
            let name = value.type_name();
            types.is_empty() || types.contains(&name) || name == "integer" && types.contains(&"number")
        };
        Ok(any_of(values.iter().filter(fits).map(|value| gbnf::literal(&value.text()))))
    }

    /// Rule of a `$ref`, which may be used before it is complete.
    fn reference(&mut self, target: &Json, path: &str) -> Result<String> {
        let target = target.as_str().with_context(|| format!("{path}/$ref: a string is expected"))?;
        if let Some(name) = self.refs.get(target) {
            return Ok(name.clone());
        }
        let schema = self.resolve(target, path)?;
        let name = self.new_name()?;
        self.refs.insert(target.into(), name.clone());
        self.unwritten.push((name.clone(), schema, target.to_owned()));
        Ok(name)
    }

    /// Schema that a `$ref` names.
    fn resolve(&self, target: &str, path: &str) -> Result<&'s Json> {
        let pointer = target.strip_prefix('#').filter(|pointer| pointer.is_empty() || pointer.starts_with('/'));
        let pointer = pointer.with_context(|| {
            format!("{path}/$ref: {target:?} is not supported: it has to lie in the schema, as #/$defs/NAME does")
        })?;
        let mut schema = self.root;
        for part in pointer.split('/').skip(1) {
            let part = percent_decoded(part).replace("~1", "/").replace("~0", "~");
            let next = match schema {
                Json::Array(items) => part.parse::<usize>().ok().and_then(|i| items.get(i)),
                schema => schema.get(&part),
            };
            schema = next.with_context(|| format!("{path}/$ref: the schema has no {target}"))?;
        }
        Ok(schema)
    }
}

/// Keywords that describe texts, with their values.
fn keywords(members: &Members) -> Vec<(&str, &Json)> {
    members.iter().map(|(name, value)| (name.as_str(), value)).filter(|(name, _)| is_known(name)).collect()
}

fn is_known(name: &str) -> bool {
    ["$ref", "allOf", "anyOf", "oneOf", "type", "enum", "const"].contains(&name)
        || OF_TYPES.iter().any(|(_, keywords)| keywords.contains(&name))
}

/// Checks that a schema has no keyword that is not supported.
fn check_keywords(members: &Members, path: &str) -> Result<()> {
    for (name, value) in members {
        let says_nothing = match (name.as_str(), value) {
            ("uniqueItems", Json::Bool(false)) => true,
            ("unevaluatedProperties" | "unevaluatedItems", Json::Bool(true)) => true,
            ("minProperties", value) => value.as_integer() == Some(0),
            // Properties that no keyword names are not written.
            ("unevaluatedProperties", Json::Bool(false)) => {
                !members.iter().any(|(name, value)| name == "additionalProperties" && *value != Json::Bool(false))
                    && members.iter().any(|(name, _)| name == "properties")
            }
            ("$id", _) => path == "#",
            ("then" | "else", _) => !members.iter().any(|(name, _)| name == "if"),
            _ => false,
        };
        ensure!(says_nothing || !UNSUPPORTED.contains(&name.as_str()), "{path}/{name} is not supported");
    }
    Ok(())
}

/// Types that a schema names; none if it names none.
fn types(members: &Members, path: &str) -> Result<Vec<&'static str>> {
    let Some((_, value)) = members.iter().find(|(name, _)| name == "type") else { return Ok(vec![]) };
    let names = match value {
        Json::Array(names) => names.as_slice(),
        name => core::slice::from_ref(name),
    };
    let known = |name: &Json| name.as_str().and_then(|name| TYPES.into_iter().find(|known| *known == name));
    let mut types = Vec::new();
    for name in names {
        let name =
            known(name).with_context(|| format!("{path}/type: {} is none of {}", name.text(), TYPES.join(", ")))?;
        if !types.contains(&name) {
            types.push(name);
        }
    }
    // An integer is a number.
    if types.contains(&"number") {
        types.retain(|name| *name != "integer");
    }
    Ok(types)
}

/// Integer that a keyword has, which may not be negative.
fn count(members: &Members, keyword: &str, path: &str) -> Result<Option<u64>> {
    let Some((_, value)) = members.iter().find(|(name, _)| name == keyword) else { return Ok(None) };
    let count = value.as_integer().and_then(|count| u64::try_from(count).ok());
    Ok(Some(count.with_context(|| format!("{path}/{keyword}: {} is no number of things", value.text()))?))
}

fn percent_decoded(text: &str) -> String {
    let (mut bytes, mut rest) = (Vec::new(), text.as_bytes());
    while let [first, behind @ ..] = rest {
        rest = behind;
        let hex = behind.first_chunk::<2>().filter(|hex| hex.iter().all(u8::is_ascii_hexdigit));
        let code = hex.and_then(|hex| u8::from_str_radix(str::from_utf8(hex).ok()?, 16).ok());
        match code.filter(|_| *first == b'%') {
            Some(code) => {
                bytes.push(code);
                rest = behind.get(2..).unwrap_or_default();
            }
            None => bytes.push(*first),
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}
