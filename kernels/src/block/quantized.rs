//! Contracts of the quantized weight types: one for each, with the facts that the kernels of every ISA are made from.
//!
//! A group is 32 columns of a block. In each group `w = d * sc * (q - OFFSET) + m * mn`; the constants of a type say which of
//! these numbers it has. The bytes themselves are in the block's own file, and the way an ISA unpacks them in its
//! `matmul/{legacy,k,iq4}.rs`.

use super::*;

/// Columns that share an integer scale (and an integer minimum, if the type has one).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scaling {
    /// No integer scales: every `sc` and every `mn` is 1.
    None,
    /// All 32 columns of a group.
    Group,
    /// The first and the last 16 columns of a group.
    Halves,
}

/// A quantized weight type.
pub trait Quantized: Block {
    /// Least quant, as it is stored.
    const MIN_QUANT: i32;
    /// Largest quant, as it is stored.
    const MAX_QUANT: i32;
    /// Number that is subtracted from each stored quant.
    const OFFSET: i32;
    /// Columns that share an integer scale.
    const SCALING: Scaling;
    /// True if the type has a minimum: `m * mn` is added.
    const MINIMUM: bool;
}

macro_rules! quantized {
    ($($block:ident: quants $min:literal $max:literal, offset $offset:literal, scaling $scaling:ident, minimum $minimum:literal;)*) => { $(
        impl Quantized for $block {
            const MIN_QUANT: i32 = $min;
            const MAX_QUANT: i32 = $max;
            const OFFSET: i32 = $offset;
            const SCALING: Scaling = Scaling::$scaling;
            const MINIMUM: bool = $minimum;
        }
    )* };
}

quantized! {
    BlockQ4_0: quants 0 15, offset 8, scaling None, minimum false;
    BlockQ4_1: quants 0 15, offset 0, scaling None, minimum true;
    BlockQ5_0: quants 0 31, offset 16, scaling None, minimum false;
    BlockQ5_1: quants 0 31, offset 0, scaling None, minimum true;
    BlockQ8_0: quants -128 127, offset 0, scaling None, minimum false;
    BlockQ2_K: quants 0 3, offset 0, scaling Halves, minimum true;
    BlockQ3_K: quants 0 7, offset 4, scaling Halves, minimum false;
    BlockQ4_K: quants 0 15, offset 0, scaling Group, minimum true;
    BlockQ5_K: quants 0 31, offset 0, scaling Group, minimum true;
    BlockQ6_K: quants 0 63, offset 32, scaling Halves, minimum false;
    BlockIQ4_NL: quants -127 113, offset 0, scaling None, minimum false;
    BlockIQ4_XS: quants -127 113, offset 0, scaling Group, minimum false;
}

/// Evaluates a body with the block of a quantized type, if the type has a contract and is compiled in:
/// `for_block!(ty, B => of::<B>(), _ => otherwise())`.
#[allow(unused_macros)]
macro_rules! for_block {
    ($ty:expr, $B:ident => $body:expr, _ => $otherwise:expr) => {
        $crate::block::for_block! { @arms $ty, $B, $body, $otherwise,
            Q4_0 BlockQ4_0 "legacy", Q4_1 BlockQ4_1 "legacy", Q5_0 BlockQ5_0 "legacy", Q5_1 BlockQ5_1 "legacy",
            Q2_K BlockQ2_K "k", Q3_K BlockQ3_K "k", Q4_K BlockQ4_K "k", Q5_K BlockQ5_K "k", Q6_K BlockQ6_K "k",
            IQ4_NL BlockIQ4_NL "iq4", IQ4_XS BlockIQ4_XS "iq4"
        }
    };
    (@arms $ty:expr, $B:ident, $body:expr, $otherwise:expr, $($name:ident $block:ident $feature:literal),*) => {
        match $ty {
            $crate::WeightType::Q8_0 => {
                type $B = $crate::block::BlockQ8_0;
                $body
            }
            $($crate::WeightType::$name if cfg!(feature = $feature) => {
                type $B = $crate::block::$block;
                $body
            })*
            _ => $otherwise,
        }
    };
}
#[allow(unused_imports)]
pub(crate) use for_block;

#[cfg(test)]
mod tests {
    use std::vec::Vec;

    use super::*;

    /// Quants of blocks filled with one byte, for each byte, lie in the contract's range less its offset, and reach both ends
    /// of it.
    #[test]
    fn quants_of_blocks_lie_in_the_range_of_their_contract() {
        fn check<B: Quantized>(quants: impl Fn(&B) -> Vec<i8>) {
            let range = B::MIN_QUANT - B::OFFSET..=B::MAX_QUANT - B::OFFSET;
            let (mut least, mut largest) = (i32::MAX, i32::MIN);
            for byte in 0..=u8::MAX {
                // SAFETY: any bytes are a value of a block (`Block`).
                let block: B = unsafe { core::mem::zeroed() };
                let mut block = block;
                bytes_of_mut(&mut block).fill(byte);
                for q in quants(&block) {
                    least = least.min(q.into());
                    largest = largest.max(q.into());
                }
            }
            assert_eq!(least..=largest, range, "{}", B::TYPE);
        }
        let groups = |of: &dyn Fn(usize) -> [i8; QK]| (0..GROUPS).flat_map(of).collect();
        check::<BlockQ4_0>(|b| b.quants().to_vec());
        check::<BlockQ4_1>(|b| b.quants().to_vec());
        check::<BlockQ5_0>(|b| b.quants().to_vec());
        check::<BlockQ5_1>(|b| b.quants().to_vec());
        check::<BlockQ8_0>(|b| b.qs.to_vec());
        check::<BlockQ2_K>(|b| groups(&|g| b.quants(g)));
        check::<BlockQ3_K>(|b| groups(&|g| b.quants(g)));
        check::<BlockQ4_K>(|b| groups(&|g| b.quants(g)));
        check::<BlockQ5_K>(|b| groups(&|g| b.quants(g)));
        check::<BlockQ6_K>(|b| groups(&|g| b.quants(g)));
        check::<BlockIQ4_NL>(|b| b.quants().to_vec());
        check::<BlockIQ4_XS>(|b| groups(&|g| b.quants(g)));
    }
}
