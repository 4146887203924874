//! Distance of logits from a reference.

use std::fmt;

/// Difference over all logits of some positions.
#[derive(Clone, Copy, Debug)]
pub struct Difference {
    /// Largest difference.
    pub max: f64,
    /// Largest difference over the standard deviation of the expected logits.
    pub of_spread: f64,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "largest difference {:.2e}, {:.2e} of the spread", self.max, self.of_spread)
    }
}

/// The difference between rows of the same shape. A NaN anywhere makes it infinite.
pub fn difference<W: Copy + Into<f64>, G: Copy + Into<f64>>(want: &[Vec<W>], got: &[Vec<G>]) -> Difference {
    assert_eq!(want.len(), got.len(), "positions");
    let mut max = 0.0;
    for (want, got) in want.iter().zip(got) {
        assert_eq!(want.len(), got.len(), "logits");
        for (&want, &got) in want.iter().zip(got) {
            let d = (want.into() - got.into()).abs();
            max = if d.is_nan() { f64::INFINITY } else { d.max(max) };
        }
    }
    Difference { max, of_spread: max / deviation(want) }
}

/// Standard deviation of all numbers.
fn deviation<T: Copy + Into<f64>>(rows: &[Vec<T>]) -> f64 {
    let all: Vec<f64> = rows.iter().flatten().map(|&x| x.into()).collect();
    let n = all.len() as f64;
    let mean = all.iter().sum::<f64>() / n;
    (all.iter().map(|x| (x - mean) * (x - mean)).sum::<f64>() / n).sqrt()
}

/// Fails with the first number whose bits differ.
#[track_caller]
pub fn assert_same_bits(what: &str, want: &[Vec<f32>], got: &[Vec<f32>]) {
    assert_eq!(want.len(), got.len(), "{what}: positions");
    for (pos, (want, got)) in want.iter().zip(got).enumerate() {
        assert_eq!(want.len(), got.len(), "{what}: logits at position {pos}");
        for (token, (want, got)) in want.iter().zip(got).enumerate() {
            let bits = [want.to_bits(), got.to_bits()];
            assert!(
                bits[0] == bits[1],
                "{what}: position {pos}, token {token}: want {want:e} ({:#010x}), got {got:e} ({:#010x})",
                bits[0],
                bits[1]
            );
        }
    }
}
