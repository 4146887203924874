//! The automaton of a grammar, whose states are computed as they are needed.
//!
//! A reading of the text so far is a stack: the position of the next byte on top, positions at which rules go on below. A state is
//! the set of all readings, so that a grammar may be ambiguous. Equal states are one, and keep the next state for each class of
//! bytes, so that a byte costs one look into a table once its state was seen. When the memory is full, states that are not needed are
//! dropped.

mod nodes;
mod queue;
mod states;

use nearfield_kernels::Arena;

use super::error::MatchError;
use super::program::{Grammar, GrammarSizes, LIVE, MAX_PASSES, NO_MAX, Op, counts, is_live, next_rule, target};
use crate::const_math::sum_known;
use nodes::{BOTTOM, Frame, Nodes};
use queue::Queue;
pub(super) use states::DEAD;
use states::{ALIVE, COMPLETE, MAX_STATES, States, UNKNOWN};

/// Sizes of an automaton's memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct MatcherConfig {
    /// States that are kept, at most 65,534.
    pub n_states: usize,
    /// Readings of the text in all states together. One step may need as many again while it is computed.
    pub n_readings: usize,
    /// Frames of the stacks of all states.
    pub n_frames: usize,
    /// Sets of allowed tokens that are kept for states, 1 at least; each has a bit for each token of the vocabulary.
    pub n_sets: usize,
    /// Readings that may be looked at for one token, which bounds its time; `u32::MAX` for any number.
    pub max_steps: u32,
}

impl MatcherConfig {
    /// Sizes for a small grammar on a microcontroller, such as a choice of commands: about 6 KiB and the sets.
    pub const SMALL: Self = Self { n_states: 48, n_readings: 128, n_frames: 128, n_sets: 1, max_steps: u32::MAX };

    /// Sizes for a host: the sets of allowed tokens are most of it.
    pub const HOST: Self =
        Self { n_states: 8192, n_readings: 1 << 18, n_frames: 1 << 17, n_sets: 64, max_steps: u32::MAX };

    /// Branches that may wait in one step.
    const fn n_queue(&self) -> usize {
        self.n_readings / 4 + 32
    }
}

/// States that stay valid while others are computed, with new numbers where memory was freed.
pub(super) type Path = [u16];

#[derive(Debug)]
pub(super) struct Automaton<'g, 'a> {
    grammar: Grammar<'g>,
    nodes: Nodes<'a>,
    states: States<'a>,
    queue: Queue<'a>,
    /// A bit for each instruction from which the vocabulary can spell a text to the end of its rule.
    alive: &'a mut [u32],
    /// A bit for each end of a body that cannot run again although it may have to.
    blocked: &'a mut [u32],
    /// Readings of the state that is being made.
    n_new: usize,
    /// True if the text may end in the state that is being made.
    complete: bool,
    /// Readings that may still be looked at for this token.
    steps_left: u32,
    max_steps: u32,
}

impl<'g, 'a> Automaton<'g, 'a> {
    /// Bytes of arena for a grammar with so many instructions and byte classes; `None` if they overflow.
    pub const fn bytes(grammar: GrammarSizes, config: &MatcherConfig) -> Option<usize> {
        let marks = Arena::bytes_of::<u32>(grammar.n_code.div_ceil(32));
        sum_known([
            Nodes::bytes(config.n_frames),
            States::bytes(config.n_states, config.n_readings, grammar.n_classes),
            Queue::bytes(config.n_queue()),
            marks,
            marks,
        ])
    }

    /// Automaton for a vocabulary in which `bytes` has the bit of each byte that is a token of its own.
    pub fn take(grammar: Grammar<'g>, config: &MatcherConfig, bytes: &[u32; 8], arena: &mut Arena<'a>) -> Option<Self> {
        let n_states = config.n_states.min(MAX_STATES);
        let mut automaton = Self {
            grammar,
            nodes: Nodes::take(arena, config.n_frames)?,
            states: States::take(arena, n_states, config.n_readings, grammar.n_classes())?,
            queue: Queue::take(arena, config.n_queue())?,
            alive: arena.take(grammar.code().len().div_ceil(32))?,
            blocked: arena.take(grammar.code().len().div_ceil(32))?,
            n_new: 0,
            complete: false,
            steps_left: config.max_steps,
            max_steps: config.max_steps,
        };
        automaton.mark_alive(bytes);
        Some(automaton)
    }

    /// Marks instructions from which a text can end with these bytes.
    fn mark_alive(&mut self, bytes: &[u32; 8]) {
        self.blocked.fill(0);
        for _ in 0..MAX_PASSES {
            self.alive.fill(0);
            // Marks that further passes would find are left out: what they stand for is not allowed then.
            let _ = (0..MAX_PASSES).take_while(|pass| self.alive_pass(bytes, pass % 2 == 0)).count();
            if !self.block() {
                return;
            }
        }
        self.alive.fill(0);
    }

