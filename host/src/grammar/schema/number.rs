//! Integers and numbers between bounds.

use super::super::gbnf::{NOTHING, any_of, literal};
use super::super::json::{Json, Members};
use crate::error::{Context, Result, bail};

/// Greatest integer where a schema has no bound: 16 digits.
const MAX: i128 = 9_999_999_999_999_999;
/// Numbers of this size and more have no fraction, so that none is rounded to a bound.
const MAX_WITH_FRACTION: i128 = 1_000_000;
/// Digits of a fraction.
const FRACTION: &str = "\".\" [0-9]{1,8}";
/// Fraction that is not zero.
const FRACTION_ABOVE_0: &str = "\".\" \"0\"{0,7} [1-9]";

/// Bounds of a number, each with true if it is excluded.
type Bounds = [Option<(i128, bool)>; 2];

/// Right side for integers.
pub(super) fn integer(members: &Members, path: &str) -> Result<String> {
    let [min, max] = bounds(members, path, true)?;
    if (min, max) == (None, None) {
        return Ok("integer".into());
    }
    let lo = min.map(|(min, excluded)| min + i128::from(excluded));
    let hi = max.map(|(max, excluded)| max - i128::from(excluded));
    let lo = lo.unwrap_or((-MAX).min(hi.unwrap_or(0).saturating_mul(2)));
    let hi = hi.unwrap_or(MAX.max(lo.saturating_mul(2)));
    let mut alternatives = Vec::new();
    if lo < 0 && lo <= hi {
        alternatives.push(format!("\"-\" {}", natural(1.max(-hi), -lo)));
    }
    if hi >= 0 && lo <= hi {
        alternatives.push(natural(lo.max(0), hi));
    }
    Ok(any_of(alternatives))
}

/// Right side for numbers.
pub(super) fn number(members: &Members, path: &str) -> Result<String> {
    let [min, max] = bounds(members, path, false)?;
    if (min, max) == (None, None) {
        return Ok("number".into());
    }
    let (lo, hi) = (min.unwrap_or((-MAX, false)), max.unwrap_or((MAX, false)));
    let mut alternatives = Vec::new();
    if hi.0 > 0 || hi == (0, false) {
        alternatives.push(decimal(if lo.0 < 0 { (0, false) } else { lo }, hi));
    }
    if lo.0 < 0 {
        let mirrored = if hi.0 > 0 { (0, false) } else { (-hi.0, hi.1) };
        alternatives.push(format!("\"-\" {}", decimal(mirrored, (-lo.0, lo.1))));
    }
    Ok(any_of(alternatives))
}

/// Decimal numbers from `lo`, which is not negative, to `hi`.
fn decimal(lo: (i128, bool), hi: (i128, bool)) -> String {
    let mut alternatives = vec![natural(lo.0 + i128::from(lo.1), hi.0 - i128::from(hi.1))];
    let last = hi.0.min(MAX_WITH_FRACTION) - 1;
    if lo.1 && lo.0 <= last {
        alternatives.push(format!("{} {FRACTION_ABOVE_0}", literal(&lo.0.to_string())));
    }
    alternatives.push(format!("{} {FRACTION}", natural(lo.0 + i128::from(lo.1), last)));
    any_of(alternatives)
}

/// Integers from `lo`, which is not negative, to `hi`.
fn natural(lo: i128, hi: i128) -> String {
    if lo > hi {
        return NOTHING.into();
    }
    let mut alternatives = Vec::new();
    for n_digits in lo.to_string().len()..=hi.to_string().len() {
        let power = 10i128.pow(n_digits as u32 - 1);
        let least = if n_digits == 1 { 0 } else { power };
        let (lo, hi) = (lo.max(least), hi.min(10 * power - 1));
        alternatives.push(digits(&lo.to_string(), &hi.to_string()));
    }
    any_of(alternatives)
}

/// Numbers of as many digits as both have, from `lo` to `hi`.
fn digits(lo: &str, hi: &str) -> String {
    let (Some(a), Some(b)) = (lo.chars().next(), hi.chars().next()) else { return "\"\"".into() };
    let (lo_rest, hi_rest) = (&lo[1..], &hi[1..]);
    let n = lo_rest.len();
    let any = |n: usize| if n == 0 { String::new() } else { format!(" [0-9]{{{n}}}") };
    if a == b {
        return format!("\"{a}\" {}", digits(lo_rest, hi_rest));
    }
    let (zeros, nines) = ("0".repeat(n), "9".repeat(n));
    let (mut from, mut to) = (a as u8, b as u8);
    let mut alternatives = Vec::new();
    if lo_rest != zeros {
        alternatives.push(format!("\"{a}\" {}", digits(lo_rest, &nines)));
        from += 1;
    }
    if hi_rest != nines {
        alternatives.push(format!("\"{b}\" {}", digits(&zeros, hi_rest)));
        to -= 1;
    }
    if from <= to {
        alternatives.push(format!("[{}-{}]{}", from as char, to as char, any(n)));
    }
    any_of(alternatives)
}

/// The least and the greatest value; of integers, bounds between two of them are moved to the nearer one inside.
fn bounds(members: &Members, path: &str, of_integers: bool) -> Result<Bounds> {
    let get = |name: &str, is_lower: bool| -> Result<Option<(i128, f64)>> {
        let Some((_, value)) = members.iter().find(|(other, _)| other == name) else { return Ok(None) };
        let Json::Number(number) = value else { return Err(not_a_number(path, name, value)) };
        // Numbers have 16 digits, so that a bound as far as those of 64-bit integers leaves out none.
        if number.as_f64().is_some_and(|float| if is_lower { float <= -1e18 } else { float >= 1e18 }) {
            return Ok(None);
        }
        let float = number.as_f64().filter(|float| float.is_finite() && float.abs() < 1e18);
        let float = float.with_context(|| format!("{path}/{name}: {number} is too large"))?;
        let whole = number.as_i64().map_or(float.trunc() as i128, i128::from);
        Ok(Some((whole, float - whole as f64)))
    };
    let bound = |inclusive: &str, exclusive: &str, is_lower: bool| -> Result<Option<(i128, bool)>> {
        let mut bound: Option<(i128, bool)> = None;
        for (name, is_excluded) in [(inclusive, false), (exclusive, true)] {
            let Some((whole, rest)) = get(name, is_lower)? else { continue };
            let found = match (rest == 0.0, of_integers) {
                (true, _) => (whole, is_excluded),
                (false, true) if is_lower => (whole + i128::from(rest > 0.0), false),
                (false, true) => (whole - i128::from(rest < 0.0), false),
                (false, false) => {
                    bail!("{path}/{name}: only integers are supported");
                }
            };
            let is_stricter = |(old, old_excluded): (i128, bool)| match found.0 == old {
                true => found.1 && !old_excluded,
                false => (found.0 > old) == is_lower,
            };
            if bound.is_none_or(is_stricter) {
                bound = Some(found);
            }
        }
        Ok(bound)
    };
    Ok([bound("minimum", "exclusiveMinimum", true)?, bound("maximum", "exclusiveMaximum", false)?])
}

fn not_a_number(path: &str, name: &str, value: &Json) -> crate::Error {
    crate::Error::Invalid(format!("{path}/{name}: {} is no number", value.text()))
}
