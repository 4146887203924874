//! GBNF to a [`Grammar`], in memory that the caller gives.

mod check;
mod class;
mod memory;
mod parse;

use memory::{Field, Memory};
use parse::Parser;

use super::error::GrammarError;
use super::program::{Grammar, LIVE, Op};

impl<'g> Grammar<'g> {
    /// Compiles a grammar in GBNF, the notation of llama.cpp, whose root is the rule `root`.
    ///
    /// All of llama.cpp's notation is read but tokens (`<think>`, `<[1000]>`). A class or `.` matches Unicode characters, none of
    /// them by a part of its bytes. Where llama.cpp takes more than 2,000 repetitions for any number, they are counted here, and an
    /// empty class is an error.
    ///
    /// `memory` also holds the table of rules while they are read; the grammar borrows it. About 140 words and 10 words for each
    /// byte of text are enough for most grammars; with too few, try more.
    ///
    /// ```
    /// let mut memory = [0; 1024];
    /// let grammar = nearfield::Grammar::compile(r#"root ::= "led " ("on" | "off")"#, &mut memory)?;
    /// assert!(grammar.words().len() < 100);
    /// # Ok::<(), nearfield::GrammarError>(())
    /// ```
    ///
    /// # Errors
    /// [`GrammarError`], with line and column.
    pub fn compile(text: &str, memory: &'g mut [u32]) -> Result<Self, GrammarError> {
        let have = memory.len();
        // Offsets of names have four bytes.
        let memory = Memory::new(if u32::try_from(text.len()).is_ok() { memory } else { &mut [] })?;
        let mut parser = Parser::new(text, memory);
        parser.rules()?;
        let root = parser.check_defined()?;
        parser.mark_left()?;
        parser.check_left_recursion()?;
        parser.link();
        parser.mark_live()?;
        let start = parser.memory.field(root, Field::Entry) as usize;
        if parser.memory.code().get(start).is_none_or(|word| word & LIVE == 0) {
            return Err(GrammarError::NoText);
        }
        let starts_class = class_starts(parser.memory.code());
        Grammar::finish(parser.memory.finish(), start, &starts_class).ok_or(GrammarError::Memory { have })
    }
}

/// Bytes with which a class of bytes begins that the grammar tells apart from the one before.
fn class_starts(code: &[u32]) -> [u32; 8] {
    let mut starts = [0u32; 8];
    let mut mark = |byte: u8| {
        if let Some(word) = starts.get_mut(usize::from(byte / 32)) {
            *word |= 1 << (byte % 32);
        }
    };
    for &word in code.iter().filter(|&word| word & LIVE != 0) {
        if let Some(Op::Byte(lo, hi)) = Op::decode(word) {
            mark(lo);
            if let Some(behind) = hi.checked_add(1) {
                mark(behind);
            }
        }
    }
    starts
}
