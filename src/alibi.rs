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
/// A `max_bias` of 0 means no bias at all: every slope is 0.
pub fn slope(head: usize, n_head: usize, max_bias: f32) -> f32 {
    exponent(head, n_head, max_bias).map_or(0.0, |exponent| libm::exp2(-exponent) as f32)
}

/// Factor of the distances for a query of `head` that sees `n_keys` keys, before [`Shape::bias_scale`].
///
/// The factor is the slope times the factor of `scale`, which is 1 unless the model (BTLM) or the session scales slopes for
/// texts longer than those of training. `n_keys` counts the text up to the query's token, as in decoding token by token: so a
/// token's logits depend neither on later tokens nor on how a text is cut.
pub fn slope_at(shape: &Shape, scale: AlibiScale, head: usize, n_keys: usize) -> f32 {
    slope(head, shape.n_head, shape.max_alibi_bias) * scale.factor(shape, n_keys)
}

/// Exponent `x` of the slope `2^-x`; `None` if the head has no slope.
const fn exponent(head: usize, n_head: usize, max_bias: f32) -> Option<f64> {
    if max_bias == 0.0 || n_head == 0 {
        return None;
    }
    let p = if n_head.is_power_of_two() { n_head } else { n_head.next_power_of_two() / 2 };
    Some(if head < p {
        max_bias as f64 * (head + 1) as f64 / p as f64
    } else {
        max_bias as f64 / 2.0 * (2 * (head - p) + 1) as f64 / p as f64
    })
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
    use super::slope;

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
