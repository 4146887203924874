//! JSON on standard output: one object a line. docs/scripts.md describes the fields.

use std::io::Write;

use anyhow::Result;
use nearfield::tokenizer::Tokenizer;
use nearfield_host::logprobs::{Candidate, Logprobs};
use serde::Serialize;

use crate::terminal::StandardOutput;

/// Prints an object and a line end, and passes it on at once.
pub fn print(object: &impl Serialize) -> Result<()> {
    let mut line = serde_json::to_vec(object)?;
    line.push(b'\n');
    let mut out = StandardOutput::lock();
    out.write_all(&line)?;
    Ok(out.flush()?)
}

/// Text, which need not be UTF-8.
#[derive(Serialize)]
pub struct Text {
    /// Text, with U+FFFD in place of each part that is not UTF-8.
    text: String,
    /// Exact bytes, only where `text` has lost some.
    #[serde(skip_serializing_if = "Option::is_none")]
    bytes: Option<Vec<u8>>,
}

impl Text {
    /// Text of these bytes.
    pub fn new(bytes: &[u8]) -> Self {
        match str::from_utf8(bytes) {
            Ok(text) => Self { text: text.to_owned(), bytes: None },
            Err(_) => Self { text: String::from_utf8_lossy(bytes).into_owned(), bytes: Some(bytes.to_owned()) },
        }
    }
}

/// Number of tokens of a text, named as in OpenAI's answers.
#[derive(Serialize)]
pub struct Usage {
    /// Tokens that the model reads.
    pub prompt_tokens: usize,
    /// Tokens that were generated.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub completion_tokens: Option<usize>,
    /// Sum of both.
    pub total_tokens: usize,
    /// Details of `prompt_tokens`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prompt_tokens_details: Option<PromptDetails>,
}

/// Details of the tokens that the model reads.
#[derive(Serialize)]
pub struct PromptDetails {
    /// Tokens that need not be run, since a snapshot or a conversation has their keys and values.
    pub cached_tokens: usize,
}

impl Usage {
    /// Usage of a text that is read and not continued.
    pub fn of_read(n_tokens: usize) -> Self {
        Self { prompt_tokens: n_tokens, completion_tokens: None, total_tokens: n_tokens, prompt_tokens_details: None }
    }
}

/// Log-probabilities of a text, in the form of OpenAI's chat completions.
#[derive(Serialize)]
pub struct TextLogprobs {
    content: Vec<TokenLogprobs>,
}

/// Log-probabilities at one position.
#[derive(Serialize)]
struct TokenLogprobs {
    #[serde(flatten)]
    drawn: Token,
    top_logprobs: Vec<Token>,
}

/// Token with its text and log-probability.
#[derive(Serialize)]
struct Token {
    id: u32,
    /// Text of the token, with U+FFFD where its bytes alone are not UTF-8.
    token: String,
    bytes: Vec<u8>,
    logprob: f32,
}

impl TextLogprobs {
    /// Log-probabilities of all tokens.
    pub fn new(tokenizer: &Tokenizer<'_, '_>, of_tokens: &[Logprobs]) -> Self {
        let token = |&Candidate { token: id, logprob }: &Candidate| {
            let bytes = bytes_of(tokenizer, id);
            Token { id, token: String::from_utf8_lossy(&bytes).into_owned(), bytes, logprob }
        };
        let of_token = |logprobs: &Logprobs| TokenLogprobs {
            drawn: token(&logprobs.drawn),
            top_logprobs: logprobs.top.iter().map(token).collect(),
        };
        Self { content: of_tokens.iter().map(of_token).collect() }
    }
}

/// Bytes of a token; none where the vocabulary is shorter than the matrix of logits.
pub fn bytes_of(tokenizer: &Tokenizer<'_, '_>, id: u32) -> Vec<u8> {
    tokenizer.bytes(id).map(Iterator::collect).unwrap_or_default()
}

/// Number of 32 bits with the fewest digits that read as the same number; a direct conversion shows those of its 64-bit form.
pub fn number(x: f32) -> serde_json::Value {
    x.to_string().parse::<f64>().map_or(serde_json::Value::Null, Into::into)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_given_only_where_they_are_no_text() {
        let json = |bytes: &[u8]| serde_json::to_string(&Text::new(bytes)).unwrap();
        assert_eq!(json("Grüße \"\n".as_bytes()), r#"{"text":"Grüße \"\n"}"#);
        assert_eq!(json(b"a\xffb"), "{\"text\":\"a\u{fffd}b\",\"bytes\":[97,255,98]}");
        assert_eq!(json(b""), r#"{"text":""}"#);
    }

    #[test]
    fn numbers_have_no_more_digits_than_they_need() {
        assert_eq!([0.1, 1e-5, -3.0].map(|x| number(x).to_string()), ["0.1", "0.00001", "-3.0"]);
        assert_eq!(number(f32::NAN), serde_json::Value::Null);
    }
}
