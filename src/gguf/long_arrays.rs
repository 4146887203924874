//! Ends of the longest arrays whose elements have to be walked over one by one.

use super::value::{Array, ValueType};

/// Arrays that are remembered: a file has its tokens, its merges and perhaps a few lists of words.
const N: usize = 4;

/// The longest arrays of strings or of arrays in a file's metadata, so that they are walked over once and not for every key
/// that lies behind them. Arrays beyond those are walked over each time.
#[derive(Clone, Copy, Debug)]
pub(super) struct LongArrays {
    /// Start of each array in the file, and its bytes. Zeros for none: no array lies at the start of the file.
    places: [(usize, usize); N],
}

impl LongArrays {
    /// No arrays.
    pub(super) const NONE: Self = Self { places: [(0, 0); N] };

    /// Remembers an array whose elements end at byte `end` of the file, if it is among the longest.
    pub(super) const fn note(&mut self, array: &Array<'_>, end: usize) {
        // Other arrays are not walked over: their length is a product.
        if !matches!(array.ty, ValueType::String | ValueType::Array) {
            return;
        }
        let (mut shortest, mut i) = (0, 1);
        while i < N {
            if self.places[i].1 < self.places[shortest].1 {
                shortest = i;
            }
            i += 1;
        }
        let n_bytes = array.body.len();
        if n_bytes > self.places[shortest].1 {
            self.places[shortest] = (end.saturating_sub(n_bytes), n_bytes);
        }
    }

    /// Bytes of the elements of the array that begins at byte `start` of the file; `None` if it is not remembered.
    pub(super) const fn n_bytes(&self, start: usize) -> Option<usize> {
        let mut i = 0;
        while i < N {
            let (at, n_bytes) = self.places[i];
            if at == start && n_bytes > 0 {
                return Some(n_bytes);
            }
            i += 1;
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BODY: &[u8] = &[0; 100];

    fn noted(ty: ValueType, lengths: &[usize]) -> LongArrays {
        let mut long = LongArrays::NONE;
        for (i, &len) in lengths.iter().enumerate() {
            long.note(&Array { ty, len: 1, body: &BODY[..len] }, 1000 * (i + 1) + len);
        }
        long
    }

    #[test]
    fn the_longest_stay() {
        let long = noted(ValueType::String, &[8, 30, 9, 50, 20, 10, 40]);
        let places = [1, 2, 3, 4, 5, 6, 7].map(|i| long.n_bytes(1000 * i));
        assert_eq!(places, [None, Some(30), None, Some(50), Some(20), None, Some(40)]);
        assert_eq!([long, LongArrays::NONE].map(|long| long.n_bytes(0)), [None; 2]);
    }

    #[test]
    fn only_what_is_walked_over() {
        assert_eq!(noted(ValueType::Array, &[10]).n_bytes(1000), Some(10));
        assert_eq!(noted(ValueType::U64, &[10]).n_bytes(1000), None);
        assert_eq!(noted(ValueType::String, &[0]).n_bytes(1000), None);
    }
}
