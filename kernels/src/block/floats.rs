//! Weights that are floats: a block is one number.

/// A single as it lies in the file.
#[derive(Clone, Copy, Debug)]
#[repr(transparent)]
pub struct F32(pub [u8; 4]);

impl F32 {
    /// Its value.
    pub fn to_f32(self) -> f32 {
        f32::from_le_bytes(self.0)
    }
}

/// A half as it lies in the file.
#[derive(Clone, Copy, Debug)]
#[repr(transparent)]
pub struct F16(pub [u8; 2]);

impl F16 {
    /// Its value: exact, also for subnormals.
    pub fn to_f32(self) -> f32 {
        half::f16::from_le_bytes(self.0).to_f32()
    }
}

/// The upper half of a single as it lies in the file.
#[derive(Clone, Copy, Debug)]
#[repr(transparent)]
pub struct BF16(pub [u8; 2]);

impl BF16 {
    /// Its value: exact.
    pub fn to_f32(self) -> f32 {
        f32::from_bits(u32::from(u16::from_le_bytes(self.0)) << 16)
    }
}
