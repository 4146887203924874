//! Random numbers of the sampler: integers only, the same on every machine.

/// SplitMix64: any seed is good, and the state is one word.
///
/// Source: Steele, Lea and Flood, *Fast splittable pseudorandom number generators* (2014), as in `java.util.SplittableRandom`.
#[derive(Clone, Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub(super) struct Rng(u64);

impl Rng {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// Seed of a generator that continues with the same numbers.
    pub(super) fn state(&self) -> u64 {
        self.0
    }

    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Draws a number below `n`, each with the same chance; `n` is at least 1.
    ///
    /// Source: Lemire, *Fast random integer generation in an interval* (2019). For `n` up to 2^63 fewer than half of the draws
    /// are thrown away.
    pub(super) fn below(&mut self, n: u64) -> u64 {
        loop {
            let product = u128::from(self.next()) * u128::from(n);
            let low = product as u64;
            if low >= n || low >= n.wrapping_neg() % n {
                return (product >> 64) as u64;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reference values: Rosetta Code, *Pseudo-random numbers/Splitmix64*.
    #[test]
    fn the_published_sequence() {
        let mut rng = Rng::new(1_234_567);
        let want = [
            6_457_827_717_110_365_317,
            3_203_168_211_198_807_973,
            9_817_491_932_198_370_423,
            4_593_380_528_125_082_431,
            16_408_922_859_458_223_821,
        ];
        assert_eq!(want.map(|_| rng.next()), want);
    }

    #[test]
    fn below_covers_every_number_evenly() {
        let mut rng = Rng::new(1);
        let mut counts = [0u32; 7];
        for _ in 0..70_000 {
            counts[rng.below(7) as usize] += 1;
        }
        // Five standard deviations: sqrt(70000 * 1/7 * 6/7) = 93.
        assert!(counts.iter().all(|n| n.abs_diff(10_000) < 465), "{counts:?}");
        assert_eq!(rng.below(1), 0);
        assert!(rng.below(u64::MAX) < u64::MAX);
    }

    /// A draw is thrown away where it would make some numbers likelier: the least `2^64 mod n` fractions.
    #[test]
    fn no_number_is_likelier_than_another() {
        for n in [1, 2, 3, 10, 1 << 32, (1 << 63) + 1, 3 << 62, u64::MAX] {
            let (mut ours, mut plain) = (Rng::new(n), Rng::new(n));
            let surplus = (1u128 << 64) % u128::from(n);
            for _ in 0..1000 {
                let want = loop {
                    let product = u128::from(plain.next()) * u128::from(n);
                    if product & u128::from(u64::MAX) >= surplus {
                        break (product >> 64) as u64;
                    }
                };
                assert_eq!(ours.below(n), want, "below {n}");
                assert_eq!(ours.state(), plain.state());
            }
        }
    }
}
