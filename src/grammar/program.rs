//! A compiled grammar: instructions of a pushdown automaton over bytes.
//!
//! Each instruction is one word: the operation in bits 28 to 31, [`LIVE`] in bit 27, [`LEFT`] in bit 26, which only the compiler
//! uses, and an argument of 26 bits. Offsets are signed and count from the instruction itself.
//!
//! | operation | argument | |
//! |---|---|---|
//! | `RETURN` | | ends a rule: the frame on top says where it goes on |
//! | `BYTE` | lowest, highest | reads a byte of this range |
//! | `JUMP` | offset | |
//! | `SPLIT` | offset | goes on behind it and at the offset |
//! | `CALL` | position | pushes the position behind it and goes to a rule |
//! | `ENTER` | | pushes a count of 0 for the loop behind it |
//! | `LOOP` | offset of its exit | runs the body once more, or leaves; two `DATA` behind it are the least and the greatest count |
//! | `NEXT` | offset of its `LOOP` | ends the body of a loop |
//! | `DATA` | number | |
//! | `RULE` | number of the rule | marks the beginning of a rule, does nothing |
//!
//! A character class is an alternative of sequences of byte ranges, so that characters need no decoder. An instruction is live if
//! a text can end from there; others are never reached, so no text runs into a dead end.
//!
//! A program begins with a header of [`HEADER`] words: the magic number, the version, the number of instructions, the position of
//! the root, the number of byte classes, two zeros, a checksum of all other words, and the class of each byte, four to a word.

use core::ops::Range;

use super::error::ProgramError;
use crate::checksum::Checksum;

/// First word.
const MAGIC: u32 = u32::from_le_bytes(*b"NFGR");
const VERSION: u32 = 1;
/// Word of the checksum.
const CHECKSUM: usize = 7;
/// First word of the byte classes.
const CLASSES: usize = 8;
/// Words before the instructions.
pub(super) const HEADER: usize = CLASSES + 64;
/// Instructions of a program at most.
pub(super) const MAX_CODE: usize = 1 << 24;
/// Greatest count of a loop without one, and of `DATA`.
pub(super) const NO_MAX: u32 = ARGUMENT;

/// Bit of an instruction from which a text can end.
pub(super) const LIVE: u32 = 1 << 27;
/// Bit of an instruction that is reached before a byte is read in its rule.
pub(super) const LEFT: u32 = 1 << 26;
const ARGUMENT: u32 = LEFT - 1;

/// An instruction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Op {
    Return,
    Byte(u8, u8),
    Jump(i32),
    Split(i32),
    Call(u32),
    Enter,
    Loop(i32),
    Next(i32),
    Data(u32),
    Rule(u32),
}

impl Op {
    /// Word of the instruction, without flags.
    pub const fn encode(self) -> u32 {
        let (op, argument) = match self {
            Self::Return => (0, 0),
            Self::Byte(lo, hi) => (1, (hi as u32) << 8 | lo as u32),
            Self::Jump(offset) => (2, offset as u32),
            Self::Split(offset) => (3, offset as u32),
            Self::Call(at) => (4, at),
            Self::Enter => (5, 0),
            Self::Loop(offset) => (6, offset as u32),
            Self::Next(offset) => (7, offset as u32),
            Self::Data(number) => (8, number),
            Self::Rule(number) => (9, number),
        };
        op << 28 | argument & ARGUMENT
    }

    /// Instruction of a word; `None` if there is no such operation.
    pub const fn decode(word: u32) -> Option<Self> {
        let argument = word & ARGUMENT;
        // Sign-extends 26 bits.
        let offset = ((argument << 6) as i32) >> 6;
        Some(match word >> 28 {
            0 => Self::Return,
            1 => Self::Byte(argument as u8, (argument >> 8) as u8),
            2 => Self::Jump(offset),
            3 => Self::Split(offset),
            4 => Self::Call(argument),
            5 => Self::Enter,
            6 => Self::Loop(offset),
            7 => Self::Next(offset),
            8 => Self::Data(argument),
            9 => Self::Rule(argument),
            _ => return None,
        })
    }
}

/// Position `offset` instructions from `at`; one that no program has if it overflows.
pub(super) const fn target(at: usize, offset: i32) -> usize {
    at.wrapping_add_signed(offset as isize)
}

/// Sizes of a grammar that a matcher's memory depends on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct GrammarSizes {
    /// Instructions.
    pub n_code: usize,
    /// Classes of bytes that the grammar does not tell apart, 1 to 256.
    pub n_classes: usize,
}

