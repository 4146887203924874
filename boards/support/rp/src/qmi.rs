//! Flash interface of the RP2350 (QMI), set up for fast continuous reads.
//!
//! The boot ROM leaves the interface as it found the flash to answer: for quad reads with a clock of a third of the system's, and an
//! instruction before each: M0_TIMING 0x60007203, M0_RFMT 0x492a8, M0_RCMD 0xeb (pico-sdk issue 1903). Half of the system's clock (75
//! of the flash's 133 MHz) and no instruction are faster: a line of 8 bytes takes 28 clocks of a half, not 36 of a third. Registers:
//! RP2350 datasheet, 12.14; the sequence is that of the SDK's second stage (`src/rp2350/boot_stage2/boot2_w25q080.S`).

use core::arch::asm;

use embassy_rp::pac::qmi::regs::{Rcmd, Rfmt, Timing};
use embassy_rp::pac::qmi::vals::{
    AddrWidth, DataWidth, DummyLen, DummyWidth, PrefixLen, PrefixWidth, SuffixLen, SuffixWidth,
};
use embassy_rp::pac::{PADS_QSPI, QMI};

/// "Fast read quad I/O".
const READ: u8 = 0xeb;
/// Mode bits after the address: the next read has no instruction.
const CONTINUOUS: u8 = 0xa0;

/// Sets the interface up for continuous quad reads at half of the system's clock. Does nothing where the boot ROM found a flash that
/// does no quad reads. Called once, before core 1 runs.
pub fn continuous_reads() {
    let found = QMI.mem(0).rfmt().read();
    if found.data_width() != DataWidth::Q || found.prefix_len() == PrefixLen::NONE {
        return;
    }
    // Pads: 8 mA and fast edges for the clock, no hysteresis for data, which delays it.
    PADS_QSPI.gpio(0).modify(|pad| {
        pad.set_drive(embassy_rp::pac::pads::vals::Drive::_8M_A);
        pad.set_slewfast(true);
    });
    for data in 1..5 {
        PADS_QSPI.gpio(data).modify(|pad| pad.set_schmitt(false));
    }
    // M0_TIMING. Data is sampled a whole system clock later than the clock's edge.
    let mut timing = Timing::default();
    timing.set_clkdiv(2);
    timing.set_rxdelay(2);
    timing.set_cooldown(1);
    let mut command = Rcmd::default();
    command.set_prefix(READ);
    command.set_suffix(CONTINUOUS);
    // M0_RFMT: the instruction by one line, all else by four; 8 mode bits, and 4 clocks of 4 bits before the data.
    let mut format = Rfmt::default();
    format.set_prefix_width(PrefixWidth::S);
    format.set_addr_width(AddrWidth::Q);
    format.set_suffix_width(SuffixWidth::Q);
    format.set_dummy_width(DummyWidth::Q);
    format.set_data_width(DataWidth::Q);
    format.set_prefix_len(PrefixLen::_8);
    format.set_suffix_len(SuffixLen::_8);
    format.set_dummy_len(DummyLen::_16);
    let mut bare = format;
    bare.set_prefix_len(PrefixLen::NONE);
    // SAFETY: interrupts are off, core 1 does not run yet, and the function is in RAM: nobody reads the flash meanwhile.
    cortex_m::interrupt::free(|_| unsafe { write(timing.0, command.0, format.0, bare.0) });
}

/// Writes the settings while nothing reads the flash. Runs from RAM.
///
/// # Safety
/// Nobody else reads the flash meanwhile.
#[inline(never)]
#[unsafe(link_section = ".data.qmi")]
unsafe extern "C" fn write(timing: u32, command: u32, format: u32, bare: u32) {
    // SAFETY: registers of the QMI at the datasheet's offsets, and one read of the flash past its cache (address map, 2.2). Direct
    // mode is on while its BUSY is asked, since only then it tells that the last read is over.
    unsafe {
        asm!(
            "str {direct}, [{qmi}, #0x00]", // DIRECT_CSR
            "2:",
            "ldr {t}, [{qmi}, #0x00]",
            "lsls {t}, {t}, #30",           // BUSY is bit 1
            "bmi 2b",
            "bic {t}, {direct}, #1",
            "str {t}, [{qmi}, #0x00]",      // EN is 0 again
            "str {timing}, [{qmi}, #0x0c]", // M0_TIMING
            "str {command}, [{qmi}, #0x14]", // M0_RCMD
            "str {format}, [{qmi}, #0x10]", // M0_RFMT
            "dsb",
            // The flash has seen the mode bits once this read is over.
            "ldrb {t}, [{flash}]",
            "dsb",
            "str {bare}, [{qmi}, #0x10]",
            "dsb",
            "isb",
            direct = in(reg) DIRECT,
            qmi = in(reg) QMI.as_ptr(),
            flash = in(reg) 0x1400_0000,
            t = out(reg) _,
            timing = in(reg) timing,
            command = in(reg) command,
            format = in(reg) format,
            bare = in(reg) bare,
            options(nostack),
        );
    }
}

/// DIRECT_CSR: direct mode on, with a clock of a 30th of the system's that nothing is sent by.
const DIRECT: u32 = 30 << 22 | 1;
