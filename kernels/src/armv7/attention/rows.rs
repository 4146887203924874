//! Groups of 32 columns of stored rows, as bytes.

use core::arch::naked_asm;

use crate::scalar::unpack_quants;
use crate::vfp::unit;
use crate::{KvQuant, QK};

/// Element of stored rows.
pub(super) trait Quants: KvQuant {
    /// The rows themselves, if their elements are quants: loops then read whole groups in place.
    fn in_place(rows: &[Self]) -> Option<&[i8]>;

    /// Copy of group `g` of a row; zeros behind its last column.
    fn group(row: &[Self], g: usize) -> [i8; QK];
}

impl Quants for i8 {
    #[inline]
    fn in_place(rows: &[Self]) -> Option<&[i8]> {
        Some(rows)
    }

    fn group(row: &[Self], g: usize) -> [i8; QK] {
        let mut quants = [0; QK];
        let columns = row.chunks(QK).nth(g).unwrap_or_default();
        quants.iter_mut().zip(columns).for_each(|(quant, q)| *quant = *q);
        quants
    }
}

impl Quants for u8 {
    #[inline]
    fn in_place(_: &[Self]) -> Option<&[i8]> {
        None
    }

    fn group(row: &[Self], g: usize) -> [i8; QK] {
        let bytes = row.chunks(QK / 2).nth(g).unwrap_or_default();
        let Ok(bytes) = bytes.try_into() else { return unpack_quants(bytes) };
        let mut quants = [0; QK];
        // SAFETY: `detect` saw NEON.
        unsafe { unpack(bytes, &mut quants) };
        quants
    }
}

/// Quants of 16 bytes: the low half of byte `j`, less 8, is column `2 j`, the high half column `2 j + 1`.
///
/// # Safety
/// The processor has NEON.
#[unsafe(naked)]
unsafe extern "C" fn unpack(bytes: &[u8; QK / 2], quants: &mut [i8; QK]) {
    naked_asm!(
        unit!(),
        "vld1.8 {{d0-d1}}, [r0]
        vmov.i8 q8, #15
        vmov.i8 q9, #8
        vand q2, q0, q8
        vshr.u8 q3, q0, #4
        vsub.i8 q2, q2, q9
        vsub.i8 q3, q3, q9
        vst2.8 {{d4-d7}}, [r1]
        bx lr",
    )
}
