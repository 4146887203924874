//! Arithmetic and control flow for `const fn`, in which `?`, traits and `libm` cannot be used.

/// Does what `?` does, in a `const fn`, where that operator is not stable.
macro_rules! attempt {
    ($result:expr) => {
        match $result {
            Ok(value) => value,
            Err(error) => return Err(error),
        }
    };
}
pub(crate) use attempt;

/// Product; `None` if it overflows.
pub(crate) const fn times(a: usize, b: usize) -> Option<usize> {
    a.checked_mul(b)
}

/// Sum; `None` if it overflows.
pub(crate) const fn sum<const N: usize>(parts: [usize; N]) -> Option<usize> {
    let mut total: usize = 0;
    let mut i = 0;
    while i < N {
        total = match total.checked_add(parts[i]) {
            Some(n) => n,
            None => return None,
        };
        i += 1;
    }
    Some(total)
}

/// Sum of sizes, each of which may be too large to be known; `None` if one is, or the sum overflows.
pub(crate) const fn sum_known<const N: usize>(parts: [Option<usize>; N]) -> Option<usize> {
    let mut known = [0; N];
    let mut i = 0;
    while i < N {
        known[i] = match parts[i] {
            Some(part) => part,
            None => return None,
        };
        i += 1;
    }
    sum(known)
}

/// Larger of two numbers.
pub(crate) const fn max(a: usize, b: usize) -> usize {
    if a > b { a } else { b }
}

/// Computes `2^x`, to a few units in the last place: lengths need no more, and `libm` is not `const`.
pub(crate) const fn exp2(x: f32) -> f32 {
    if x < -126.0 {
        return 0.0;
    }
    if x > 127.0 {
        return f32::MAX;
    }
    let mut whole = x as i32;
    if whole as f32 > x {
        whole -= 1;
    }
    let (t, mut term, mut sum, mut i) = ((x - whole as f32) * core::f32::consts::LN_2, 1.0, 1.0, 1);
    while i < 12 {
        term *= t / i as f32;
        sum += term;
        i += 1;
    }
    sum * f32::from_bits(((whole + 127) as u32) << 23)
}

/// Computes `ln x` for a normal x above 0, to a few units in the last place.
pub(crate) const fn ln(x: f32) -> f32 {
    let exponent = (x.to_bits() >> 23) as i32 - 127;
    let mantissa = f32::from_bits(x.to_bits() & 0x7f_ffff | 0x3f80_0000);
    // ln m = 2 artanh((m - 1) / (m + 1)), with an argument of at most a third.
    let y = (mantissa - 1.0) / (mantissa + 1.0);
    let (mut power, mut sum, mut i) = (y, 0.0, 1);
    while i < 20 {
        sum += power / i as f32;
        power *= y * y;
        i += 2;
    }
    2.0 * sum + exponent as f32 * core::f32::consts::LN_2
}

/// Computes `log2 x` for a normal x above 0, with the error of [`ln`].
pub(crate) const fn log2(x: f32) -> f64 {
    (ln(x) * core::f32::consts::LOG2_E) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_functions_are_those_of_libm() {
        for i in -4000..4000 {
            let x = i as f32 / 40.0;
            let (got, want) = (exp2(x), libm::exp2f(x));
            assert!((got / want - 1.0).abs() < 1e-6, "2^{x}: {got}, {want}");
        }
        for i in 1..4000 {
            let x = i as f32 * 1e-3;
            let (got, want) = (ln(x), libm::logf(x));
            assert!((got - want).abs() < 1e-6 * want.abs().max(1.0), "ln {x}: {got}, {want}");
        }
        assert!((ln(1e-30) - libm::logf(1e-30)).abs() < 1e-4);
    }
}
