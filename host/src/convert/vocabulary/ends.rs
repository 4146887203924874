//! Tokens that `tokenizer.json` puts around a text: its `post_processor`.

use serde_json::Value;

use super::Vocabulary;
use super::lists::token_id;
use super::steps::steps;
use crate::error::{Context, Result, bail, ensure};

/// Sets the tokens that a text begins and ends with.
///
/// # Errors
/// For a step of another kind, more than one token at an end, or more than one step: `tokenizers` then runs the second on the
/// first one's result for several texts.
pub fn set_ends(processor: Option<&Value>, vocabulary: &mut Vocabulary) -> Result<()> {
    vocabulary.special.knows_ends = true;
    let mut steps = steps(processor, "processors");
    // `ByteLevel` changes offsets of tokens alone.
    steps.retain(|step| step.get("type").and_then(Value::as_str) != Some("ByteLevel"));
    let (first, last) = match steps[..] {
        [] => return Ok(()),
        [step] => ends(step)
            .with_context(|| format!("its `post_processor` has the step {step}, which cannot be converted"))?,
        _ => {
            bail!("its `post_processor` has {} steps that put tokens around a text: one can be converted", steps.len())
        }
    };
    for &id in first.iter().chain(&last) {
        ensure!(id < vocabulary.tokens.len(), "its `post_processor` has the token {id}, which does not exist");
    }
    ensure!(
        first.len() < 2 && last.len() < 2,
        "its `post_processor` puts {} tokens before a text and {} behind it: a file has one at each end",
        first.len(),
        last.len()
    );
    if let [id] = first[..] {
        vocabulary.special.begin_with(id);
    }
    if let [id] = last[..] {
        vocabulary.special.end_with(id);
    }
    Ok(())
}

/// Tokens that a step puts before and behind a text.
fn ends(step: &Value) -> Result<(Vec<usize>, Vec<usize>)> {
    match step.get("type").and_then(Value::as_str) {
        Some("RobertaProcessing" | "BertProcessing") => {
            let id = |key: &str| step.get(key).and_then(|pair| token_id(pair.get(1)?));
            let id = |key: &str| id(key).with_context(|| format!("`{key}` is no token and its id"));
            Ok((vec![id("cls")?], vec![id("sep")?]))
        }
        Some("TemplateProcessing") => template(step),
        _ => bail!("its type is not known"),
    }
}

/// Tokens of a template before and behind its text.
fn template(step: &Value) -> Result<(Vec<usize>, Vec<usize>)> {
    let parts = step.get("single").and_then(Value::as_array).context("`single` is no list")?;
    let is_text = |part: &&Value| part.get("SpecialToken").is_none();
    let ids = |parts: &[Value]| -> Result<Vec<usize>> {
        let ids = parts.iter().map(|part| special_token(part, step)).collect::<Result<Vec<_>>>()?;
        Ok(ids.concat())
    };
    ensure!(parts.iter().filter(is_text).count() == 1, "`single` does not have the text once");
    let at = parts.iter().position(|part| is_text(&part)).unwrap_or(0);
    Ok((ids(&parts[..at])?, ids(&parts[at + 1..])?))
}

