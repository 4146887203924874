//! Prompts typed over a serial line.

use crate::board::Board;
use crate::generate::{Generated, TextModel};
use crate::halt::Halt;
use crate::settings::Settings;

/// Greatest length of a prompt in bytes. Bytes beyond it are dropped, with a notice.
pub const MAX_PROMPT: usize = 256;

/// Line typed by a person.
#[derive(Clone, Debug)]
pub struct Prompt {
    bytes: heapless::Vec<u8, MAX_PROMPT>,
    dropped: usize,
}

impl Prompt {
    /// Asks for a line and reads it, with a notice if it is too long. `None` where nobody can type.
    pub fn ask(board: &mut impl Board) -> Result<Option<Self>, Halt> {
        Self::ask_from(board, None)
    }

    /// Asks for a line that may have begun with a key.
    fn ask_from(board: &mut impl Board, key: Option<u8>) -> Result<Option<Self>, Halt> {
        board.write_str("\r\n> ")?;
        let mut prompt = Self::new();
        if let Some(key) = key {
            prompt.push(key, board)?;
        }
        let prompt = prompt.complete(board)?;
        if let Some(dropped) = prompt.as_ref().map(Self::dropped).filter(|&dropped| dropped > 0) {
            write!(board, "[a prompt has at most {MAX_PROMPT} bytes: {dropped} were dropped]\r\n")?;
        }
        Ok(prompt)
    }

    fn new() -> Self {
        Self { bytes: heapless::Vec::new(), dropped: 0 }
    }

    /// Reads a line and echoes it; backspace takes a character back. `None` where nobody can type.
    pub fn read(board: &mut impl Board) -> Result<Option<Self>, Halt> {
        Self::new().complete(board)
    }

    /// Reads the rest of a line.
    fn complete(mut self, board: &mut impl Board) -> Result<Option<Self>, Halt> {
        let prompt = &mut self;
        loop {
            let Some(byte) = board.read() else { return Ok(None) };
            match byte {
                // Terminals send a carriage return, pipes a line feed. Where both come, the second is an empty line, which is
                // skipped.
                b'\r' | b'\n' if prompt.bytes.is_empty() && prompt.dropped == 0 => {}
                b'\r' | b'\n' => {
                    if board.echoes() {
                        board.write_str("\r\n")?;
                    }
                    return Ok(Some(self));
                }
                0x08 | 0x7f => {
                    if prompt.take_back() && board.echoes() {
                        board.write_str("\x08 \x08")?;
                    }
                }
                // Other control characters have no meaning here and are ignored.
                0..0x20 => {}
                _ => prompt.push(byte, board)?,
            }
        }
    }

    fn push(&mut self, byte: u8, board: &mut impl Board) -> Result<(), Halt> {
        if self.bytes.push(byte).is_err() {
            self.dropped += 1;
            return Ok(());
        }
        if !board.echoes() {
            return Ok(());
        }
        // A character is echoed once all its bytes are there.
        let bytes = self.bytes.as_slice();
        let start = bytes.iter().rposition(|byte| byte & 0xc0 != 0x80).unwrap_or(0);
        if let Some(character) = bytes.get(start..).and_then(|bytes| core::str::from_utf8(bytes).ok()) {
            board.write_str(character)?;
        }
        Ok(())
    }

    /// Removes the last character; false when there is none.
    fn take_back(&mut self) -> bool {
        let mut removed = false;
        while let Some(byte) = self.bytes.pop() {
            removed = true;
            // Bytes 10xxxxxx continue a character.
            if byte & 0xc0 != 0x80 {
                break;
            }
        }
        removed
    }

    /// Bytes of the line.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Number of bytes that were typed beyond [`MAX_PROMPT`].
    pub fn dropped(&self) -> usize {
        self.dropped
    }
}

/// Asks for prompts and generates a text after each, until no more can be typed. Lines with a colon are commands; `:help` lists them.
///
/// - `max_tokens`: greatest number of tokens of a text until `:len` changes it
///
/// # Errors
/// [`Halt`] when the board cannot be written to or the model fails.
pub fn answer_prompts<B: Board>(
    board: &mut B,
    model: &mut TextModel<'_, '_, '_>,
    max_tokens: usize,
) -> Result<(), Halt> {
    let mut settings = Settings::new(max_tokens);
    board.write_str("the beginning of a story, or :help\r\n")?;
    let mut key = None;
    while let Some(prompt) = Prompt::ask_from(board, key.take())? {
        if settings.obey(prompt.bytes(), board)? {
            continue;
        }
        let text = settings.next_text(board);
        let generated = model.generate(board, prompt.bytes(), text)?;
        let Generated { n_tokens, micros, stopped_by, .. } = generated;
        write!(board, "\r\n[{n_tokens} tokens, seed {}", text.seed)?;
        if let Some(micros) = micros.filter(|_| n_tokens > 1) {
            let per_1000_seconds = (n_tokens as u64 - 1) * 1_000_000_000 / micros.max(1);
            let (whole, thousandths) = (per_1000_seconds / 1000, per_1000_seconds % 1000);
            write!(board, ", {whole}.{thousandths:03} tokens/s")?;
        }
        if let Some(stack) = board.stack() {
            write!(board, ", stack {stack}")?;
        }
        write!(board, ", arena {} bytes]\r\n[{generated}]\r\n", model.arena_bytes())?;
        // `:stop`, typed out, is a command; any other key has done its work.
        key = stopped_by.filter(|&key| key == b':');
    }
    Ok(())
}
