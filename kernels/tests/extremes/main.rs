//! Every public function with lengths at their extremes: none, one, odd ones, products that come round, buffers that do not
//! belong together, slices from anywhere. Each call works, or panics with what it was promised. None reads or writes anything
//! else: what lies around a buffer is as it was, and AddressSanitizer (`tests/run fuzz`) sees what is only read.

mod attention;
mod blocks;
mod draw;
mod matrix;
mod memory;
mod outcome;
mod parts;
mod vector;

use nearfield_kernels::conformance::Rng;

/// Cases of each property, drawn from as many seeds; `EXTREMES` in the environment is another number.
const N_CASES: u64 = if cfg!(miri) {
    4
} else if cfg!(debug_assertions) {
    400
} else {
    3000
};

/// Some cases of a property, each from its own seed, which a failure names.
fn cases(property: impl Fn(&mut Rng)) {
    let n = std::env::var("EXTREMES").map_or(N_CASES, |n| n.parse().expect("EXTREMES is a number"));
    for seed in 0..n {
        let case = outcome::Named(seed);
        property(&mut Rng::new(seed));
        case.passed();
    }
}
