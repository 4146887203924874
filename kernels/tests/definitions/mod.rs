//! Definitions compared with literal, slow references that share nothing with them.

mod attention;
mod dequantize;
mod halves;
mod matmul;
mod norm;
mod quantize;
mod rare;
mod reference;
