//! Conversation with a model, as tokens.

use nearfield::tokenizer::{Detokenizer, EncodeOptions, Tokenizer};
use nearfield::{Shape, StopWords};

use super::format::{Chat, Format};
use crate::error::{Context, QuestionTooLong, Result};
use crate::generate::{Length, TextModel};
use crate::marks;
use crate::prompt::{Prompt, options};
use crate::stops::Stops;
use crate::text;

/// Divisor of the context: an answer of open length is given a quarter of it, and no answer more.
const ANSWER_SHARE: usize = 4;
/// Divisor of the context: once turns were forgotten, the conversation fills at most half of it. The turns that remain have to
/// be read again, since each key depends on all before it; half the context makes that rare.
const FULL_SHARE: usize = 2;

/// Question and its answer.
struct Turn {
    question: Vec<u8>,
    /// Tokens of the answer as the model chose them, up to the last that holds nothing of the stop.
    answer: Vec<u32>,
    /// Last letters of the answer, if they share a token with the stop.
    rest: String,
}

/// Questions and answers, and the format in which the model reads them.
pub struct Conversation<'t> {
    model: &'t TextModel<'t>,
    chat: Chat,
    format: Format,
    stops: Stops,
    /// Tokens of chat formats, which no question or answer is encoded to.
    marks: Vec<u32>,
    turns: Vec<Turn>,
    system: Vec<u8>,
}

impl<'t> Conversation<'t> {
    /// Makes an empty conversation. `system` replaces the format's own system prompt; answers end before each of `stop`,
    /// besides the stops of the format.
    ///
    /// # Errors
    /// When the model lacks a token of the format.
    pub fn new(model: &'t TextModel<'t>, chat: Chat, system: Option<&[u8]>, stop: &[String]) -> Result<Self> {
        let format = chat.format().context("a format")?;
        let find = |token: &str| find(model.tokenizer, chat, token);
        let tokens: Vec<u32> = format.stop_tokens.iter().map(|token| find(token)).collect::<Result<_>>()?;
        let mut marks = marks::found_in_texts(&model.file.gguf()?, model.tokenizer, Chat::all_tokens());
        marks.extend(&tokens);
        marks.extend(format.tokens().map(find).collect::<Result<Vec<u32>>>()?);
        let mut stops = Stops { tokens, texts: format.stop_texts.iter().map(ToString::to_string).collect() };
        stops.add(model.tokenizer, stop);
        let system = system.unwrap_or(format.system.as_bytes()).to_vec();
        let conversation = Self { model, chat, format, stops, marks, turns: Vec::new(), system };
        conversation.prompt(b"")?;
        Ok(conversation)
    }

