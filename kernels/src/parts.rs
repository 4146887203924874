//! Parts of one output that workers share without locks: each part is given out once, to whoever asks first.

use core::marker::PhantomData;
use core::num::NonZero;
use core::ops::Range;
use core::sync::atomic::Ordering;

use crate::atomic::AtomicUsize;
use crate::contract::require;

/// Rectangle of a row-major `[n_tokens, stride]` buffer, borrowed exclusively: disjoint parts may be written at the same time.
#[derive(Debug)]
pub struct ColumnsMut<'a, T = f32> {
    /// Address of column 0 in the first row of the part; `start` and `end` count from there.
    base: *mut T,
    first_token: usize,
    n_tokens: usize,
    stride: usize,
    start: usize,
    end: usize,
    buffer: PhantomData<&'a mut [T]>,
}

// SAFETY: a `ColumnsMut` is a unique borrow of its elements, as `&mut [T]` is.
unsafe impl<T: Send> Send for ColumnsMut<'_, T> {}

impl<'a, T> ColumnsMut<'a, T> {
    /// All columns of `buffer`, seen as `[buffer.len() / stride, stride]`.
    ///
    /// # Panics
    /// When the length of `buffer` is not a multiple of `stride`.
    pub fn new(buffer: &'a mut [T], stride: usize) -> Self {
        Self::of(buffer, stride, 0..stride)
    }

    /// Borrows the given columns of `buffer`, counted from 0 again.
    fn of(buffer: &'a mut [T], stride: usize, columns: Range<usize>) -> Self {
        require(stride > 0 && buffer.len().is_multiple_of(stride), "a buffer of whole rows");
        require(columns.start <= columns.end && columns.end <= stride, "columns of the buffer");
        let n_tokens = buffer.len() / stride;
        // An empty buffer has no column to point at.
        let base = buffer.get_mut(columns.start..).map_or(core::ptr::dangling_mut(), <[T]>::as_mut_ptr);
        Self { base, first_token: 0, n_tokens, stride, start: 0, end: columns.len(), buffer: PhantomData }
    }

    /// Number of rows of the part.
    pub fn n_tokens(&self) -> usize {
        self.n_tokens
    }

    /// Rows of the buffer that the part covers.
    pub fn tokens(&self) -> Range<usize> {
        self.first_token..self.first_token + self.n_tokens
    }

    /// First column of the part: the first row of the weights that it is the product of.
    pub fn start(&self) -> usize {
        self.start
    }

    /// End of the columns: one past the last.
    pub fn end(&self) -> usize {
        self.end
    }

    /// Columns of the part in one of its rows: `[end - start]`.
    ///
    /// # Panics
    /// When `token >= n_tokens`.
    pub fn row(&mut self, token: usize) -> &mut [T] {
        require(token < self.n_tokens, "a row of the buffer");
        // SAFETY: `base` points at column `c` of the part's first row, and `c + end <= stride` (`of` and `part` keep it so),
        // so `token * stride + start..end` from there lies in the buffer for every `token < n_tokens`; no other part holds
        // these elements.
        unsafe {
            core::slice::from_raw_parts_mut(self.base.add(token * self.stride + self.start), self.end - self.start)
        }
    }

    /// Columns of the part in each of its rows, in order: `[n_tokens]` times `[end - start]`.
    pub fn rows_mut(&mut self) -> impl Iterator<Item = &mut [T]> {
        let (base, stride, start, len) = (self.base, self.stride, self.start, self.end - self.start);
        // SAFETY: as in `row`, for every `token < n_tokens`; different rows share no element, each is made once, and `self`
        // stays borrowed as long as any of them.
        (0..self.n_tokens)
            .map(move |token| unsafe { core::slice::from_raw_parts_mut(base.add(token * stride + start), len) })
    }
}

/// Something that can be cut into parts.
///
/// # Safety
/// Parts of different indices share nothing that can be written through them, and `n_parts` never changes.
pub unsafe trait Cut {
    /// Part that is given out.
    type Part;

    /// Number of parts.
    fn n_parts(&self) -> usize;

    /// Returns part `index`.
    ///
    /// # Safety
    /// `index < n_parts()`, and as long as the part lives, no other part of this index exists.
    unsafe fn part(&self, index: usize) -> Self::Part;
}

/// Parts of a [`Cut`], given out one by one.
#[derive(Debug)]
pub struct Parts<C> {
    cut: C,
    /// Number of parts that were given out: never more than exist.
    next: AtomicUsize,
    from_last: bool,
}

impl<C: Cut> Parts<C> {
    /// Gives out the first part first.
    pub fn new(cut: C) -> Self {
        Self { cut, next: AtomicUsize::new(0), from_last: false }
    }

