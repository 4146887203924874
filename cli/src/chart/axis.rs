//! Axes: their range, their ticks, and the place of a value.

/// Axis with its label and scale.
pub struct Axis {
    label: &'static str,
    kind: Kind,
}

#[derive(Clone, Copy)]
enum Kind {
    /// Linear scale from 0; ticks at multiples of a power of two.
    Linear,
    /// Logarithmic scale; ticks at powers of two.
    Log2,
    /// Logarithmic scale; ticks at 1, 2 and 5 times powers of ten.
    Log10,
}

/// Space beyond the values on a logarithmic axis: share of their range, and the least as a natural logarithm.
const PAD: (f64, f64) = (0.08, 0.03);
/// Fewest ticks of an axis; where the standard ones are fewer, steps that suit the range take their place.
const MIN_TICKS: usize = 3;
/// Most steps between ticks that suit the range.
const MAX_STEPS: f64 = 7.0;

impl Axis {
    /// Linear axis from 0.
    pub const fn linear(label: &'static str) -> Self {
        Self { label, kind: Kind::Linear }
    }

    /// Logarithmic axis with ticks at powers of two.
    pub const fn log2(label: &'static str) -> Self {
        Self { label, kind: Kind::Log2 }
    }

    /// Logarithmic axis with ticks at 1, 2 and 5 times powers of ten.
    pub const fn log10(label: &'static str) -> Self {
        Self { label, kind: Kind::Log10 }
    }

    /// Label of the axis.
    pub fn label(&self) -> &'static str {
        self.label
    }

    /// True if the axis has a place for the value.
    pub fn has(&self, value: f64) -> bool {
        value.is_finite() && (matches!(self.kind, Kind::Linear) || value > 0.0)
    }

    /// Scale on which `values` lie in the field. Those without a place are left out.
    pub fn scale(&self, values: impl Iterator<Item = f64>) -> Scale {
        let kind = self.kind;
        let (low, high) = values
            .filter(|&value| self.has(value))
            .fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), value| (low.min(value), high.max(value)));
        let (low, high) = if low <= high { (low, high) } else { (1.0, 1.0) };
        let (low, high) = match kind {
            Kind::Linear => (0.0, if high > 0.0 { high } else { 1.0 }),
            Kind::Log2 | Kind::Log10 => {
                let (share, least) = PAD;
                let pad = (share * (high.ln() - low.ln())).max(least);
                (low.ln() - pad, high.ln() + pad)
            }
        };
        Scale { kind, low, high }
    }
}

/// Place of values between the ends of the field.
pub struct Scale {
    kind: Kind,
    /// Ends; of logarithmic scales, their natural logarithms.
    low: f64,
    high: f64,
}

/// Value with a grid line.
#[derive(Clone, Debug, PartialEq)]
pub struct Tick {
    /// Place on the axis.
    pub value: f64,
    /// Number beside the grid line; a line between others has none.
    pub label: Option<String>,
}

impl Scale {
    /// Place of a value: 0 at the low end, 1 at the high end.
    pub fn share(&self, value: f64) -> f64 {
        let at = match self.kind {
            Kind::Linear => value,
            Kind::Log2 | Kind::Log10 => value.ln(),
        };
        (at - self.low) / (self.high - self.low)
    }

    /// Ticks from the low end to the high end, at least two with labels.
    pub fn ticks(&self) -> Vec<Tick> {
        let labelled = |value: f64| Tick { value, label: Some(value.to_string()) };
        match self.kind {
            Kind::Linear => {
                // Up to eight steps.
                let step = (-30..).map(|power| 2f64.powi(power)).find(|step| self.high / step <= 8.0);
                let steps = (0..=8).map(|i| f64::from(i) * step.unwrap_or(1.0));
                self.inside(steps).into_iter().map(labelled).collect()
            }
            Kind::Log2 => {
                let powers = self.inside((-30..64).map(|power| 2f64.powi(power)));
                if powers.len() < MIN_TICKS {
                    return self.even_ticks();
                }
                powers.into_iter().map(labelled).collect()
            }
            Kind::Log10 => {
                let digits = [1, 2, 5].map(f64::from);
                let decades = || (-9..16).map(|power: i32| 10f64.powi(power));
                if self.inside(decades().flat_map(|unit| digits.map(|digit| digit * unit))).len() < MIN_TICKS {
                    return self.even_ticks();
                }
                let all = self.inside(decades().flat_map(|unit| (1..10).map(move |digit| f64::from(digit) * unit)));
                let tick = |value: f64| {
                    let digit = (value / 10f64.powf((value * 1.000_001).log10().floor())).round();
                    let label = digits.contains(&digit).then(|| decimal(value, value));
                    Tick { value, label }
                };
                all.into_iter().map(tick).collect()
            }
        }
    }

