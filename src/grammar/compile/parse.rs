//! GBNF to instructions, as llama.cpp reads it, in one pass.

use super::super::error::{GrammarError, Place};
use super::super::program::{NO_MAX, Op};
use super::class::{self, Ranges};
use super::memory::{Field, Memory};

/// Groups in each other, at most.
const MAX_DEPTH: usize = 64;

pub(super) struct Parser<'t, 'm> {
    pub text: &'t str,
    pub memory: Memory<'m>,
    pos: usize,
    depth: usize,
}

impl<'t, 'm> Parser<'t, 'm> {
    pub fn new(text: &'t str, memory: Memory<'m>) -> Self {
        Self { text, memory, pos: 0, depth: 0 }
    }

    /// Reads all rules.
    pub fn rules(&mut self) -> Result<(), GrammarError> {
        self.space(true);
        while self.pos < self.text.len() {
            self.rule()?;
            self.space(true);
        }
        Ok(())
    }

    fn rule(&mut self) -> Result<(), GrammarError> {
        let rule = self.name("the name of a rule")?;
        self.space(false);
        self.eat("::=", "::=")?;
        self.space(true);
        self.memory.push(Op::Rule(rule as u32))?;
        // A rule that is defined again replaces the first, as in llama.cpp.
        let entry = self.memory.len() as u32;
        self.memory.set_field(rule, Field::Entry, entry);
        self.alternatives(false)?;
        self.memory.push(Op::Return)?;
        match self.peek() {
            None | Some(b'\r' | b'\n') => Ok(()),
            Some(_) => Err(self.expected("a character, class, rule, group or the end of the line")),
        }
    }

    fn alternatives(&mut self, nested: bool) -> Result<(), GrammarError> {
        /// End of the list of jumps to the end.
        const LAST: u32 = NO_MAX;
        let mut jumps = LAST;
        loop {
            let start = self.memory.len();
            self.sequence(nested)?;
            if self.peek() != Some(b'|') {
                break;
            }
            self.pos += 1;
            self.space(true);
            let behind = offset(start, self.memory.len() + 2);
            self.memory.insert(start, &[Op::Split(behind)])?;
            // Until the end is known, the jump holds the place of the one before.
            let at = self.memory.len() as u32;
            self.memory.push(Op::Data(jumps))?;
            jumps = at;
        }
        let end = self.memory.len();
        while let Some(Op::Data(before)) = self.memory.code().get(jumps as usize).and_then(|&word| Op::decode(word)) {
            self.memory.set(jumps as usize, Op::Jump(offset(jumps as usize, end)));
            jumps = before;
        }
        Ok(())
    }

    fn sequence(&mut self, nested: bool) -> Result<(), GrammarError> {
        let (mut last, mut n_repeats) = (None, 0);
        while let Some(byte) = self.peek() {
            let start = self.memory.len();
            match byte {
                b'"' => self.literal()?,
                b'[' => self.class()?,
                b'.' => {
                    self.pos += 1;
                    class::emit(&mut self.memory, &Ranges::ANY)?;
                }
                b'(' => self.group()?,
                b'<' | b'!' => return Err(GrammarError::Token { at: self.place(self.pos) }),
                b'*' | b'+' | b'?' | b'{' => {
                    let at = self.pos;
                    let (min, max) = self.counts(nested)?;
                    let Some(start) = last else {
                        self.pos = at;
                        return Err(self.expected("something to repeat"));
                    };
                    // Each moves the instructions of all before.
                    n_repeats += 1;
                    if n_repeats > MAX_DEPTH {
                        return Err(GrammarError::Depth { at: self.place(at), max: MAX_DEPTH });
                    }
                    self.repeat(start, min, max)?;
                    self.space(nested);
                    continue;
                }
                byte if is_word(byte) => {
                    let rule = self.name("a rule")?;
                    self.memory.push(Op::Call(rule as u32))?;
                }
                _ => break,
            }
            (last, n_repeats) = (Some(start), 0);
            self.space(nested);
        }
        Ok(())
    }

