//! Every ISA of this processor against the definitions, in a line for each.

use core::fmt::Write;

use nearfield::kernels::available;
use nearfield_boards::{Memory, self_test};

use crate::machine::Pc;

/// Tries `n_cases` of each kernel and tells the first difference of each ISA. Returns the code to halt with.
pub fn check<const LINES: usize>(pc: &mut Pc, n_cases: u64, memory: &mut Memory<LINES>) -> u8 {
    let mut code = 0;
    // The first is the definitions.
    for isa in available().skip(1) {
        let name = isa.name();
        let _ = match self_test(isa, n_cases, memory.arena()) {
            Ok(()) => writeln!(pc, "{name}: {n_cases} cases of each kernel, the definitions' bits"),
            Err(halt) => {
                code = halt.code();
                writeln!(pc, "{name}: {halt}")
            }
        };
    }
    code
}
