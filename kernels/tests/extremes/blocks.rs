//! Blocks of weights, and the definitions of their products.

use nearfield_kernels::block::*;
use nearfield_kernels::conformance::Rng;
use nearfield_kernels::{WeightType, scalar};

use super::cases;
use super::draw::{about, any_blocks, bytes, floats, number};
use super::outcome::{assert_kept, outcome};

/// Evaluates `$do` with the block of a type.
macro_rules! for_block {
    ($ty:expr, $block:ident => $do:expr) => {
        $crate::extremes::blocks::for_block!(@ $ty, $block, $do;
            F32 F32, F16 F16, BF16 BF16, Q4_0 BlockQ4_0, Q4_1 BlockQ4_1, Q5_0 BlockQ5_0, Q5_1 BlockQ5_1, Q8_0 BlockQ8_0,
            Q2_K BlockQ2_K, Q3_K BlockQ3_K, Q4_K BlockQ4_K, Q5_K BlockQ5_K, Q6_K BlockQ6_K, IQ4_NL BlockIQ4_NL,
            IQ4_XS BlockIQ4_XS, IQ1_S BlockIQ1_S, IQ1_M BlockIQ1_M, IQ2_XXS BlockIQ2_XXS, IQ2_XS BlockIQ2_XS,
            IQ2_S BlockIQ2_S, IQ3_XXS BlockIQ3_XXS, IQ3_S BlockIQ3_S, TQ1_0 BlockTQ1_0, TQ2_0 BlockTQ2_0,
            MXFP4 BlockMXFP4)
    };
    (@ $ty:expr, $block:ident, $do:expr; $($name:ident $of:ident),*) => {
        match $ty {
            $(nearfield_kernels::WeightType::$name => {
                type $block = nearfield_kernels::block::$of;
                $do
            })*
        }
    };
}
pub(crate) use for_block;

/// Name of a type number.
pub fn names_of(number: u32) -> &'static str {
    gguf_type_reordered(number).map_or_else(|| gguf_type_name(number), WeightType::name)
}

#[test]
fn bytes_are_whole_blocks() {
    cases(|rng| {
        let ty = rng.pick(WeightType::ALL);
        let n = ty.block_bytes() * rng.below(5);
        let n = about(rng, n, 2);
        let bytes = bytes(rng, n);
        for_block!(ty, B => {
            let blocks = outcome(|| blocks_of::<B>(bytes.get()).len());
            let n_blocks = assert_kept(blocks, n.is_multiple_of(ty.block_bytes()), (ty, n));
            assert!(n_blocks.is_none_or(|n_blocks| n_blocks == n / ty.block_bytes()));
        });
    });
}

/// Draws a block of any bytes.
fn block<B: Block>(rng: &mut Rng) -> B {
    blocks_of(bytes(rng, size_of::<B>()).get())[0]
}

/// Groups are taken modulo their number.
#[test]
fn groups_of_any_number() {
    fn grouped<B: Grouped>(rng: &mut Rng, i: usize) {
        let w = block::<B>(rng);
        assert_eq!(w.group(i), w.group(i % 8));
        assert!(w.d().is_nan() || w.d().abs() >= 0.0);
    }
    cases(|rng| {
        let i = number(rng, 8);
        let w = block::<BlockQ2_K>(rng);
        assert_eq!((w.quants(i), w.scales_and_minimums(i)), (w.quants(i % 8), w.scales_and_minimums(i % 8)));
        let w = block::<BlockQ3_K>(rng);
        assert_eq!((w.quants(i), w.scale(i)), (w.quants(i % 8), w.scale(i % 16)));
        let w = block::<BlockQ4_K>(rng);
        assert_eq!(
            (w.quants(i), scale_and_minimum(&w.scales, i)),
            (w.quants(i % 8), scale_and_minimum(&w.scales, i % 8))
        );
        let w = block::<BlockQ5_K>(rng);
        assert_eq!(w.quants(i), w.quants(i % 8));
        let w = block::<BlockQ6_K>(rng);
        assert_eq!((w.quants(i), w.half_scales(i)), (w.quants(i % 8), w.half_scales(i % 8)));
        let w = block::<BlockIQ4_XS>(rng);
        assert_eq!((w.quants(i), w.scale(i)), (w.quants(i % 8), w.scale(i % 8)));
        grouped::<BlockIQ1_S>(rng, i);
        grouped::<BlockIQ1_M>(rng, i);
        grouped::<BlockIQ2_XXS>(rng, i);
        grouped::<BlockIQ2_XS>(rng, i);
        grouped::<BlockIQ2_S>(rng, i);
        grouped::<BlockIQ3_XXS>(rng, i);
        grouped::<BlockIQ3_S>(rng, i);
        grouped::<BlockTQ1_0>(rng, i);
        grouped::<BlockTQ2_0>(rng, i);
        grouped::<BlockMXFP4>(rng, i);
        // Blocks of any bytes are converted without a panic.
        _ = (block::<BlockQ4_0>(rng).quants(), block::<BlockQ4_1>(rng).quants(), block::<BlockQ5_0>(rng).quants());
        _ = (block::<BlockQ5_1>(rng).quants(), block::<BlockIQ4_NL>(rng).quants());
        _ = (block::<F32>(rng).to_f32(), block::<F16>(rng).to_f32(), block::<BF16>(rng).to_f32());
        _ = any_blocks(rng, 1).get()[0].sum();
    });
}

