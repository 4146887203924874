//! Conversation with a model, as tokens.

use nearfield::tokenizer::{Detokenizer, Tokenizer};
use nearfield::{Shape, StopWords};

use super::clock::Clock;
use super::format::Chat;
use super::formatter::{Formatter, Written};
use super::message::{Part, Role, Words};
use super::saved::{SavedChat, Turn};
use crate::error::{Context, QuestionTooLong, Result, ensure};
use crate::generate::{Length, TextModel};
use crate::prompt::Prompt;
use crate::stops::Stops;

/// Divisor of the context: an answer of open length is given a quarter of it, and no answer more.
const ANSWER_SHARE: usize = 4;
/// Divisor of the context: once turns were forgotten, the conversation fills at most half of it. The turns that remain have to
/// be read again, since each key depends on all before it; half the context makes that rare.
const FULL_SHARE: usize = 2;

/// Questions and answers, and the format in which the model reads them.
pub struct Conversation<'t> {
    model: &'t TextModel<'t>,
    formatter: Formatter<'t>,
    /// Time that the template reads on the clock.
    clock: Clock,
    stops: Stops,
    turns: Vec<Turn>,
    /// System prompt; `None` for the format's own.
    system: Option<Vec<u8>>,
}

/// Turn that was taken back.
pub struct TakenBack(Turn);

impl<'t> Conversation<'t> {
    /// Makes an empty conversation. `system` replaces the format's own system prompt; answers end before each of `stop`,
    /// besides the stops of the format.
    ///
    /// # Errors
    /// When the model has no format, lacks a token of it, or its template is broken or refuses a system prompt.
    pub fn new(model: &'t TextModel<'t>, chat: Chat, system: Option<&[u8]>, stop: &[String]) -> Result<Self> {
        let formatter = Formatter::new(&model.file.gguf()?, model.tokenizer, chat)?;
        let mut conversation = Self::empty(model, formatter, Clock::now(), stop);
        conversation.set_system(system)?;
        Ok(conversation)
    }

    /// Makes the conversation that was stored; answers end before each of `stop`, besides the stops of the format.
    ///
    /// # Errors
    /// When the model has another format than the conversation.
    pub fn restore(model: &'t TextModel<'t>, saved: &SavedChat, stop: &[String]) -> Result<Self> {
        let by_name = |(chat, name, _): (Chat, &str, &str)| (name == saved.format).then_some(chat);
        let chat = Chat::ALL.into_iter().find_map(by_name).unwrap_or(Chat::Auto);
        let formatter = Formatter::new(&model.file.gguf()?, model.tokenizer, chat)?;
        let (found, want) = (formatter.name(), saved.format.escape_debug());
        ensure!(found == saved.format, "the conversation has the format {want}, the model {found}");
        let known = |token: &u32| (*token as usize) < model.tokenizer.n_tokens();
        let mut tokens = saved.turns.iter().flat_map(|turn| &turn.answer).chain(&saved.tokens);
        ensure!(tokens.all(known), "the conversation has tokens that the model has not");
        let mut conversation = Self::empty(model, formatter, saved.clock, stop);
        conversation.set_system(saved.system.as_deref())?;
        conversation.turns.clone_from(&saved.turns);
        Ok(conversation)
    }

    fn empty(model: &'t TextModel<'t>, formatter: Formatter<'t>, clock: Clock, stop: &[String]) -> Self {
        let mut stops = formatter.stops().clone();
        stops.add(model.tokenizer, stop);
        Self { model, formatter: formatter.at(clock), clock, stops, turns: Vec::new(), system: None }
    }

    /// Conversation as it is stored, held in a context of `n_ctx` positions; `None` before the first answer.
    pub fn saved(&self, n_ctx: usize) -> Result<Option<SavedChat>> {
        let Some((last, before)) = self.turns.split_last() else { return Ok(None) };
        let mut tokens = self.written(before, &last.question)?.tokens;
        tokens.extend(&last.answer);
        Ok(Some(SavedChat {
            format: self.formatter.name().to_owned(),
            clock: self.clock,
            system: self.system.clone(),
            turns: self.turns.clone(),
            n_ctx,
            tokens,
        }))
    }

    /// System prompt that was set; `None` for the format's own.
    pub fn system(&self) -> Option<&[u8]> {
        self.system.as_deref()
    }

    /// Sets the system prompt, also of the turns so far; `None` for the format's own.
    ///
    /// # Errors
    /// When the format refuses it; the conversation is then unchanged.
    pub fn set_system(&mut self, system: Option<&[u8]>) -> Result<()> {
        let before = core::mem::replace(&mut self.system, system.map(<[u8]>::to_vec));
        self.prompt(b"").map(drop).inspect_err(|_| self.system = before)
    }

    /// Forgets all questions and answers. The system prompt stays.
    pub fn reset(&mut self) {
        self.turns.clear();
    }

    /// Forgets the last answer and returns its question; `None` before the first answer. [`put_back`](Self::put_back) undoes it.
    pub fn take_back(&mut self) -> Option<(Vec<u8>, TakenBack)> {
        self.turns.pop().map(|turn| (turn.question.clone(), TakenBack(turn)))
    }

    /// Undoes [`take_back`](Self::take_back).
    pub fn put_back(&mut self, TakenBack(turn): TakenBack) {
        self.turns.push(turn);
    }

    /// Shape of the model.
    pub fn shape(&self) -> &'t Shape {
        self.model.model.shape()
    }

    /// Tokenizer for questions and answers: it reads the tokens of chat formats as text.
    pub fn tokenizer(&self) -> Tokenizer<'t, '_> {
        self.formatter.tokenizer()
    }

    /// Number of questions that were answered and not forgotten.
    pub fn n_turns(&self) -> usize {
        self.turns.len()
    }

    /// Prompt of all tokens up to the answer to `question`. The prompts of two turns share the tokens of the turns before.
    pub fn prompt(&self, question: &[u8]) -> Result<Prompt> {
        let Written { tokens, .. } = self.written(&self.turns, question)?;
        Ok(Prompt { shown: vec![], tokens, stops: self.stops.clone(), after: vec![] })
    }

    /// Tokens of the system prompt, `turns` and `question`.
    fn written(&self, turns: &[Turn], question: &[u8]) -> Result<Written> {
        let text = |role, text| Part { role, words: Words::Text(text) };
        let mut parts: Vec<Part<'_>> = self.system.iter().map(|system| text(Role::System, system)).collect();
        for Turn { question, lead, answer, rest } in turns {
            parts.push(text(Role::User, question));
            let words = Words::Answer { lead: Some(lead), tokens: answer, rest };
            parts.push(Part { role: Role::Assistant, words });
        }
        parts.push(text(Role::User, question));
        self.formatter.write(&parts)
    }

    /// Forgets the oldest turns if they, `question` and an answer do not fit in `n_ctx` positions; returns how many. The system
    /// prompt stays.
    pub fn make_room(&mut self, question: &[u8], n_ctx: usize) -> Result<usize> {
        let most = n_ctx / ANSWER_SHARE;
        let n_answer = match self.model.options.length {
            Length::Tokens(n) => n.min(most),
            Length::Open => most,
        };
        let n_of = |n_left_out| {
            self.written(self.turns.get(n_left_out..).unwrap_or_default(), question).map(|written| written.tokens.len())
        };
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
        let Written { lead, .. } = self.written(&self.turns, question)?;
        self.turns.push(Turn { question: question.to_vec(), lead, answer: tokens[..n].to_vec(), rest });
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
