//! Bias as in the code published with Falcon-RW: slope, position and their product are each rounded to bfloat16.
//!
//! Falcon-RW's code adds the product of the slope and the key's position to `q · k` before the scale (`transformers`,
//! `build_alibi_tensor`). From position 256 on, two neighboring keys share a bias, later four, and so on, and the difference
//! between the biases of two keys depends on their positions. A session reproduces the logits of that code with this bias; the
//! bias of all other sessions is exact.
//!
//! Here the query's own product is subtracted, so that scores are as small as usual; softmax does not change. Rounding keeps
//! the order of numbers, so no older key has a higher bias than a newer one, and the horizon of [`crate::attention`] holds.

use nearfield_kernels::{KV_BLOCK, Kernels, KvBlock, Walk, exp};

/// A bias that is rounded.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rounded {
    /// Factor of the products.
    pub(crate) scale: f32,
}

impl Rounded {
    /// Bias of the key at position `key`, minus that at the query's own position: at most 0.
    pub(crate) fn bias(&self, walk: &Walk<'_>, key: usize) -> f32 {
        let slope = bf16(walk.slope);
        let product = |pos: usize| bf16(slope * bf16(pos as f32));
        (product(key) - product(walk.pos)) * self.scale
    }

    /// Computes [`Kernels::attend_block`] with this bias, step by step as it is defined.
    pub(crate) fn attend_block(&self, kernels: &dyn Kernels, block: &KvBlock<'_>, scale: f32, walks: &mut [Walk<'_>]) {
        let mut scores = [0.0; KV_BLOCK];
        for walk in walks.iter_mut().filter(|walk| !walk.ended) {
            let n = block.n_seen(walk.pos);
            // A block has no more keys than `scores`.
            let Some(scores) = scores.get_mut(..n) else { continue };
            let (keys, values) = (block.keys.first(n, walk.acc.len()), block.values.first(n, walk.acc.len()));
            kernels.score_block(walk.query, keys, scale, 0.0, 0, scores);
            let mut max = walk.max;
            for (score, key) in scores.iter_mut().zip(block.start..) {
                *score += self.bias(walk, key);
                max = if *score > max { *score } else { max };
            }
            if max > walk.max {
                let shrink = exp(walk.max - max);
                walk.sum *= shrink;
                kernels.scale(walk.acc, shrink);
                walk.max = max;
            }
            walk.sum += kernels.exp_block(scores, walk.max);
            kernels.accumulate_block(scores, values, walk.acc);
        }
    }
}

/// Rounds a finite number, not near the largest, to the nearest bfloat16, half to even.
fn bf16(x: f32) -> f32 {
    let bits = x.to_bits();
    f32::from_bits(bits.wrapping_add(0x7fff + (bits >> 16 & 1)) & 0xffff_0000)
}

#[cfg(test)]
mod tests {
    use super::bf16;

    #[test]
    fn halves_go_to_the_even_neighbour() {
        for (x, want) in
            [(0.0, 0.0), (0.5, 0.5), (256.0, 256.0), (257.0, 256.0), (258.0, 258.0), (259.0, 260.0), (2047.0, 2048.0)]
        {
            assert_eq!(bf16(x), want, "{x}");
        }
        assert_eq!(bf16(core::f32::consts::FRAC_1_SQRT_2), 0.70703125);
    }
}
