//! Characters of a text, and bytes that belong to no character.

/// A space as tokens spell it: `▁`.
pub(super) const SPACE: char = '\u{2581}';

/// A character, or a byte that belongs to none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unit {
    Char(char),
    Byte(u8),
}

impl Unit {
    /// Number of bytes.
    pub fn len(self) -> usize {
        match self {
            Self::Char(char) => char.len_utf8(),
            Self::Byte(_) => 1,
        }
    }

    /// Writes the bytes to `buffer`; returns them.
    pub fn bytes(self, buffer: &mut [u8; 4]) -> &[u8] {
        match self {
            Self::Char(char) => char.encode_utf8(buffer).as_bytes(),
            Self::Byte(byte) => {
                let [first, ..] = buffer;
                *first = byte;
                core::slice::from_ref(first)
            }
        }
    }
}