    /// Shape of the model.
    pub fn shape(&self) -> &'t Shape {
        self.model.model.shape()
    }

    /// Tokenizer for questions and answers: it reads the tokens of chat formats as text.
    pub fn tokenizer(&self) -> Tokenizer<'t, '_> {
        self.model.tokenizer.reading_as_text(&self.marks)
    }

    /// Number of questions that were answered and not forgotten.
    #[cfg(test)]
    pub fn n_turns(&self) -> usize {
        self.turns.len()
    }

    /// Prompt of all tokens up to the answer to `question`. The prompts of two turns share the tokens of the turns before.
    pub fn prompt(&self, question: &[u8]) -> Result<Prompt> {
        self.prompt_from(0, question)
    }

    /// Prompt as by [`Self::prompt`], without the first `n_left_out` turns.
    fn prompt_from(&self, n_left_out: usize, question: &[u8]) -> Result<Prompt> {
        let Self { chat, format, .. } = self;
        let tokenizer = &self.tokenizer();
        let mut writer = Writer { tokenizer, chat: *chat, tokens: Vec::new(), text: Vec::new() };
        let system = &self.system[..];
        if !system.is_empty() {
            writer.fixed(format.around_system[0])?;
            writer.text.extend(system);
            writer.fixed(format.around_system[1])?;
        }
        for turn in self.turns.iter().skip(n_left_out) {
            writer.question(format, &turn.question)?;
            writer.tokens.extend(&turn.answer);
            writer.text.extend(turn.rest.as_bytes());
            writer.fixed(format.answered)?;
        }
        writer.question(format, question)?;
        Ok(Prompt { shown: vec![], tokens: writer.tokens, stops: self.stops.clone(), after: vec![] })
    }

    /// Forgets the oldest turns if they, `question` and an answer do not fit in `n_ctx` positions; returns how many. The system
    /// prompt stays.
    pub fn make_room(&mut self, question: &[u8], n_ctx: usize) -> Result<usize> {
        let most = n_ctx / ANSWER_SHARE;
        let n_answer = match self.model.options.length {
            Length::Tokens(n) => n.min(most),
            Length::Open => most,
        };
        let n_of = |n_left_out| self.prompt_from(n_left_out, question).map(|prompt| prompt.tokens.len());
        let fits = |n_tokens: usize, limit| n_tokens + n_answer <= limit;
        if fits(n_of(0)?, n_ctx) {
            return Ok(0);
        }
        let n_turns = self.turns.len();
        let mut n_left_out = 1;
        while n_left_out < n_turns && !fits(n_of(n_left_out)?, n_ctx / FULL_SHARE) {
            n_left_out += 1;
        }
        let n_tokens = n_of(n_left_out)?;
        if !fits(n_tokens, n_ctx) {
            return Err(QuestionTooLong { n_tokens, n_answer, n_ctx }.into());
        }
        self.turns.drain(..n_left_out);
        Ok(n_left_out)
    }

    /// Adds a turn: `question` and the tokens of its answer, which may end in a stop.
    pub fn answered(&mut self, question: &[u8], tokens: &[u32]) -> Result<()> {
        let (n, rest) = self.cut(tokens)?;
        self.turns.push(Turn { question: question.to_vec(), answer: tokens[..n].to_vec(), rest });
        Ok(())
    }

    /// Number of tokens before a stop and the white space at the end, and the letters of the answer that follow these tokens.
    fn cut(&self, tokens: &[u32]) -> Result<(usize, String)> {
        let words = self.stops.words();
        let mut memory = vec![0; StopWords::memory_bytes(&words)];
        let mut stop = StopWords::new(&words, &mut memory).context("memory for the stop words")?;
        let mut detokenizer = Detokenizer::new(false);
        let (mut answer, mut n_shown, mut ends) = (String::new(), 0, vec![0]);
        for &token in tokens {
            let mut text = String::new();
            detokenizer.push(self.model.tokenizer, token, &mut text)?;
            n_shown += text.len();
            ends.push(n_shown);
            stop.push(&text, &mut answer)?;
            stop.push_name_of(self.model.tokenizer, token, &mut answer)?;
        }
        stop.finish(&mut answer)?;
        let answer = answer.trim_end();
        // The first of several tokens with that end counts: the others add no letters, or the first bytes of a letter that is
        // cut off.
        let end = ends.iter().copied().filter(|&end| end <= answer.len()).max().unwrap_or(0);
        let n = ends.iter().position(|&at| at == end).unwrap_or(0);
        Ok((n, answer[end..].to_owned()))
    }
}

/// Conversation while it is turned into tokens.
struct Writer<'t> {
    tokenizer: &'t Tokenizer<'t, 't>,
    chat: Chat,
    tokens: Vec<u32>,
    /// Text since the last token of the format. It is encoded as one, since words may merge with the words around them.
    text: Vec<u8>,
}

impl Writer<'_> {
    fn question(&mut self, format: &Format, question: &[u8]) -> Result<()> {
        self.fixed(format.question)?;
        self.text.extend(question);
        self.fixed(format.answer)?;
        self.end_text()
    }

    /// Writes words of the format, in which tokens stand in braces.
    fn fixed(&mut self, words: &str) -> Result<()> {
        let mut rest = words;
        while let Some((before, (token, after))) =
            rest.split_once('{').and_then(|(before, rest)| Some((before, rest.split_once('}')?)))
        {
            self.text.extend(before.as_bytes());
            self.end_text()?;
            let token = find(self.tokenizer, self.chat, token)?;
            self.tokens.push(token);
            rest = after;
        }
        self.text.extend(rest.as_bytes());
        Ok(())
    }

    /// Encodes the text so far. Words of a user are text, even where they look like a token of the format.
    fn end_text(&mut self) -> Result<()> {
        let options = match self.tokens.is_empty() {
            true => options(self.tokenizer),
            false => EncodeOptions::default(),
        };
        let text = core::mem::take(&mut self.text);
        self.tokens.extend(text::encode(self.tokenizer, &text, options)?);
        Ok(())
    }
}

fn find(tokenizer: &Tokenizer<'_, '_>, chat: Chat, token: &str) -> Result<u32> {
    tokenizer
        .find(token)
        .with_context(|| format!("--chat={}: the model has no token {token}: it was not made for it", chat.name()))
}
