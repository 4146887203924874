//! Checks of all rules together: each is defined, none begins with itself, and the root has a text that ends.

use core::ops::Range;

use super::super::error::{GrammarError, RuleName};
use super::super::program::{LEFT, LIVE, MAX_PASSES, Op, counts, is_live, next_rule, target};
use super::memory::{Field, Memory, NONE};
use super::parse::Parser;

impl Parser<'_, '_> {
    /// Checks that rules that are used are defined; returns the number of the root.
    pub(super) fn check_defined(&mut self) -> Result<usize, GrammarError> {
        let is_root = |&rule: &usize| self.name_of(rule) == "root";
        let root = (0..self.memory.n_rules()).find(is_root).ok_or(GrammarError::NoRoot)?;
        match (0..self.memory.n_rules()).find(|&rule| self.memory.field(rule, Field::Entry) == NONE) {
            Some(rule) => {
                let (at, name) = self.shown(rule);
                Err(GrammarError::UnknownRule { at, name })
            }
            None => Ok(root),
        }
    }

    /// Marks instructions that are reached before a byte is read in their rule, and rules that match the empty text.
    pub(super) fn mark_left(&mut self) -> Result<(), GrammarError> {
        for pass in 0..MAX_PASSES {
            if !left_pass(&mut self.memory, pass % 2 == 1) {
                return Ok(());
            }
        }
        Err(GrammarError::Order)
    }

    /// Looks for rules that begin with themselves.
    pub(super) fn check_left_recursion(&mut self) -> Result<(), GrammarError> {
        for first in 0..self.memory.n_rules() {
            if self.memory.field(first, Field::From) != 0 {
                continue;
            }
            let mut rule = first;
            self.begin_scan(rule, NONE - 1);
            loop {
                match self.next_left_call(rule) {
                    Some(callee) => match self.memory.field(callee, Field::From) {
                        0 => {
                            self.begin_scan(callee, rule as u32 + 1);
                            rule = callee;
                        }
                        NONE => {}
                        _ => {
                            let (at, name) = self.shown(callee);
                            return Err(GrammarError::LeftRecursion { at, name });
                        }
                    },
                    None => {
                        let from = self.memory.field(rule, Field::From);
                        self.memory.set_field(rule, Field::From, NONE);
                        if from == NONE - 1 {
                            break;
                        }
                        rule = from.saturating_sub(1) as usize;
                    }
                }
            }
        }
        Ok(())
    }

    fn begin_scan(&mut self, rule: usize, from: u32) {
        self.memory.set_field(rule, Field::From, from);
        let entry = self.memory.field(rule, Field::Entry);
        self.memory.set_field(rule, Field::Scan, entry);
    }

    /// Next rule that is called where `rule` has read nothing.
    fn next_left_call(&mut self, rule: usize) -> Option<usize> {
        let mut at = self.memory.field(rule, Field::Scan) as usize;
        let callee = loop {
            let &word = self.memory.code().get(at)?;
            at += 1;
            match Op::decode(word)? {
                Op::Rule(_) => return None,
                Op::Call(callee) if word & LEFT != 0 => break callee,
                _ => {}
            }
        };
        self.memory.set_field(rule, Field::Scan, at as u32);
        Some(callee as usize)
    }

    /// Replaces the numbers of rules in calls by their positions.
    pub(super) fn link(&mut self) {
        for at in 0..self.memory.len() {
            if let Some(Op::Call(rule)) = self.memory.code().get(at).and_then(|&word| Op::decode(word)) {
                let entry = self.memory.field(rule as usize, Field::Entry);
                self.memory.set(at, Op::Call(entry));
            }
        }
    }

    /// Marks the instructions from which a text can end, and clears the other marks.
    pub(super) fn mark_live(&mut self) -> Result<(), GrammarError> {
        let code = self.memory.code_mut();
        code.iter_mut().for_each(|word| *word &= !(LEFT | LIVE));
        for pass in 0..MAX_PASSES {
            let (mut changed, mut rest) = (false, 0..code.len());
            while let Some(rule) = next_rule(code, &mut rest, pass % 2 == 0) {
                for at in rule.rev() {
                    let has = |at: usize| code.get(at).is_some_and(|word| word & LIVE != 0);
                    let live = !has(at) && is_live(code, at, has, |_, _| true, |_| false);
                    if let Some(word) = code.get_mut(at).filter(|_| live) {
                        *word |= LIVE;
                        changed = true;
                    }
                }
            }
            if !changed {
                return Ok(());
            }
        }
        Err(GrammarError::Order)
    }

    fn name_of(&self, rule: usize) -> &str {
        let start = self.memory.field(rule, Field::Name) as usize;
        self.text.get(start..start + self.memory.field(rule, Field::Len) as usize).unwrap_or_default()
    }

    /// Place and name of a rule for an error.
    fn shown(&self, rule: usize) -> (super::super::error::Place, RuleName) {
        let mut name = RuleName::new();
        self.name_of(rule).chars().for_each(|c| {
            let _ = name.push(c);
        });
        (self.place(self.memory.field(rule, Field::Name) as usize), name)
    }
}

/// A pass of [`Parser::mark_left`] over the rules, forward or backward; true if something changed.
fn left_pass(memory: &mut Memory<'_>, backward: bool) -> bool {
    let (mut changed, mut rest) = (false, 0..memory.len());
    while let Some(rule) = next_rule(memory.code(), &mut rest, backward) {
        changed |= left_of_rule(memory, rule);
    }
    changed
}

/// Marks what is reached in a rule before a byte is read. Loops are entered at their beginning only, so that one way from front to
/// back reaches all but what lies behind other rules.
fn left_of_rule(memory: &mut Memory<'_>, at: Range<usize>) -> bool {
    let (mut changed, mut rule) = (false, None);
    for at in at {
        let Some(&word) = memory.code().get(at) else { break };
        let Some(op) = Op::decode(word) else { break };
        if let Op::Rule(number) = op {
            // The mark of a definition that was replaced stands before none.
            rule = Some(number as usize).filter(|&rule| memory.field(rule, Field::Entry) as usize == at + 1);
            changed |= rule.is_some() && mark(memory, at + 1);
            continue;
        }
        if word & LEFT == 0 {
            continue;
        }
        match op {
            Op::Return => {
                if let Some(rule) = rule
                    && memory.field(rule, Field::Nullable) == 0
                {
                    memory.set_field(rule, Field::Nullable, 1);
                    changed = true;
                }
            }
            Op::Jump(offset) => changed |= mark(memory, target(at, offset)),
            Op::Split(offset) => {
                changed |= mark(memory, at + 1);
                changed |= mark(memory, target(at, offset));
            }
            Op::Call(callee) => {
                changed |= memory.field(callee as usize, Field::Nullable) == 1 && mark(memory, at + 1);
            }
            Op::Enter | Op::Next(_) => changed |= mark(memory, at + 1),
            Op::Loop(exit) => {
                let may_skip = counts(memory.code(), at).is_some_and(|(min, _)| min == 0);
                changed |= mark(memory, at + 3);
                changed |= may_skip && mark(memory, target(at, exit));
            }
            Op::Byte(..) | Op::Data(_) | Op::Rule(_) => {}
        }
    }
    changed
}

/// Marks an instruction; true if it was not.
fn mark(memory: &mut Memory<'_>, at: usize) -> bool {
    match memory.code_mut().get_mut(at) {
        Some(word) if *word & LEFT == 0 => {
            *word |= LEFT;
            true
        }
        _ => false,
    }
}
