//! Conversation in a file: what stands behind the snapshot of its keys and values.
//!
//! Layout: `NFCHAT1` and a line feed, the [`checksum`] of the rest (u32, little-endian), then JSON:
//!
//! | key | value |
//! |---|---|
//! | `format` | name of the format: `template` for that of the model's file |
//! | `clock` | seconds since 1970 that templates read as the present time |
//! | `n_ctx` | positions of the context |
//! | `system` | system prompt, or `null` for the format's own |
//! | `tokens` | all tokens of the text, of which the snapshot has all but the last |
//! | `turns` | list of `question`, `lead`, `answer` (tokens) and `rest` |
//!
//! A text that is no UTF-8 is a list of its bytes.

use nearfield::checksum;
use serde_json::{Value, json};

use super::clock::Clock;
use crate::error::{Context, Result, ensure};

/// First bytes.
const MAGIC: &[u8] = b"NFCHAT1\n";

/// Question and its answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Turn {
    pub(super) question: Vec<u8>,
    /// White space at the end of the prompt, which the answer began behind.
    pub(super) lead: String,
    /// Tokens of the answer as the model chose them, up to the last that holds nothing of the stop.
    pub(super) answer: Vec<u32>,
    /// Last letters of the answer, if they share a token with the stop.
    pub(super) rest: String,
}

/// Conversation as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SavedChat {
    pub(super) format: String,
    pub(super) clock: Clock,
    pub(super) system: Option<Vec<u8>>,
    pub(super) turns: Vec<Turn>,
    /// Number of positions of the context in which the conversation was held.
    pub n_ctx: usize,
    /// Tokens of the text, of which the snapshot has all but the last.
    pub tokens: Vec<u32>,
}

impl SavedChat {
    /// Number of questions that were answered.
    pub fn n_turns(&self) -> usize {
        self.turns.len()
    }

    /// True if these bytes, which follow a snapshot, begin a conversation.
    pub(crate) fn begins(bytes: &[u8]) -> bool {
        bytes.starts_with(MAGIC)
    }

    /// Bytes of the conversation.
    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        let Self { format, clock, system, turns, n_ctx, tokens } = self;
        let turn = |Turn { question, lead, answer, rest }: &Turn| json!({"question": json_of(question), "lead": lead, "answer": answer, "rest": rest});
        let turns: Vec<Value> = turns.iter().map(turn).collect();
        let system = system.as_deref().map(json_of);
        let json = json!({
            "format": format,
            "clock": clock.seconds(),
            "n_ctx": n_ctx,
            "system": system,
            "tokens": tokens,
            "turns": turns,
        });
        let json = json.to_string().into_bytes();
        [MAGIC, &checksum(&json).to_le_bytes(), &json].concat()
    }

    /// Conversation in these bytes.
    ///
    /// # Errors
    /// When the bytes are damaged, or are no conversation.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self> {
        let rest = bytes.strip_prefix(MAGIC).context("no conversation: it does not begin with NFCHAT1")?;
        let (sum, json) = rest.split_first_chunk::<4>().context("the conversation is damaged: it ends early")?;
        ensure!(
            checksum(json) == u32::from_le_bytes(*sum),
            "the conversation is damaged: its checksum is not that of its bytes"
        );
        Self::from_json(&serde_json::from_slice(json)?).context("the conversation is damaged: a part of it is missing")
    }

    fn from_json(json: &Value) -> Option<Self> {
        let turn = |turn: &Value| {
            let [lead, rest] = [turn.get("lead")?.as_str()?, turn.get("rest")?.as_str()?].map(str::to_owned);
            Some(Turn { question: bytes_of(turn.get("question")?)?, lead, answer: ids_of(turn.get("answer")?)?, rest })
        };
        Some(Self {
            format: json.get("format")?.as_str()?.to_owned(),
            clock: Clock::at(json.get("clock")?.as_u64()?),
            system: match json.get("system")? {
                Value::Null => None,
                system => Some(bytes_of(system)?),
            },
            turns: json.get("turns")?.as_array()?.iter().map(turn).collect::<Option<_>>()?,
            n_ctx: usize::try_from(json.get("n_ctx")?.as_u64()?).ok()?,
            tokens: ids_of(json.get("tokens")?)?,
        })
    }
}

fn json_of(text: &[u8]) -> Value {
    str::from_utf8(text).map_or_else(|_| json!(text), |text| json!(text))
}

fn bytes_of(json: &Value) -> Option<Vec<u8>> {
    match json {
        Value::String(text) => Some(text.clone().into_bytes()),
        json => json.as_array()?.iter().map(|byte| u8::try_from(byte.as_u64()?).ok()).collect(),
    }
}

fn ids_of(json: &Value) -> Option<Vec<u32>> {
    json.as_array()?.iter().map(|id| u32::try_from(id.as_u64()?).ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chat() -> SavedChat {
        let turn = |question: &[u8], rest: &str| Turn {
            question: question.to_vec(),
            lead: " ".into(),
            answer: vec![1, 250_879],
            rest: rest.into(),
        };
        SavedChat {
            format: "template".into(),
            clock: Clock::at(951_782_400),
            system: Some(b"\xffbe".to_vec()),
            turns: vec![turn(b"a\n\"b\"", "."), turn(b"\x80", "")],
            n_ctx: 2048,
            tokens: vec![0, 7],
        }
    }

    #[test]
    fn a_conversation_comes_back_as_it_was() {
        for chat in [chat(), SavedChat { system: None, turns: vec![], tokens: vec![], ..chat() }] {
            assert_eq!(SavedChat::from_bytes(&chat.to_bytes()).unwrap(), chat);
        }
    }

    #[test]
    fn damage_is_found() {
        let bytes = chat().to_bytes();
        for at in 0..bytes.len() {
            let mut damaged = bytes.clone();
            damaged[at] ^= 4;
            assert!(SavedChat::from_bytes(&damaged).is_err(), "{at}");
            assert!(SavedChat::from_bytes(&bytes[..at]).is_err(), "{at}");
        }
        let json = b"{\"format\": \"template\"}";
        let short = [MAGIC, &checksum(json).to_le_bytes(), json].concat();
        let error = SavedChat::from_bytes(&short).unwrap_err().to_string();
        assert_eq!(error, "the conversation is damaged: a part of it is missing");
    }
}
