//! Nucleo-H743ZI: prompts over the ST-LINK's serial port (PD8 out, PD9 in, 115,200 baud), 2048 tokens of context.
#![no_std]
#![no_main]

use cortex_m_rt::entry;
use embassy_stm32::rcc::{
    AHBPrescaler, APBPrescaler, HSIPrescaler, Pll, PllDiv, PllMul, PllPreDiv, PllSource, Sysclk, VoltageScale,
};
use embassy_stm32::usart::{Config, Uart};
use nearfield::Inline;
use nearfield_boards::{CONFIG, Image, Memory, image, plan};
use static_cell::ConstStaticCell;

static IMAGE: Image = image!();

/// All memory that changes but the stack: exactly what the plan says.
static MEMORY: ConstStaticCell<Memory<{ plan(&IMAGE, &CONFIG).n_lines() }>> = ConstStaticCell::new(Memory::ZERO);

// Revisions Z and Y read the AXI SRAM wrong under load, where `.data`, `.bss` and the arena lie, unless the interconnect issues one
// read at a time (ES0392, "Reading from AXI SRAM may lead to data read corruption"): 1 to READ_ISS_OVERRIDE of its target 7, before the
// first read. The revision is in the upper half of DBGMCU_IDC (RM0433, 60.5.8): 0x1001 is Z, 0x1003 is Y, later ones are above 0x2000.
core::arch::global_asm!(
    ".pushsection .text.__pre_init, \"ax\"",
    ".global __pre_init",
    ".type __pre_init, %function",
    ".thumb_func",
    "__pre_init:",
    "ldr r0, =0x5c001000",
    "ldr r0, [r0]",
    "lsrs r0, r0, #29",
    "bne 1f",
    "ldr r0, =0x51008108",
    "movs r1, #1",
    "str r1, [r0]",
    "dsb",
    "1: bx lr",
    ".ltorg",
    ".popsection",
);

/// True for revision V, the first that reaches 480 MHz (DS12110, general operating conditions).
fn is_revision_v() -> bool {
    embassy_stm32::pac::DBGMCU.idc().read().rev_id() >= 0x2003
}

/// The greatest clock of the chip's revision: 480 MHz or 400, from the internal 64 MHz.
fn clocks() -> embassy_stm32::Config {
    let (mul, voltage_scale) =
        if is_revision_v() { (PllMul::MUL60, VoltageScale::Scale0) } else { (PllMul::MUL50, VoltageScale::Scale1) };
    let mut config = embassy_stm32::Config::default();
    let rcc = &mut config.rcc;
    rcc.hsi = Some(HSIPrescaler::DIV1);
    rcc.pll1 = Some(Pll {
        source: PllSource::HSI,
        prediv: PllPreDiv::DIV4,
        mul,
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
    rcc.voltage_scale = voltage_scale;
    config
}

#[entry]
fn main() -> ! {
    let p = embassy_stm32::init(clocks());
    let name =
        if is_revision_v() { "nucleo-h743zi (Cortex-M7 at 480 MHz)" } else { "nucleo-h743zi (Cortex-M7 at 400 MHz)" };
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
    nearfield_serial::main(name, &IMAGE, CONFIG, &Inline, MEMORY.take(), (send, receive))
}
