//! Cortex-M, chosen when a firmware is compiled: the features `dsp` and `mve` say what its core has.

pub(crate) mod dsp;
