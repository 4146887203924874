//! Serial port.

use core::sync::atomic::{AtomicU32, Ordering};

use crate::clocks::{Clocks, RCC_AHB1ENR, RCC_APB1ENR, RCC_APB2ENR};
use crate::register::{Register, registers};

registers! {
    GPIOA_MODER = 0x4002_0000 + 0x00;
    GPIOA_PUPDR = 0x4002_0000 + 0x0c;
    GPIOA_AFRH = 0x4002_0000 + 0x24;
    GPIOB_MODER = 0x4002_0400 + 0x00;
    GPIOB_PUPDR = 0x4002_0400 + 0x0c;
    GPIOB_AFRH = 0x4002_0400 + 0x24;
    USART1_SR = 0x4001_1000 + 0x00;
    USART1_DR = 0x4001_1000 + 0x04;
    USART1_BRR = 0x4001_1000 + 0x08;
    USART1_CR1 = 0x4001_1000 + 0x0c;
    USART3_SR = 0x4000_4800 + 0x00;
    USART3_DR = 0x4000_4800 + 0x04;
    USART3_BRR = 0x4000_4800 + 0x08;
    USART3_CR1 = 0x4000_4800 + 0x0c;
}

/// Bits of a port's status: a byte is there, the next byte can be written.
const RXNE: u32 = 1 << 5;
const TXE: u32 = 1 << 7;
/// Bits of a port's control: receiver, transmitter, the port itself.
const RE: u32 = 1 << 2;
const TE: u32 = 1 << 3;
const UE: u32 = 1 << 13;
/// Baud rate.
const BAUD: u32 = 115_200;

/// Number of the port that was started last; 0 before.
static STARTED: AtomicU32 = AtomicU32::new(0);

/// Serial port at two neighbouring pins, the lower of which sends.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Usart {
    number: u32,
    status: Register,
    data: Register,
    rate: Register,
    control: Register,
    /// Modes, pull-ups and functions of the pins' port: RM0090, 8.4; RM0383, 8.4.
    pins: [Register; 3],
    /// Number of the sending pin, 8 to 14.
    tx: u32,
    /// Bit of the pins' port in `RCC_AHB1ENR`.
    port: u32,
    clock: Clock,
}

/// Bus of a serial port, with its bit among the bus's clocks.
#[derive(Clone, Copy, Debug)]
enum Clock {
    Apb1(u32),
    Apb2(u32),
}

/// USART3 at PB10 and PB11, function 7 of both (datasheet DS8626, table 9).
pub(crate) const USART3: Usart = Usart {
    number: 3,
    status: USART3_SR,
    data: USART3_DR,
    rate: USART3_BRR,
    control: USART3_CR1,
    pins: [GPIOB_MODER, GPIOB_PUPDR, GPIOB_AFRH],
    tx: 10,
    port: 1 << 1,
    clock: Clock::Apb1(1 << 18),
};

/// USART1 at PA9 and PA10, function 7 of both (datasheet DS10314, table 9).
pub(crate) const USART1: Usart = Usart {
    number: 1,
    status: USART1_SR,
    data: USART1_DR,
    rate: USART1_BRR,
    control: USART1_CR1,
    pins: [GPIOA_MODER, GPIOA_PUPDR, GPIOA_AFRH],
    tx: 9,
    port: 1 << 0,
    clock: Clock::Apb2(1 << 4),
};

impl Usart {
    /// Sets pins and port up: 115,200 baud, 8 bits, no parity.
    pub fn start(self, clocks: &Clocks) {
        RCC_AHB1ENR.change(0, self.port);
        let frequency = match self.clock {
            Clock::Apb1(bit) => {
                RCC_APB1ENR.change(0, bit);
                clocks.core >> clocks.apb1
            }
            Clock::Apb2(bit) => {
                RCC_APB2ENR.change(0, bit);
                clocks.core >> clocks.apb2
            }
        };
        let [modes, pulls, functions] = self.pins;
        let (two_bits, four_bits) = (2 * self.tx, 4 * (self.tx - 8));
        functions.change(0xff << four_bits, 0x77 << four_bits);
        // A pull-up at the receiving pin: without an adapter no bytes come.
        pulls.change(0xf << two_bits, 0x4 << two_bits);
        modes.change(0xf << two_bits, 0xa << two_bits);
        // With 16 samples of a bit, the register is the clock divided by the baud rate: RM0090, 30.3.4.
        self.rate.write((frequency * 1_000_000 + BAUD / 2) / BAUD);
        self.control.write(UE | TE | RE);
        STARTED.store(self.number, Ordering::Relaxed);
    }

    /// Port that [`start`](Self::start) was called for. Registers do not tell: a chip may lack a port, and its addresses then fault.
    pub fn started() -> Option<Self> {
        [USART1, USART3].into_iter().find(|port| port.number == STARTED.load(Ordering::Relaxed))
    }

    pub fn send(self, bytes: &[u8]) {
        for &byte in bytes {
            while self.status.read() & TXE == 0 {}
            self.data.write(byte.into());
        }
    }

    /// Byte that has come. Reading it also ends an overrun, whose bytes are lost.
    pub fn received(self) -> Option<u8> {
        (self.status.read() & RXNE != 0).then(|| self.data.read() as u8)
    }
}
