//! Messages of a person: edited in a terminal, or one a line from anywhere else.

use std::io::{BufRead, ErrorKind, IsTerminal, Write, stdin, stdout};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context as _, Result};
use rustyline::completion::{Completer, FilenameCompleter, Pair};
use rustyline::error::ReadlineError;
use rustyline::highlight::Highlighter;
use rustyline::hint::Hinter;
use rustyline::history::DefaultHistory;
use rustyline::validate::Validator;
use rustyline::{
    Cmd, ConditionalEventHandler, Config, Context, Editor, Event, EventContext, EventHandler, Helper, KeyCode,
    KeyEvent, Modifiers, Movement, RepeatCount,
};

use super::input::Lines;
use super::interrupt::while_editing;
use super::tty::Quiet;
use super::{StandardOutput, history, note, tell};

/// Text before a message.
const PROMPT: &str = "> ";
/// Terminals without cursor movement, in which no line is edited.
const PLAIN_TERMINALS: [&str; 3] = ["dumb", "cons25", "emacs"];
/// Greatest number of lines in the history.
const MAX_HISTORY: usize = 1000;

/// Source of messages.
pub enum Messages {
    /// Terminal.
    Edited(Box<Edited>),
    /// Pipe or file, or a terminal that knows no editing: each line is a message.
    Lines(Lines<Box<dyn BufRead>>),
}

/// Messages edited in a terminal.
pub struct Edited {
    editor: Editor<Completions, DefaultHistory>,
    /// File to which the history is written.
    history: Option<PathBuf>,
    /// True if Ctrl-C was the last key, in an empty line.
    is_leaving: Arc<AtomicBool>,
    quiet: Quiet,
}

impl Messages {
    /// Messages from standard input. `commands` are completed at the beginning of a message; without `keeps_history`, what is
    /// typed is known as long as the process runs.
    pub fn new(commands: &'static [&'static str], keeps_history: bool) -> Result<Self> {
        let is_plain = || PLAIN_TERMINALS.iter().any(|name| std::env::var("TERM").is_ok_and(|term| term == *name));
        if stdin().is_terminal() && stdout().is_terminal() && !is_plain() {
            return Ok(Self::Edited(Box::new(Edited::new(commands, keeps_history)?)));
        }
        Ok(Self::of(stdin().lock()))
    }

    /// Messages of the lines of `input`.
    pub fn of(input: impl BufRead + 'static) -> Self {
        Self::Lines(Lines::new(Box::new(input)))
    }

    /// Asks for the next message; `None` at the end of the input, after Ctrl-D, and after Ctrl-C twice.
    pub fn next(&mut self) -> Result<Option<Vec<u8>>> {
        match self {
            Self::Edited(edited) => edited.next(),
            Self::Lines(lines) => {
                write!(StandardOutput::lock(), "{PROMPT}")?;
                StandardOutput::lock().flush()?;
                let line = lines.next()?;
                // The end of the input leaves the cursor on the line of the prompt.
                if line.is_none() {
                    writeln!(StandardOutput::lock())?;
                }
                Ok(line)
            }
        }
    }
}

impl Edited {
    fn new(commands: &'static [&'static str], keeps_history: bool) -> Result<Self> {
        let config = Config::builder()
            .max_history_size(MAX_HISTORY)
            .and_then(|config| config.history_ignore_dups(true))
            .context("the history has no room")?
            .history_ignore_space(true)
            .bracketed_paste(true)
            .build();
        let mut editor = Editor::with_config(config).context("cannot use the terminal")?;
        editor.set_helper(Some(Completions { commands, files: FilenameCompleter::new() }));
        let new_line = KeyEvent(KeyCode::Enter, Modifiers::ALT);
        editor.bind_sequence(new_line, EventHandler::Simple(Cmd::Newline));
        let is_leaving = Arc::new(AtomicBool::new(false));
        let clear = ClearLine(Arc::clone(&is_leaving));
        editor.bind_sequence(KeyEvent::ctrl('C'), EventHandler::Conditional(Box::new(clear)));
        let history = keeps_history.then(history::file).flatten();
        if let Some(path) = &history {
            // A history that cannot be read begins anew.
            let _ = editor.load_history(path);
        }
        Ok(Self { editor, history, is_leaving, quiet: Quiet::begin() })
    }

    fn next(&mut self) -> Result<Option<Vec<u8>>> {
        StandardOutput::lock().flush()?;
        loop {
            let read = while_editing(|| self.editor.readline(PROMPT));
            self.quiet.mark_pastes();
            match read {
                Ok(message) => {
                    self.is_leaving.store(false, Ordering::Relaxed);
                    self.remember(&message);
                    return Ok(Some(message.into_bytes()));
                }
                Err(ReadlineError::Eof) => return Ok(None),
                Err(ReadlineError::Interrupted) => {
                    if self.is_leaving.swap(true, Ordering::Relaxed) {
                        return Ok(None);
                    }
                    note("(Ctrl-C again, or Ctrl-D, ends)");
                }
                Err(ReadlineError::Io(error)) if error.kind() == ErrorKind::InvalidData => {
                    tell("nearfield: what was typed is no UTF-8");
                }
                Err(error) => return Err(error).context("cannot read the terminal"),
            }
        }
    }

    /// Adds a message to the history. A file that cannot be written is no reason to end.
    fn remember(&mut self, message: &str) {
        if !message.trim().is_empty()
            && self.editor.add_history_entry(message).is_ok_and(|is_new| is_new)
            && let Some(path) = &self.history
        {
            let _ = self.editor.append_history(path);
        }
    }
}

/// Ctrl-C: clears a line, or in an empty one interrupts.
struct ClearLine(Arc<AtomicBool>);

impl ConditionalEventHandler for ClearLine {
    fn handle(&self, _: &Event, _: RepeatCount, _: bool, context: &EventContext<'_>) -> Option<Cmd> {
        if context.line().is_empty() {
            return Some(Cmd::Interrupt);
        }
        self.0.store(false, Ordering::Relaxed);
        Some(Cmd::Kill(Movement::WholeBuffer))
    }
}

/// Completions of commands, and of files after them.
struct Completions {
    commands: &'static [&'static str],
    files: FilenameCompleter,
}

impl Completer for Completions {
    type Candidate = Pair;

    fn complete(&self, line: &str, at: usize, context: &Context<'_>) -> rustyline::Result<(usize, Vec<Pair>)> {
        let before = line.get(..at).unwrap_or_default();
        let word = before.split_whitespace().next().unwrap_or_default();
        if word == before && word.starts_with('/') {
            let matching = self.commands.iter().filter(|command| command.starts_with(word));
            let pair = |command: &&str| Pair { display: command.to_string(), replacement: format!("{command} ") };
            return Ok((0, matching.map(pair).collect()));
        }
        if self.commands.contains(&word) { self.files.complete(line, at, context) } else { Ok((at, Vec::new())) }
    }
}

impl Hinter for Completions {
    type Hint = String;
}

impl Highlighter for Completions {}
impl Validator for Completions {}
impl Helper for Completions {}
