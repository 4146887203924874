//! Multiplies matrices of 256 rows with one token, by each ISA of the core, between marks that the emulator's plugin counts
//! instructions at. `./run` makes the table.
#![no_std]
#![no_main]

use cortex_m_rt::entry;
use nearfield_kernels::conformance::Rng;
use nearfield_kernels::{Activations, BlockQ8, ColumnsMut, Layout, Matrix, QK, WeightType, available};
use semihosting::println;
use static_cell::ConstStaticCell;
use {cortex_m as _, semihosting::process::exit};

const ROWS: usize = 256;
const COLUMNS: [usize; 2] = [256, 1024];
const MOST: usize = COLUMNS[1];

static WEIGHTS: ConstStaticCell<[u8; ROWS * MOST / QK * 34]> = ConstStaticCell::new([0; _]);
static X: ConstStaticCell<[f32; MOST]> = ConstStaticCell::new([0.0; _]);
static BLOCKS: ConstStaticCell<[BlockQ8; MOST / QK]> =
    ConstStaticCell::new([BlockQ8 { d: 0.0, sums: [0; 2], qs: [0; QK] }; _]);
static OUT: ConstStaticCell<[f32; ROWS]> = ConstStaticCell::new([0.0; _]);

#[entry]
fn main() -> ! {
    let (weights, x, blocks, out) = (WEIGHTS.take(), X.take(), BLOCKS.take(), OUT.take());
    let mut rng = Rng::new(1);
    weights.fill_with(|| rng.bits() as u8);
    x.fill_with(|| rng.unit());
    for isa in available() {
        let types = [WeightType::Q8_0, WeightType::Q4_0, WeightType::Q5_0, WeightType::Q4_K, WeightType::Q6_K];
        for (layout, packed) in [(Layout::Plain, ""), (Layout::Interleaved, "-packed")] {
            for (ty, n_cols) in types.into_iter().flat_map(|ty| COLUMNS.map(|n_cols| (ty, n_cols))) {
                let bytes = ty.row_bytes(n_cols).expect("whole blocks") * ROWS;
                let w = Matrix::new(ty, ROWS, n_cols, &weights[..bytes]).expect("whole rows");
                let w = w.in_layout(layout).expect("a type that can be interleaved");
                let blocks = &mut blocks[..n_cols / QK];
                println!("{} {ty}{packed} {ROWS} {n_cols}", isa.name());
                mark();
                isa.quantize_q8(&x[..n_cols], blocks);
                mark();
                isa.matmul(&w, Activations::Q8(blocks), &mut ColumnsMut::new(out, ROWS));
                mark();
            }
        }
    }
    exit(0)
}

/// `mov r9, r9`: does nothing, no compiler emits it, and the emulator's plugin prints its count there.
///
/// A function of its own: inlined behind a call, QEMU 7.2 lost a third of the marks in one layout of the code.
#[inline(never)]
fn mark() {
    // SAFETY: changes nothing; other memory accesses stay on their side of it.
    unsafe { core::arch::asm!("mov r9, r9", options(nostack, preserves_flags)) };
}
