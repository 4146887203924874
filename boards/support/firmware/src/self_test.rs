//! Proof on the processor at hand that the kernels give the bits of their definitions.

use nearfield::Arena;
use nearfield::kernels::Kernels;
use nearfield_kernels::conformance;

use crate::halt::Halt;

/// Checks `n_cases` drawn inputs of every kernel, in the memory of `arena`.
///
/// # Errors
/// [`Halt::SelfTest`] with the first number that differs; [`Halt::NoRoom`] for an arena below 82 KiB.
pub fn self_test(isa: &dyn Kernels, n_cases: u64, mut arena: Arena<'_>) -> Result<(), Halt> {
    let (need, have) = (size_of::<conformance::Scratch>(), arena.free_bytes());
    let scratch = conformance::Scratch::take(&mut arena).ok_or(Halt::NoRoom { need, have })?;
    (0..n_cases).try_for_each(|seed| Ok(conformance::check(isa, seed, scratch)?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use nearfield::Line;
    use nearfield::kernels::best;
    use std::vec;

    #[test]
    fn it_passes_here_and_says_what_it_needs() {
        let mut lines = vec![Line::ZERO; 82 * 1024 / Line::BYTES];
        assert!(self_test(best(), 2, Arena::new(&mut lines)).is_ok());
        assert!(matches!(self_test(best(), 1, Arena::new(&mut lines[..9])), Err(Halt::NoRoom { have: 576, .. })));
    }
}