    /// Gives out the last part first.
    pub fn from_last(cut: C) -> Self {
        Self { from_last: true, ..Self::new(cut) }
    }

    /// Takes the next part and its index; `None` when all are given out.
    pub fn take(&self) -> Option<(usize, C::Part)> {
        let n = self.cut.n_parts();
        // The count stays at `n` however often this is called: if it went on, it would wrap around and give parts out again.
        let next = |taken: usize| (taken < n).then(|| taken + 1);
        let taken = self.next.fetch_update(Ordering::Relaxed, Ordering::Relaxed, next).ok()?;
        let index = if self.from_last { n - 1 - taken } else { taken };
        // SAFETY: `taken < n`, so `index < n`; each number below `n` is found once, since the count only grows.
        Some((index, unsafe { self.cut.part(index) }))
    }
}

/// Buffer cut into parts of `part_len` elements; the last may be shorter.
#[derive(Debug)]
pub struct RowsMut<'a, T> {
    base: *mut T,
    len: usize,
    part_len: NonZero<usize>,
    buffer: PhantomData<&'a mut [T]>,
}

// SAFETY: sharing it only lets others take parts, each of which is a `&mut [T]` that is given out once.
unsafe impl<T: Send> Sync for RowsMut<'_, T> {}

impl<'a, T> RowsMut<'a, T> {
    /// Cuts `buffer` into parts of `part_len` elements; 0 is taken as 1.
    pub fn new(buffer: &'a mut [T], part_len: usize) -> Self {
        let part_len = NonZero::new(part_len).unwrap_or(NonZero::<usize>::MIN);
        Self { base: buffer.as_mut_ptr(), len: buffer.len(), part_len, buffer: PhantomData }
    }
}

// SAFETY: parts of different indices are different elements.
unsafe impl<'a, T> Cut for RowsMut<'a, T> {
    type Part = &'a mut [T];

    fn n_parts(&self) -> usize {
        self.len.div_ceil(self.part_len.get())
    }

    unsafe fn part(&self, index: usize) -> &'a mut [T] {
        let start = index * self.part_len.get();
        let len = (self.len - start).min(self.part_len.get());
        // SAFETY: `index < n_parts` (the caller), so `start < len`, and the elements are in the buffer, which is borrowed for
        // `'a`; nobody else has them.
        unsafe { core::slice::from_raw_parts_mut(self.base.add(start), len) }
    }
}

/// Row-major `[n_tokens, stride]` buffer cut into tiles: first by columns, then by rows.
#[derive(Debug)]
pub struct Tiles<'a, T = f32> {
    whole: ColumnsMut<'a, T>,
    n_columns: NonZero<usize>,
    n_tokens: NonZero<usize>,
    /// Rows of the first tile of rows, at least 1 and at most `n_tokens`; the first tile may be shorter than the others.
    n_first: NonZero<usize>,
}

// SAFETY: sharing it only lets others take tiles, each of which is given out once.
unsafe impl<T: Send> Sync for Tiles<'_, T> {}

impl<'a, T> Tiles<'a, T> {
    /// Cuts the given columns of `buffer`, seen as `[buffer.len() / stride, stride]`, into tiles of `n_columns` columns (the
    /// last may be narrower) and all rows. [`start`](ColumnsMut::start) of a tile counts from the first of the given columns.
    ///
    /// # Panics
    /// When `n_columns` is zero, the length of `buffer` is not a multiple of `stride`, or the columns are not in it.
    pub fn of_columns(buffer: &'a mut [T], stride: usize, columns: Range<usize>, n_columns: usize) -> Self {
        require(n_columns > 0, "tiles of at least a column");
        let whole = ColumnsMut::of(buffer, stride, columns);
        let [n_columns, n_tokens] =
            [n_columns, whole.n_tokens].map(|n| NonZero::new(n).unwrap_or(NonZero::<usize>::MIN));
        Self { whole, n_columns, n_tokens, n_first: n_tokens }
    }

    /// Cuts the tiles by rows, too, `n_tokens` each, as if `before` rows stood before the first: row `i` is in tile
    /// `(before + i) / n_tokens`, counted from the first tile that has a row.
    #[must_use]
    pub fn of_tokens(self, n_tokens: usize, before: usize) -> Self {
        let n_tokens = NonZero::new(n_tokens).unwrap_or(NonZero::<usize>::MIN);
        let n_first = NonZero::new(n_tokens.get() - before % n_tokens).unwrap_or(n_tokens);
        Self { n_tokens, n_first, ..self }
    }

    /// Number of tiles above each other: at most one each row, but at least 1.
    fn n_token_tiles(&self) -> NonZero<usize> {
        let n_behind = self.whole.n_tokens.saturating_sub(self.n_first.get()).div_ceil(self.n_tokens.get());
        // The sum cannot overflow: `n_behind` is less than the number of rows, or 0.
        NonZero::<usize>::MIN.saturating_add(n_behind)
    }
}

