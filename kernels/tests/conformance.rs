//! Every ISA of this machine gives the bits of the definitions.

use std::time::Instant;

use nearfield_kernels::{available, best, by_name, conformance};

/// Cases of each property: the definitions are slow without optimization.
const N_CASES: u64 = if cfg!(debug_assertions) { 100 } else { 4000 };

#[test]
fn every_isa_equals_the_definitions() {
    let mut scratch = Box::new(conformance::Scratch::new());
    for isa in available() {
        for seed in 0..N_CASES {
            conformance::check(isa, seed, &mut scratch).unwrap_or_else(|mismatch| panic!("{mismatch}"));
        }
    }
}

#[test]
fn isas_are_found_by_their_names() {
    for isa in available() {
        assert_eq!(by_name(isa.name()).unwrap().name(), isa.name());
    }
    assert_eq!(available().last().unwrap().name(), best().name());
    assert_eq!(available().next().unwrap().name(), "scalar");
    assert!(by_name("abacus").is_none());
}

/// The compiler must not see through the loop: no core makes 10^13 products in a second.
#[test]
fn the_peak_is_of_products_that_are_made() {
    for isa in available() {
        let a_round = isa.int8_peak(1);
        assert!(a_round > 0);
        let start = Instant::now();
        let n = isa.int8_peak(1 << 20);
        let rate = n as f64 / start.elapsed().as_secs_f64();
        assert_eq!(n, a_round << 20);
        assert!(rate < 1e13, "{}: {rate:e} products in a second", isa.name());
        println!("{}: {:.1} G products/s", isa.name(), rate * 1e-9);
    }
}
