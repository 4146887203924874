//! Raspberry Pi Pico 2: prompts over UART 0 (GP0 out, GP1 in, 115,200 baud), 2048 tokens of context.
#![no_std]
#![no_main]

use cortex_m_rt::entry;
use embassy_rp::uart::{Config, Uart};
use nearfield::{KvType, KvTypes, Ring, SessionConfig};
use nearfield_boards::{Image, Memory, image, plan};
use static_cell::ConstStaticCell;

static IMAGE: Image = image!("pocket.gguf", "../../../models/pocket.gguf");

/// Configuration: each KV head keeps the keys that its slope needs (`Ring::Bias`), 704 of the 2048.
const CONFIG: SessionConfig = SessionConfig {
    n_ctx: 2048,
    n_batch: 8,
    kv: KvTypes::both(KvType::Q8_0),
    ring: Ring::Bias(SessionConfig::HORIZON_EPS),
    ..SessionConfig::DEFAULT
};

/// All memory that changes but the stack: exactly what the plan says.
static MEMORY: ConstStaticCell<Memory<{ plan(&IMAGE, &CONFIG).n_lines() }>> = ConstStaticCell::new(Memory::ZERO);

#[entry]
fn main() -> ! {
    let p = embassy_rp::init(embassy_rp::config::Config::default());
    let (mut tx, mut rx) = Uart::new_blocking(p.UART0, p.PIN_0, p.PIN_1, Config::default()).split();
    // Damaged bytes are dropped; the user types them again.
    let send = |bytes: &[u8]| _ = tx.blocking_write(bytes);
    let receive = || {
        let mut byte = [0];
        while rx.blocking_read(&mut byte).is_err() {}
        byte[0]
    };
    nearfield_serial::main("pico2 (Cortex-M33 at 150 MHz)", &IMAGE, CONFIG, MEMORY.take(), send, receive)
}