    fn group(&mut self) -> Result<(), GrammarError> {
        if self.depth == MAX_DEPTH {
            return Err(GrammarError::Depth { at: self.place(self.pos), max: MAX_DEPTH });
        }
        self.depth += 1;
        self.pos += 1;
        self.space(true);
        self.alternatives(true)?;
        self.depth -= 1;
        self.eat(")", "a character, class, rule, group or )")
    }

    fn literal(&mut self) -> Result<(), GrammarError> {
        self.pos += 1;
        while self.peek() != Some(b'"') {
            let at = self.pos;
            let code = self.character("a character or \"")?;
            let no_character = || GrammarError::NoCharacter { at: self.place(at), found: code };
            let character = char::from_u32(code).ok_or_else(no_character)?;
            for &byte in character.encode_utf8(&mut [0; 4]).as_bytes() {
                self.memory.push(Op::Byte(byte, byte))?;
            }
        }
        self.pos += 1;
        Ok(())
    }

    fn class(&mut self) -> Result<(), GrammarError> {
        let start = self.pos;
        self.pos += 1;
        let negated = self.peek() == Some(b'^');
        self.pos += usize::from(negated);
        let mut n = 0;
        while self.peek() != Some(b']') {
            let at = self.pos;
            let lo = self.character("a character or ]")?;
            let mut hi = lo;
            if self.rest().starts_with('-') && !self.rest().starts_with("-]") {
                self.pos += 1;
                hi = self.character("the last character of a range")?;
            }
            if let Some(&found) = [lo, hi].iter().find(|&&code| code > char::MAX as u32) {
                return Err(GrammarError::NoCharacter { at: self.place(at), found });
            }
            if hi < lo {
                return Err(GrammarError::Backwards { at: self.place(at) });
            }
            let too_small = self.memory.too_small();
            let pair = self.memory.free().get_mut(n..n + 2).ok_or(too_small)?;
            pair.copy_from_slice(&[lo, hi]);
            n += 2;
        }
        if n == 0 {
            self.pos = start;
            return Err(self.expected("a class that is not empty"));
        }
        self.pos += 1;
        class::emit_pairs(&mut self.memory, n, negated)
    }

    /// Reads a repetition; the greatest count is [`NO_MAX`] if there is none.
    fn counts(&mut self, nested: bool) -> Result<(u32, u32), GrammarError> {
        let (at, byte) = (self.pos, self.peek());
        self.pos += 1;
        match byte {
            Some(b'*') => return Ok((0, NO_MAX)),
            Some(b'+') => return Ok((1, NO_MAX)),
            Some(b'?') => return Ok((0, 1)),
            _ => self.space(nested),
        }
        let min = self.number()?;
        self.space(nested);
        let mut max = min;
        if self.peek() == Some(b',') {
            self.pos += 1;
            self.space(nested);
            max = if self.peek().is_some_and(|byte| byte.is_ascii_digit()) { self.number()? } else { NO_MAX };
            self.space(nested);
        }
        self.eat("}", "a number, a comma or }")?;
        if max < min {
            return Err(GrammarError::Backwards { at: self.place(at) });
        }
        Ok((min, max))
    }

    /// Lets the instructions from `start` on run `min` to `max` times.
    fn repeat(&mut self, start: usize, min: u32, max: u32) -> Result<(), GrammarError> {
        let end = self.memory.len();
        let body = offset(start, end);
        match (min, max) {
            (_, 0) => self.memory.truncate(start),
            (1, 1) => {}
            (0, 1) => self.memory.insert(start, &[Op::Split(body + 1)])?,
            (0, NO_MAX) => {
                self.memory.insert(start, &[Op::Split(body + 2)])?;
                self.memory.push(Op::Jump(-(body + 1)))?;
            }
            (1, NO_MAX) => self.memory.push(Op::Split(-body))?,
            _ => {
                let head = [Op::Enter, Op::Loop(body + 4), Op::Data(min), Op::Data(max)];
                self.memory.insert(start, &head)?;
                self.memory.push(Op::Next(-(body + 3)))?;
            }
        }
        Ok(())
    }

