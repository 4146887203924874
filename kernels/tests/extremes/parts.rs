//! Shared buffers, and the arena.

use std::fmt::Debug;

use nearfield_kernels::conformance::{Rng, Scratch};
use nearfield_kernels::parts::{ColumnsMut, Cut, Parts, RowsMut, Tiles};
use nearfield_kernels::{Arena, BlockQ8, Line, Work, arena, vectorized};

use super::cases;
use super::draw::{about, bytes, number};
use super::memory::Buffer;
use super::outcome::{assert_kept, outcome};

/// Draws a length that fits memory.
fn short(rng: &mut Rng) -> usize {
    rng.below(60)
}

#[test]
fn columns_of_whole_rows() {
    cases(|rng| {
        let (len, stride) = (short(rng), if rng.one_in(2) { 1 + short(rng) } else { number(rng, 3) });
        let len = if rng.one_in(2) { len.checked_mul(stride).filter(|&len| len < 5000).unwrap_or(len) } else { len };
        let mut buffer = bytes(rng, len);
        let whole = stride > 0 && len.is_multiple_of(stride);
        if let Some(mut columns) =
            assert_kept(outcome(|| ColumnsMut::new(buffer.get_mut(), stride)), whole, (len, stride))
        {
            let n_tokens = len / stride;
            assert_eq!((columns.n_tokens(), columns.start(), columns.end()), (n_tokens, 0, stride));
            assert_eq!(columns.tokens(), 0..n_tokens);
            for token in [number(rng, stride), number(rng, n_tokens)] {
                let row = outcome(|| columns.row(token).fill(7));
                assert_kept(row, token < n_tokens, (len, stride, token));
            }
            columns.rows_mut().for_each(|row| {
                assert_eq!(row.len(), stride);
                row.fill(9);
            });
            assert!(buffer.intact().iter().all(|&x| x == 9));
        }
        buffer.intact();
    });
}

/// Takes some parts from either end, and beyond.
fn take_some<C: Cut>(cut: C, mut see: impl FnMut(C::Part), n: usize, from_last: bool) {
    let parts = if from_last { Parts::from_last(cut) } else { Parts::new(cut) };
    for _ in 0..n {
        let Some((_, part)) = parts.take() else { break };
        see(part);
    }
}

#[test]
fn tiles_cover_their_columns_once() {
    cases(|rng| {
        let (stride, n_rows) = (1 + rng.below(12), rng.below(12));
        let stride = if rng.one_in(6) { number(rng, n_rows) } else { stride };
        let len = stride.checked_mul(n_rows).filter(|&len| len < 5000).unwrap_or(0);
        let len = about(rng, len, 6);
        let mut start = rng.below(stride.clamp(1, 12) + 1);
        let mut end = start + rng.below(stride.clamp(1, 12) + 1 - start.min(stride.clamp(1, 12)));
        if rng.one_in(4) {
            (start, end) = (number(rng, stride), number(rng, stride));
        }
        let [n_columns, n_tokens, before] =
            [(); 3].map(|()| if rng.one_in(2) { rng.below(5) } else { number(rng, stride) });
        let from_last = rng.one_in(2);
        let mut buffer = Buffer::new(rng, len, 100u8, |_| 0);
        let kept = n_columns > 0 && stride > 0 && len.is_multiple_of(stride) && start <= end && end <= stride;
        let what = (len, stride, start, end, n_columns, n_tokens, before);
        let tiles = outcome(|| Tiles::of_columns(buffer.get_mut(), stride, start..end, n_columns));
        if let Some(tiles) = assert_kept(tiles, kept, what) {
            let see = |mut part: ColumnsMut<'_, u8>| {
                let rows = part.n_tokens();
                assert_eq!(part.tokens().len(), rows);
                part.rows_mut().flatten().for_each(|x| *x += 1);
                assert_kept(outcome(|| part.row(rows)), false, what);
                assert!(rows == 0 || part.row(rows - 1).len() == part.end() - part.start());
            };
            // Columns without rows are parts as well, as many as there are tiles.
            take_some(tiles.of_tokens(n_tokens, before), see, 6000, from_last);
            let expected = (0..len).map(|i| u8::from((start..end).contains(&(i % stride))));
            assert!(buffer.intact().into_iter().eq(expected), "{what:?}");
        }
        buffer.intact();
    });
}

#[test]
fn rows_cover_their_buffer_once() {
    cases(|rng| {
        let (len, part_len) = (short(rng), number(rng, 5));
        let (mut a, mut b) = (Buffer::new(rng, len, 100u8, |_| 0), Buffer::new(rng, len, 1, |_| 0u32));
        take_some(
            RowsMut::new(a.get_mut(), part_len),
            |part| part.iter_mut().for_each(|x| *x += 1),
            100,
            rng.one_in(2),
        );
        assert!(a.intact().iter().all(|&x| x == 1));
        let pair = (RowsMut::new(a.get_mut(), part_len), RowsMut::new(b.get_mut(), 1));
        let see = |(a, b): (&mut [u8], &mut [u32])| {
            a.fill(7);
            b.fill(8);
        };
        take_some(pair, see, 100, rng.one_in(2));
        a.intact();
        b.intact();
    });
}

