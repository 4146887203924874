//! Steps of `tokenizer.json`: of its normalizer, its pre-tokenizer and its post-processor.

use serde_json::Value;

/// Steps of a sequence that lists them under `key`, in their order; sequences inside it are flattened. Another value is one
/// step, and null none.
pub fn steps<'v>(sequence: Option<&'v Value>, key: &str) -> Vec<&'v Value> {
    let Some(sequence) = sequence.filter(|sequence| !sequence.is_null()) else { return Vec::new() };
    match sequence.get(key).and_then(Value::as_array) {
        Some(all) => all.iter().flat_map(|step| steps(Some(step), key)).collect(),
        None => vec![sequence],
    }
}
