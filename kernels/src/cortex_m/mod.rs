//! Cortex-M. The ISA is chosen when a firmware is compiled: the features `dsp` and `mve` say which extensions its core has, and a target
//! without a floating-point unit is taken for ARMv6-M.
//!
//! A core with Helium is compiled with `-Cno-vectorize-loops -Cno-vectorize-slp`: else the compiler would use Helium for
//! floats, too, which flushes subnormals, unlike the definitions ([`crate::conformance`] notices).

#[cfg(not(feature = "dsp"))]
pub(crate) mod armv6m;
#[cfg(feature = "dsp")]
pub(crate) mod dsp;
#[cfg(feature = "mve")]
pub(crate) mod mve;
