//! Arrays of strings as a GGUF file holds them, borrowed.

/// An array of strings as it lies in a GGUF file: for each its length as `u64`, little-endian, and its bytes.
///
/// The value proves that every string lies inside.
#[derive(Clone, Copy, Debug)]
pub struct StringArray<'f> {
    n: usize,
    body: &'f [u8],
}

impl<'f> StringArray<'f> {
    /// No strings.
    pub const EMPTY: Self = Self { n: 0, body: &[] };

    /// Splits `bytes` into the `n` strings that it starts with and the bytes behind them; `None` if `bytes` ends before they
    /// do.
    ///
    /// Takes time in proportion to `bytes`, whatever `n` claims.
    pub const fn split(n: u64, bytes: &'f [u8]) -> Option<(Self, &'f [u8])> {
        if n > (bytes.len() / 8) as u64 {
            return None;
        }
        let (n, mut rest, mut i) = (n as usize, bytes, 0);
        while i < n {
            let Some((_, after)) = split_string(rest) else { return None };
            (rest, i) = (after, i + 1);
        }
        match bytes.split_at_checked(bytes.len() - rest.len()) {
            Some((body, rest)) => Some((Self { n, body }, rest)),
            None => None,
        }
    }

    /// Array of the `n` strings in `body`, which the caller has walked over. If it did not, some strings read as empty; every
    /// read is checked.
    pub(super) const fn walked(n: u64, body: &'f [u8]) -> Self {
        // Each string has a length of eight bytes in `body`, so `n` fits a `usize`.
        Self { n: n as usize, body }
    }

    /// Number of strings.
    pub const fn len(&self) -> usize {
        self.n
    }

    /// True if there is no string.
    pub const fn is_empty(&self) -> bool {
        self.n == 0
    }

    /// The strings and their lengths, as they lie in the file.
    pub(super) const fn as_bytes(&self) -> &'f [u8] {
        self.body
    }

    /// Bytes of the strings and their lengths in the file.
    pub const fn n_bytes(&self) -> usize {
        self.body.len()
    }

    /// Iterates over the strings in order.
    pub const fn iter(&self) -> Strings<'f> {
        Strings { rest: self.body }
    }

    /// Iterates over the strings from the one whose length lies at byte `start` of the array; `None` beyond its end.
    pub(super) fn iter_from(&self, start: usize) -> Option<Strings<'f>> {
        Some(Strings { rest: self.body.get(start..)? })
    }
}

impl<'f> IntoIterator for StringArray<'f> {
    type Item = &'f [u8];
    type IntoIter = Strings<'f>;

    fn into_iter(self) -> Strings<'f> {
        self.iter()
    }
}

/// Iterator over the strings of a [`StringArray`].
#[derive(Clone, Debug)]
pub struct Strings<'f> {
    rest: &'f [u8],
}

impl Strings<'_> {
    /// Bytes of the strings to come and their lengths.
    pub(super) fn n_bytes(&self) -> usize {
        self.rest.len()
    }
}

impl<'f> Iterator for Strings<'f> {
    type Item = &'f [u8];

    fn next(&mut self) -> Option<&'f [u8]> {
        let (string, rest) = split_string(self.rest)?;
        self.rest = rest;
        Some(string)
    }
}

/// Splits off the string that `bytes` starts with; `None` if `bytes` ends before it does.
const fn split_string(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let Some((len, rest)) = bytes.split_first_chunk() else { return None };
    let len = u64::from_le_bytes(*len);
    if len > rest.len() as u64 {
        return None;
    }
    rest.split_at_checked(len as usize)
}
