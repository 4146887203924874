//! Numbers of bytes as people read them.

use std::fmt;

/// Number of bytes, shown in the largest binary unit that leaves 1 or more.
#[derive(Clone, Copy, Debug)]
pub struct Bytes(pub u64);

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let units = [("TiB", 40), ("GiB", 30), ("MiB", 20), ("KiB", 10)];
        let text = match units.iter().find(|(_, power)| self.0 >> power > 0) {
            Some((unit, power)) => format!("{:.1} {unit}", self.0 as f64 / (1u64 << power) as f64),
            None if self.0 == 1 => "1 byte".into(),
            None => format!("{} bytes", self.0),
        };
        f.pad(&text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_stated_in_the_unit_that_suits_them() {
        let cases = [
            (0, "0 bytes"),
            (1, "1 byte"),
            (1023, "1023 bytes"),
            (1024, "1.0 KiB"),
            (5 << 20, "5.0 MiB"),
            (3 << 29, "1.5 GiB"),
        ];
        for (n, want) in cases {
            assert_eq!(Bytes(n).to_string(), want);
        }
        assert_eq!(Bytes(u64::MAX).to_string(), "16777216.0 TiB");
    }
}
