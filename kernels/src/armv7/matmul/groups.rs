//! Products of four rows of super-blocks with one token, after their quants were unpacked.
//!
//! Registers beside those of [`super::super::products`]: `q6` and `q7` integer scales of the first and the last 16 columns.

use core::arch::naked_asm;

use super::k::{self, Unpack};
use super::panel::{FourRows, Group, PANEL, ROWS};
use crate::BlockQ8;
use crate::armv7::products::{add_four, add_lanes, multiply_two, two_rows};
use crate::block::*;
use crate::contract::{broken, require};
use crate::vfp::unit;

impl<B: Unpack> FourRows for B {
    type Panel<'p> = &'p [Group];

    fn panel<'p>(rows: [&'p [Self]; ROWS], groups: &'p mut [Group; PANEL]) -> Self::Panel<'p> {
        let len = rows[0].len() * GROUPS;
        let groups = groups.get_mut(..len).unwrap_or_else(|| broken("no more groups than a panel has"));
        for (r, row) in rows.into_iter().enumerate() {
            for (block, groups) in row.iter().zip(groups.as_chunks_mut::<GROUPS>().0) {
                let first = groups.as_mut_ptr();
                // SAFETY: writes row r of each of the eight groups, which lie `STRIDE` bytes apart; `detect` saw NEON.
                unsafe { B::QUANTS(block, &raw mut (*first).quants[r], &k::TABLE) };
                let [d, m] = block.scales();
                for (g, group) in groups.iter_mut().enumerate() {
                    (group.d[r], group.m[r]) = (d, m);
                    for (half, [scale, minimum]) in block.integers(g).into_iter().enumerate() {
                        (group.scales[half][r], group.minimums[half][r]) = (scale, minimum);
                    }
                }
            }
        }
        groups
    }

    fn add(panel: &Self::Panel<'_>, x: &[BlockQ8], acc: &mut [f32; ROWS]) {
        require(panel.len() == x.len() && !x.is_empty(), "a group for each block of activations");
        let function = if B::MINIMUM { dot_with_minimums } else { dot };
        // SAFETY: there are as many groups as blocks of activations, one at least (just checked); `detect` saw NEON with VFPv4.
        unsafe { function(panel.as_ptr(), x.as_ptr(), x.len(), acc) }
    }
}

macro_rules! dot {
    ($name:ident, $minimums:literal, $add:literal) => {
        /// Adds the products of `n` groups with as many blocks of activations to the rows' results.
        ///
        /// # Safety
        /// `n` is not zero; there are as many groups and blocks, and the processor has NEON with VFPv4.
        #[unsafe(naked)]
        unsafe extern "C" fn $name(groups: *const Group, x: *const BlockQ8, n: usize, acc: &mut [f32; ROWS]) {
            naked_asm!(
                unit!(),
                "vpush {{d8-d15}}
                vld1.32 {{d0-d1}}, [r3]
                2:
                vld1.32 {{d2}}, [r1]!
                vld1.8 {{d4-d7}}, [r1]!
                vld1.8 {{d16-d19}}, [r0:128]!
                vcvt.f32.f16 q4, d16
                vmovl.s8 q10, d18
                vmul.f32 q4, q4, d2[0]
                vmovl.s16 q6, d20
                vmovl.s16 q7, d21",
                $minimums,
                "vld1.8 {{d16-d19}}, [r0:128]!
                vld1.8 {{d20-d23}}, [r0:128]!",
                two_rows!("d3", "d12[0]" "d12[1]" "d14[0]" "d14[1]"),
                "vld1.8 {{d16-d19}}, [r0:128]!
                vld1.8 {{d20-d23}}, [r0:128]!",
                two_rows!("d25", "d13[0]" "d13[1]" "d15[0]" "d15[1]"),
                add_four!(),
                $add,
                "subs r2, r2, #1
                bne 2b
                vst1.32 {{d0-d1}}, [r3]
                vpop {{d8-d15}}
                bx lr",
            )
        }
    };
}

dot!(dot, "", "");
dot!(
    dot_with_minimums,
    "vcvt.f32.f16 q5, d17
    vmovl.s8 q9, d19
    vmul.f32 q5, q5, d2[0]
    vmull.s16 q8, d18, d2[2]
    vmlal.s16 q8, d19, d2[3]
    vcvt.f32.s32 q8, q8
    vmul.f32 q5, q5, q8",
    "vadd.f32 q0, q0, q5"
);
