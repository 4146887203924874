//! Every ISA of this processor against the definitions, in a line for each; halts with 4 when one differs.
//!
//! The variable `N_CASES` at build time is the number of cases of each kernel.
#![no_std]
#![no_main]

use core::fmt::Write;

use nearfield::kernels::{available, conformance};
use nearfield_boards::hash::parse;
use nearfield_pc::{Pc, end, entry};
use static_cell::ConstStaticCell;

/// Bochs takes about 8 s for as many of one ISA.
const N_CASES: u32 = match option_env!("N_CASES") {
    Some(text) => parse(text),
    None => 200,
};

static SCRATCH: ConstStaticCell<conformance::Scratch> = ConstStaticCell::new(conformance::Scratch::new());

entry!(main);

fn main(mut pc: Pc) -> ! {
    let scratch = SCRATCH.take();
    let mut code = 0;
    // The first is the definitions.
    for isa in available().skip(1) {
        let result = (0..N_CASES.into()).try_for_each(|seed| conformance::check(isa, seed, scratch));
        let _ = match result {
            Ok(()) => writeln!(pc, "{}: equal in {N_CASES} cases of each kernel", isa.name()),
            Err(mismatch) => {
                code = 4;
                writeln!(pc, "{}: {mismatch}", isa.name())
            }
        };
    }
    end(code)
}
