//! Time left of a task, estimated from the times at which its parts were done.
//!
//! A token of a long prompt costs the more, the deeper it stands, since attention walks over the keys before it. A mean over the
//! past is then far too low. The estimate is a range instead: at least the cost of late, at most a cost that continues to grow
//! by the line fitted to the last half of the work. A horizon or a ring ends the growth somewhere between the two.

use std::fmt;
use std::time::Duration;

/// Change of the cost of a unit over a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Growth {
    /// None: the cost of late continues.
    Steady,
    /// At most linear.
    Linear,
}

/// Parts that an estimate needs.
const MIN_PARTS: usize = 3;
/// Samples that are kept, an even number; above it every other one is dropped.
const MAX_SAMPLES: usize = 128;

/// Estimator of the time left.
#[derive(Clone, Debug)]
pub struct Estimator {
    growth: Growth,
    total: f64,
    /// Units done and seconds since the beginning, both growing. Work before the first sample does not count: it is slow, or was
    /// done before.
    samples: Vec<(f64, f64)>,
}

impl Estimator {
    /// Estimator of a task of `total` units, which begins now.
    pub fn new(total: u64, growth: Growth) -> Self {
        Self { growth, total: total as f64, samples: Vec::new() }
    }

    /// Adds that `done` units were done at `elapsed` since the beginning.
    pub fn reached(&mut self, done: u64, elapsed: Duration) {
        let done = done as f64;
        if self.samples.last().is_none_or(|&(before, _)| done > before) {
            self.samples.push((done, elapsed.as_secs_f64()));
        }
        if self.samples.len() > MAX_SAMPLES {
            // The number is odd here: the first and the newest stay.
            let mut stays = false;
            self.samples.retain(|_| {
                stays = !stays;
                stays
            });
        }
    }

    /// Estimate of the time left; `None` before [`MIN_PARTS`] parts were done after the first.
    pub fn left(&self) -> Option<Left> {
        let &(done, _) = self.samples.last()?;
        // The last half of the work, and at least the parts that an estimate needs.
        let in_half = self.samples.partition_point(|&(before, _)| before < done / 2.0);
        let first = in_half.min(self.samples.len().checked_sub(MIN_PARTS + 1)?);
        let fit = Fit::new(&self.samples[first..])?;
        let rest = (self.total - done).max(0.0);
        let [least, most] = match self.growth {
            Growth::Steady => [-1.0, 1.0].map(|side| rest * (fit.mean + side * fit.mean_error)),
            Growth::Linear => {
                let [low, high] = [-1.0, 1.0].map(|side| (fit.slope + side * fit.slope_error).max(0.0));
                let now = |slope: f64| fit.mean + slope * (done - fit.middle);
                [
                    rest * now(low).min(fit.late) - rest * fit.residual_error,
                    rest * (now(high) + fit.residual_error) + high * rest * rest / 2.0,
                ]
            }
        };
        Some(Left { least: least.max(0.0), most: most.max(0.0) })
    }
}

/// Line of least squares through the costs of parts.
struct Fit {
    /// Middle of the parts, in units.
    middle: f64,
    /// Mean cost, seconds a unit, and its standard error if the cost is steady.
    mean: f64,
    mean_error: f64,
    /// Mean cost of the last parts, which lie below the line once the growth has ended.
    late: f64,
    /// Standard error of the mean about the line.
    residual_error: f64,
    /// Growth of the cost, seconds a unit and unit, and its standard error.
    slope: f64,
    slope_error: f64,
}

