//! `nearfield run --chat`: questions and answers in the format that a model was trained with.
//!
//! What was read stays in the session: of each turn, what is new is read, however long the conversation is.

mod conversation;
#[cfg(test)]
mod tests;

use std::io::{Write, stdin};

use anyhow::{Result, ensure};
use nearfield::tokenizer::EncodeOptions;
use nearfield_host::Error;
use nearfield_host::chat::Chat;
use nearfield_host::text;

use crate::commands::run::tell_on;
use crate::story::{End, Reader, Teller, more_room};
use crate::terminal::StandardOutput;
use crate::terminal::input::Lines;
use crate::terminal::interrupt;
use crate::terminal::monitor;
use crate::terminal::note;

use conversation::Conversation;

/// Answers `question`, or without one each line of standard input, knowing those before.
pub fn chat(teller: &Teller<'_>, chat: Chat, question: Option<&[u8]>) -> Result<()> {
    ensure!(
        !teller.args.is_endless(),
        "--chat: an answer has an end; -n N gives it a length, -n -2 leaves it to the model"
    );
    let chat = if chat == Chat::Auto { Chat::of_model(&teller.file.gguf()?, teller.tokenizer)? } else { chat };
    // A format that the model has no tokens for is found out before anything is asked.
    let mut conversation = Conversation::new(teller, chat)?;
    let n_first = conversation.prompt(question.unwrap_or_default())?.tokens.len();
    teller.with_reader(n_first, |reader| match question {
        Some(question) => answer(reader, &mut conversation, question),
        None => talk(reader, &mut conversation),
    })
}

fn talk(reader: &mut Reader<'_, '_>, conversation: &mut Conversation<'_>) -> Result<()> {
    let mut lines = Lines::new(stdin().lock());
    loop {
        write!(StandardOutput::lock(), "> ")?;
        StandardOutput::lock().flush()?;
        let Some(question) = lines.next()? else { return Ok(writeln!(StandardOutput::lock())?) };
        if question.is_empty() {
            continue;
        }
        match answer(reader, conversation, &question) {
            Err(error) if interrupt::is_interrupted(&error) => {}
            // The conversation is as it was.
            Err(error) if error.is::<conversation::TooLong>() => note(format_args!("nearfield: {error}")),
            result => result?,
        }
    }
}

fn answer(reader: &mut Reader<'_, '_>, conversation: &mut Conversation<'_>, question: &[u8]) -> Result<()> {
    let mut notes = text::Notes::default();
    notes.encode(&conversation.tokenizer(), question, EncodeOptions::default())?;
    notes.tell(monitor());
    let n_ctx = reader.n_ctx();
    let more = more_room(conversation.shape(), n_ctx);
    let n_left_out = conversation.make_room(question, n_ctx)?;
    if n_left_out > 0 {
        let turns = if n_left_out == 1 { "question and its answer" } else { "questions and their answers" };
        note(format_args!(
            "the context of {n_ctx} tokens is full: the oldest {n_left_out} {turns} are forgotten: {more}"
        ));
    }
    let prompt = conversation.prompt(question)?;
    let story = tell_on(reader, &prompt, &mut StandardOutput::lock())?;
    conversation.answered(question, &story.written)?;
    if story.end == End::Interrupted { Err(Error::Cancelled.into()) } else { Ok(()) }
}
