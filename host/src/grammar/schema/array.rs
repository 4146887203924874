//! Arrays.

use super::super::gbnf::repeated;
use super::super::json::{Json, Members};
use super::{SPACE, Writer, count};
use crate::error::{Context, Result};

impl Writer<'_> {
    pub(super) fn array(&mut self, members: &Members, path: &str) -> Result<String> {
        let get = |name: &str| members.iter().find(|(other, _)| other == name).map(|(_, value)| value);
        let (min, max) = (count(members, "minItems", path)?.unwrap_or(0), count(members, "maxItems", path)?);
        let prefix = match get("prefixItems") {
            Some(value) => value.as_array().with_context(|| format!("{path}/prefixItems: an array is expected"))?,
            None => &[],
        };
        let n_prefix = prefix.len() as u64;
        let is_open = get("items").is_some() || prefix.is_empty() || min > n_prefix;
        let mut items = Vec::new();
        for (i, schema) in prefix.iter().enumerate() {
            let value = self.value(schema, &format!("{path}/prefixItems/{i}"))?;
            items.push(self.rule(&value)?);
        }
        let rest = match get("items") {
            Some(schema) => self.value(schema, &format!("{path}/items"))?,
            None => "value".into(),
        };
        let is_nothing = matches!(get("items"), Some(Json::Bool(false))) || !is_open;
        let max = if is_nothing { Some(max.unwrap_or(n_prefix).min(n_prefix)) } else { max };
        // All items of the prefix that fit are written.
        let min = min.max(n_prefix.min(max.unwrap_or(n_prefix)));
        if max.is_some_and(|max| max < min) {
            return Ok(super::NOTHING.into());
        }
        let n_first = n_prefix.min(max.unwrap_or(n_prefix));
        let mut body: Vec<String> = Vec::new();
        for (i, item) in items.iter().take(n_first as usize).enumerate() {
            let comma = if i > 0 { format!("\",\" {SPACE} ") } else { String::new() };
            body.push(format!("{comma}{item} {SPACE}"));
        }
        if max.is_none_or(|max| max > n_first) {
            let rest = self.rule(&rest)?;
            let (min, max) = (min - n_first, max.map(|max| max - n_first));
            let behind = format!("\",\" {SPACE} {rest} {SPACE}");
            body.push(match n_first {
                0 => {
                    let behind = repeated(&behind, min.saturating_sub(1), max.map(|max| max - 1));
                    let all = format!("({rest} {SPACE} {behind})");
                    if min == 0 { format!("{all}?") } else { all }
                }
                _ => repeated(&behind, min, max),
            });
        }
        self.rule(&format!("\"[\" {SPACE} {} \"]\"", body.join(" ")))
    }
}