impl Fit {
    /// Fits a line to the parts between the samples, at least three.
    fn new(samples: &[(f64, f64)]) -> Option<Self> {
        let parts: Vec<Part> = samples.windows(2).filter_map(Part::between).collect();
        let n = parts.len() as f64;
        let units: f64 = parts.iter().map(|part| part.units).sum();
        // A part counts by its units; the mean weight is 1.
        let sum = |of: &dyn Fn(&Part) -> f64| parts.iter().map(|part| part.units * n / units * of(part)).sum::<f64>();
        let (middle, mean) = (sum(&|part| part.middle) / n, sum(&|part| part.cost) / n);
        let spread = sum(&|part| (part.middle - middle).powi(2));
        let slope = sum(&|part| (part.middle - middle) * (part.cost - mean)) / spread;
        let about_mean = sum(&|part| (part.cost - mean).powi(2)) / (n - 1.0);
        let about_line = sum(&|part| (part.cost - mean - slope * (part.middle - middle)).powi(2)) / (n - 2.0);
        let late = &parts[parts.len().saturating_sub(MIN_PARTS)..];
        let late = late.iter().map(|part| part.cost).sum::<f64>() / late.len() as f64;
        let (mean_error, residual_error) = ((about_mean / n).sqrt(), (about_line / n).sqrt());
        let slope_error = (about_line / spread).sqrt();
        let fit = Self { middle, mean, mean_error, late, residual_error, slope, slope_error };
        (n > 2.0 && fit.slope_error.is_finite()).then_some(fit)
    }
}

/// Work between two samples.
struct Part {
    units: f64,
    middle: f64,
    /// Seconds a unit.
    cost: f64,
}

impl Part {
    fn between(samples: &[(f64, f64)]) -> Option<Self> {
        let &[(from, start), (to, end)] = samples else { return None };
        let units = to - from;
        Some(Self { units, middle: f64::midpoint(from, to), cost: (end - start) / units })
    }
}

/// Time left, in seconds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Left {
    least: f64,
    most: f64,
}

/// Ratio of the most to the least up to which the middle is shown alone.
const NARROW: f64 = 1.2;
/// Ratio from which the least is shown alone.
const WIDE: f64 = 5.0;

impl fmt::Display for Left {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let &Self { least, most } = self;
        if most <= NARROW * least || most <= 2.0 {
            let time = f64::midpoint(least, most);
            let unit = Unit::of(time);
            write!(f, "{} {} left", unit.digits(time), unit.name)
        } else if most <= WIDE * least {
            let unit = Unit::of(most);
            write!(f, "{} to {} {} left", unit.digits(least), unit.digits(most), unit.name)
        } else if least < 0.5 {
            let unit = Unit::of(most);
            write!(f, "up to {} {} left", unit.digits(most), unit.name)
        } else {
            let unit = Unit::of(least);
            write!(f, "more than {} {} left", unit.digits(least), unit.name)
        }
    }
}

/// Unit of time.
struct Unit {
    name: &'static str,
    seconds: f64,
}

impl Unit {
    /// Unit for a time in seconds.
    fn of(time: f64) -> Self {
        let (name, seconds) = match time {
            ..100.0 => ("s", 1.0),
            ..6000.0 => ("min", 60.0),
            _ => ("h", 3600.0),
        };
        Self { name, seconds }
    }

