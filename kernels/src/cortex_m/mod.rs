//! Cortex-M. The ISA is chosen when a firmware is compiled: the features `dsp` and `mve` say which extensions its core has.
//!
//! A core with Helium is compiled with `-Cno-vectorize-loops -Cno-vectorize-slp`: else the compiler would use Helium for
//! floats, too, which flushes subnormals, unlike the definitions ([`crate::conformance`] notices).

pub(crate) mod dsp;
#[cfg(feature = "mve")]
pub(crate) mod mve;
