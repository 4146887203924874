//! Parts that the firmwares of the Raspberry Pi Pico 2 share: serial port and configuration.
#![no_std]

use embassy_rp::Peri;
use embassy_rp::peripherals::{PIN_0, PIN_1, UART0};
use embassy_rp::uart::{Config, Uart};
use nearfield::{KvType, KvTypes, Ring, SessionConfig};

/// Name of the board and its processor.
pub const NAME: &str = "pico2 (Cortex-M33 at 150 MHz)";

/// Configuration: each KV head keeps the keys that its slope needs (`Ring::Bias`), 704 of the 2048.
pub const CONFIG: SessionConfig = SessionConfig {
    n_ctx: 2048,
    n_batch: 8,
    kv: KvTypes::both(KvType::Q8_0),
    ring: Ring::Bias(SessionConfig::HORIZON_EPS),
    ..SessionConfig::DEFAULT
};

/// Functions that send bytes and receive one over UART 0 (GP0 out, GP1 in, 115,200 baud).
pub fn serial(
    uart: Peri<'static, UART0>,
    tx: Peri<'static, PIN_0>,
    rx: Peri<'static, PIN_1>,
) -> (impl FnMut(&[u8]), impl FnMut() -> u8) {
    let (mut tx, mut rx) = Uart::new_blocking(uart, tx, rx, Config::default()).split();
    // Damaged bytes are dropped; the user types them again.
    let send = move |bytes: &[u8]| _ = tx.blocking_write(bytes);
    let receive = move || {
        let mut byte = [0];
        while rx.blocking_read(&mut byte).is_err() {}
        byte[0]
    };
    (send, receive)
}
