//! Types of stored keys and values.

use core::fmt;

use nearfield_kernels::QK;

/// Type of the stored keys, or of the stored values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[allow(non_camel_case_types)]
pub enum KvType {
    /// Single precision.
    F32,
    /// Half precision.
    F16,
    /// Integers of 8 bits with a half-precision scale for each 32 columns of a head.
    Q8_0,
    /// Integers of 4 bits with a half-precision scale for each 32 columns of a head. Needs the feature `kv_q4_0`.
    Q4_0,
}

impl KvType {
    /// All types.
    pub const ALL: [Self; 4] = [Self::F32, Self::F16, Self::Q8_0, Self::Q4_0];

    /// Name on the command line and in reports.
    pub const fn name(self) -> &'static str {
        match self {
            Self::F32 => "f32",
            Self::F16 => "f16",
            Self::Q8_0 => "q8_0",
            Self::Q4_0 => "q4_0",
        }
    }

    /// Bytes of one key or one value of a head of `head_dim` columns.
    pub const fn row_bytes(self, head_dim: usize) -> usize {
        let scales = 2 * head_dim.div_ceil(QK);
        match self {
            Self::F32 => 4 * head_dim,
            Self::F16 => 2 * head_dim,
            Self::Q8_0 => head_dim + scales,
            Self::Q4_0 => head_dim.div_ceil(2) + scales,
        }
    }
}

impl fmt::Display for KvType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Types of the stored keys and of the stored values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct KvTypes {
    /// Type of the keys.
    pub keys: KvType,
    /// Type of the values.
    pub values: KvType,
}

impl KvTypes {
    /// Same type for keys and values.
    pub const fn both(ty: KvType) -> Self {
        Self { keys: ty, values: ty }
    }
}

impl From<KvType> for KvTypes {
    fn from(ty: KvType) -> Self {
        Self::both(ty)
    }
}

/// A name alone, or `KEYS/VALUES`.
impl fmt::Display for KvTypes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { keys, values } = *self;
        if keys == values { keys.fmt(f) } else { write!(f, "{keys}/{values}") }
    }
}
