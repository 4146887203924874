//! Stacks of the pushdown automaton: equal stacks are one node, and stacks share what lies below.

use nearfield_kernels::Arena;

use super::super::error::MatchError;

/// The empty stack.
pub(super) const BOTTOM: u32 = 0;
/// Nothing, at the end of a list.
pub(super) const NONE: u32 = u32::MAX;

/// Mark of a frame that holds the count of a loop, and no position.
const COUNT: u32 = 1 << 31;
/// Mark of a stack from which the vocabulary can spell a text to its end.
const ALIVE: u32 = 1 << 30;
/// Mark of a node that is kept when memory is freed.
const KEPT: u32 = 1 << 29;
const VALUE: u32 = KEPT - 1;

/// Content of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Frame {
    /// Position at which a rule, or a reading of the text, goes on.
    Position(u32),
    /// Count of a loop.
    Count(u32),
}

/// Nodes, each a frame on a stack.
#[derive(Debug)]
pub(super) struct Nodes<'a> {
    /// Frame with its marks, and the node below. A node lies behind the one below it.
    nodes: &'a mut [[u32; 2]],
    /// Next node with the same hash. While memory is freed, new number of a node.
    chains: &'a mut [u32],
    /// First node of each hash.
    heads: &'a mut [u32],
    n: usize,
}

impl<'a> Nodes<'a> {
    pub const fn bytes(n: usize) -> Option<usize> {
        let Some(pairs) = n.checked_mul(2) else { return None };
        match (Arena::bytes_of::<u32>(pairs), Arena::bytes_of::<u32>(n)) {
            (Some(nodes), Some(chains)) => nodes.checked_add(2 * chains),
            _ => None,
        }
    }

    pub fn take(arena: &mut Arena<'a>, n: usize) -> Option<Self> {
        let nodes = arena.take::<u32>(n.checked_mul(2)?)?.as_chunks_mut().0;
        let mut nodes = Self { nodes, chains: arena.take(n)?, heads: arena.take(n)?, n: 0 };
        nodes.clear();
        Some(nodes)
    }

    pub fn capacity(&self) -> usize {
        self.nodes.len()
    }

    /// Drops all nodes but the empty stack.
    pub fn clear(&mut self) {
        self.heads.fill(NONE);
        if let Some(bottom) = self.nodes.first_mut() {
            *bottom = [ALIVE | VALUE, NONE];
            self.n = 1;
        }
    }

    /// Frame of a node and the node below it; `None` for the empty stack.
    pub fn get(&self, node: u32) -> Option<(Frame, u32)> {
        let &[word, below] = self.nodes.get(node as usize).filter(|_| node != BOTTOM)?;
        let value = word & VALUE;
        Some((if word & COUNT == 0 { Frame::Position(value) } else { Frame::Count(value) }, below))
    }

    /// True if the vocabulary can spell a text from this stack to its end.
    pub fn is_alive(&self, node: u32) -> bool {
        self.nodes.get(node as usize).is_some_and(|[word, _]| word & ALIVE != 0)
    }

    /// Node of `frame` on the stack `below`.
    ///
    /// - `alive`: true if the vocabulary can spell a text from the frame's position to the end of its rule
    pub fn push(&mut self, frame: Frame, below: u32, alive: bool) -> Result<u32, MatchError> {
        let (value, mark) = match frame {
            Frame::Position(at) => (at, 0),
            Frame::Count(count) => (count, COUNT),
        };
        let alive = if alive && self.is_alive(below) { ALIVE } else { 0 };
        let word = value & VALUE | mark | alive;
        let list = self.list(word, below);
        let mut node = self.heads.get(list).copied().unwrap_or(NONE);
        while let Some(found) = self.nodes.get(node as usize) {
            if *found == [word, below] {
                return Ok(node);
            }
            node = self.chains.get(node as usize).copied().unwrap_or(NONE);
        }
        let node = self.n;
        *self.nodes.get_mut(node).ok_or(MatchError::Full)? = [word, below];
        self.n += 1;
        self.link(node, list);
        Ok(node as u32)
    }

    fn list(&self, word: u32, below: u32) -> usize {
        let hash = (word.wrapping_mul(0x9e37_79b1) ^ below).wrapping_mul(0x85eb_ca6b);
        ((u64::from(hash) * self.heads.len() as u64) >> 32) as usize
    }

    fn link(&mut self, node: usize, list: usize) {
        if let (Some(chain), Some(head)) = (self.chains.get_mut(node), self.heads.get_mut(list)) {
            *chain = core::mem::replace(head, node as u32);
        }
    }

    /// Marks a node and all below it to be kept.
    pub fn keep(&mut self, mut node: u32) {
        while let Some([word, below]) = self.nodes.get_mut(node as usize).filter(|[word, _]| word & KEPT == 0) {
            *word |= KEPT;
            node = *below;
        }
    }

    /// Drops the nodes that are not marked. [`moved`](Self::moved) has the new numbers until [`relink`](Self::relink).
    pub fn sweep(&mut self) {
        self.keep(BOTTOM);
        let mut n = 0;
        for node in 0..self.n {
            let Some(&[word, below]) = self.nodes.get(node).filter(|[word, _]| word & KEPT != 0) else { continue };
            // The node below lies before this one, so its new number is known.
            let below = self.moved(below);
            if let (Some(moved), Some(chain)) = (self.nodes.get_mut(n), self.chains.get_mut(node)) {
                *moved = [word & !KEPT, below];
                *chain = n as u32;
            }
            n += 1;
        }
        self.n = n;
    }

    /// New number of a node that was kept.
    pub fn moved(&self, node: u32) -> u32 {
        self.chains.get(node as usize).copied().unwrap_or(NONE)
    }

    /// Makes the lists of nodes anew.
    pub fn relink(&mut self) {
        self.heads.fill(NONE);
        for node in 1..self.n {
            let Some(&[word, below]) = self.nodes.get(node) else { break };
            self.link(node, self.list(word, below));
        }
    }
}
