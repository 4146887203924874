//! Weights that are floats: a block is one number.

/// Number of single precision as its bytes lie in the file.
#[derive(Clone, Copy, Debug)]
#[repr(transparent)]
pub struct F32(pub [u8; 4]);

impl F32 {
    /// Value of the bytes.
    pub fn to_f32(self) -> f32 {
        f32::from_le_bytes(self.0)
    }
}

/// Number of half precision as its bytes lie in the file.
#[derive(Clone, Copy, Debug)]
#[repr(transparent)]
pub struct F16(pub [u8; 2]);

impl F16 {
    /// Value as single precision: exact, also for subnormals.
    pub fn to_f32(self) -> f32 {
        half::f16::from_le_bytes(self.0).to_f32()
    }
}

/// Upper 16 bits of a number of single precision as they lie in the file.
#[derive(Clone, Copy, Debug)]
#[repr(transparent)]
pub struct BF16(pub [u8; 2]);

impl BF16 {
    /// Value as single precision: exact.
    pub fn to_f32(self) -> f32 {
        f32::from_bits(u32::from(u16::from_le_bytes(self.0)) << 16)
    }
}