// SAFETY: tiles of different indices share no rows, or no columns.
unsafe impl<'a, T> Cut for Tiles<'a, T> {
    type Part = ColumnsMut<'a, T>;

    fn n_parts(&self) -> usize {
        // The product cannot overflow: it is at most the number of the buffer's elements, or of its columns if it is empty.
        self.whole.end.div_ceil(self.n_columns.get()) * self.n_token_tiles().get()
    }

    unsafe fn part(&self, index: usize) -> ColumnsMut<'a, T> {
        let ColumnsMut { base, n_tokens, stride, end, .. } = self.whole;
        // Both firsts are inside the buffer for an index below `n_parts`, so they cannot overflow; the ends could.
        let start = index / self.n_token_tiles() * self.n_columns.get();
        let end = end.min(start.saturating_add(self.n_columns.get()));
        let (first_token, len) = match (index % self.n_token_tiles()).checked_sub(1) {
            None => (0, self.n_first),
            Some(before) => (self.n_first.get() + before * self.n_tokens.get(), self.n_tokens),
        };
        let n_tokens = len.get().min(n_tokens - first_token);
        // SAFETY: inside the buffer, since `first_token` is below its number of rows, or 0.
        let base = unsafe { base.add(first_token * stride) };
        ColumnsMut { base, first_token, n_tokens, stride, start, end, buffer: PhantomData }
    }
}

// SAFETY: parts of the pair share nothing that parts of either do not.
unsafe impl<A: Cut, B: Cut> Cut for (A, B) {
    type Part = (A::Part, B::Part);

    fn n_parts(&self) -> usize {
        self.0.n_parts().min(self.1.n_parts())
    }

    unsafe fn part(&self, index: usize) -> Self::Part {
        // SAFETY: the caller's promise holds for both: the index is below either number of parts, and no other part of it
        // lives.
        unsafe { (self.0.part(index), self.1.part(index)) }
    }
}

#[cfg(test)]
mod tests {
    use std::vec::Vec;

    use super::*;

    /// Owner of each element of `[n_tokens, 10]`: 1 plus 100 times the index of its part; 0 outside of columns `2..9`, which
    /// are cut.
    fn owners(n_tokens: usize, tile: (usize, usize), before: usize, from_last: bool) -> Vec<i32> {
        let mut buffer = std::vec![0; n_tokens * 10];
        let tiles = Tiles::of_columns(&mut buffer, 10, 2..9, tile.1).of_tokens(tile.0, before);
        let parts = if from_last { Parts::from_last(tiles) } else { Parts::new(tiles) };
        while let Some((index, mut part)) = parts.take() {
            let tokens = part.tokens();
            assert!((before + tokens.start) / tile.0 == (before + tokens.end - 1) / tile.0, "cut at multiples");
            for (i, row) in part.rows_mut().enumerate() {
                row.iter_mut().for_each(|x| *x += 1 + 100 * index as i32 + (tokens.start + i) as i32 / 1000);
            }
            assert_eq!(part.row(0).len(), part.end() - part.start());
        }
        buffer
    }

    #[test]
    fn tiles_cover_the_columns_once() {
        for n_tokens in 1..9 {
            for tile in [(1, 1), (3, 3), (4, 7), (9, 2), (100, 100)] {
                for before in [0, 1, 2, 7] {
                    let found = owners(n_tokens, tile, before, false);
                    for (i, &owner) in found.iter().enumerate() {
                        let (token, column) = (i / 10, i % 10);
                        if !(2..9).contains(&column) {
                            assert_eq!(owner, 0);
                            continue;
                        }
                        let n_above = (before % tile.0 + n_tokens).div_ceil(tile.0);
                        let index = (column - 2) / tile.1 * n_above + (before % tile.0 + token) / tile.0;
                        assert_eq!(owner, 1 + 100 * index as i32, "{n_tokens} {tile:?} {before}: {token}, {column}");
                    }
                    assert_eq!(found, owners(n_tokens, tile, before, true));
                }
            }
        }
    }