#[test]
fn products_of_as_many() {
    macro_rules! check {
        ($rng:expr, $n:expr, $($dot:ident $block:ty),*) => { $(
            let weights = bytes($rng, $n * size_of::<$block>());
            let per_block = <$block as Block>::TYPE.block_len() / QK;
            let n_x = about($rng, $n * per_block, 2);
            let x = any_blocks($rng, n_x);
            let result = outcome(|| scalar::$dot(1.0, blocks_of::<$block>(weights.get()), x.get()));
            assert_kept(result, n_x == $n * per_block, (stringify!($dot), $n, n_x));
        )* };
    }
    cases(|rng| {
        let n = rng.below(4);
        check!(rng, n, dot_q4_0 BlockQ4_0, dot_q4_1 BlockQ4_1, dot_q5_0 BlockQ5_0, dot_q5_1 BlockQ5_1, dot_q8_0 BlockQ8_0);
        check!(rng, n, dot_q2_k BlockQ2_K, dot_q3_k BlockQ3_K, dot_q4_k BlockQ4_K, dot_q5_k BlockQ5_K, dot_q6_k BlockQ6_K);
        check!(rng, n, dot_iq4_nl BlockIQ4_NL, dot_iq4_xs BlockIQ4_XS, dot_grouped BlockIQ1_S, dot_grouped BlockMXFP4);
        check!(rng, n, dot_grouped BlockIQ1_M, dot_grouped BlockIQ2_XXS, dot_grouped BlockIQ2_XS, dot_grouped BlockIQ2_S);
        check!(rng, n, dot_grouped BlockIQ3_XXS, dot_grouped BlockIQ3_S, dot_grouped BlockTQ1_0, dot_grouped BlockTQ2_0);
        let (n, w) = (rng.length(), bytes(rng, 4 * 130));
        let n_x = about(rng, n, 2);
        let x = floats(rng, n_x);
        let (singles, halves) = (&w.get()[..4 * n], &w.get()[..2 * n]);
        assert_kept(outcome(|| scalar::dot_f32(blocks_of(singles), x.get())), n == n_x, (n, n_x));
        assert_kept(outcome(|| scalar::dot_f16(blocks_of(halves), x.get())), n == n_x, (n, n_x));
        assert_kept(outcome(|| scalar::dot_bf16(blocks_of(halves), x.get())), n == n_x, (n, n_x));
    });
}

/// The generator of these cases refuses ranges and choices that it cannot draw from.
#[test]
fn draws() {
    cases(|rng| {
        let n = number(rng, 7);
        let drawn = assert_kept(outcome(|| rng.clone().below(n)), n as u128 <= 1 << 32, n);
        assert!(drawn.is_none_or(|drawn| drawn < n.max(1)));
        let choices = &[3, 4][..rng.below(3)];
        let drawn = assert_kept(outcome(|| rng.clone().pick(choices)), !choices.is_empty(), choices);
        assert!(drawn.is_none_or(|drawn| choices.contains(&drawn)));
    });
}