    /// A pass over the rules, each from back to front; true if something changed.
    fn alive_pass(&mut self, bytes: &[u32; 8], backward: bool) -> bool {
        let code = self.grammar.code();
        let has = |byte: u8| bit(bytes, usize::from(byte));
        let readable = |lo: u8, hi: u8| (lo..=hi).any(has);
        let mut changed = false;
        let mut rest = 0..code.len();
        while let Some(rule) = next_rule(code, &mut rest, backward) {
            for at in rule.rev().filter(|&at| code.get(at).is_some_and(|word| word & LIVE != 0)) {
                let (alive, blocked) = (&*self.alive, &*self.blocked);
                if !bit(alive, at) && is_live(code, at, |at| bit(alive, at), readable, |at| bit(blocked, at)) {
                    changed |= set_bit(self.alive, at);
                }
            }
        }
        changed
    }

    /// Marks the ends of bodies that may have to run again, but cannot begin; true if there is another.
    fn block(&mut self) -> bool {
        let code = self.grammar.code();
        let mut changed = false;
        for at in 0..code.len() {
            if let Some(Op::Next(offset)) = self.op(at)
                && let start = target(at, offset)
                && counts(code, start).is_some_and(|(min, _)| min > 1)
                && !bit(self.alive, start.wrapping_add(3))
                && !bit(self.blocked, at)
            {
                changed |= set_bit(self.blocked, at);
            }
        }
        changed
    }

    /// State of the empty text. If memory has to be freed, the states of `others` stay valid as long as there is room.
    pub fn start(&mut self, others: &mut Path) -> Result<u16, MatchError> {
        for attempt in 0..3 {
            match self.try_start() {
                Err(MatchError::Full) if attempt < 2 => {
                    if attempt == 1 {
                        others.fill(DEAD);
                    }
                    self.free([&mut *others]);
                }
                result => return result,
            }
        }
        Err(MatchError::Full)
    }

    fn try_start(&mut self) -> Result<u16, MatchError> {
        self.begin();
        self.follow(self.grammar.start(), BOTTOM)?;
        self.finish()
    }

    /// Begins a token, which may take [`max_steps`](MatcherConfig::max_steps).
    pub fn begin_token(&mut self) {
        self.steps_left = self.max_steps;
    }

    /// Takes steps of the present token.
    fn spend(&mut self, n: usize) -> Result<(), MatchError> {
        let left = self.steps_left.checked_sub(u32::try_from(n).unwrap_or(u32::MAX));
        self.steps_left = left.ok_or(MatchError::Steps { max: self.max_steps })?;
        Ok(())
    }

    /// True if the text may end in a state.
    pub fn is_complete(&self, state: u16) -> bool {
        self.states.flags(state) & COMPLETE != 0
    }

    /// True if the vocabulary can spell a text from a state to its end.
    #[inline]
    pub fn is_alive(&self, state: u16) -> bool {
        self.states.flags(state) & ALIVE != 0
    }

    /// True if no byte may follow in a state.
    pub fn is_final(&self, state: u16) -> bool {
        self.states.range(state).is_empty()
    }

    /// Class of a byte, for [`next`](Self::next).
    #[inline]
    pub fn class(&self, byte: u8) -> usize {
        self.grammar.class(byte)
    }

    /// State after a byte, [`DEAD`] if no text goes on with it; `None` if it has to be computed by [`step`](Self::step).
    #[inline]
    pub fn next(&self, state: u16, class: usize) -> Option<u16> {
        Some(self.states.next(state, class)).filter(|&next| next != UNKNOWN)
    }

    /// Computes the state after `byte`. If memory has to be freed, the states of `path` stay valid, and those of `others` as long as
    /// there is room; both get their new numbers.
    pub fn step(&mut self, path: &mut Path, others: &mut Path, state: u16, byte: u8) -> Result<u16, MatchError> {
        let mut state = [state];
        for attempt in 0..3 {
            let [from] = state;
            match self.try_step(from, byte) {
                Err(MatchError::Full) if attempt < 2 => {
                    if attempt == 1 {
                        others.fill(DEAD);
                    }
                    self.free([&mut *path, &mut *others, &mut state]);
                }
                result => return result,
            }
        }
        Err(MatchError::Full)
    }

    fn try_step(&mut self, state: u16, byte: u8) -> Result<u16, MatchError> {
        self.begin();
        self.spend(self.states.range(state).len())?;
        for at in self.states.range(state) {
            let Some((Frame::Position(at), below)) = self.nodes.get(self.states.reading(at)) else { continue };
            let at = at as usize;
            if let Some(Op::Byte(lo, hi)) = self.op(at)
                && (lo..=hi).contains(&byte)
            {
                self.follow(at + 1, below)?;
            }
        }
        let next = self.finish()?;
        self.states.set_next(state, self.grammar.class(byte), next);
        Ok(next)
    }

    fn begin(&mut self) {
        self.queue.clear();
        (self.n_new, self.complete) = (0, false);
    }

