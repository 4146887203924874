//! Parts that the firmwares of the Raspberry Pi Pico 2 share.
#![no_std]

use nearfield_rp::Identity;

/// Name of the board and its processor.
pub const NAME: &str = "pico2 (Cortex-M33 at 150 MHz)";

/// Serial port over USB and UART 0 (GP0 out, GP1 in), by the numbers that Raspberry Pi's SDK gives it.
pub const IDENTITY: Identity = Identity { ids: (0x2e8a, 0x0009), product: "nearfield on pico2" };
