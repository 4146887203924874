//! Attention with Linear Biases (ALiBi): the slope of each head.
//!
//! Source: Press, Smith & Lewis 2021, arXiv 2108.12409, and its reference code for head counts that are no power of two.

use crate::architecture::AttentionScale;
use crate::config::{AlibiScale, SessionConfig};
use crate::const_math::log2;
use crate::shape::Shape;

impl AlibiScale {
    /// Factor of the slopes of a query that sees `n_keys` keys.
    fn factor(self, shape: &Shape, n_keys: usize) -> f32 {
        match (self, shape.alibi_train_length) {
            (Self::Factor(factor), _) => factor,
            (Self::Trained(length), _) | (Self::Model, Some(length)) if length < n_keys => {
                length as f32 / n_keys as f32
            }
            (Self::Trained(_) | Self::Model, _) => 1.0,
        }
    }
}

/// Slope of `head`: `2^(-B (h+1) / p)` for the first `p` heads, `2^(-B/2 (2 (h-p) + 1) / p)` for the rest, where `p` is the
/// largest power of two up to `n_head` and `B` is `max_bias` (8 in the paper).
///
/// A `max_bias` that is not above 0 means no bias at all: every slope is 0.
pub fn slope(head: usize, n_head: usize, max_bias: f32) -> f32 {
    match share(head, n_head) {
        Some((k, shift)) if max_bias > 0.0 => power_of_half(max_bias, k, shift),
        _ => 0.0,
    }
}

/// Factor of the distances for a query of `head` that sees `n_keys` keys, before [`Shape::bias_scale`].
///
/// The factor is the slope times the factor of `scale`, which is 1 unless the model (BTLM) or the session scales slopes for
/// texts longer than those of training. `n_keys` counts the text up to the query's token, as in decoding token by token: so a
/// token's logits depend neither on later tokens nor on how a text is cut.
pub fn slope_at(shape: &Shape, scale: AlibiScale, head: usize, n_keys: usize) -> f32 {
    slope(head, shape.n_head, shape.max_alibi_bias) * scale.factor(shape, n_keys)
}

/// Share of `max_bias` that is the exponent of a head, `k / 2^shift`; `None` without heads.
const fn share(head: usize, n_head: usize) -> Option<(usize, u32)> {
    let Some(log2) = n_head.checked_ilog2() else { return None };
    let p = 1 << log2;
    Some(if head < p { (head + 1, log2) } else { (2 * (head - p) + 1, log2 + 1) })
}

/// Exponent `x` of the slope `2^-x`; `None` if the head has no slope.
const fn exponent(head: usize, n_head: usize, max_bias: f32) -> Option<f64> {
    match share(head, n_head) {
        Some((k, shift)) if max_bias > 0.0 => Some(max_bias as f64 * k as f64 / (1u64 << shift) as f64),
        _ => None,
    }
}

/// `2^(-2^-k)` for k from 1 on, in units of 2^-64.
#[rustfmt::skip]
static ROOTS_OF_HALF: [u64; 32] = [
    0xb504_f333_f9de_6484, 0xd744_fcca_d69d_6af4, 0xeac0_c6e7_dd24_392f, 0xf525_7d15_2486_cc2c,
    0xfa83_b2db_722a_033a, 0xfd3e_0c0c_f486_c175, 0xfe9e_115c_7b8f_884c, 0xff4e_cb59_511e_c8a5,
    0xffa7_5652_1c8d_aed2, 0xffd3_a751_c0f7_e10c, 0xffe9_d2b2_f7db_2756, 0xfff4_e91b_ff1b_8c3e,
    0xfffa_747e_a004_0664, 0xfffd_3a3b_7814_eb54, 0xfffe_9d1c_c60d_dab1, 0xffff_4e8e_2587_9bfa,
    0xffff_a747_0363_f451, 0xffff_d3a3_7dda_0313, 0xffff_e9d1_bdf7_03af, 0xffff_f4e8_debe_025e,
    0xffff_fa74_6f4f_a150, 0xffff_fd3a_37a3_f8b0, 0xffff_fe9d_1bd1_065a, 0xffff_ff4e_8de8_45ae,
    0xffff_ffa7_46f4_1377, 0xffff_ffd3_a37a_05e4, 0xffff_ffe9_d1bd_01fc, 0xffff_fff4_e8de_80c0,
    0xffff_fffa_746f_4051, 0xffff_fffd_3a37_a025, 0xffff_fffe_9d1b_d011, 0xffff_ffff_4e8d_e808,
];
/// `ln 2` in units of 2^-64.
const LN_2: u64 = 0xb172_17f7_d1cf_79ac;

/// `2^-(x k / 2^shift)` for x above 0, rounded once: the exponent is exact, and the power is known to 2^-60 before.
///
/// In integers, since each token needs the slopes of all heads in all layers, and most microcontrollers have no unit for doubles.
fn power_of_half(x: f32, k: usize, shift: u32) -> f32 {
    // x = mantissa * 2^power, and the exponent is `units * 2^power`.
    let (mantissa, power) = match x.to_bits() >> 23 {
        0 => (x.to_bits(), -149),
        power => (x.to_bits() & 0x7f_ffff | 0x80_0000, power as i32 - 150),
    };
    let units = u64::from(mantissa).saturating_mul(k as u64);
    let (whole, part) = match power - shift as i32 {
        up @ 0.. => (if units.leading_zeros() > up as u32 { units << up } else { u64::MAX }, 0),
        down @ -63..0 => (units >> -down, units << (64 + down)),
        down @ -127..-63 => (0, units >> (-down - 64)),
        _ => (0, 0),
    };
    let high = |a: u64, b: u64| ((u128::from(a) * u128::from(b)) >> 64) as u64;
    // 2^-part in units of 2^-63, from above 2^62 to 2^63.
    let mut y = 1u64 << 63;
    let mut bits = part;
    for &root in &ROOTS_OF_HALF {
        if bits == 0 {
            break;
        }
        if bits >> 63 != 0 {
            y = high(y, root);
        }
        bits <<= 1;
    }
    // Below 2^-32 the power is a line.
    y -= high(y, high(part & 0xffff_ffff, LN_2));
    match whole {
        0..126 => f32::from_bits((y as f32).to_bits() - ((63 + whole as u32) << 23)),
        126..150 => {
            // Subnormal: units of 2^-149, to the nearest, half to even.
            let n = whole - 86;
            let (units, rest, half) = (y >> n, y & ((1 << n) - 1), 1 << (n - 1));
            f32::from_bits((units + u64::from(rest > half || rest == half && units & 1 != 0)) as u32)
        }
        _ => 0.0,
    }
}

