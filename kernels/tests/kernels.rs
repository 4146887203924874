//! The tests of the kernels that see them from outside: one program, since each would be linked with the kernels again.

mod conformance;
mod definitions;
mod extremes;
