//! Cortex-M, chosen when a firmware is compiled: the features `dsp` and `mve` say what its core has.
//!
//! A core with Helium is compiled with `-Cno-vectorize-loops -Cno-vectorize-slp`: the compiler would use it for floats, too,
//! and Helium flushes subnormals, which the definitions do not ([`crate::conformance`] notices).

pub(crate) mod dsp;
#[cfg(feature = "mve")]
pub(crate) mod mve;