impl GrammarSizes {
    /// Sizes of a grammar in flash; `None` if its header is not that of as many bytes. Nothing else is checked.
    pub const fn read(bytes: &[u8]) -> Option<Self> {
        let (words, _) = bytes.as_chunks::<4>();
        let Some(&[magic, version, n_code, _, n_classes]) = words.first_chunk() else { return None };
        let (n_code, n_classes) = (u32::from_le_bytes(n_code) as usize, u32::from_le_bytes(n_classes) as usize);
        let is_whole = u32::from_le_bytes(magic) == MAGIC
            && u32::from_le_bytes(version) == VERSION
            && n_code <= MAX_CODE
            && bytes.len() == 4 * (HEADER + n_code)
            && n_classes <= 256;
        if is_whole { Some(Self { n_code, n_classes }) } else { None }
    }
}

/// Grammar that was compiled: the set of texts that may be written.
///
/// The words are borrowed: from the memory that [`compile`](Self::compile) was given, or from flash.
#[derive(Clone, Copy, Debug)]
pub struct Grammar<'g> {
    words: &'g [u32],
}

impl<'g> Grammar<'g> {
    /// Reads the [`words`](Self::words) of a grammar that was compiled before, such as one in flash
    /// ([`Self::from_bytes`] takes bytes).
    ///
    /// Any words give an error, or a grammar that stays within its bounds. Only a checksum guards against wrong texts, so
    /// the words should come from a build.
    ///
    /// # Errors
    /// [`ProgramError`] says what is wrong with the words.
    pub fn from_words(words: &'g [u32]) -> Result<Self, ProgramError> {
        let (header, code) = words.split_first_chunk::<HEADER>().ok_or(ProgramError::Size { have: words.len() })?;
        let [magic, version, n_code, ..] = *header;
        if magic != MAGIC {
            return Err(ProgramError::Magic);
        }
        if version != VERSION {
            return Err(ProgramError::Version { found: version });
        }
        if n_code as usize != code.len() || code.len() > MAX_CODE {
            return Err(ProgramError::Size { have: words.len() });
        }
        let grammar = Self { words };
        let classes_exist = (0..=u8::MAX).all(|byte| grammar.class(byte) < grammar.n_classes());
        if header.get(CHECKSUM) != Some(&grammar.checksum())
            || !classes_exist
            || grammar.n_classes() > 256
            || code.iter().any(|&word| Op::decode(word).is_none())
        {
            return Err(ProgramError::Damaged);
        }
        Ok(grammar)
    }

    /// Reads the [`words`](Self::words) of a grammar from bytes, which lie at a multiple of four; the processor has to be
    /// little-endian, as every supported one is.
    ///
    /// # Errors
    /// [`ProgramError`] says what is wrong with the bytes.
    pub fn from_bytes(bytes: &'g [u8]) -> Result<Self, ProgramError> {
        Self::from_words(nearfield_kernels::arena::view(bytes).ok_or(ProgramError::Misaligned)?)
    }

    /// Words of the grammar, for [`from_words`](Self::from_words); a build script writes them in little-endian order.
    pub fn words(&self) -> &'g [u32] {
        self.words
    }

    /// Completes a program whose header is not written yet.
    pub(super) fn finish(words: &'g mut [u32], start: usize, starts_class: &[u32; 8]) -> Option<Self> {
        let n_code = words.len().checked_sub(HEADER)?;
        let (header, _) = words.split_first_chunk_mut::<HEADER>()?;
        *header = [0; HEADER];
        let mut class = 0;
        for byte in 0..=u8::MAX {
            let starts = starts_class.get(usize::from(byte / 32)).is_some_and(|word| word >> (byte % 32) & 1 == 1);
            class += u32::from(starts && byte > 0);
            if let Some(word) = header.get_mut(CLASSES + usize::from(byte / 4)) {
                *word |= class << (8 * (byte % 4));
            }
        }
        let [magic, version, n, root, n_classes, ..] = header;
        (*magic, *version, *n, *root, *n_classes) = (MAGIC, VERSION, n_code as u32, start as u32, class + 1);
        let checksum = Grammar { words }.checksum();
        *words.get_mut(CHECKSUM)? = checksum;
        Some(Self { words })
    }

    fn checksum(&self) -> u32 {
        Checksum::of(self.words.iter().enumerate().filter(|&(i, _)| i != CHECKSUM).map(|(_, &word)| word))
    }

    fn word(&self, at: usize) -> u32 {
        self.words.get(at).copied().unwrap_or(0)
    }

    /// Sizes that a matcher's memory depends on.
    pub(super) fn sizes(&self) -> GrammarSizes {
        GrammarSizes { n_code: self.code().len(), n_classes: self.n_classes() }
    }

    /// Position of the root.
    pub(super) fn start(&self) -> usize {
        self.word(3) as usize
    }

    /// Number of classes of bytes that the grammar does not tell apart, 1 to 256.
    pub(super) fn n_classes(&self) -> usize {
        self.word(4) as usize
    }

    /// Class of a byte.
    pub(super) fn class(&self, byte: u8) -> usize {
        (self.word(CLASSES + usize::from(byte / 4)) >> (8 * (byte % 4)) & 0xff) as usize
    }

    /// Instructions.
    pub(super) fn code(&self) -> &'g [u32] {
        self.words.get(HEADER..).unwrap_or_default()
    }
}

