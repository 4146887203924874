//! Matrix products between two marks, for an emulator that counts instructions: those that each multiply-accumulate takes.
//!
//! A mark is `mov x18, x18` on AArch64, which no compiler emits; a QEMU plugin prints how many guest instructions were
//! executed since the last one. Standard output has a line for each product: ISA, type, layout, rows, columns, tokens, and
//! multiply-accumulates. Arguments are the weight types; without arguments, Q8_0 and Q4_0.
//!
//! ```sh
//! cargo build --release -p nearfield-kernels --example count_matmul --target aarch64-unknown-linux-gnu
//! qemu-aarch64 -L /usr/aarch64-linux-gnu -cpu max -plugin ./libicount.so \
//!     target/aarch64-unknown-linux-gnu/release/examples/count_matmul >products 2>marks
//! awk 'NR == FNR { if ($2 == "mark" && $3 % 2) count[n++] = $7; next } { printf "%s %.3f\n", $0, count[i++] / $7 }' \
//!     marks products
//! ```

use std::hint::black_box;

use nearfield_kernels::conformance::Rng;
use nearfield_kernels::{Activations, BlockQ8, ColumnsMut, Kernels, Layout, Matrix, WeightType, available, scalar};

const N_ROWS: usize = 256;

fn main() {
    let names: Vec<String> = std::env::args().skip(1).collect();
    let named = |ty: &&WeightType| names.iter().any(|name| name == ty.name());
    let usual = |ty: &&WeightType| names.is_empty() && matches!(ty, WeightType::Q8_0 | WeightType::Q4_0);
    for &ty in WeightType::ALL.iter().filter(|ty| named(ty) || usual(ty)) {
        for n_cols in [256, 1024] {
            for n_tokens in [1, 2, 4, 8, 16] {
                for isa in available() {
                    product(isa, ty, Layout::Plain, n_cols, n_tokens);
                    if ty.is_quantized() {
                        product(isa, ty, Layout::Interleaved, n_cols, n_tokens);
                    }
                }
            }
        }
    }
}

/// Runs one product between two marks.
fn product(isa: &dyn Kernels, ty: WeightType, layout: Layout, n_cols: usize, n_tokens: usize) {
    let mut rng = Rng::new(1);
    let mut bytes = vec![0; ty.row_bytes(n_cols).expect("columns are whole blocks") * N_ROWS];
    // Weights are about ±1, whatever the type; the bytes serve in either order.
    bytes.fill_with(|| rng.bits() as u8 & 0x1f | 0x20);
    let w = Matrix::new(ty, N_ROWS, n_cols, &bytes).and_then(|w| w.in_layout(layout)).expect("whole rows");
    let x: Vec<f32> = (0..n_tokens * n_cols).map(|_| rng.unit()).collect();
    let mut blocks = vec![BlockQ8::default(); x.len() / 32];
    scalar::quantize_q8(&x, &mut blocks);
    let x = if ty.is_quantized() { Activations::Q8(&blocks) } else { Activations::F32(&x) };
    let mut out = vec![0.0; n_tokens * N_ROWS];
    let (w, x) = black_box((&w, x));
    mark();
    isa.matmul(w, x, &mut ColumnsMut::new(&mut out, N_ROWS));
    mark();
    black_box(out);
    println!("{} {ty} {layout:?} {N_ROWS} {n_cols} {n_tokens} {}", isa.name(), N_ROWS * n_cols * n_tokens);
}

/// Mark that the counter looks for; nothing on other architectures.
#[inline]
fn mark() {
    #[cfg(target_arch = "aarch64")]
    // SAFETY: the instruction changes nothing.
    unsafe {
        core::arch::asm!("mov x18, x18", options(nostack, preserves_flags))
    };
}