    /// Ticks at multiples of 1, 2 or 5 times a power of ten, for logarithmic scales whose range is narrow.
    fn even_ticks(&self) -> Vec<Tick> {
        let (low, high) = (self.low.exp(), self.high.exp());
        let mut steps = (-12..16).flat_map(|power| [1.0, 2.0, 5.0].map(|digit| digit * 10f64.powi(power)));
        let step = steps.find(|step| (high - low) / step <= MAX_STEPS).unwrap_or(1.0);
        let first = (low / step).ceil();
        let values = (0..=MAX_STEPS as i32).map(|i| (first + f64::from(i)) * step);
        self.inside(values).into_iter().map(|value| Tick { value, label: Some(decimal(value, step)) }).collect()
    }

    fn inside(&self, values: impl Iterator<Item = f64>) -> Vec<f64> {
        values.filter(|&value| (0.0..=1.0).contains(&self.share(value))).collect()
    }
}

/// Number with the decimals that a multiple of `step` needs.
fn decimal(value: f64, step: f64) -> String {
    let decimals = (-(step * 1.000_001).log10().floor()).max(0.0) as usize;
    format!("{value:.decimals$}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(axis: &Axis, values: &[f64]) -> Vec<String> {
        axis.scale(values.iter().copied()).ticks().into_iter().filter_map(|tick| tick.label).collect()
    }

    #[test]
    fn ticks_are_round_numbers() {
        let cases: [(Axis, &[f64], &str); 13] = [
            (Axis::linear(""), &[0.0, 8192.0], "0 1024 2048 3072 4096 5120 6144 7168 8192"),
            (Axis::linear(""), &[0.0], "0 0.125 0.25 0.375 0.5 0.625 0.75 0.875 1"),
            (Axis::linear(""), &[0.0, 3000.0], "0 512 1024 1536 2048 2560"),
            (Axis::log2(""), &[256.0, 2048.0], "256 512 1024 2048"),
            (Axis::log2(""), &[300.0], "295 300 305"),
            (Axis::log2(""), &[1000.0, 1500.0], "1000 1100 1200 1300 1400 1500"),
            (Axis::log10(""), &[3.0, 60.0], "5 10 20 50"),
            (Axis::log10(""), &[0.02, 0.7], "0.02 0.05 0.1 0.2 0.5"),
            (Axis::log10(""), &[2.1, 4.8], "2.0 2.5 3.0 3.5 4.0 4.5 5.0"),
            (Axis::log10(""), &[5.01, 5.03], "4.90 4.95 5.00 5.05 5.10 5.15"),
            (Axis::log10(""), &[31.0], "30.5 31.0 31.5"),
            (Axis::log10(""), &[1200.0, 1300.0], "1200 1250 1300"),
            (Axis::log10(""), &[f64::NAN, f64::INFINITY, 0.0], "0.98 0.99 1.00 1.01 1.02 1.03"),
        ];
        for (axis, values, want) in cases {
            assert_eq!(labels(&axis, values).join(" "), want, "{values:?}");
        }
    }

    #[test]
    fn lines_between_have_no_label() {
        let ticks = Axis::log10("").scale([3.0, 60.0].into_iter()).ticks();
        let without: Vec<f64> = ticks.into_iter().filter(|tick| tick.label.is_none()).map(|tick| tick.value).collect();
        assert_eq!(without, [3.0, 4.0, 6.0, 7.0, 8.0, 9.0, 30.0, 40.0, 60.0, 70.0]);
    }

    #[test]
    fn every_range_has_ticks_that_differ() {
        for i in 0..400 {
            let low = 1e-3 * 1.07f64.powi(i);
            for ratio in [1.0, 1.000_1, 1.01, 1.1, 1.5, 2.0, 3.0, 10.0, 1e4] {
                for axis in [Axis::linear(""), Axis::log2(""), Axis::log10("")] {
                    let labels = labels(&axis, &[low, low * ratio]);
                    assert!((2..=48).contains(&labels.len()), "{low} {ratio}: {labels:?}");
                    assert!(labels.windows(2).all(|pair| pair[0] != pair[1]), "{low} {ratio}: {labels:?}");
                }
            }
        }
    }
}
