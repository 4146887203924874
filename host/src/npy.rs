//! Headers of NumPy's file format, for one table of floats.

/// Header of a float32 table `[n_rows, n_cols]`. The numbers follow it, row by row, little-endian.
///
/// Format version 1.0: `\x93NUMPY`, version, length of the rest (u16), a Python dictionary, spaces and a line end up to a
/// multiple of 64 bytes. Source: NumPy, `numpy.lib.format`.
pub fn header(n_rows: usize, n_cols: usize) -> Vec<u8> {
    let dictionary = format!("{{'descr': '<f4', 'fortran_order': False, 'shape': ({n_rows}, {n_cols}), }}");
    let before = b"\x93NUMPY\x01\x00".len() + 2;
    let total = (before + dictionary.len() + 1).next_multiple_of(64);
    let mut header = b"\x93NUMPY\x01\x00".to_vec();
    // Two numbers of at most 20 digits: far below 65,535 bytes.
    header.extend(((total - before) as u16).to_le_bytes());
    header.extend(dictionary.bytes());
    header.resize(total - 1, b' ');
    header.push(b'\n');
    header
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_end_on_a_multiple_of_64_with_a_line_end() {
        for n in [1, 1_000_000_000, usize::MAX] {
            let header = header(n, 250_880);
            assert!(header.len().is_multiple_of(64) && header.ends_with(b"\n"));
            assert_eq!(usize::from(u16::from_le_bytes([header[8], header[9]])) + 10, header.len());
        }
    }
}
