//! nRF52840-DK: prompts over the debug probe's serial port (P0.06 out, P0.08 in, 115,200 baud), 2048 tokens of context.
#![no_std]
#![no_main]

use cortex_m_rt::entry;
use embassy_nrf::config::HfclkSource;
use embassy_nrf::uarte::{Baudrate, Config, InterruptHandler, Uarte};
use embassy_nrf::{bind_interrupts, peripherals};
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

bind_interrupts!(struct Interrupts {
    UARTE0 => InterruptHandler<peripherals::UARTE0>;
});

#[entry]
fn main() -> ! {
    let mut config = embassy_nrf::config::Config::default();
    // The crystal: the serial port's rate is then exact.
    config.hfclk_source = HfclkSource::ExternalXtal;
    let p = embassy_nrf::init(config);
    let mut config = Config::default();
    config.baudrate = Baudrate::Baud115200;
    let (mut tx, mut rx) = Uarte::new(p.UARTE0, p.P0_08, p.P0_06, Interrupts, config).split();
    // Damaged bytes are dropped; the user types them again.
    let send = |bytes: &[u8]| _ = tx.blocking_write(bytes);
    let receive = || {
        let mut byte = [0];
        while rx.blocking_read(&mut byte).is_err() {}
        byte[0]
    };
    nearfield_serial::main("nrf52840-dk (Cortex-M4F at 64 MHz)", &IMAGE, CONFIG, MEMORY.take(), send, receive)
}
