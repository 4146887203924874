//! UF2: blocks of 512 bytes that a boot loader takes as they are copied to its drive (<https://github.com/microsoft/uf2>).

use crate::Image;

const MAGIC: [u32; 2] = [0x0a32_4655, 0x9e5d_5157];
const MAGIC_END: u32 = 0x0ab1_6f30;
/// The word after the number of blocks is the family.
const FAMILY_PRESENT: u32 = 0x2000;
/// Words after the payload are extensions.
const EXTENSIONS: u32 = 0x8000;
/// Bytes of a payload: a page of the flash.
const PAYLOAD: u32 = 256;

/// Chip that a file is for. Boot loaders ignore blocks of another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// RP2040.
    Rp2040,
    /// RP2350 in its secure Arm state, as it starts.
    Rp2350ArmS,
    /// nRF52840, for Adafruit's boot loader.
    Nrf52840,
}

impl Family {
    /// Family of a name as the command line has it.
    pub fn named(name: &str) -> Option<Self> {
        match name {
            "rp2040" => Some(Self::Rp2040),
            "rp2350-arm-s" => Some(Self::Rp2350ArmS),
            "nrf52840" => Some(Self::Nrf52840),
            _ => None,
        }
    }

    /// Number in each block (`utils/uf2families.json` of the format's repository).
    pub fn id(self) -> u32 {
        match self {
            Self::Rp2040 => 0xe48b_ff56,
            Self::Rp2350ArmS => 0xe48b_ff59,
            Self::Nrf52840 => 0xada5_2840,
        }
    }
}

/// UF2 file of an image: pages of 256 bytes, each in a block of 512.
///
/// A file for the RP2350 begins with the block by which picotool works around erratum RP2350-E10: without it, boot ROMs of
/// revision A2 may take the first block of the drive's own for the file's.
pub fn uf2(image: &Image, family: Family) -> Vec<u8> {
    let pages = image.pages(PAYLOAD);
    let mut file = Vec::new();
    if family == Family::Rp2350ArmS {
        file.extend(absolute());
    }
    for (i, (address, page)) in pages.iter().enumerate() {
        let header = [FAMILY_PRESENT, *address, PAYLOAD, i as u32, pages.len() as u32, family.id()];
        file.extend(block(header, page));
    }
    file
}

/// Block of family "absolute" at the end of the addressable flash, which boot ROMs are told to ignore (picotool's `--abs-block`).
fn absolute() -> Vec<u8> {
    let mut payload = vec![0xef; PAYLOAD as usize];
    payload.extend(0x9957_e304_u32.to_le_bytes());
    block([FAMILY_PRESENT | EXTENSIONS, 0x10ff_ff00, PAYLOAD, 0, 2, 0xe48b_ff57], &payload)
}

fn block(header: [u32; 6], payload: &[u8]) -> Vec<u8> {
    let mut block: Vec<u8> = MAGIC.iter().chain(&header).flat_map(|word| word.to_le_bytes()).collect();
    block.extend_from_slice(payload);
    block.resize(508, 0);
    block.extend(MAGIC_END.to_le_bytes());
    block
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(block: &[u8]) -> Vec<u32> {
        block.chunks_exact(4).map(|word| u32::from_le_bytes(word.try_into().unwrap())).collect()
    }

    #[test]
    fn a_block_has_a_page_its_address_its_number_and_its_family() {
        let image = Image::new(vec![(0x1000_0000, vec![7; 256]), (0x1000_0100, (0..=255).collect())]).unwrap();
        let file = uf2(&image, Family::Rp2040);
        assert_eq!(file.len(), 1024);
        let block = words(&file[512..]);
        let want = [0x0a32_4655, 0x9e5d_5157, 0x2000, 0x1000_0100, 256, 1, 2, 0xe48b_ff56, 0x0302_0100];
        assert_eq!(block[..9], want);
        assert_eq!(file[512 + 32..512 + 32 + 256], (0..=255).collect::<Vec<u8>>()[..]);
        assert_eq!(block[72..127], [0; 55]);
        assert_eq!(block[127], 0x0ab1_6f30);
    }

    #[test]
    fn pages_are_aligned_and_filled_with_zeros() {
        // 3 bytes across a page's end, and a part far above.
        let image = Image::new(vec![(0x1000_2000, vec![5]), (0x1000_00fe, vec![1, 2, 3])]).unwrap();
        let file = uf2(&image, Family::Nrf52840);
        let blocks: Vec<Vec<u32>> = file.chunks_exact(512).map(words).collect();
        let addresses: Vec<u32> = blocks.iter().map(|block| block[3]).collect();
        assert_eq!(addresses, [0x1000_0000, 0x1000_0100, 0x1000_2000]);
        assert!(blocks.iter().enumerate().all(|(i, block)| block[5] == i as u32 && block[6] == 3));
        assert!(blocks.iter().all(|block| block[7] == 0xada5_2840));
        assert_eq!(blocks[0][8..72].iter().filter(|&&word| word != 0).collect::<Vec<_>>(), [&0x0201_0000]);
        assert_eq!(blocks[1][8], 3);
    }

    #[test]
    fn a_file_for_the_rp2350_begins_with_the_block_of_erratum_e10() {
        let image = Image::new(vec![(0x1000_0000, vec![1])]).unwrap();
        let file = uf2(&image, Family::Rp2350ArmS);
        assert_eq!(file.len(), 1024);
        let first = words(&file[..512]);
        assert_eq!(first[2..8], [0xa000, 0x10ff_ff00, 256, 0, 2, 0xe48b_ff57]);
        assert_eq!(first[8..72], [0xefef_efef; 64]);
        assert_eq!(first[72..74], [0x9957_e304, 0]);
        // The others are counted without it.
        assert_eq!(words(&file[512..])[2..8], [0x2000, 0x1000_0000, 256, 0, 1, 0xe48b_ff59]);
    }
}