    /// Tiles of any size, also larger than the buffer, cover it once, in parts that end where it does.
    #[test]
    fn tiles_of_any_size_stay_in_the_buffer() {
        let extremes = [2, usize::MAX, usize::MAX / 2 + 1, 0, 1, 3, 9, 10, 11, usize::MAX / 2, usize::MAX - 1];
        // Miri is slow, so it runs fewer sizes.
        let (extremes, sizes) =
            if cfg!(miri) { (&extremes[..3], &[0, 10][..]) } else { (&extremes[..], &[0, 1, 2, 10][..]) };
        for &n_rows in sizes {
            for (columns, n_columns) in [(0..10, 10), (9..10, usize::MAX), (3..3, 1), (0..7, usize::MAX - 3), (2..9, 3)]
            {
                for (&n_tokens, &before) in extremes.iter().flat_map(|n| extremes.iter().map(move |before| (n, before)))
                {
                    let mut buffer = std::vec![0; n_rows * 10];
                    let tiles =
                        Tiles::of_columns(&mut buffer, 10, columns.clone(), n_columns).of_tokens(n_tokens, before);
                    let parts = Parts::new(tiles);
                    while let Some((_, mut part)) = parts.take() {
                        assert!(part.tokens().end <= n_rows && part.start() < part.end(), "{:?}", part.tokens());
                        let tile = |row: usize| (before as u128 + row as u128) / n_tokens.max(1) as u128;
                        assert!(part.tokens().all(|row| tile(row) == tile(part.tokens().start)));
                        part.rows_mut().flatten().for_each(|x| *x += 1);
                    }
                    let expected = (0..n_rows * 10).map(|i| i32::from(columns.contains(&(i % 10))));
                    assert!(buffer.into_iter().eq(expected), "{columns:?} {n_columns} {n_tokens} {before}");
                }
            }
        }
    }

    /// Elements of size zero make a buffer of `usize::MAX` elements possible.
    #[test]
    fn the_largest_buffer_is_cut() {
        const MAX: usize = usize::MAX;
        for (stride, n_columns, n_tokens, before) in
            [(1, 1, 1, 0), (1, MAX, MAX, MAX - 1), (MAX, 1, 1, 5), (MAX, MAX / 2 + 2, 1, 0), (5, 3, MAX / 2, 2)]
        {
            let mut buffer = [(); MAX];
            let tiles = Tiles::of_columns(&mut buffer, stride, 0..stride, n_columns).of_tokens(n_tokens, before);
            let (n, rows) = (tiles.n_parts(), MAX / stride);
            let parts = Parts::new(tiles);
            let (_, first) = parts.take().unwrap();
            assert_eq!((first.tokens().start, first.start()), (0, 0));
            let (index, last) = Parts::from_last(parts.cut).take().unwrap();
            assert_eq!((index, last.tokens().end, last.end()), (n - 1, rows, stride));
        }
        let mut buffer = [(); MAX];
        let (index, part) = Parts::from_last(RowsMut::new(&mut buffer, MAX - 1)).take().unwrap();
        assert_eq!((index, part.len()), (1, 1));
    }

    #[test]
    #[should_panic = "a row of the buffer"]
    fn rows_behind_a_tile_are_refused() {
        let mut buffer = [0.0; 100];
        let half = usize::MAX / 2;
        let parts = Parts::new(Tiles::of_columns(&mut buffer, 10, 0..10, 10).of_tokens(half + 1, half));
        assert_eq!(parts.take().map(|(_, part)| part.tokens()), Some(0..1));
        parts.take().unwrap().1.row(100_000);
    }

    /// A count that went on would wrap around after 2^32 calls where addresses have 32 bits.
    #[test]
    fn asking_for_more_changes_nothing() {
        let mut buffer = [0; 10];
        let parts = Parts::new(RowsMut::new(&mut buffer, 4));
        while parts.take().is_some() {}
        assert!((0..100).all(|_| parts.take().is_none()));
        assert_eq!(parts.next.into_inner(), 3);
        let parts = Parts::from_last(RowsMut::new(&mut buffer, 4));
        parts.next.store(usize::MAX, Ordering::Relaxed);
        assert!(parts.take().is_none() && parts.take().is_none());
    }

    #[test]
    fn pairs_are_cut_alike() {
        let (mut a, mut b) = ([0; 10], [0; 7]);
        let parts = Parts::new((RowsMut::new(&mut a, 3), RowsMut::new(&mut b, 2)));
        while let Some((index, (a, b))) = parts.take() {
            a.iter_mut().for_each(|x| *x += 1 + index);
            b.iter_mut().for_each(|x| *x += 1 + index);
        }
        assert_eq!(a, [1, 1, 1, 2, 2, 2, 3, 3, 3, 4]);
        assert_eq!(b, [1, 1, 2, 2, 3, 3, 4]);
    }

    #[test]
    fn each_part_is_given_to_one_thread() {
        let mut buffer = std::vec![0_u32; 10_000];
        let parts = Parts::new(RowsMut::new(&mut buffer, 7));
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    while let Some((_, part)) = parts.take() {
                        part.iter_mut().for_each(|x| *x += 1);
                    }
                });
            }
        });
        assert!(buffer.iter().all(|&x| x == 1));
    }
}