/// Ids of a special token in a template, which lists them by the token's name.
fn special_token(part: &Value, template: &Value) -> Result<Vec<usize>> {
    let name = part["SpecialToken"]["id"].as_str().context("a part of `single` has no name")?;
    let ids = template.get("special_tokens").and_then(|tokens| tokens.get(name)?.get("ids")?.as_array());
    let ids = ids.and_then(|ids| ids.iter().map(token_id).collect());
    ids.with_context(|| format!("`special_tokens` has no ids for {name:?}"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::{Algorithm, Kind, Token};
    use super::*;

    /// Tokens at both ends of a text, in a vocabulary of four.
    fn around(processor: Value) -> Result<(Option<usize>, Option<usize>), String> {
        let mut vocabulary = Vocabulary::new(Algorithm::Merges, "gpt-2");
        let token = |text: &str| Token { text: text.into(), kind: Kind::Normal, score: 0.0 };
        vocabulary.tokens = ["<s>", "</s>", "<mask>", "a"].map(token).to_vec();
        set_ends(Some(&processor), &mut vocabulary).map_err(|error| error.cause().to_string())?;
        let special = &vocabulary.special;
        let id = |is_added: bool, name: &str| is_added.then(|| special.id(name)).flatten();
        Ok((id(special.add_bos, "bos"), id(special.add_eos, "eos")))
    }

    /// Template of `parts`, `$` for the text, with the ids of `names`.
    fn template(parts: &[&str], names: Value) -> Value {
        let part = |&part: &&str| match part {
            "$" => json!({"Sequence": {"id": "A", "type_id": 0}}),
            name => json!({"SpecialToken": {"id": name, "type_id": 0}}),
        };
        let ids = names.as_object().unwrap().iter();
        let tokens: serde_json::Map<_, _> =
            ids.map(|(name, ids)| (name.clone(), json!({"id": name, "ids": ids, "tokens": [name]}))).collect();
        let parts: Vec<Value> = parts.iter().map(part).collect();
        json!({"type": "TemplateProcessing", "single": parts, "pair": [], "special_tokens": tokens})
    }

    #[test]
    fn one_token_at_each_end_is_found_by_its_id() {
        let s = || json!({"<s>": [0], "</s>": [1]});
        let sequence = |steps: Value| json!({"type": "Sequence", "processors": steps});
        let bytes = json!({"type": "ByteLevel", "trim_offsets": true});
        for (processor, want) in [
            (Value::Null, (None, None)),
            (bytes.clone(), (None, None)),
            (template(&["$"], s()), (None, None)),
            (template(&["<s>", "$"], s()), (Some(0), None)),
            (template(&["$", "</s>"], s()), (None, Some(1))),
            (template(&["<s>", "$", "<s>"], s()), (Some(0), Some(0))),
            (template(&["<s>", "$"], json!({"<s>": [2]})), (Some(2), None)),
            (template(&["start", "$"], json!({"start": [2]})), (Some(2), None)),
            (json!({"type": "RobertaProcessing", "sep": ["</s>", 2], "cls": ["<s>", 3]}), (Some(3), Some(2))),
            (json!({"type": "BertProcessing", "sep": ["</s>", 1], "cls": ["<s>", 0]}), (Some(0), Some(1))),
            (sequence(json!([bytes, template(&["<s>", "$", "</s>"], s())])), (Some(0), Some(1))),
        ] {
            assert_eq!(around(processor.clone()), Ok(want), "{processor}");
        }
    }

    #[test]
    fn what_a_file_cannot_say_is_refused() {
        let s = || json!({"<s>": [0], "</s>": [1], "<mask>": [2]});
        let sequence = |steps: Value| json!({"type": "Sequence", "processors": steps});
        let twice = sequence(json!([template(&["<s>", "$"], s()), template(&["<mask>", "$"], s())]));
        let two = "its `post_processor` puts 2 tokens before a text and 0 behind it: a file has one at each end";
        for (processor, want) in [
            (template(&["<s>", "<mask>", "$"], s()), two),
            (template(&["<s>", "$"], json!({"<s>": [0, 2]})), two),
            (twice, "its `post_processor` has 2 steps that put tokens around a text: one can be converted"),
            (template(&["<s>"], s()), "`single` does not have the text once"),
            (template(&["$", "<s>", "$"], s()), "`single` does not have the text once"),
            (template(&["<s>", "$"], json!({})), "`special_tokens` has no ids for \"<s>\""),
            (
                template(&["<s>", "$"], json!({"<s>": [9]})),
                "its `post_processor` has the token 9, which does not exist",
            ),
            (json!({"type": "BertProcessing", "sep": ["</s>", 1]}), "`cls` is no token and its id"),
            (json!({"type": "Other"}), "its type is not known"),
        ] {
            assert_eq!(around(processor.clone()), Err(want.into()), "{processor}");
        }
    }
}
