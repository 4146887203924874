//! DfuSe: files of USB's firmware upgrade with addresses, for ST's boot ROMs (ST UM0391).

use crate::Image;

/// Vendor and product numbers of the boot loader that a file is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Device {
    /// Vendor.
    pub vendor: u16,
    /// Product.
    pub product: u16,
}

impl Device {
    /// Boot ROM of the STM32 in DFU mode.
    pub const STM32: Self = Self { vendor: 0x0483, product: 0xdf11 };
}

/// DfuSe file of an image: one target, an element for each part, and the suffix with its checksum.
pub fn dfuse(image: &Image, device: Device) -> Vec<u8> {
    let mut elements = Vec::new();
    let mut n_elements = 0_u32;
    for (address, bytes) in image.parts() {
        elements.extend(address.to_le_bytes());
        elements.extend((bytes.len() as u32).to_le_bytes());
        elements.extend_from_slice(bytes);
        n_elements += 1;
    }
    // Prefix (UM0391, 2.1): signature, version, size without the suffix, number of targets.
    let mut file = b"DfuSe\x01".to_vec();
    let size = 11 + 274 + elements.len() as u32;
    file.extend(size.to_le_bytes());
    file.push(1);
    // Target (2.2): signature, alternate setting, is it named, name, size, number of elements.
    file.extend(b"Target\0");
    file.extend(1_u32.to_le_bytes());
    let mut name = b"nearfield".to_vec();
    name.resize(255, 0);
    file.extend(name);
    file.extend((elements.len() as u32).to_le_bytes());
    file.extend(n_elements.to_le_bytes());
    file.extend(elements);
    // Suffix (2.4): device's version (any), product, vendor, format 1.1a, signature, its length, checksum.
    file.extend(0xffff_u16.to_le_bytes());
    file.extend(device.product.to_le_bytes());
    file.extend(device.vendor.to_le_bytes());
    file.extend(0x011a_u16.to_le_bytes());
    file.extend(b"UFD\x10");
    file.extend(crc(&file).to_le_bytes());
    file
}

/// CRC-32 of Ethernet without its last inversion, as the suffix has it.
fn crc(bytes: &[u8]) -> u32 {
    bytes.iter().fold(!0, |crc, &byte| {
        (0..8).fold(crc ^ u32::from(byte), |crc, _| (crc >> 1) ^ (0xedb8_8320 & (crc & 1).wrapping_neg()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_has_its_prefix_target_elements_and_suffix() {
        let image = Image::new(vec![(0x0800_0000, vec![1, 2, 3, 4, 5]), (0x0800_4000, vec![6])]).unwrap();
        let file = dfuse(&image, Device::STM32);
        assert_eq!(file.len(), 11 + 274 + 8 + 5 + 8 + 1 + 16);
        assert_eq!(file[..11], *b"DfuSe\x01\x33\x01\0\0\x01");
        assert_eq!(file[11..22], *b"Target\0\x01\0\0\0");
        assert_eq!(file[22..32], *b"nearfield\0");
        assert_eq!(file[277..285], [22, 0, 0, 0, 2, 0, 0, 0]);
        assert_eq!(file[285..298], [0, 0, 0, 8, 5, 0, 0, 0, 1, 2, 3, 4, 5]);
        assert_eq!(file[298..307], [0, 0x40, 0, 8, 1, 0, 0, 0, 6]);
        assert_eq!(file[307..319], *b"\xff\xff\x11\xdf\x83\x04\x1a\x01UFD\x10");
        assert_eq!(crc(b"123456789"), !0xcbf4_3926);
        assert_eq!(file[319..], crc(&file[..319]).to_le_bytes());
    }
}
