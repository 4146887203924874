//! Floats in messages.

use core::fmt::{self, Write};

/// Float as a message shows it: six significant digits, without zeros at their end; `0.25`, or `2.5e-9` below 0.0001 and from 10^9 on.
/// The last digit may be off by one.
///
/// A few hundred bytes of code. `core` prints the shortest decimal that is read back as the same float, or as many exact digits as
/// asked for, which takes 11 KB of a board's flash.
#[derive(Clone, Copy, Debug)]
pub struct Digits(pub f32);

/// Number of significant digits.
const N: usize = 6;

impl fmt::Display for Digits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let x = self.0.abs();
        if x.is_nan() {
            return f.write_str("NaN");
        }
        if self.0.is_sign_negative() {
            f.write_str("-")?;
        }
        if x.is_infinite() {
            return f.write_str("inf");
        }
        let (digits, n, exponent) = digits_of(x);
        // Numbers of other magnitudes are shown as one in 1..10, times a power of ten.
        let is_plain = (-4..9).contains(&exponent);
        let units = if is_plain { exponent } else { 0 };
        for place in units.min(0)..n.max(units + 1) {
            // Zeros stand before the digits and behind them.
            let digit = usize::try_from(place).ok().and_then(|place| digits.get(place));
            f.write_char(char::from(*digit.unwrap_or(&b'0')))?;
            if place == units && place + 1 < n {
                f.write_str(".")?;
            }
        }
        if is_plain { Ok(()) } else { write!(f, "e{exponent}") }
    }
}

/// Digits of a number from 0 on, as characters; how many stand before the zeros at their end, and the power of ten of the first.
fn digits_of(x: f32) -> ([u8; N], i32, i32) {
    let mut digits = [b'0'; N];
    if x == 0.0 {
        return (digits, 1, 0);
    }
    let (mut x, mut exponent) = (x, 0);
    while x >= 10.0 {
        (x, exponent) = (x / 10.0, exponent + 1);
    }
    while x < 1.0 {
        (x, exponent) = (x * 10.0, exponent - 1);
    }
    let mut number = (x * 100_000.0 + 0.5) as u32;
    if number == 1_000_000 {
        (number, exponent) = (100_000, exponent + 1);
    }
    for digit in digits.iter_mut().rev() {
        *digit = b'0' + (number % 10) as u8;
        number /= 10;
    }
    let n_zeros = digits.iter().rev().take_while(|&&digit| digit == b'0').count();
    (digits, (N - n_zeros) as i32, exponent)
}

#[cfg(test)]
mod tests {
    use std::string::ToString;

    use super::*;

    #[test]
    fn settings_are_shown_as_they_were_typed() {
        for text in [
            "0",
            "-0",
            "1",
            "-1",
            "1.5",
            "0.1",
            "0.05",
            "0.7",
            "1.05",
            "0.0001",
            "100",
            "999999",
            "123456000",
            "0.3",
            "inf",
            "-inf",
        ] {
            assert_eq!(Digits(text.parse().unwrap()).to_string(), text);
        }
        assert_eq!(Digits(f32::NAN).to_string(), "NaN");
    }

    #[test]
    fn magnitudes_far_from_one_have_an_exponent() {
        let shown = [1e-24, 2.5e-9, 1.0 / (1 << 24) as f32, f32::MAX, f32::MIN_POSITIVE, 9.999999e8, 0.123_456_79];
        let want = ["1e-24", "2.5e-9", "5.96046e-8", "3.40282e38", "1.17549e-38", "1e9", "0.123457"];
        assert_eq!(shown.map(|x| Digits(x).to_string()), want);
    }

    #[test]
    fn five_digits_are_right_at_every_magnitude() {
        for x in (1..0x7f80_0000).step_by(99_991).map(f32::from_bits) {
            let shown: f32 = Digits(x).to_string().parse().unwrap();
            assert!(((shown - x) / x).abs() < 1e-5 || x < f32::MIN_POSITIVE, "{x:e}: {}", Digits(x));
        }
    }
}
