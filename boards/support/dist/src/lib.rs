//! Files that a person flashes, made of a linked firmware.
//!
//! [`Image`] holds the bytes that an ELF file loads, by address. [`uf2`], [`hex`] and [`dfuse`] write them in the formats of boot
//! loaders, [`Image::raw`] as they lie in memory. The same firmware always gives the same bytes.

mod dfuse;
mod hex;
mod image;
mod uf2;

pub use dfuse::{Device, dfuse};
pub use hex::hex;
pub use image::{Error, Image};
pub use uf2::{Family, uf2};
