//! Registers of the chip's peripherals.

/// Register of 32 bits.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Register(*mut u32);

impl Register {
    /// Register `offset` bytes behind the base address of a peripheral.
    ///
    /// # Safety
    /// The manual of every chip of this crate has a register of 32 bits there, which may be read and written at any time without an
    /// effect on memory.
    pub const unsafe fn new(base: usize, offset: usize) -> Self {
        Self((base + offset) as *mut u32)
    }

    pub fn read(self) -> u32 {
        // SAFETY: `new` was promised a register here.
        unsafe { self.0.read_volatile() }
    }

    pub fn write(self, value: u32) {
        // SAFETY: as in `read`.
        unsafe { self.0.write_volatile(value) }
    }

    /// Clears the bits of `mask` and sets those of `bits`.
    pub fn change(self, mask: u32, bits: u32) {
        self.write(self.read() & !mask | bits);
    }

    /// Waits until the bits of `mask` are `bits`; false if they are not after a hundred thousand looks.
    pub fn becomes(self, mask: u32, bits: u32) -> bool {
        (0..100_000).any(|_| self.read() & mask == bits)
    }
}

/// Declares registers: `NAME = base + offset`, as the manuals' "memory map" and "register map" have them.
macro_rules! registers {
    ($($(#[$doc:meta])* $name:ident = $base:literal + $offset:literal;)*) => { $(
        $(#[$doc])*
        // SAFETY: a register of the manual's, named by it; none starts a transfer to memory.
        pub(crate) const $name: $crate::register::Register = unsafe { $crate::register::Register::new($base, $offset) };
    )* };
}
pub(crate) use registers;
