//! Every public function with lengths at their extremes: none, one, odd ones, products that wrap around, buffers that do not
//! belong together, slices from anywhere. Each call works, or panics with the promise that was not kept. None reads or writes
//! anything else: the memory around a buffer stays as it was, and AddressSanitizer (`tests/run fuzz`) sees reads outside.

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

/// Runs a property on some cases, each with its own seed, which a failure names.
fn cases(property: impl Fn(&mut Rng)) {
    let n = std::env::var("EXTREMES").map_or(N_CASES, |n| n.parse().expect("EXTREMES is a number"));
    for seed in 0..n {
        let case = outcome::Named(seed);
        property(&mut Rng::new(seed));
        case.passed();
    }
}
