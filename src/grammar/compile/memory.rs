//! Memory of the compiler: instructions grow from the front, the table of rules from the back.

use super::super::error::GrammarError;
use super::super::program::{HEADER, MAX_CODE, Op};
use crate::hash::Hash;

/// Words of a rule in the table.
const N_FIELDS: usize = 7;
/// Lists of rules whose names have the same hash, at the very end: one for so many words, and at least the least.
const WORDS_OF_LIST: usize = 64;
const MIN_LISTS: usize = 64;
/// Rules of a list that are looked at. Names that were made to collide are refused beyond it.
const MAX_CHAIN: usize = 1024;
/// Position or number of nothing.
pub(super) const NONE: u32 = u32::MAX;

/// Field of a rule in the table.
#[derive(Clone, Copy)]
pub(super) enum Field {
    /// Offset of its name in the text, where it is first mentioned.
    Name,
    /// Bytes of its name.
    Len,
    /// Position behind its mark; [`NONE`] if it is not defined.
    Entry,
    /// Next rule in the list of its hash.
    Chain,
    /// 1 if it matches the empty text.
    Nullable,
    /// Rule from which a search came, 1 more; 0 if it was not visited, [`NONE`] once it is done.
    From,
    /// Position at which a search goes on.
    Scan,
}

pub(super) struct Memory<'m> {
    words: &'m mut [u32],
    n_code: usize,
    n_rules: usize,
    n_lists: usize,
}

impl<'m> Memory<'m> {
    pub fn new(words: &'m mut [u32]) -> Result<Self, GrammarError> {
        let have = words.len();
        let room = have.checked_sub(HEADER).ok_or(GrammarError::Memory { have })?;
        let n_lists = MIN_LISTS.max(have / WORDS_OF_LIST);
        let lists = words.len().checked_sub(n_lists).filter(|_| room >= n_lists).and_then(|at| words.get_mut(at..));
        lists.ok_or(GrammarError::Memory { have })?.fill(NONE);
        Ok(Self { words, n_code: 0, n_rules: 0, n_lists })
    }

    /// Instructions so far.
    pub fn code(&self) -> &[u32] {
        self.words.get(HEADER..HEADER + self.n_code).unwrap_or_default()
    }

    pub fn code_mut(&mut self) -> &mut [u32] {
        self.words.get_mut(HEADER..HEADER + self.n_code).unwrap_or_default()
    }

    pub fn len(&self) -> usize {
        self.n_code
    }

    pub fn n_rules(&self) -> usize {
        self.n_rules
    }

    /// First word of the table.
    fn table(&self) -> usize {
        self.words.len().saturating_sub(self.n_lists + N_FIELDS * self.n_rules)
    }

    /// Words between the instructions and the table.
    pub fn free(&mut self) -> &mut [u32] {
        let table = self.table();
        self.words.get_mut(HEADER + self.n_code..table).unwrap_or_default()
    }

    pub fn too_small(&self) -> GrammarError {
        GrammarError::Memory { have: self.words.len() }
    }

    /// Appends an instruction.
    pub fn push(&mut self, op: Op) -> Result<(), GrammarError> {
        self.insert(self.n_code, &[op])
    }

    /// Inserts instructions at `at`; those from there on move.
    pub fn insert(&mut self, at: usize, ops: &[Op]) -> Result<(), GrammarError> {
        if self.n_code + ops.len() > MAX_CODE {
            return Err(GrammarError::Size { max: MAX_CODE });
        }
        if self.free().len() < ops.len() {
            return Err(self.too_small());
        }
        let n_code = self.n_code;
        self.n_code += ops.len();
        let code = self.code_mut();
        if at < n_code {
            code.copy_within(at..n_code, at + ops.len());
        }
        code.iter_mut().skip(at).zip(ops).for_each(|(word, op)| *word = op.encode());
        Ok(())
    }

    /// Drops the instructions from `at` on.
    pub fn truncate(&mut self, at: usize) {
        self.n_code = self.n_code.min(at);
    }

    /// Replaces the instruction at `at`.
    pub fn set(&mut self, at: usize, op: Op) {
        if let Some(word) = self.code_mut().get_mut(at) {
            *word = op.encode();
        }
    }

    pub fn field(&self, rule: usize, field: Field) -> u32 {
        self.place(rule, field).and_then(|at| self.words.get(at)).copied().unwrap_or(NONE)
    }

    pub fn set_field(&mut self, rule: usize, field: Field, value: u32) {
        if let Some(word) = self.place(rule, field).and_then(|at| self.words.get_mut(at)) {
            *word = value;
        }
    }

    /// Word of a field: the rules lie backwards.
    fn place(&self, rule: usize, field: Field) -> Option<usize> {
        (self.words.len() - self.n_lists).checked_sub(N_FIELDS * (rule + 1)).map(|at| at + field as usize)
    }

    /// Number of the rule with the name at `start` of `text`; a new one if there is none.
    pub fn rule(&mut self, text: &str, start: usize, len: usize) -> Result<usize, GrammarError> {
        let named = |start: usize, len: usize| text.as_bytes().get(start..start + len).unwrap_or_default();
        let name = named(start, len);
        let list = self.words.len() - 1 - Hash::of(&[name]).below(self.n_lists);
        let first = self.words.get(list).copied().unwrap_or(NONE);
        let (mut rule, mut n_seen) = (first, 0);
        while rule != NONE {
            n_seen += 1;
            if n_seen > MAX_CHAIN {
                return Err(GrammarError::Names);
            }
            let at = rule as usize;
            let other = named(self.field(at, Field::Name) as usize, self.field(at, Field::Len) as usize);
            if other == name {
                return Ok(at);
            }
            rule = self.field(at, Field::Chain);
        }
        if self.free().len() < N_FIELDS {
            return Err(self.too_small());
        }
        let rule = self.n_rules;
        self.n_rules += 1;
        let fields =
            [(Field::Name, start as u32), (Field::Len, len as u32), (Field::Entry, NONE), (Field::Chain, first)];
        fields.into_iter().for_each(|(field, value)| self.set_field(rule, field, value));
        [Field::Nullable, Field::From, Field::Scan].into_iter().for_each(|field| self.set_field(rule, field, 0));
        if let Some(head) = self.words.get_mut(list) {
            *head = rule as u32;
        }
        Ok(rule)
    }

    /// Words of the program: header and instructions.
    pub fn finish(self) -> &'m mut [u32] {
        self.words.get_mut(..HEADER + self.n_code).unwrap_or_default()
    }
}