/// Exponent `x` of the flattest slope `2^-x`, scales included, among the query heads that share KV head `head`, for any query
/// of such a session; `None` if there is no slope.
pub(crate) const fn flattest_exponent(shape: &Shape, config: &SessionConfig, head: usize) -> Option<f64> {
    let n = shape.heads_per_kv();
    let mut flattest = None;
    let mut i = head * n;
    while i < (head + 1) * n {
        let Some(found) = exponent(i, shape.n_head, shape.max_alibi_bias) else { return None };
        flattest = match flattest {
            Some(most) if most >= found => Some(most),
            _ => Some(found),
        };
        i += 1;
    }
    let Some(flattest) = flattest else { return None };
    // Negated logarithms of the factors of `Shape::bias_scale` and of the session's scale.
    let scaled = match (shape.arch.scaled_bias, shape.arch.scale) {
        (false, _) => 0.0,
        (true, AttentionScale::InvSqrtHeadDim) => log2(shape.head_dim as f32) / 2.0,
        (true, AttentionScale::InvHeadDim) => log2(shape.head_dim as f32),
    };
    let shrunk = match (config.alibi_scale, shape.alibi_train_length) {
        (AlibiScale::Factor(factor), _) => -log2(factor),
        (AlibiScale::Trained(length), _) | (AlibiScale::Model, Some(length)) if length < config.n_ctx => {
            log2(config.n_ctx as f32) - log2(length as f32)
        }
        (AlibiScale::Trained(_) | AlibiScale::Model, _) => 0.0,
    };
    Some(flattest + scaled + shrunk)
}

#[cfg(test)]
mod tests {
    use super::{exponent, slope};

    fn slopes<const N: usize>(max_bias: f32) -> [f32; N] {
        core::array::from_fn(|head| slope(head, N, max_bias))
    }

    #[test]
    fn eight_heads_have_the_slopes_of_the_paper() {
        assert_eq!(slopes(8.0), [0.5, 0.25, 0.125, 0.0625, 0.03125, 0.015625, 0.0078125, 0.00390625]);
    }

    #[test]
    fn twelve_heads_take_every_second_slope_of_sixteen_for_the_rest() {
        let got = slopes::<12>(8.0);
        let sixteen = slopes::<16>(8.0);
        assert_eq!(got[..8], slopes::<8>(8.0));
        assert_eq!(got[8..], [sixteen[0], sixteen[2], sixteen[4], sixteen[6]]);
        assert!((got[8] - core::f32::consts::FRAC_1_SQRT_2).abs() < 1e-7);
    }

    #[test]
    fn a_double_max_bias_squares_the_slopes() {
        assert_eq!(slopes::<8>(16.0)[0], 0.25);
        assert_eq!(slopes::<8>(0.0), [0.0; 8]);
    }

    /// Bits of a power in double precision, rounded to a float.
    #[test]
    fn slopes_are_rounded_once() {
        let biases =
            [8.0, 5.0, 16.0, 1.0, 0.3, 2.5, 8.1, 100.0, 137.0, 149.5, 1e-3, 1e-40, 1e30, f32::MAX, f32::INFINITY];
        for (n_head, max_bias) in (1..=256).flat_map(|n_head| biases.map(|max_bias| (n_head, max_bias))) {
            for head in 0..n_head {
                let want = libm::exp2(-exponent(head, n_head, max_bias).unwrap()) as f32;
                let got = slope(head, n_head, max_bias);
                assert_eq!(
                    got.to_bits(),
                    want.to_bits(),
                    "{n_head} heads, head {head}, bias {max_bias}: {got:e}, {want:e}"
                );
            }
        }
    }

    #[test]
    fn a_bias_that_is_not_above_zero_is_none() {
        for max_bias in [0.0, -0.0, -8.0, -1e-40, -f32::MAX, f32::NEG_INFINITY, f32::NAN, -f32::NAN] {
            for head in 0..12 {
                assert_eq!(slope(head, 12, max_bias).to_bits(), 0, "head {head}, bias {max_bias}");
                assert_eq!(exponent(head, 12, max_bias), None, "head {head}, bias {max_bias}");
            }
        }
        assert_eq!((slope(0, 0, 8.0), exponent(0, 0, 8.0)), (0.0, None), "no heads");
    }

    #[test]
    fn every_head_count_has_falling_slopes_in_each_half() {
        for n_head in 1..=256usize {
            let p = if n_head.is_power_of_two() { n_head } else { n_head.next_power_of_two() / 2 };
            for head in 0..n_head {
                let m = slope(head, n_head, 8.0);
                assert!(m > 0.0 && m < 1.0, "{n_head} heads, head {head}: {m}");
                if head != 0 && head != p {
                    assert!(m < slope(head - 1, n_head, 8.0), "{n_head} heads, head {head}");
                }
            }
        }
    }
}