/// Least and greatest count of the loop at `at`.
pub(super) fn counts(code: &[u32], at: usize) -> Option<(u32, u32)> {
    let [least, greatest] = *code.get(at.wrapping_add(1)..)?.first_chunk()?;
    match (Op::decode(least)?, Op::decode(greatest)?) {
        (Op::Data(min), Op::Data(max)) => Some((min, max)),
        _ => None,
    }
}

/// Passes of a search over all rules at most. A search that goes forward and backward by turns needs few, whichever of two rules is
/// defined first.
pub(super) const MAX_PASSES: usize = 256;

/// Instructions of the first rule of `rest`, or of the last if the search goes `backward`, which are taken out of `rest`.
pub(super) fn next_rule(code: &[u32], rest: &mut Range<usize>, backward: bool) -> Option<Range<usize>> {
    let is_mark = |word: &u32| matches!(Op::decode(*word), Some(Op::Rule(_)));
    let left = code.get(rest.clone()).filter(|left| !left.is_empty())?;
    if backward {
        let start = rest.start + left.iter().rposition(is_mark).unwrap_or(0);
        let rule = start..rest.end;
        rest.end = start;
        Some(rule)
    } else {
        let end = rest.start + left.iter().skip(1).position(is_mark).map_or(left.len(), |n| n + 1);
        let rule = rest.start..end;
        rest.start = end;
        Some(rule)
    }
}

/// True if a text can end from the instruction at `at`, as far as `live` knows it of others.
///
/// - `bytes`: true if a byte of the range can be read
/// - `blocked`: true for the end of a body that cannot run again although it may have to
pub(super) fn is_live(
    code: &[u32],
    at: usize,
    live: impl Fn(usize) -> bool,
    bytes: impl Fn(u8, u8) -> bool,
    blocked: impl Fn(usize) -> bool,
) -> bool {
    let Some(op) = code.get(at).and_then(|&word| Op::decode(word)) else { return false };
    match op {
        Op::Return => true,
        Op::Byte(lo, hi) => bytes(lo, hi) && live(at + 1),
        Op::Jump(offset) => live(target(at, offset)),
        Op::Split(offset) => live(at + 1) || live(target(at, offset)),
        Op::Call(rule) => live(rule as usize) && live(at + 1),
        Op::Enter | Op::Rule(_) => live(at + 1),
        Op::Loop(exit) => live(target(at, exit)) && counts(code, at).is_some_and(|(min, _)| min == 0 || live(at + 3)),
        Op::Next(_) => live(at + 1) && !blocked(at),
        Op::Data(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_are_found_both_ways() {
        let code = [Op::Rule(0), Op::Return, Op::Rule(1), Op::Byte(1, 2), Op::Return, Op::Rule(2)].map(Op::encode);
        for (backward, want) in [(false, [0..2, 2..5, 5..6]), (true, [5..6, 2..5, 0..2])] {
            let mut rest = 0..code.len();
            for rule in want {
                assert_eq!(next_rule(&code, &mut rest, backward), Some(rule));
            }
            assert_eq!(next_rule(&code, &mut rest, backward), None);
        }
    }

    #[test]
    fn instructions_are_read_as_they_were_written() {
        for op in [
            Op::Return,
            Op::Byte(0, 255),
            Op::Byte(0x80, 0xbf),
            Op::Jump(-(1 << 25)),
            Op::Split((1 << 25) - 1),
            Op::Call(MAX_CODE as u32),
            Op::Enter,
            Op::Loop(-1),
            Op::Next(1),
            Op::Data(NO_MAX),
            Op::Rule(7),
        ] {
            assert_eq!(Op::decode(op.encode() | LIVE | LEFT), Some(op));
        }
        assert_eq!(Op::decode(15 << 28), None);
    }
}
