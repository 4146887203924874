//! Encoders: against a literal forward pass, the same bits however they are run, their horizon, memory and errors.

mod bits;
mod errors;
mod fused;
mod horizon;
mod literal;
mod passes;
