//! Intel HEX: lines of text with addresses and checksums, for probes and loaders (Intel's specification of 1988).

use std::fmt::Write;

use crate::Image;

/// Bytes of a line.
const LINE: u32 = 16;

/// HEX file of an image: a line of type 4 for each 64 KiB, lines of 16 bytes, and the end.
pub fn hex(image: &Image) -> String {
    let mut file = String::new();
    let mut high = None;
    for (mut address, mut bytes) in image.parts() {
        while !bytes.is_empty() {
            let upper = (address >> 16) as u16;
            if high != Some(upper) {
                line(&mut file, 0, 4, &upper.to_be_bytes());
                high = Some(upper);
            }
            // A line does not cross a multiple of 16, so it never leaves its 64 KiB.
            let n = bytes.len().min((LINE - address % LINE) as usize);
            line(&mut file, address as u16, 0, &bytes[..n]);
            (address, bytes) = (address.wrapping_add(n as u32), &bytes[n..]);
        }
    }
    line(&mut file, 0, 1, &[]);
    file
}

fn line(file: &mut String, address: u16, kind: u8, bytes: &[u8]) {
    let [high, low] = address.to_be_bytes();
    let head = [bytes.len() as u8, high, low, kind];
    let sum = head.iter().chain(bytes).fold(0_u8, |sum, &byte| sum.wrapping_add(byte));
    file.push(':');
    for byte in head.iter().chain(bytes).chain([&sum.wrapping_neg()]) {
        let _ = write!(file, "{byte:02X}");
    }
    file.push('\n');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_have_addresses_and_checksums() {
        let image = Image::new(vec![(0x0800_fffe, vec![0xde, 0xad, 0xbe, 0xef]), (0x0000_0100, vec![0x21])]).unwrap();
        let want = ":020000040000FA\n:0101000021DD\n:020000040800F2\n:02FFFE00DEAD76\n:020000040801F1\n:02000000BEEF51\n:00000001FF\n";
        assert_eq!(hex(&image), want);
    }

    #[test]
    fn long_parts_are_cut_at_multiples_of_16() {
        let image = Image::new(vec![(0x8, (0..20).collect())]).unwrap();
        let want = ":020000040000FA\n:080008000001020304050607D4\n:0C00100008090A0B0C0D0E0F1011121342\n:00000001FF\n";
        assert_eq!(hex(&image), want);
    }
}
