//! `nearfield run --chat`: questions and answers in the format that a model was trained with.
//!
//! The session keeps the conversation, so that each turn processes only the new text, however long the conversation is.

use std::io::{Write, stdin};

use anyhow::{Result, ensure};
use nearfield::tokenizer::EncodeOptions;
use nearfield_host::Error;
use nearfield_host::chat::{Chat, Conversation};
use nearfield_host::generate::{End, Generator, TextModel};
use nearfield_host::text;

use super::print::{PrintOptions, print_with, with_generator};
use crate::errors::{is_too_long, more_room, of_question};
use crate::terminal::input::Lines;
use crate::terminal::{StandardOutput, interrupt, monitor, note};

/// Answers `question`, or without one each line of standard input, as one conversation.
pub fn chat(
    model: &TextModel<'_>,
    chat: Chat,
    system: Option<&[u8]>,
    stop: &[String],
    question: Option<&[u8]>,
    print: &PrintOptions,
) -> Result<()> {
    ensure!(
        !model.options.endless,
        "--chat: an answer has an end; -n N gives it a length, -n -2 leaves it to the model"
    );
    // A format that the model has no tokens for is an error before anything is asked.
    let mut conversation = Conversation::new(model, chat, system, stop)?;
    let n_first = conversation.prompt(question.unwrap_or_default())?.tokens.len();
    with_generator(model, n_first, print, |generator| match question {
        Some(question) => answer(generator, &mut conversation, question, print),
        None => talk(generator, &mut conversation, print),
    })
}

fn talk(generator: &mut Generator<'_, '_>, conversation: &mut Conversation<'_>, print: &PrintOptions) -> Result<()> {
    let mut lines = Lines::new(stdin().lock());
    loop {
        write!(StandardOutput::lock(), "> ")?;
        StandardOutput::lock().flush()?;
        let Some(question) = lines.next()? else { return Ok(writeln!(StandardOutput::lock())?) };
        if question.is_empty() {
            continue;
        }
        match answer(generator, conversation, &question, print) {
            Err(error) if interrupt::is_interrupted(&error) => {}
            // The conversation is unchanged.
            Err(error) if is_too_long(&error) => note(format_args!("nearfield: {error}")),
            result => result?,
        }
    }
}

fn answer(
    generator: &mut Generator<'_, '_>,
    conversation: &mut Conversation<'_>,
    question: &[u8],
    print: &PrintOptions,
) -> Result<()> {
    let mut notes = text::Notes::default();
    notes.encode(&conversation.tokenizer(), question, EncodeOptions::default())?;
    notes.tell(monitor());
    let n_ctx = generator.n_ctx();
    let shape = conversation.shape();
    let n_left_out = conversation.make_room(question, n_ctx).map_err(|error| of_question(error, shape))?;
    if n_left_out > 0 {
        let more = more_room(shape, n_ctx);
        let turns = if n_left_out == 1 { "question and its answer" } else { "questions and their answers" };
        note(format_args!(
            "the context of {n_ctx} tokens is full: the oldest {n_left_out} {turns} are forgotten: {more}"
        ));
    }
    let prompt = conversation.prompt(question)?;
    let generated = print_with(generator, &prompt, print, &mut StandardOutput::lock())?;
    conversation.answered(question, &generated.tokens)?;
    if generated.end == End::Cancelled { Err(Error::Cancelled.into()) } else { Ok(()) }
}
