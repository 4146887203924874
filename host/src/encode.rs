//! Encoders: vectors and scores of texts.

use nearfield::tokenizer::{EncodeOptions, Kind, Tokenizer};
use nearfield::{Arena, Encoder, EncoderConfig, EncoderError, EncoderPlan, Model};

use crate::engine::Engine;
use crate::error::{Context, Error, Result};
use crate::memory::allocate;
use crate::model_file::ModelFile;
use crate::text::{self, Notes};

/// Encoder in `file`, before any of its weights are read.
///
/// # Errors
/// When the file is no model, and when its model is a decoder.
pub fn encoder(file: &ModelFile) -> Result<Model<'_>> {
    let model = file.model()?;
    let arch = model.shape().arch;
    if arch.is_encoder() {
        return Ok(model);
    }
    Err(EncoderError::Decoder { arch: arch.name }).with_context(|| file.name.clone())
}

/// Calls `then` with the tokenizer of `model`, which is that of `file`.
pub fn with_tokenizer<R, E: From<Error>>(
    file: &ModelFile,
    model: &Model<'_>,
    then: impl FnOnce(&Tokenizer<'_, '_>) -> Result<R, E>,
) -> Result<R, E> {
    let vocab = file.vocab_of(model)?;
    let mut lines = allocate(text::index_bytes(&vocab)?)?;
    then(&file.tokenizer(vocab, &mut lines)?)
}

/// The configuration with room for as many documents as a pass takes if passes are filled with documents of these lengths, in
/// their order.
pub fn filled(config: EncoderConfig, lengths: impl Iterator<Item = usize>) -> EncoderConfig {
    let n_rows = EncoderConfig { n_documents: usize::MAX, ..config }.n_rows();
    let (mut n_documents, mut n, mut n_tokens) = (1, 0, 0_usize);
    for length in lengths {
        n_tokens = n_tokens.saturating_add(length);
        if n_tokens > n_rows {
            (n, n_tokens) = (0, length);
        }
        n += 1;
        n_documents = n.max(n_documents);
    }
    EncoderConfig { n_documents, ..config }
}

/// Calls `then` with an encoder of the model in `file`, which the engine has loaded.
///
/// # Errors
/// When the model is no encoder or memory is short, and any error of `then`.
pub fn with_encoder<R, E: From<Error>>(
    file: &ModelFile,
    engine: &Engine,
    config: EncoderConfig,
    then: impl FnOnce(&Model<'_>, &mut Encoder<'_, '_, '_>) -> Result<R, E>,
) -> Result<R, E> {
    let model = file.model()?;
    let plan = EncoderPlan::new(model.shape(), &config).map_err(Error::from)?;
    let mut lines = allocate(plan.encoder())?;
    let mut arena = Arena::new(&mut lines);
    let encoder = Encoder::new(&model, config, engine.kernels, engine.executor(), &mut arena);
    then(&model, &mut encoder.map_err(Error::from)?)
}

/// Format of the tokens of a query and a text.
///
/// BERT: `[CLS] query [SEP] text [SEP]`, the text and what follows it of the second type. RoBERTa:
/// `<s> query </s> </s> text </s>`, all of one type. Source: the tokenizers of Hugging Face.
pub struct PairForm {
    begin: Option<u32>,
    end: u32,
    /// True for BERT's form with two types of tokens.
    typed: bool,
    /// True if the end token stands twice after the query.
    twice: bool,
}

impl PairForm {
    /// Format of a model, which is that in `file`.
    ///
    /// # Errors
    /// When no token ends a text.
    pub fn of(file: &ModelFile, model: &Model<'_>) -> Result<Self> {
        let vocab = file.vocab_of(model)?;
        let is_bert = vocab.kind == Kind::WORDPIECE;
        let no_end = || format!("{}: no token ends a text, so no pair can be made", file.name);
        Ok(Self {
            begin: vocab.bos,
            end: vocab.end().with_context(no_end)?,
            typed: is_bert && model.shape().n_token_types > 1,
            twice: !is_bert,
        })
    }

    /// Tokens before the text.
    ///
    /// # Errors
    /// When the query cannot become tokens.
    pub fn beginning(&self, tokenizer: &Tokenizer<'_, '_>, query: &[u8], notes: &mut Notes) -> Result<Vec<u32>> {
        let query = notes.encode(tokenizer, query, EncodeOptions::default())?;
        let ends = std::iter::repeat_n(self.end, if self.twice { 2 } else { 1 });
        Ok(self.begin.into_iter().chain(query).chain(ends).collect())
    }

    /// Tokens of a pair, and the index of the first of the second type; the number of tokens if there is none.
    ///
    /// # Errors
    /// When the text cannot become tokens.
    pub fn pair(
        &self,
        tokenizer: &Tokenizer<'_, '_>,
        beginning: &[u32],
        text: &[u8],
        notes: &mut Notes,
    ) -> Result<(Vec<u32>, usize)> {
        let text = notes.encode(tokenizer, text, EncodeOptions::default())?;
        let tokens: Vec<u32> = beginning.iter().copied().chain(text).chain([self.end]).collect();
        let second = if self.typed { beginning.len() } else { tokens.len() };
        Ok((tokens, second))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passes_have_room_for_what_fills_them() {
        let n_documents = |n_ctx, n_batch, lengths: &[usize]| {
            filled(EncoderConfig { n_ctx, n_batch, ..EncoderConfig::DEFAULT }, lengths.iter().copied()).n_documents
        };
        assert_eq!(n_documents(20, 256, &[20; 100]), 12);
        assert_eq!(n_documents(20, 256, &[20; 7]), 7);
        assert_eq!(n_documents(300, 256, &[300, 1, 2, 300, 200, 12, 300, 100, 100, 12, 300]), 4);
        assert_eq!([n_documents(9, 1, &[9, 9, 1]), n_documents(9, 0, &[]), n_documents(0, 9, &[5])], [1; 3]);
    }
}
