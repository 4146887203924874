//! Questions, answers and commands of a chat within one session.

use std::path::PathBuf;

use anyhow::Result;
use nearfield::tokenizer::EncodeOptions;
use nearfield_host::chat::{Conversation, TakenBack};
use nearfield_host::generate::{End, Generator, Save, TextModel};
use nearfield_host::output_file::are_one_file;
use nearfield_host::text;

use super::super::print::{PrintOptions, print_with};
use super::command::{Command, HELP};
use super::held::Held;
use crate::args::seed;
use crate::errors::{is_of_question, more_room, of_question};
use crate::terminal::editor::Messages;
use crate::terminal::{Bytes, StandardOutput, interrupt, monitor, note, tell};

/// Chat, from session to session.
pub struct Talk<'o> {
    /// Source of messages; `None` if a single question is answered.
    pub messages: Option<Messages>,
    /// Texts that end an answer.
    pub stop: &'o [String],
    /// File for the conversation at its end.
    pub save: Option<Save>,
    pub print: &'o PrintOptions,
    /// Action with which the next session begins.
    pub pending: Option<Action>,
    /// Number of answers that were asked for again.
    pub n_again: u64,
    /// True if a signal ended the chat.
    pub is_cancelled: bool,
}

/// Action that takes a session.
pub enum Action {
    Ask {
        question: Vec<u8>,
        /// Turn that the answer replaces.
        instead: Option<TakenBack>,
    },
    Save {
        save: Save,
        /// True if the chat ends behind it: a file that cannot be written is then an error.
        is_last: bool,
    },
}

impl Action {
    /// Asks a new question.
    pub fn ask(question: impl Into<Vec<u8>>) -> Self {
        Self::Ask { question: question.into(), instead: None }
    }
}

/// Reason why a session ends.
pub enum Next<'t> {
    /// The chat ends.
    End,
    /// The conversation is no longer one that begins with the session's snapshot: another session begins with this action.
    Again(Action),
    /// Another conversation.
    Load(Box<Held<'t>>),
}

/// Session and its conversation.
struct At<'c, 's, 'a, 't> {
    generator: &'c mut Generator<'s, 'a>,
    conversation: &'c mut Conversation<'t>,
    /// Tokens of the snapshot that the session began with, and one more.
    prefix: &'c [u32],
    /// File of the conversation.
    path: &'c mut Option<PathBuf>,
}

