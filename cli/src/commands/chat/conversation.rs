//! A conversation as tokens.

use std::fmt;

use anyhow::{Context, Result};
use nearfield::tokenizer::{Detokenizer, EncodeOptions, Tokenizer};
use nearfield::{Shape, StopWords};
use nearfield_host::chat::{Chat, Format};
use nearfield_host::marks;
use nearfield_host::stops::Stops;
use nearfield_host::text;

use crate::commands::run::Length;
use crate::prompt::{Prompt, options};
use crate::story::{Teller, more_room};
use crate::terminal::input;

/// Part of the context that is kept for an answer of open length, and the most that is kept for any.
const ANSWER_SHARE: usize = 4;
/// Part of the context that a conversation fills at most once its beginning was forgotten. What is left has to be read
/// again then, since each key knows what came before it: half, so that it happens once in many turns.
const FULL_SHARE: usize = 2;

/// Why a question cannot be asked.
#[derive(Debug)]
pub struct TooLong {
    n_tokens: usize,
    n_answer: usize,
    n_ctx: usize,
    more: &'static str,
}

impl fmt::Display for TooLong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { n_tokens, n_answer, n_ctx, more } = self;
        write!(f, "the question takes {n_tokens} tokens and its answer {n_answer}, the context has {n_ctx}: {more}")
    }
}

impl std::error::Error for TooLong {}

/// A question that was answered.
struct Turn {
    question: Vec<u8>,
    /// The answer as the model wrote it, in the tokens that it chose, up to the last that is the answer's alone.
    answer: Vec<u32>,
    /// The answer's last letters, if they share a token with what ended it.
    rest: String,
}

/// Questions and answers, and how they are put to the model.
pub struct Conversation<'t> {
    teller: &'t Teller<'t>,
    chat: Chat,
    format: Format,
    stops: Stops,
    /// Tokens of conversations, which nothing that is said has.
    marks: Vec<u32>,
    turns: Vec<Turn>,
}

impl<'t> Conversation<'t> {
    /// One that begins.
    pub fn new(teller: &'t Teller<'t>, chat: Chat) -> Result<Self> {
        let format = chat.format().context("a format")?;
        let find = |token: &str| find(teller.tokenizer, chat, token);
        let tokens: Vec<u32> = format.stop_tokens.iter().map(|token| find(token)).collect::<Result<_>>()?;
        let mut marks = marks::found_in_texts(&teller.file.gguf()?, teller.tokenizer, Chat::all_tokens());
        marks.extend(&tokens);
        marks.extend(format.tokens().map(find).collect::<Result<Vec<u32>>>()?);
        let mut stops = Stops { tokens, texts: format.stop_texts.iter().map(ToString::to_string).collect() };
        stops.add(teller.tokenizer, &teller.args.stop);
        let conversation = Self { teller, chat, format, stops, marks, turns: Vec::new() };
        conversation.prompt(b"")?;
        Ok(conversation)
    }

    /// The model's.
    pub fn shape(&self) -> &'t Shape {
        self.teller.model.shape()
    }

    /// The tokenizer of what is said.
    pub fn tokenizer(&self) -> Tokenizer<'t, '_> {
        self.teller.tokenizer.reading_as_text(&self.marks)
    }

    /// How many questions were answered and not forgotten.
    #[cfg(test)]
    pub fn n_turns(&self) -> usize {
        self.turns.len()
    }

    /// All tokens up to the answer to `question`. Two prompts begin alike as far as the same was said.
    pub fn prompt(&self, question: &[u8]) -> Result<Prompt> {
        self.prompt_from(0, question)
    }

    /// The same, without the first `n_left_out` turns.
    fn prompt_from(&self, n_left_out: usize, question: &[u8]) -> Result<Prompt> {
        let Self { teller, chat, format, .. } = self;
        let tokenizer = &self.tokenizer();
        let mut writer = Writer { tokenizer, chat: *chat, tokens: Vec::new(), text: Vec::new() };
        let system = teller.args.system.as_ref().map_or(format.system.as_bytes(), input::bytes_of);
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

    /// Forgets the oldest turns if `question` and an answer have no room beside them in `n_ctx` positions; how many. What
    /// the model is told of itself stays.
    pub fn make_room(&mut self, question: &[u8], n_ctx: usize) -> Result<usize> {
        let most = n_ctx / ANSWER_SHARE;
        let n_answer = match self.teller.args.n {
            Length::Tokens(n) => n.min(most),
            Length::Open | Length::Endless => most,
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
            return Err(TooLong { n_tokens, n_answer, n_ctx, more: more_room(self.shape(), n_ctx) }.into());
        }
        self.turns.drain(..n_left_out);
        Ok(n_left_out)
    }

    /// `question` was answered by these tokens, which may end in a stop.
    pub fn answered(&mut self, question: &[u8], tokens: &[u32]) -> Result<()> {
        let (n, rest) = self.cut(tokens)?;
        self.turns.push(Turn { question: question.to_vec(), answer: tokens[..n].to_vec(), rest });
        Ok(())
    }

    /// How many tokens stand before a stop and the white space at the end, and the letters before it that follow them.
    fn cut(&self, tokens: &[u32]) -> Result<(usize, String)> {
        let words = self.stops.words();
        let mut memory = vec![0; StopWords::memory_bytes(&words)];
        let mut stop = StopWords::new(&words, &mut memory).context("memory for the stop words")?;
        let mut detokenizer = Detokenizer::new(false);
        let (mut answer, mut n_shown, mut ends) = (String::new(), 0, vec![0]);
        for &token in tokens {
            let mut text = String::new();
            detokenizer.push(self.teller.tokenizer, token, &mut text)?;
            n_shown += text.len();
            ends.push(n_shown);
            stop.push(&text, &mut answer)?;
            stop.push_name_of(self.teller.tokenizer, token, &mut answer)?;
        }
        stop.finish(&mut answer)?;
        let answer = answer.trim_end();
        // The first with that end: those behind it have no letters of their own, or the first bytes of one that is cut off.
        let end = ends.iter().copied().filter(|&end| end <= answer.len()).max().unwrap_or(0);
        let n = ends.iter().position(|&at| at == end).unwrap_or(0);
        Ok((n, answer[end..].to_owned()))
    }
}

/// A conversation that is turned into tokens.
struct Writer<'t> {
    tokenizer: &'t Tokenizer<'t, 't>,
    chat: Chat,
    tokens: Vec<u32>,
    /// What was written since the last token: one text, in which words may merge with what stands around them.
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

    /// What a user writes is text, even where it looks like a token of the format: these stand in braces.
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
