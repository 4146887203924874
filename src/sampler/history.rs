//! History: the last tokens of the text, in borrowed memory.

/// Place in the ring of a history.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Place {
    /// Slot of the next token.
    next: usize,
    /// Number of tokens, up to the length of the ring.
    n: usize,
}

/// Ring of the last tokens.
pub(super) struct History<'m> {
    tokens: &'m mut [u32],
    place: &'m mut Place,
}

impl<'m> History<'m> {
    pub fn new(tokens: &'m mut [u32], place: &'m mut Place) -> Self {
        Self { tokens, place }
    }

    /// Number of tokens.
    pub fn len(&self) -> usize {
        self.place.n
    }

    /// Token that lies `i` before the newest.
    pub fn back(&self, i: usize) -> Option<u32> {
        if i >= self.place.n {
            return None;
        }
        let Place { next, .. } = *self.place;
        let slot = if next > i { next - 1 - i } else { (next + self.tokens.len()).wrapping_sub(1 + i) };
        self.tokens.get(slot).copied()
    }

    /// Appends a token, in the place of the oldest if the ring is full.
    pub fn push(&mut self, token: u32) {
        let len = self.tokens.len();
        let Some(slot) = self.tokens.get_mut(self.place.next) else { return };
        *slot = token;
        self.place.next = if self.place.next + 1 == len { 0 } else { self.place.next + 1 };
        self.place.n = len.min(self.place.n + 1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_tokens_are_found_again() {
        let (mut tokens, mut place) = ([0; 5], Place::default());
        for token in 0..23u32 {
            let mut history = History::new(&mut tokens, &mut place);
            history.push(token);
            let n = (token as usize + 1).min(5);
            assert_eq!(history.len(), n);
            assert!((0..n).all(|i| history.back(i) == Some(token - i as u32)));
            assert_eq!(history.back(n), None);
        }
        let mut place = Place::default();
        let mut none = History::new(&mut [], &mut place);
        none.push(1);
        assert_eq!((none.len(), none.back(0)), (0, None));
    }
}
