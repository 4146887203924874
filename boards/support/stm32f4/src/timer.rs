//! Microseconds since power-on, by TIM2, which counts 32 bits: RM0090, chapter 18; RM0383, chapter 13.

use crate::clocks::{Clocks, RCC_APB1ENR};
use crate::register::registers;

registers! {
    TIM2_CR1 = 0x4000_0000 + 0x00;
    TIM2_EGR = 0x4000_0000 + 0x14;
    TIM2_CNT = 0x4000_0000 + 0x24;
    TIM2_PSC = 0x4000_0000 + 0x28;
}

/// Counter of microseconds.
#[derive(Clone, Debug)]
pub(crate) struct Micros {
    /// Microseconds until the counter last began anew.
    before: u64,
    last: u32,
}

impl Micros {
    pub fn start(clocks: &Clocks) -> Self {
        RCC_APB1ENR.change(0, 1 << 0);
        // Timers run at twice the bus's frequency, where that is divided: RM0090, 7.2, and RM0383, 6.2.
        let frequency = clocks.core >> clocks.apb1.saturating_sub(1);
        TIM2_PSC.write(frequency - 1);
        // An update takes the divider over.
        TIM2_EGR.write(1);
        TIM2_CR1.write(1);
        Self { before: 0, last: 0 }
    }

    /// Microseconds; right if less than 71 minutes pass between two calls.
    pub fn now(&mut self) -> u64 {
        let now = TIM2_CNT.read();
        if now < self.last {
            self.before += 1 << 32;
        }
        self.last = now;
        self.before + u64::from(now)
    }
}