/// Buffers of elements without a size can be as long as a number can say.
#[test]
fn elements_without_a_size() {
    cases(|rng| {
        let (len, stride) = (number(rng, 3), number(rng, 5));
        let len = if rng.one_in(2) && stride > 0 { len / stride * stride } else { len };
        let [start, end, n_columns, n_tokens, before] = [(); 5].map(|()| number(rng, stride));
        let mut buffer = vec![(); len];
        let kept = n_columns > 0 && stride > 0 && len.is_multiple_of(stride) && start <= end && end <= stride;
        let what = (len, stride, start, end, n_columns, n_tokens, before);
        for from_last in [false, true] {
            let tiles = outcome(|| Tiles::of_columns(&mut buffer, stride, start..end, n_columns));
            if let Some(tiles) = assert_kept(tiles, kept, what) {
                let see = |mut part: ColumnsMut<'_, ()>| {
                    assert!(part.start() < part.end() && part.end() <= end - start, "{what:?}");
                    assert!(part.tokens().end <= len / stride, "{what:?}");
                    assert_eq!(part.rows_mut().take(3).map(|row| row.len()).min().is_some(), part.n_tokens() > 0);
                };
                take_some(tiles.of_tokens(n_tokens, before), see, 5, from_last);
            }
            take_some(RowsMut::new(&mut buffer, n_tokens), |part| assert!(!part.is_empty()), 5, from_last);
        }
    });
}

fn taken<T: arena::Plain>(lines: &mut [Line], skip: usize, len: usize) -> Option<usize> {
    let mut arena = Arena::new(lines);
    let free = arena.free_bytes();
    arena.take::<u8>(skip).expect("a line or none");
    let size = Arena::bytes_of::<T>(len);
    let exact = (len as u128 * size_of::<T>() as u128).next_multiple_of(Line::BYTES as u128);
    assert_eq!(size, usize::try_from(exact).ok());
    let left = arena.free_bytes();
    let part = arena.take::<T>(len);
    assert_eq!(part.is_some(), size.is_some_and(|size| size <= left), "{len}");
    assert_eq!(free - arena.free_bytes(), skip + if part.is_some() { size.unwrap_or(0) } else { 0 });
    part.map(|part| {
        assert!(part.as_ptr().addr().is_multiple_of(Line::BYTES) && part.len() == len);
        part.len()
    })
}

#[test]
fn the_arena_gives_what_it_has() {
    cases(|rng| {
        let mut lines = vec![Line::ZERO; 1 + rng.below(5)];
        let (len, skip) = (number(rng, 40), Line::BYTES * rng.below(2));
        taken::<u8>(&mut lines, skip, len);
        taken::<f32>(&mut lines, skip, len);
        taken::<f64>(&mut lines, skip, len);
        taken::<BlockQ8>(&mut lines, skip, len);
        assert!(Scratch::take(&mut Arena::new(&mut lines)).is_none());
        Line::bytes_mut(&mut lines).fill(3);
        assert!(Line::bytes(&lines).iter().all(|&x| x == 3));
    });
}

fn viewed<T: arena::Plain + Copy + Debug>(bytes: &[u8]) {
    let whole = bytes.as_ptr().addr().is_multiple_of(align_of::<T>()) && bytes.len().is_multiple_of(size_of::<T>());
    let found = arena::view::<T>(bytes);
    // An empty slice counts as aligned wherever it lies.
    assert_eq!(found.is_some(), whole || bytes.is_empty(), "{bytes:?}");
    assert!(found.is_none_or(|x| x.len() == bytes.len() / size_of::<T>() && !format!("{x:?}").is_empty()));
}

#[test]
fn bytes_are_seen_as_numbers() {
    cases(|rng| {
        let n = rng.below(200);
        let mut bytes = bytes(rng, n);
        let at = rng.below(n + 1);
        viewed::<u8>(&bytes.get()[at..]);
        viewed::<u16>(&bytes.get()[at..]);
        viewed::<f32>(&bytes.get()[at..]);
        viewed::<u64>(&bytes.get()[at..]);
        viewed::<BlockQ8>(&bytes.get()[at..]);
        assert!(Line::whole(&bytes.get()[at..]).len() <= (n - at) / Line::BYTES);
        Line::whole_mut(&mut bytes.get_mut()[at..]).fill(Line::ZERO);
        bytes.intact();
        let numbers = Buffer::new(rng, n, 1u16, |rng| rng.bits() as u16);
        assert_eq!(arena::bytes(numbers.get()).len(), 2 * n);
    });
}

#[test]
fn work_is_done() {
    struct Add<'a>(&'a mut [f32]);
    impl Work for Add<'_> {
        #[inline(always)]
        fn run(self) {
            self.0.iter_mut().for_each(|x| *x += 1.0);
        }
    }
    cases(|rng| {
        let n = rng.length();
        let mut x = Buffer::new(rng, n, 0.5, |_| 1.0);
        vectorized(Add(x.get_mut()));
        assert!(x.intact().iter().all(|&x| x == 2.0));
    });
}

#[cfg(feature = "std")]
#[test]
fn pools_of_few() {
    use std::sync::atomic::{AtomicUsize, Ordering};
    for n in [0, 1, 2, 5] {
        let (pool, calls) = (nearfield_kernels::Pool::new(n).unwrap(), AtomicUsize::new(0));
        pool.run(&|| _ = calls.fetch_add(1, Ordering::Relaxed));
        assert_eq!(pool.n_workers(), n.max(1));
        assert!((1..=n.max(1)).contains(&calls.into_inner()));
    }
}