    fn digits(&self, time: f64) -> String {
        let n = time / self.seconds;
        if self.seconds > 1.0 && n < 10.0 { format!("{n:.1}") } else { format!("{n:.0}") }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Estimate after `done` of `total` units in parts of `part`, where unit `x` costs `cost(x)` seconds.
    fn left(growth: Growth, [part, done, total]: [u64; 3], cost: impl Fn(f64) -> f64) -> Option<Left> {
        let mut estimator = Estimator::new(total, growth);
        let mut seconds = 0.0;
        for i in 0..done / part {
            // The middle of a part has the mean of a linear cost.
            seconds += cost((i * part) as f64 + part as f64 / 2.0) * part as f64;
            estimator.reached((i + 1) * part, Duration::from_secs_f64(seconds));
        }
        estimator.left()
    }

    fn is_close(a: f64, b: f64) -> bool {
        (a - b).abs() <= 1e-4 * b
    }

    #[test]
    fn a_steady_cost_has_one_estimate() {
        for growth in [Growth::Steady, Growth::Linear] {
            let Left { least, most } = left(growth, [64, 1024, 4096], |_| 0.01).unwrap();
            assert!(is_close(least, 30.72) && is_close(most, 30.72), "{least} {most}");
        }
        assert_eq!(left(Growth::Linear, [64, 1024, 4096], |_| 0.01).unwrap().to_string(), "31 s left");
    }

    #[test]
    fn a_prompt_whose_tokens_cost_more_and_more_is_not_told_too_short() {
        // Unit 0 costs 2 ms and unit 8192 costs 22 ms: after an eighth, 3.3 s are over and 95 s are left; the mean says 23 s.
        let cost = |x: f64| 0.002 + 0.020 * x / 8192.0;
        let estimate = left(Growth::Linear, [128, 1024, 8192], cost).unwrap();
        assert!(is_close(estimate.most, 94.976), "{}", estimate.most);
        assert!(is_close(estimate.least, 7168.0 * cost(832.0)), "{}", estimate.least);
        assert_eq!(estimate.to_string(), "29 to 95 s left");
        // The range narrows as the end comes near.
        assert_eq!(left(Growth::Linear, [128, 4096, 8192], cost).unwrap().to_string(), "47 to 70 s left");
        assert_eq!(left(Growth::Linear, [128, 7168, 8192], cost).unwrap().to_string(), "20 s left");
    }

    #[test]
    fn a_growth_that_ends_is_inside_the_range() {
        let cost = |x: f64| 0.002 + 0.020 * x.min(3072.0) / 8192.0;
        let truth = |done: u64| (done..8192).map(|x| cost(x as f64)).sum::<f64>();
        for done in [1024, 2048, 3072, 4096, 6144] {
            let Left { least, most } = left(Growth::Linear, [128, done, 8192], cost).unwrap();
            let truth = truth(done);
            assert!(least <= truth * 1.001 && truth <= most * 1.001, "{done}: {least} {truth} {most}");
        }
    }

    #[test]
    fn a_slow_beginning_is_forgotten() {
        let cost = |x: f64| if x < 128.0 { 1.0 } else { 0.01 };
        let Left { least, most } = left(Growth::Steady, [64, 1024, 4096], cost).unwrap();
        assert!(is_close(least, 30.72) && is_close(most, 30.72), "{least} {most}");
    }

    #[test]
    fn disturbed_parts_widen_the_range() {
        // Every other part takes three times as long.
        let cost = |x: f64| if (x as u64 / 64).is_multiple_of(2) { 0.01 } else { 0.03 };
        let Left { least, most } = left(Growth::Steady, [64, 1024, 4096], cost).unwrap();
        assert!(least < 61.44 && 61.44 < most && most < 2.0 * least, "{least} {most}");
    }

    #[test]
    fn there_is_no_estimate_before_four_parts() {
        assert_eq!(left(Growth::Steady, [64, 192, 4096], |_| 0.01), None);
        // The first has no time of its own.
        let first_is_slow = |x: f64| if x < 64.0 { 1.0 } else { 0.01 };
        assert_eq!(left(Growth::Steady, [64, 256, 4096], first_is_slow).unwrap().to_string(), "38 s left");
        assert!(left(Growth::Steady, [64, 256, 4096], |_| 0.01).is_some());
        assert_eq!(Estimator::new(0, Growth::Steady).left(), None);
        // No time at all, and the end.
        assert_eq!(left(Growth::Linear, [1, 8, 16], |_| 0.0), Some(Left { least: 0.0, most: 0.0 }));
        assert_eq!(left(Growth::Linear, [64, 1024, 1024], |_| 0.01), Some(Left { least: 0.0, most: 0.0 }));
    }

    #[test]
    fn many_samples_are_thinned_and_the_newest_stays() {
        let mut estimator = Estimator::new(1 << 20, Growth::Steady);
        for done in 1..=100_000 {
            estimator.reached(done, Duration::from_millis(done));
            assert_eq!(estimator.samples.last().map(|sample| sample.0), Some(done as f64));
            assert!(estimator.samples.len() <= MAX_SAMPLES);
        }
        let Left { least, most } = estimator.left().unwrap();
        assert!(is_close(least, 948.576) && is_close(most, 948.576), "{least} {most}");
    }

    #[test]
    fn ranges_have_one_unit_and_useful_digits() {
        let cases = [
            (7.0, 28.0, "7 to 28 s left"),
            (7.0, 90.0, "more than 7 s left"),
            (0.2, 1.4, "1 s left"),
            (0.0, 9.0, "up to 9 s left"),
            (95.0, 200.0, "1.6 to 3.3 min left"),
            (800.0, 900.0, "14 min left"),
            (4000.0, 12000.0, "1.1 to 3.3 h left"),
        ];
        for (least, most, want) in cases {
            assert_eq!(Left { least, most }.to_string(), want);
        }
    }
}
