//! The bias as the code published with Falcon-RW has it: slope, position and their product each rounded to bfloat16.
//!
//! There the product is that of the slope and the key's position, added to `q · k` before the scale (`transformers`,
//! `build_alibi_tensor`): from position 256 on, keys share a bias by twos, by fours, and so on, and what a key of a certain
//! distance loses to another depends on where they stand. A model that was trained so is asked so, where one wants the logits
//! of that code; the bias of all other sessions is exact.
//!
//! Here the query's own product is taken off, which softmax does not notice, so that scores are as small as usual. Rounding
//! keeps the order of numbers, so no older key has more of the bias than a newer one, and the horizon of [`crate::attention`]
//! holds.

use nearfield_kernels::{KV_BLOCK, Kernels, KvBlock, Walk, scalar};

/// A bias that is rounded.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rounded {
    /// What the products are multiplied with.
    pub(crate) scale: f32,
}

impl Rounded {
    /// What the key at position `key` has more than one at the query's own: at most 0.
    pub(crate) fn bias(&self, walk: &Walk<'_>, key: usize) -> f32 {
        let slope = bf16(walk.slope);
        let product = |pos: usize| bf16(slope * bf16(pos as f32));
        (product(key) - product(walk.pos)) * self.scale
    }

    /// [`Kernels::attend_block`] with this bias: its definition, step by step.
    pub(crate) fn attend_block(&self, kernels: &dyn Kernels, block: &KvBlock<'_>, scale: f32, walks: &mut [Walk<'_>]) {
        let mut scores = [0.0; KV_BLOCK];
        for walk in walks.iter_mut().filter(|walk| !walk.ended) {
            let n = block.n_seen(walk.pos);
            // A block has no more keys than that.
            let Some(scores) = scores.get_mut(..n) else { continue };
            let (keys, values) = (block.keys.first(n, walk.acc.len()), block.values.first(n, walk.acc.len()));
            kernels.score_block(walk.query, keys, scale, 0.0, 0, scores);
            let mut max = walk.max;
            for (score, key) in scores.iter_mut().zip(block.start..) {
                *score += self.bias(walk, key);
                max = if *score > max { *score } else { max };
            }
            if max > walk.max {
                let shrink = scalar::exp(walk.max - max);
                walk.sum *= shrink;
                kernels.scale(walk.acc, shrink);
                walk.max = max;
            }
            walk.sum += kernels.exp_block(scores, walk.max);
            kernels.accumulate_block(scores, values, walk.acc);
        }
    }
}

/// The nearest bfloat16, half to even, of a finite number that is not near the largest.
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
