//! Sums of the products of four rows with 32 activations, in the lanes of a register: text of the loops.
//!
//! Registers of each loop: `d2` the activations' scale and sums, `q2`, `q3` the activations; `q8`, `q9` and `q10`, `q11` two rows of
//! quants; `q12`..`q15` products; `q0` the rows' results, `q4` their scales times that of the activations, `q5` the terms of their
//! minimums.

/// Products of two rows: of the first 16 columns in `q12` and `q13`, of the last 16 in `q14` and `q15`. A sum of two products of
/// bytes, the activations in ±127, fits 16 bits.
macro_rules! multiply_two {
    () => {
        "
        vmull.s8 q12, d16, d4
        vmull.s8 q13, d20, d4
        vmull.s8 q14, d18, d6
        vmull.s8 q15, d22, d6
        vmlal.s8 q12, d17, d5
        vmlal.s8 q13, d21, d5
        vmlal.s8 q14, d19, d7
        vmlal.s8 q15, d23, d7
        vpaddl.s16 q12, q12
        vpaddl.s16 q13, q13"
    };
}

/// Lanes of `q12` and of `q13`, added to the two lanes of `$to`.
macro_rules! add_lanes {
    ($to:literal) => {
        concat!(
            "
        vpadd.i32 d24, d24, d25
        vpadd.i32 d25, d26, d27
        vpadd.i32 ",
            $to,
            ", d24, d25"
        )
    };
}

/// Sums of two rows in the lanes of `$to`. With scales: `$a` and `$b` those of the rows' first 16 columns, `$c` and `$d` of the last.
macro_rules! two_rows {
    ($to:literal) => {
        concat!(
            multiply_two!(),
            "
        vpadal.s16 q12, q14
        vpadal.s16 q13, q15",
            add_lanes!($to)
        )
    };
    ($to:literal, $a:literal $b:literal $c:literal $d:literal) => {
        concat!(
            multiply_two!(),
            "
        vpaddl.s16 q14, q14
        vpaddl.s16 q15, q15
        vmul.i32 q12, q12, ",
            $a,
            "
        vmul.i32 q13, q13, ",
            $b,
            "
        vmla.i32 q12, q14, ",
            $c,
            "
        vmla.i32 q13, q15, ",
            $d,
            add_lanes!($to)
        )
    };
}

/// `acc += (d · d_x) · sum` of four rows: the sums of two in `d3`, of the other two in `d25`.
macro_rules! add_four {
    () => {
        "
        vmov d24, d3
        vcvt.f32.s32 q12, q12
        vmul.f32 q12, q4, q12
        vadd.f32 q0, q0, q12"
    };
}

pub(super) use {add_four, add_lanes, multiply_two, two_rows};
