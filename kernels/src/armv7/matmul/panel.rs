//! Four rows of a panel of columns, as they are multiplied.

use core::mem::offset_of;

use crate::block::Block;
use crate::{BlockQ8, QK};

/// Rows that a pass takes.
pub(super) const ROWS: usize = 4;
/// Groups of 32 columns in a panel.
pub(super) const PANEL: usize = 32;

/// Weight type whose rows are multiplied four at a time.
pub(super) trait FourRows: Block {
    /// Blocks of four rows as they are multiplied.
    type Panel<'p>;

    /// Prepares blocks of four rows, as many of each and at most [`PANEL`] groups; `groups` is memory for it.
    fn panel<'p>(rows: [&'p [Self]; ROWS], groups: &'p mut [Group; PANEL]) -> Self::Panel<'p>;

    /// Adds the products with the activations of all groups of the panel.
    fn add(panel: &Self::Panel<'_>, x: &[BlockQ8], acc: &mut [f32; ROWS]);
}

/// 32 columns of four rows, in the order in which the loop loads them.
#[derive(Clone, Copy)]
#[repr(C, align(16))]
pub(super) struct Group {
    /// Scales of half precision.
    pub(super) d: [[u8; 2]; ROWS],
    /// Scales of the minimums, as they are added.
    pub(super) m: [[u8; 2]; ROWS],
    /// Integer scales of the first 16 columns, then of the last.
    pub(super) scales: [[i8; ROWS]; 2],
    /// Integer minimums, likewise.
    pub(super) minimums: [[i8; ROWS]; 2],
    /// Quants, less their offset.
    pub(super) quants: [[i8; QK]; ROWS],
}

const _: () = assert!(offset_of!(Group, quants) == 32 && size_of::<Group>() == STRIDE);

/// Bytes from a row's quants to those of its next group.
pub(super) const STRIDE: usize = 32 + ROWS * QK;

impl Group {
    pub(super) const ZERO: Self = Self {
        d: [[0; 2]; ROWS],
        m: [[0; 2]; ROWS],
        scales: [[0; ROWS]; 2],
        minimums: [[0; ROWS]; 2],
        quants: [[0; QK]; ROWS],
    };
}

/// Value for each of the four rows: `array::from_fn` without its loop.
#[inline(always)]
pub(super) fn each<T>(of: impl Fn(usize) -> T) -> [T; ROWS] {
    [of(0), of(1), of(2), of(3)]
}
