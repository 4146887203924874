//! Nucleo-H743ZI: prompts over the ST-LINK's serial port (PD8 out, PD9 in, 115,200 baud), 2048 tokens of context.
#![no_std]
#![no_main]

use cortex_m_rt::entry;
use embassy_stm32::rcc::{
    AHBPrescaler, APBPrescaler, HSIPrescaler, Pll, PllDiv, PllMul, PllPreDiv, PllSource, Sysclk, VoltageScale,
};
use embassy_stm32::usart::{Config, Uart};
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

/// 400 MHz from the internal 64 MHz, which every revision of the chip reaches.
fn clocks() -> embassy_stm32::Config {
    let mut config = embassy_stm32::Config::default();
    let rcc = &mut config.rcc;
    rcc.hsi = Some(HSIPrescaler::DIV1);
    rcc.pll1 = Some(Pll {
        source: PllSource::HSI,
        prediv: PllPreDiv::DIV4,
        mul: PllMul::MUL50,
        fracn: None,
        divp: Some(PllDiv::DIV2),
        divq: None,
        divr: None,
    });
    rcc.sys = Sysclk::PLL1_P;
    rcc.ahb_pre = AHBPrescaler::DIV2;
    rcc.apb1_pre = APBPrescaler::DIV2;
    rcc.apb2_pre = APBPrescaler::DIV2;
    rcc.apb3_pre = APBPrescaler::DIV2;
    rcc.apb4_pre = APBPrescaler::DIV2;
    rcc.voltage_scale = VoltageScale::Scale1;
    config
}

#[entry]
fn main() -> ! {
    let p = embassy_stm32::init(clocks());
    if let Some(mut core) = cortex_m::Peripherals::take() {
        core.SCB.enable_icache();
        core.SCB.enable_dcache(&mut core.CPUID);
    }
    let uart = Uart::new_blocking(p.USART3, p.PD9, p.PD8, Config::default());
    let Ok(uart) = uart else { defmt::panic!("115,200 baud cannot be made of this clock") };
    let (mut tx, mut rx) = uart.split();
    // Damaged bytes are dropped; the user types them again.
    let send = |bytes: &[u8]| _ = tx.blocking_write(bytes);
    let receive = || {
        let mut byte = [0];
        while rx.blocking_read(&mut byte).is_err() {}
        byte[0]
    };
    nearfield_serial::main("nucleo-h743zi (Cortex-M7 at 400 MHz)", &IMAGE, CONFIG, MEMORY.take(), send, receive)
}
