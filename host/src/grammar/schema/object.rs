//! Objects: properties in the order of the schema.

use std::collections::HashSet;

use super::super::gbnf::{any_of, literal};
use super::super::json::{Json, Members, quoted};
use super::chars::Chars;
use super::{SPACE, Writer};
use crate::error::{Context, Result, ensure};

/// Bytes of the name of a property at most, where other names are told apart from it letter by letter.
const MAX_NAME: usize = 256;

impl Writer<'_> {
    pub(super) fn object(&mut self, members: &Members, path: &str) -> Result<String> {
        let get = |name: &str| members.iter().find(|(other, _)| other == name).map(|(_, value)| value);
        let properties = match get("properties") {
            Some(value) => {
                value.as_object().with_context(|| format!("{path}/properties: an object is expected"))?.clone()
            }
            None => vec![],
        };
        let required = match get("required") {
            Some(value) => value.as_array().with_context(|| format!("{path}/required: an array is expected"))?,
            None => &[],
        };
        let required: Option<Vec<&str>> = required.iter().map(Json::as_str).collect();
        let required = required.with_context(|| format!("{path}/required: an array of strings is expected"))?;
        // Without any property that is named, all are allowed.
        let others = match get("additionalProperties") {
            None if properties.is_empty() => Json::Bool(true),
            None => Json::Bool(false),
            Some(others) => others.clone(),
        };
        let mut all: Vec<(String, Json, String)> = Vec::new();
        for (name, schema) in &properties {
            all.push((name.clone(), schema.clone(), format!("{path}/properties/{name}")));
        }
        let named: HashSet<&str> = properties.iter().map(|(name, _)| name.as_str()).collect();
        let mut required_names = HashSet::new();
        for name in &required {
            if required_names.insert(*name) && !named.contains(name) {
                let schema = get("additionalProperties").cloned().unwrap_or(Json::Bool(true));
                all.push((name.to_string(), schema, format!("{path}/additionalProperties")));
            }
        }
        let mut pairs = Vec::new();
        for (name, schema, at) in &all {
            let value = self.value(schema, at)?;
            let value = self.rule(&value)?;
            pairs.push((
                format!("{} {SPACE} \":\" {SPACE} {value} {SPACE}", literal(&quoted(name))),
                required_names.contains(name.as_str()),
            ));
        }
        let other = match &others {
            Json::Bool(false) => None,
            schema => {
                let value = self.value(schema, &format!("{path}/additionalProperties"))?;
                let names: Vec<&str> = all.iter().map(|(name, ..)| name.as_str()).collect();
                let name = if names.is_empty() { "string".into() } else { self.other_name(&names, path)? };
                Some(self.rule(&format!("{name} {SPACE} \":\" {SPACE} ({value}) {SPACE}"))?)
            }
        };
        let body = self.pairs(&pairs, other.as_deref())?;
        self.rule(&format!("\"{{\" {SPACE} {body} \"}}\""))
    }

    /// Pairs in order, those that are not required left out or not, and any number of others behind them; commas between.
    fn pairs(&mut self, pairs: &[(String, bool)], other: Option<&str>) -> Result<String> {
        // Rest of the object behind no pair, and behind some pair.
        let (mut first, mut more) = match other {
            None => ("\"\"".into(), "\"\"".into()),
            Some(other) => {
                let more = self.rule(&format!("(\",\" {SPACE} {other})*"))?;
                (format!("({other} {more})?"), more)
            }
        };
        for (pair, is_required) in pairs.iter().rev() {
            let pair = self.rule(pair)?;
            let begun = format!("{pair} {more}");
            let behind = format!("\",\" {SPACE} {pair}");
            let (next_first, next_more) = match is_required {
                true => (begun, format!("{behind} {more}")),
                false => (format!("{begun} | {first}"), format!("({behind})? {more}")),
            };
            (first, more) = (self.rule(&next_first)?, self.rule(&next_more)?);
        }
        Ok(first)
    }

    /// Name, as a JSON string without escapes, that is none of `names`.
    fn other_name(&mut self, names: &[&str], path: &str) -> Result<String> {
        let is_short = |name: &&str| name.len() <= MAX_NAME;
        ensure!(
            names.iter().all(is_short),
            "{path}/additionalProperties: beside a property whose name has more than {MAX_NAME} bytes it is not supported"
        );
        let rest = self.other_rest(names)?;
        self.rule(&format!("\"\\\"\" {rest} \"\\\"\""))
    }

    /// Rest of a name that is none of `rests`.
    fn other_rest(&mut self, rests: &[&str]) -> Result<String> {
        let mut firsts: Vec<char> = rests.iter().filter_map(|rest| rest.chars().next()).collect();
        firsts.sort_unstable();
        firsts.dedup();
        let plain = Chars::plain().class();
        let others = firsts.iter().fold(Chars::plain(), |others, &first| others.without(first.into(), first.into()));
        let mut alternatives = vec![format!("{} {plain}*", others.class())];
        // A name that ends here is none of the names, unless one of them ends here, too.
        if !rests.contains(&"") {
            alternatives.push("\"\"".into());
        }
        for first in firsts.into_iter().filter(|&first| Chars::plain().has(first.into())) {
            let behind: Vec<&str> = rests.iter().filter_map(|rest| rest.strip_prefix(first)).collect();
            let behind = self.other_rest(&behind)?;
            alternatives.push(format!("{} {behind}", literal(&first.to_string())));
        }
        self.rule(&any_of(alternatives))
    }
}
