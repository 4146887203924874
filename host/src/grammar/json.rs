//! JSON whose objects keep the order of their members, since texts follow the order of a schema's properties.

use std::collections::HashMap;
use std::fmt;

use serde_core::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};

use crate::error::Result;

/// A JSON value.
#[derive(Clone, Debug, PartialEq)]
pub enum Json {
    /// `null`.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A number.
    Number(serde_json::Number),
    /// A string.
    String(String),
    /// An array.
    Array(Vec<Json>),
    /// An object. Of members with the same name, the last one stays.
    Object(Members),
}

/// Members of an object, in order.
pub type Members = Vec<(String, Json)>;

impl Json {
    /// Reads a JSON text.
    ///
    /// # Errors
    /// When it is no JSON.
    pub fn parse(text: &str) -> Result<Self> {
        Ok(serde_json::from_str(text)?)
    }

    /// Member of an object; `None` if there is none of this name, or the value is no object.
    pub fn get(&self, name: &str) -> Option<&Json> {
        self.as_object()?.iter().find(|(other, _)| other == name).map(|(_, value)| value)
    }

    /// Number of values in the value, itself among them.
    pub(super) fn n_values(&self) -> usize {
        1 + match self {
            Self::Array(items) => items.iter().map(Self::n_values).sum(),
            Self::Object(members) => members.iter().map(|(_, value)| value.n_values()).sum(),
            _ => 0,
        }
    }

    pub(super) fn as_object(&self) -> Option<&Members> {
        match self {
            Self::Object(members) => Some(members),
            _ => None,
        }
    }

    pub(super) fn as_array(&self) -> Option<&[Json]> {
        match self {
            Self::Array(items) => Some(items),
            _ => None,
        }
    }

    pub(super) fn as_str(&self) -> Option<&str> {
        match self {
            Self::String(text) => Some(text),
            _ => None,
        }
    }

    /// The number as an integer; `None` if it is none, such as 1.5, or does not fit.
    pub(super) fn as_integer(&self) -> Option<i64> {
        let Self::Number(number) = self else { return None };
        let float = || number.as_f64().filter(|float| float.fract() == 0.0 && float.abs() < 9e15);
        number.as_i64().or_else(|| float().map(|float| float as i64))
    }

    /// Name of its type in JSON Schema.
    pub(super) fn type_name(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Bool(_) => "boolean",
            Self::Number(_) if self.as_integer().is_some() => "integer",
            Self::Number(_) => "number",
            Self::String(_) => "string",
            Self::Array(_) => "array",
            Self::Object(_) => "object",
        }
    }

    /// True if JSON Schema holds both for the same value: the order of members does not count, nor does the way numbers are written.
    pub(super) fn equals(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Number(a), Self::Number(b)) => a == b || a.as_f64() == b.as_f64(),
            (Self::Array(a), Self::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| a.equals(b)),
            (Self::Object(a), Self::Object(b)) => {
                let found = |(name, value): &(String, Json)| other.get(name).is_some_and(|other| value.equals(other));
                a.len() == b.len() && a.iter().all(found)
            }
            (a, b) => a == b,
        }
    }

    /// Text of the value, without spaces.
    pub(super) fn text(&self) -> String {
        let joined = |items: Vec<String>| items.join(",");
        match self {
            Self::Null => "null".into(),
            Self::Bool(value) => value.to_string(),
            Self::Number(number) => number.to_string(),
            Self::String(text) => quoted(text),
            Self::Array(items) => format!("[{}]", joined(items.iter().map(Json::text).collect())),
            Self::Object(members) => {
                let member = |(name, value): &(String, Json)| format!("{}:{}", quoted(name), value.text());
                format!("{{{}}}", joined(members.iter().map(member).collect()))
            }
        }
    }
}

/// Writes the value without spaces.
impl fmt::Display for Json {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text())
    }
}

/// A string as JSON spells it.
pub(super) fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

impl<'de> Deserialize<'de> for Json {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(JsonVisitor)
    }
}

struct JsonVisitor;

impl<'de> Visitor<'de> for JsonVisitor {
    type Value = Json;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Json, E> {
        Ok(Json::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Json, E> {
        Ok(Json::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Json, E> {
        Ok(Json::Number(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Json, E> {
        Ok(Json::Number(value.into()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Json, E> {
        Ok(serde_json::Number::from_f64(value).map_or(Json::Null, Json::Number))
    }

    fn visit_str<E>(self, value: &str) -> Result<Json, E> {
        Ok(Json::String(value.into()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Json, A::Error> {
        let mut array = Vec::new();
        while let Some(item) = items.next_element()? {
            array.push(item);
        }
        Ok(Json::Array(array))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Json, A::Error> {
        let (mut object, mut places) = (Members::new(), HashMap::new());
        while let Some((name, value)) = members.next_entry::<String, Json>()? {
            let place = *places.entry(name.clone()).or_insert(object.len());
            match object.get_mut(place) {
                Some(member) => member.1 = value,
                None => object.push((name, value)),
            }
        }
        Ok(Json::Object(object))
    }
}
