//! Two products of small integers by one multiplication, on processors without vectors.
//!
//! A word with weights `a` in its lower half and `b` in its upper one, times `(x << 16) + y`, is `a y + ((a x + b y) << 16)`, all modulo
//! 2^32. The upper half of a sum of such products is `Σ a x + b y`, as long as `Σ a y` of all of them lies in ±2^15: a sum begins with
//! 2^15, so that its lower half never borrows from the upper one.

/// Activations `x` of the weights in words' lower halves, and `y` of those in their upper halves.
#[inline]
pub(crate) fn pair(x: i8, y: i8) -> u32 {
    ((i32::from(x) << 16) + i32::from(y)) as u32
}

/// Start value of a sum whose upper half begins with `start`, which lies in ±2^15.
#[inline]
pub(crate) fn start(start: i32) -> u32 {
    ((start << 16) + (1 << 15)) as u32
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conformance::Rng;

    /// Upper half of the sum of `n` products of weights up to `most`, and the integers that it stands for.
    fn sums(rng: &mut Rng, n: usize, most: u32, offset: i32, mut draw: impl FnMut(&mut Rng) -> i8) -> [i32; 2] {
        let weights: [[u32; 2]; 16] =
            core::array::from_fn(|_| [(); 2].map(|()| if rng.one_in(4) { most } else { rng.bits() % (most + 1) }));
        let activations: [[i8; 2]; 16] = core::array::from_fn(|_| [(); 2].map(|()| draw(rng)));
        let terms = || weights.iter().zip(&activations).take(n);
        let whole = |w: u32, x: i8| (w as i32 - offset) * i32::from(x);
        let want = terms().map(|(&[a, b], &[x, y])| whole(a, x) + whole(b, y)).sum();
        let of_offset = terms().map(|(_, &[x, y])| -offset * (i32::from(x) + i32::from(y))).sum();
        let sum = terms()
            .fold(start(of_offset), |sum, (&[a, b], &[x, y])| sum.wrapping_add((a | b << 16).wrapping_mul(pair(x, y))));
        [want, sum as i32 >> 16]
    }

    #[test]
    fn upper_halves_are_the_sums_of_both_products() {
        let mut rng = Rng::new(4);
        for (most, offset) in [(15, 8), (2, 1), (15, 0), (1, 0)] {
            for _ in 0..20_000 {
                // 32 columns of int8 times 15 fit the upper half only with the offset taken off.
                let n = if offset == 0 { 8 } else { 16 };
                let [want, got] = sums(&mut rng, n, most, offset, |rng| (rng.bits() as i8).max(-127));
                assert_eq!(got, want, "random columns, weights up to {most}");
            }
            for x in [-127, 127] {
                let n = if offset == 0 { 8 } else { 16 };
                let [want, got] = sums(&mut rng, n, most, offset, |_| x);
                assert_eq!(got, want, "columns of {x}, weights up to {most}");
            }
        }
    }
}