    fn number(&mut self) -> Result<u32, GrammarError> {
        /// Greatest count, far below what a program could hold otherwise.
        const MAX: u32 = 10_000_000;
        let at = self.pos;
        let digits = self.rest().bytes().take_while(u8::is_ascii_digit).count();
        if digits == 0 {
            return Err(self.expected("a number"));
        }
        self.pos += digits;
        let number = self.text.get(at..self.pos).and_then(|digits| digits.parse().ok()).filter(|&number| number <= MAX);
        number.ok_or_else(|| GrammarError::Count { at: self.place(at), max: MAX })
    }

    /// Reads a character of a literal or a class, as a code point.
    fn character(&mut self, expected: &'static str) -> Result<u32, GrammarError> {
        let Some(character) = self.rest().chars().next() else { return Err(self.expected(expected)) };
        self.pos += character.len_utf8();
        if character != '\\' {
            return Ok(character.into());
        }
        let Some(escape) = self.peek() else { return Err(self.expected("an escaped character")) };
        self.pos += 1;
        match escape {
            b'x' => self.hex(2),
            b'u' => self.hex(4),
            b'U' => self.hex(8),
            b't' => Ok('\t'.into()),
            b'r' => Ok('\r'.into()),
            b'n' => Ok('\n'.into()),
            b'\\' | b'"' | b'[' | b']' | b'-' => Ok(escape.into()),
            _ => {
                self.pos -= 1;
                Err(self.expected("an escape: one of \\x \\u \\U \\t \\r \\n \\\\ \\\" \\[ \\] \\-"))
            }
        }
    }

    fn hex(&mut self, n: usize) -> Result<u32, GrammarError> {
        let mut code = 0;
        for _ in 0..n {
            let digit = self.peek().and_then(|byte| char::from(byte).to_digit(16));
            let Some(digit) = digit else { return Err(self.expected("a hexadecimal digit")) };
            code = code << 4 | digit;
            self.pos += 1;
        }
        Ok(code)
    }

    /// Reads the name of a rule; returns its number.
    fn name(&mut self, expected: &'static str) -> Result<usize, GrammarError> {
        let len = self.rest().bytes().take_while(|&byte| is_word(byte)).count();
        if len == 0 {
            return Err(self.expected(expected));
        }
        let rule = self.memory.rule(self.text, self.pos, len)?;
        self.pos += len;
        Ok(rule)
    }

    /// Reads spaces and comments, and line ends where they mean nothing.
    fn space(&mut self, newlines: bool) {
        while let Some(byte) = self.peek() {
            match byte {
                b' ' | b'\t' => self.pos += 1,
                b'\r' | b'\n' if newlines => self.pos += 1,
                b'#' => {
                    let end = self.rest().find(['\r', '\n']);
                    self.pos = end.map_or(self.text.len(), |end| self.pos + end);
                }
                _ => break,
            }
        }
    }

    fn eat(&mut self, token: &str, expected: &'static str) -> Result<(), GrammarError> {
        if !self.rest().starts_with(token) {
            return Err(self.expected(expected));
        }
        self.pos += token.len();
        Ok(())
    }

    fn rest(&self) -> &'t str {
        self.text.get(self.pos..).unwrap_or_default()
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.pos).copied()
    }

    fn expected(&self, expected: &'static str) -> GrammarError {
        GrammarError::Syntax { at: self.place(self.pos), expected, found: self.rest().chars().next() }
    }

    /// Line and column of a byte.
    pub fn place(&self, at: usize) -> Place {
        let before = self.text.get(..at).unwrap_or(self.text);
        let start = before.rfind('\n').map_or(0, |newline| newline + 1);
        let column = before.get(start..).unwrap_or_default().chars().count() + 1;
        Place { line: before.bytes().filter(|&byte| byte == b'\n').count() + 1, column }
    }
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'-'
}

/// Offset between two positions, which are below 2^24.
fn offset(from: usize, to: usize) -> i32 {
    to as i32 - from as i32
}