impl Talk<'_> {
    /// Talks until the chat ends or needs another session.
    pub fn run<'t>(
        &mut self,
        model: &'t TextModel<'t>,
        generator: &mut Generator<'_, '_>,
        conversation: &mut Conversation<'t>,
        prefix: &[u32],
        path: &mut Option<PathBuf>,
    ) -> Result<Next<'t>> {
        let mut at = At { generator, conversation, prefix, path };
        loop {
            if let Some(action) = self.pending.take()
                && let Some(action) = self.act(&mut at, action)?
            {
                return Ok(Next::Again(action));
            }
            let command = if self.is_cancelled { Some(Command::Exit) } else { self.next_command()? };
            match command {
                None => {}
                Some(Command::Exit) => match self.save.take() {
                    Some(save) => {
                        self.messages = None;
                        self.pending = Some(Action::Save { save: with_own(&at, save), is_last: true });
                    }
                    None => return Ok(Next::End),
                },
                Some(Command::Ask(question)) => {
                    self.n_again = 0;
                    self.pending = Some(Action::ask(question));
                }
                Some(Command::Regenerate) => self.regenerate(&mut at),
                Some(Command::Save { path, force }) => self.pending = save(&at, path, force),
                Some(Command::Load(path)) => match Held::open(model, path, self.stop) {
                    Ok(held) => {
                        let n = held.conversation.n_turns();
                        let turns = if n == 1 { "question and its answer" } else { "questions and their answers" };
                        note(format_args!("the chat goes on behind {n} {turns}"));
                        return Ok(Next::Load(Box::new(held)));
                    }
                    Err(error) => tell(format_args!("nearfield: {error:#}")),
                },
                Some(Command::Reset) => {
                    at.conversation.reset();
                    note("the conversation is forgotten");
                }
                Some(Command::System(None)) => match at.conversation.system() {
                    Some(system) => note(String::from_utf8_lossy(system)),
                    None => note("the system prompt is that of the format: /system TEXT replaces it"),
                },
                Some(Command::System(system)) => match at.conversation.set_system(system.as_deref()) {
                    Ok(()) => note("the system prompt is replaced"),
                    Err(error) => tell(format_args!("nearfield: {error:#}")),
                },
                Some(Command::Help) => note(HELP),
            }
        }
    }

    /// Next command; `None` for a line without one.
    fn next_command(&mut self) -> Result<Option<Command>> {
        let Some(messages) = &mut self.messages else { return Ok(Some(Command::Exit)) };
        let Some(line) = messages.next()? else { return Ok(Some(Command::Exit)) };
        Ok(Command::parse(&line).unwrap_or_else(|wrong| {
            tell(format_args!("nearfield: {wrong}"));
            None
        }))
    }

    fn regenerate(&mut self, at: &mut At<'_, '_, '_, '_>) {
        match at.conversation.take_back() {
            Some((question, turn)) => {
                self.n_again += 1;
                self.pending = Some(Action::Ask { question, instead: Some(turn) });
            }
            None => note("nothing was answered yet"),
        }
    }

    /// Acts; returns the action if it takes another session.
    fn act(&mut self, at: &mut At<'_, '_, '_, '_>, action: Action) -> Result<Option<Action>> {
        match action {
            Action::Save { save, is_last } => write(at, save, is_last),
            Action::Ask { question, instead } => {
                let answered = self.answer(at, &question);
                let is_kept = match answered {
                    Ok(Answer::NeedsSession) => return Ok(Some(Action::Ask { question, instead })),
                    Ok(Answer::Kept) => true,
                    Ok(Answer::Dropped) => false,
                    // The conversation is unchanged.
                    Err(error) if self.messages.is_some() && is_of_question(&error) => {
                        tell(format_args!("nearfield: {error:#}"));
                        false
                    }
                    Err(error) if self.messages.is_some() && interrupt::is_interrupted(&error) => false,
                    Err(error) => {
                        // Earlier answers are not lost with the chat.
                        if self.messages.is_some()
                            && let Some(save) = self.save.take()
                        {
                            let save = with_own(at, save);
                            write(at, save, false)?;
                        }
                        return Err(error);
                    }
                };
                if let Some(turn) = instead.filter(|_| !is_kept) {
                    at.conversation.put_back(turn);
                }
                Ok(None)
            }
        }
    }

    fn answer(&mut self, at: &mut At<'_, '_, '_, '_>, question: &[u8]) -> Result<Answer> {
        let At { generator, conversation, prefix, .. } = at;
        let (n_ctx, shape) = (generator.n_ctx(), conversation.shape());
        let n_left_out = conversation.make_room(question, n_ctx).map_err(|error| of_question(error, shape))?;
        if n_left_out > 0 {
            let more = more_room(shape, n_ctx);
            let turns = if n_left_out == 1 { "question and its answer" } else { "questions and their answers" };
            note(format_args!(
                "the context of {n_ctx} tokens is full: the oldest {n_left_out} {turns} are forgotten: {more}"
            ));
        }
        let mut prompt = conversation.prompt(question)?;
        if !generator.continues(&prompt.tokens, prefix) {
            return Ok(Answer::NeedsSession);
        }
        prompt.tokens.drain(..generator.n_prefix());
        let mut notes = text::Notes::default();
        notes.encode(&conversation.tokenizer(), question, EncodeOptions::default())?;
        notes.tell(monitor());
        // Each answer is sampled anew, also behind a snapshot; an answer that is asked for again is another one.
        let seed = self.print.seed.map_or_else(seed::any, |seed| seed.wrapping_add(self.n_again));
        let print = PrintOptions { seed: Some(seed), ..self.print.clone() };
        let generated = print_with(generator, &prompt, &print, &mut StandardOutput::lock())?;
        if generated.end == End::Cancelled {
            self.is_cancelled = self.messages.is_none() || interrupt::ends_the_command();
            if generated.tokens.is_empty() {
                return Ok(Answer::Dropped);
            }
        }
        conversation.answered(question, &generated.tokens)?;
        Ok(Answer::Kept)
    }
}

/// Result of a question.
enum Answer {
    /// Question and answer are part of the conversation.
    Kept,
    /// Nothing was answered, so nothing was asked.
    Dropped,
    /// Another session has to answer.
    NeedsSession,
}

/// Action that saves the conversation to `path`, or to its own file; `None` if there is none.
fn save(at: &At<'_, '_, '_, '_>, path: Option<PathBuf>, force: bool) -> Option<Action> {
    let Some(path) = path.or_else(|| at.path.clone()) else {
        tell("nearfield: /save needs the name of a file");
        return None;
    };
    Some(Action::Save { save: with_own(at, Save { path, force }), is_last: false })
}

/// The same, but the conversation's own file is replaced by what it has become.
fn with_own(at: &At<'_, '_, '_, '_>, save: Save) -> Save {
    let is_own = at.path.as_ref().is_some_and(|own| are_one_file(own, &save.path));
    Save { force: save.force || is_own, ..save }
}

/// Writes the conversation to a file; returns the action if it takes another session.
fn write(at: &mut At<'_, '_, '_, '_>, save: Save, is_last: bool) -> Result<Option<Action>> {
    let Some(chat) = at.conversation.saved(at.generator.n_ctx())? else {
        note("nothing was answered yet, so there is nothing to save");
        return Ok(None);
    };
    if !at.generator.continues(&chat.tokens, at.prefix) {
        return Ok(Some(Action::Save { save, is_last }));
    }
    match at.generator.save_chat(&chat, &save) {
        Ok(saved) => {
            note(format_args!("snapshot {} tokens in {}: {}", saved.n_tokens, Bytes(saved.n_bytes), saved.name));
            *at.path = Some(save.path);
        }
        Err(error) if is_last => return Err(error.into()),
        Err(error) => tell(format_args!("nearfield: {error:#}")),
    }
    Ok(None)
}
