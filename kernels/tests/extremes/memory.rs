//! Buffers that notice writes around them.

use nearfield_kernels::conformance::Rng;

/// Elements somewhere in an allocation. Either the allocation ends where they do, so that a sanitizer sees an access behind
/// them, or others stand on both sides.
pub struct Buffer<T> {
    memory: Box<[T]>,
    start: usize,
    len: usize,
    around: T,
}

/// Elements on either side.
const MARGIN: usize = 40;

impl<T: Copy + PartialEq> Buffer<T> {
    /// Draws `len` elements.
    pub fn new(rng: &mut Rng, len: usize, around: T, mut draw: impl FnMut(&mut Rng) -> T) -> Self {
        let (start, end) = if rng.one_in(2) { (MARGIN + rng.below(9), MARGIN) } else { (rng.below(9), 0) };
        let mut memory = vec![around; start + len + end].into_boxed_slice();
        memory[start..start + len].fill_with(|| draw(rng));
        Self { memory, start, len, around }
    }

    pub fn get(&self) -> &[T] {
        &self.memory[self.start..self.start + self.len]
    }

    pub fn get_mut(&mut self) -> &mut [T] {
        &mut self.memory[self.start..self.start + self.len]
    }

    /// Returns the elements; panics if those around them have changed.
    pub fn intact(&self) -> Vec<T> {
        let (before, rest) = self.memory.split_at(self.start);
        let (elements, behind) = rest.split_at(self.len);
        assert!(before.iter().chain(behind).all(|x| *x == self.around), "something was written beside the buffer");
        elements.to_vec()
    }
}
