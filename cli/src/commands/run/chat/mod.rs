//! `nearfield run --chat`: questions and answers in the format that a model was trained with.
//!
//! The session keeps the conversation, so that each turn processes only the new text, however long the conversation is. A
//! conversation that changes before its end, or that comes from a file, has another session: [`chat`] begins one after the other.

mod command;
mod held;
mod talk;

use std::path::PathBuf;

use anyhow::{Result, ensure};
use nearfield_host::Error;
use nearfield_host::chat::{Chat, Conversation};
use nearfield_host::generate::{Options, Save, TextModel};

use super::print::{PrintOptions, with_generator};
use crate::terminal::editor::Messages;
use crate::terminal::tell;

use held::Held;
use talk::{Action, Next, Talk};

/// Settings of a chat.
pub struct ChatOptions<'o> {
    /// Format.
    pub chat: Chat,
    /// System prompt, unless the format's own or that of a saved conversation is taken.
    pub system: Option<&'o [u8]>,
    /// Texts that end an answer.
    pub stop: &'o [String],
    /// Single question; `None` asks for questions until the end of the input.
    pub question: Option<&'o [u8]>,
    /// Saved conversation to go on with.
    pub load: Option<PathBuf>,
    /// File for the conversation at its end.
    pub save: Option<Save>,
    /// True to keep what is typed for the next time.
    pub keeps_history: bool,
    /// Settings of the report.
    pub print: &'o PrintOptions,
}

/// Answers one question, or each message of standard input, as one conversation.
pub fn chat(model: &TextModel<'_>, options: ChatOptions<'_>) -> Result<()> {
    ensure!(
        !model.options.endless,
        "--chat: an answer has an end; -n N gives it a length, -n -2 leaves it to the model"
    );
    ensure!(
        options.load.is_none() || options.chat == Chat::Auto,
        "--chat={} beside --load-kv: a saved chat goes on in its own format",
        options.chat.name()
    );
    let ChatOptions { chat, system, stop, question, load, save, keeps_history, print } = options;
    // A format that the model has no tokens for is an error before anything is asked.
    let mut held = match load {
        Some(path) => Held::open(model, path, stop)?,
        None => Held::new(Conversation::new(model, chat, system, stop)?),
    };
    let messages = match question {
        Some(_) => None,
        None => Some(Messages::new(command::NAMES, keeps_history)?),
    };
    let mut talk =
        Talk { messages, stop, save, print, pending: question.map(Action::ask), n_again: 0, is_cancelled: false };
    // Conversation before the one that was loaded last.
    let mut before: Option<Held<'_>> = None;
    let mut n_ctx = model.options.n_ctx;
    loop {
        let mut has_begun = false;
        let next = (|| {
            let Held { conversation, source, path } = &mut held;
            n_ctx = n_ctx.or(source.as_ref().map(|source| source.saved.n_ctx));
            let options = Options { n_ctx, ..model.options.clone() };
            let prefix = source.as_ref().map(|source| source.prefix(model)).transpose()?;
            let here = TextModel { prefix, options: &options, ..*model };
            let n_prefix = prefix.map_or(0, |prefix| prefix.n_tokens());
            let n_first = conversation.prompt(question.unwrap_or_default())?.tokens.len().saturating_sub(n_prefix);
            let prefix = source.as_ref().map_or(&[][..], |source| &source.saved.tokens);
            with_generator(&here, n_first, print, |generator| {
                (has_begun, n_ctx) = (true, Some(generator.n_ctx()));
                talk.run(model, generator, conversation, prefix, path)
            })
        })();
        match (next, before.take()) {
            (Ok(Next::End), _) => break,
            (Ok(Next::Again(action)), _) => {
                talk.pending = Some(action);
                held.source = None;
            }
            (Ok(Next::Load(loaded)), _) => before = Some(std::mem::replace(&mut held, *loaded)),
            // The conversation so far goes on, in another session.
            (Err(error), Some(kept)) if !has_begun => {
                tell(format_args!("nearfield: {error:#}"));
                held = Held { source: None, ..kept };
            }
            (Err(error), _) => return Err(error),
        }
    }
    if talk.is_cancelled { Err(Error::Cancelled.into()) } else { Ok(()) }
}
