//! Comparison of two vocabularies: guesses are tokens of one model and are run by another.

use super::error::DraftError;
use crate::tokenizer::Vocab;

/// Checks that two vocabularies have the same tokens.
pub(super) fn check(model: &Vocab<'_>, draft: &Vocab<'_>) -> Result<(), DraftError> {
    let n = [model.tokens.len(), draft.tokens.len()];
    if n[0] != n[1] {
        return Err(DraftError::NTokens { model: n[0], draft: n[1] });
    }
    let mut pairs = model.tokens.iter().zip(draft.tokens).enumerate();
    if let Some((token, (model, draft))) = pairs.find(|(_, (model, draft))| model != draft) {
        return Err(DraftError::Token { token, model: shown(model), draft: shown(draft) });
    }
    for (key, model, draft) in [
        ("bos_token_id", model.bos, draft.bos),
        ("eos_token_id", model.eos, draft.eos),
        ("eot_token_id", model.eot, draft.eot),
        ("eom_token_id", model.eom, draft.eom),
        ("unknown_token_id", model.unk, draft.unk),
    ] {
        if let (Some(model), Some(draft)) = (model, draft)
            && model != draft
        {
            return Err(DraftError::SpecialToken { key, model, draft });
        }
    }
    Ok(())
}

/// Text of a token for a message, cut off where it does not fit.
fn shown(bytes: &[u8]) -> heapless::String<32> {
    let mut text = heapless::String::new();
    let chars = bytes.utf8_chunks().flat_map(|chunk| {
        let broken = (!chunk.invalid().is_empty()).then_some(char::REPLACEMENT_CHARACTER);
        chunk.valid().chars().chain(broken)
    });
    for c in chars {
        let c = if c.is_control() { char::REPLACEMENT_CHARACTER } else { c };
        if text.push(c).is_err() {
            break;
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_shown_as_far_as_it_fits() {
        assert_eq!(shown("Ġthe".as_bytes()), "Ġthe");
        assert_eq!(shown(b"a\x1b[31m\xff\xfeb"), "a\u{fffd}[31m\u{fffd}\u{fffd}b");
        assert_eq!(shown("ß".repeat(20).as_bytes()), "ß".repeat(16).as_str());
    }
}
