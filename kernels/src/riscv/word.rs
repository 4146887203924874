//! Instructions and loops over registers that several kernels share.

use core::arch::asm;

/// Joins two half-words, `$low` and `$high`, to a word in `$low`.
#[cfg(target_feature = "zbkb")]
macro_rules! join {
    ($low:literal, $high:literal) => {
        concat!("pack ", $low, ", ", $low, ", ", $high, "\n")
    };
}
#[cfg(not(target_feature = "zbkb"))]
macro_rules! join {
    ($low:literal, $high:literal) => {
        concat!("slli ", $high, ", ", $high, ", 16\n or ", $low, ", ", $low, ", ", $high, "\n")
    };
}
pub(super) use join;

/// Adds the products of column `$c` of four rows.
#[rustfmt::skip]
macro_rules! four_products {
    ($c:literal) => {
        concat!(
            "lb {t}, ", $c, "({x})\n",
            "lb {u}, ", $c, "({w0})\n lb {v}, ", $c, "({w1})\n mul {u}, {u}, {t}\n mul {v}, {v}, {t}\n add {s0}, {s0}, {u}\n add {s1}, {s1}, {v}\n",
            "lb {u}, ", $c, "({w2})\n lb {v}, ", $c, "({w3})\n mul {u}, {u}, {t}\n mul {v}, {v}, {t}\n add {s2}, {s2}, {u}\n add {s3}, {s3}, {v}\n",
        )
    };
}

/// Columns that a turn of [`dot_bytes`] takes.
pub(super) const COLUMNS: usize = 8;

/// `Σ_c w[c] · x[c]` of four rows of bytes; columns behind a multiple of [`COLUMNS`] are left out.
///
/// # Safety
/// At each `w` lie as many bytes as `x` has.
#[inline(always)]
pub(super) unsafe fn dot_bytes(w: [*const i8; 4], x: &[i8]) -> [i32; 4] {
    let (mut s0, mut s1, mut s2, mut s3) = (0, 0, 0, 0);
    let (turns, _) = x.as_chunks::<COLUMNS>();
    let columns = turns.as_ptr_range();
    if turns.is_empty() {
        return [0; 4];
    }
    // SAFETY: reads whole turns of `x`, of which there is at least one, and as many bytes at each `w`, as the caller promises; changes
    // only the registers that it names.
    unsafe {
        asm!(
            "2:",
            four_products!("0"), four_products!("1"), four_products!("2"), four_products!("3"),
            four_products!("4"), four_products!("5"), four_products!("6"), four_products!("7"),
            "addi {x}, {x}, 8",
            "addi {w0}, {w0}, 8",
            "addi {w1}, {w1}, 8",
            "addi {w2}, {w2}, 8",
            "addi {w3}, {w3}, 8",
            "bne {x}, {end}, 2b",
            x = inout(reg) columns.start => _, end = in(reg) columns.end,
            w0 = inout(reg) w[0] => _, w1 = inout(reg) w[1] => _, w2 = inout(reg) w[2] => _, w3 = inout(reg) w[3] => _,
            s0 = inout(reg) s0, s1 = inout(reg) s1, s2 = inout(reg) s2, s3 = inout(reg) s3,
            t = out(reg) _, u = out(reg) _, v = out(reg) _,
            options(pure, readonly, nostack)
        );
    }
    [s0, s1, s2, s3]
}
