//! Encoders: against a literal forward pass, the same bits however they are run, their horizon, memory and errors.

mod bits;
#[path = "../common/mod.rs"]
mod common;
mod errors;
mod fused;
mod horizon;
mod literal;
