//! Clocks: the core at its highest frequency, from the flash through the accelerator.
//!
//! Sections are those of ST's reference manuals: RM0090 for STM32F405 and F407, RM0383 for STM32F411.

use crate::register::registers;

registers! {
    /// Flash access control: RM0090, 3.9.1; RM0383, 3.8.1.
    FLASH_ACR = 0x4002_3c00 + 0x00;
    /// Power control: RM0090, 5.4.1; RM0383, 5.4.1.
    PWR_CR = 0x4000_7000 + 0x00;
    /// Clock control: RM0090, 7.3.1; RM0383, 6.3.1.
    RCC_CR = 0x4002_3800 + 0x00;
    /// PLL configuration: RM0090, 7.3.2; RM0383, 6.3.2.
    RCC_PLLCFGR = 0x4002_3800 + 0x04;
    /// Clock configuration: RM0090, 7.3.3; RM0383, 6.3.3.
    RCC_CFGR = 0x4002_3800 + 0x08;
    /// Clocks of the ports.
    RCC_AHB1ENR = 0x4002_3800 + 0x30;
    /// Clocks of peripherals at APB1.
    RCC_APB1ENR = 0x4002_3800 + 0x40;
    /// Clocks of peripherals at APB2.
    RCC_APB2ENR = 0x4002_3800 + 0x44;
    /// Identity of the chip: RM0090, 38.6.1; RM0383, 23.6.1.
    DBGMCU_IDCODE = 0xe004_2000 + 0x00;
}

/// Bits of `RCC_CR`.
const HSION: u32 = 1 << 0;
const HSEON: u32 = 1 << 16;
const HSERDY: u32 = 1 << 17;
const PLLON: u32 = 1 << 24;
const PLLRDY: u32 = 1 << 25;
/// Bits of `FLASH_ACR`: prefetch, instruction cache, data cache.
const PRFTEN: u32 = 1 << 8;
const ICEN: u32 = 1 << 9;
const DCEN: u32 = 1 << 10;
/// Bit of `RCC_APB1ENR`: the power controller.
const PWREN: u32 = 1 << 28;
/// Frequency of the internal oscillator, in MHz.
const HSI: u32 = 16;

/// Clocks of a chip.
#[derive(Clone, Copy, Debug)]
pub struct Clocks {
    /// Frequency of the core, in MHz.
    pub core: u32,
    /// Wait states of the flash at 2.7 to 3.6 V: RM0090, table 10; RM0383, table 5.
    pub wait_states: u32,
    /// Bits of `PWR_CR` for the highest frequency, voltage scale 1.
    pub(crate) scale_1: u32,
    /// Power of two that divides the frequency of APB1: 0, 1 or 2.
    pub(crate) apb1: u32,
    /// Power of two that divides the frequency of APB2.
    pub(crate) apb2: u32,
}

/// STM32F405 and F407: APB1 up to 42 MHz, APB2 up to 84 (RM0090, 7.2). VOS is bit 14.
pub(crate) const F405: Clocks = Clocks { core: 168, wait_states: 5, scale_1: 1 << 14, apb1: 2, apb2: 1 };
/// STM32F411: APB1 up to 50 MHz, APB2 up to 100 (RM0383, 6.2). VOS is bits 14 and 15.
pub(crate) const F411: Clocks = Clocks { core: 100, wait_states: 3, scale_1: 3 << 14, apb1: 1, apb2: 0 };

/// True in an emulator that has no clocks. QEMU's STM32F405 reads zeros there, where a chip that comes out of reset runs from its
/// internal oscillator, which `HSION` says.
pub(crate) fn are_missing() -> bool {
    RCC_CR.read() & HSION == 0
}

impl Clocks {
    /// Frequency of the core without [`start`](Self::start), or where it fails: the internal oscillator.
    pub(crate) const SLOW: Self = Self { core: HSI, wait_states: 0, scale_1: 0, apb1: 0, apb2: 0 };

    /// Sets the clocks up; returns those that the chip has then.
    ///
    /// - `crystal`: frequency in MHz, a whole number from 4 to 26; without it, or if it does not start, the PLL follows the internal
    ///   oscillator (1 % at room temperature), which is exact enough for a serial port
    pub(crate) fn start(self, crystal: Option<u32>) -> Self {
        RCC_APB1ENR.change(0, PWREN);
        PWR_CR.change(3 << 14, self.scale_1);
        let crystal = crystal.filter(|_| {
            RCC_CR.change(0, HSEON);
            RCC_CR.becomes(HSERDY, HSERDY)
        });
        // The PLL's input is 1 MHz, its oscillator runs at twice the core's frequency (100 to 432 MHz), and P divides by 2. Q, for
        // USB, stays below 48 MHz.
        let (source, frequency) = crystal.map_or((0, HSI), |crystal| (1 << 22, crystal));
        RCC_PLLCFGR.write(frequency | 2 * self.core << 6 | source | 9 << 24);
        RCC_CR.change(0, PLLON);
        if !RCC_CR.becomes(PLLRDY, PLLRDY) {
            return Self::SLOW;
        }
        // Wait states come before the frequency: RM0090, 3.5.1, "Increasing the CPU frequency".
        let prefetch = if prefetch_works() { PRFTEN } else { 0 };
        FLASH_ACR.write(self.wait_states | ICEN | DCEN | prefetch);
        if !FLASH_ACR.becomes(7, self.wait_states) {
            return Self::SLOW;
        }
        // 0 divides by one, 4 by two, 5 by four.
        let divider = |power: u32| if power == 0 { 0 } else { 3 + power };
        RCC_CFGR.change(7 << 10 | 7 << 13 | 15 << 4, divider(self.apb1) << 10 | divider(self.apb2) << 13);
        // SW and SWS: the PLL is the system clock.
        RCC_CFGR.change(3, 2);
        if RCC_CFGR.becomes(3 << 2, 2 << 2) { self } else { Self::SLOW }
    }
}

/// True unless the chip is an STM32F405 or F407 of revision A, whose prefetch is broken: ES0182, "ART Accelerator prefetch queue
/// instruction is not supported".
fn prefetch_works() -> bool {
    let id = DBGMCU_IDCODE.read();
    (id & 0xfff, id >> 16) != (0x413, 0x1000)
}