    /// Follows all branches that wait, and makes the state of the readings that were found.
    fn finish(&mut self) -> Result<u16, MatchError> {
        let mut i = 0;
        while let Some((at, stack)) = self.queue.get(i) {
            i += 1;
            match self.op(at) {
                Some(Op::Split(offset)) => {
                    self.follow(at + 1, stack)?;
                    self.follow(target(at, offset), stack)?;
                }
                Some(Op::Loop(exit)) => self.follow_loop(at, exit, stack)?,
                _ => {}
            }
        }
        self.spend(i + self.n_new)?;
        if self.n_new == 0 && !self.complete {
            return Ok(DEAD);
        }
        let first = self.states.n_readings();
        let alive = self.complete || (first..first + self.n_new).any(|at| self.nodes.is_alive(self.states.reading(at)));
        let flags = if self.complete { COMPLETE } else { 0 } | if alive { ALIVE } else { 0 };
        self.states.finish(self.n_new, flags)
    }

    fn follow_loop(&mut self, at: usize, exit: i32, stack: u32) -> Result<(), MatchError> {
        let Some((Frame::Count(count), below)) = self.nodes.get(stack) else { return Ok(()) };
        let Some((min, max)) = counts(self.grammar.code(), at) else { return Ok(()) };
        if count >= min {
            self.follow(target(at, exit), below)?;
        }
        let next = match max {
            // Counts of a loop without end matter up to the least one.
            NO_MAX => (count + 1).min(min),
            _ if count < max => count + 1,
            _ => return Ok(()),
        };
        if self.is_live(at.wrapping_add(3)) {
            let body = self.nodes.push(Frame::Count(next), below, true)?;
            self.follow(at.wrapping_add(3), body)?;
        }
        Ok(())
    }

    /// Goes on from a position up to the next byte or branch.
    fn follow(&mut self, mut at: usize, mut stack: u32) -> Result<(), MatchError> {
        // Only a damaged program takes more steps without a byte or a branch.
        for _ in 0..16 * self.nodes.capacity() + 4096 {
            if !self.is_live(at) {
                return Ok(());
            }
            let Some(op) = self.op(at) else { return Ok(()) };
            match op {
                Op::Byte(..) => {
                    let reading = self.nodes.push(Frame::Position(at as u32), stack, bit(self.alive, at))?;
                    self.states.set_reading(self.n_new, reading)?;
                    self.n_new += 1;
                    return Ok(());
                }
                Op::Split(_) | Op::Loop(_) => return self.queue.push(at, stack),
                Op::Jump(offset) | Op::Next(offset) => at = target(at, offset),
                Op::Rule(_) => at += 1,
                Op::Enter => {
                    stack = self.nodes.push(Frame::Count(0), stack, true)?;
                    at += 1;
                }
                Op::Call(rule) => {
                    if !self.returns(at + 1) {
                        let alive = bit(self.alive, at + 1);
                        stack = self.nodes.push(Frame::Position(at as u32 + 1), stack, alive)?;
                    }
                    at = rule as usize;
                }
                Op::Return => match self.nodes.get(stack) {
                    Some((Frame::Position(back), below)) => (at, stack) = (back as usize, below),
                    Some((Frame::Count(_), _)) => return Ok(()),
                    None => {
                        self.complete |= stack == BOTTOM;
                        return Ok(());
                    }
                },
                Op::Data(_) => return Ok(()),
            }
        }
        Err(MatchError::Full)
    }

    /// True if a rule ends at `at`: a call before it needs no frame, so that a rule that ends with itself needs no memory.
    fn returns(&self, mut at: usize) -> bool {
        for _ in 0..64 {
            match self.op(at) {
                Some(Op::Return) => return true,
                Some(Op::Jump(offset)) => at = target(at, offset),
                _ => return false,
            }
        }
        false
    }

    fn op(&self, at: usize) -> Option<Op> {
        self.grammar.code().get(at).and_then(|&word| Op::decode(word))
    }

    fn is_live(&self, at: usize) -> bool {
        self.grammar.code().get(at).is_some_and(|word| word & LIVE != 0)
    }

    /// Drops all states but those of the paths, which get their new numbers.
    fn free<const N: usize>(&mut self, mut paths: [&mut Path; N]) {
        for &state in paths.iter().flat_map(|path| path.iter()) {
            self.states.keep(state, &mut self.nodes);
        }
        self.nodes.sweep();
        self.states.sweep(&self.nodes);
        for state in paths.iter_mut().flat_map(|path| path.iter_mut()) {
            *state = self.states.moved(*state);
        }
        self.nodes.relink();
        self.states.relink();
    }
}

/// True if bit `at` is set.
fn bit(words: &[u32], at: usize) -> bool {
    words.get(at / 32).is_some_and(|word| word >> (at % 32) & 1 == 1)
}

/// Sets bit `at`; false if there is none.
fn set_bit(words: &mut [u32], at: usize) -> bool {
    words.get_mut(at / 32).map(|word| *word |= 1 << (at % 32)).is_some()
}
