//! Machines by name, and the memory that a model has there.

/// Machine that a model may be planned for.
#[derive(Debug, PartialEq)]
pub struct Board {
    /// Name on the command line; for a machine with a firmware, that of its folder in `boards/`.
    pub name: &'static str,
    /// Description, with the processor.
    pub what: &'static str,
    /// Bytes of the memory that the arena lies in.
    pub ram: u64,
    /// Bytes of it that the arena cannot have.
    pub own_ram: u64,
    /// Place of the model.
    pub model: Place,
}

/// Place of a model.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Place {
    /// Flash, read in place, with the firmware and the tokenizer's index.
    Flash {
        /// Bytes of the flash.
        bytes: u64,
        /// Bytes of it that the firmware takes: code and constants, without the tokenizer's index.
        own: u64,
    },
    /// Memory of its own that holds the model alone.
    Apart {
        /// Bytes of this memory.
        bytes: u64,
    },
    /// Memory of the arena: the model is a mapped file, or part of an image that is loaded.
    Ram,
}

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;

/// Table of the firmwares' sizes in bytes, which `boards/sizes --write` writes.
const SIZES: &str = include_str!("../../../boards/sizes.md");
/// Boards on a desk whose firmwares stand for those of all microcontrollers with one core.
const DESK: [&str; 2] = ["nrf52840-dk", "nucleo-h743zi"];
/// Bytes of the arena of these firmwares, by the `arena` line of `boards/run mps2-an386`.
const ARENA: u64 = 190_592;
/// Bytes of the pocket model's index, by `nearfield inspect models/pocket.gguf`.
const POCKET_INDEX: u64 = 13_312;
/// Variables besides the arena, in bytes: the most of the boards on a desk.
const FIRMWARE_VARIABLES: u64 = largest(&[4]) - ARENA;
/// Stack in bytes, as in those boards' linker scripts; 14,588 is the most that was ever used (boards/README.md).
const STACK: u64 = 20 * KIB;
/// Bytes that a firmware takes of a memory with variables and stack.
pub const FIRMWARE_RAM: u64 = FIRMWARE_VARIABLES + STACK;
/// Bytes of the largest firmware of the boards on a desk: code and constants, less the index of the pocket model's tokenizer.
/// Kernels for the weight types of further features (K types, ...) come on top.
pub const FIRMWARE_FLASH: u64 = largest(&[1, 3]) - POCKET_INDEX;

/// Sum of these columns of [`SIZES`], the largest of the boards on a desk.
const fn largest(columns: &[usize]) -> u64 {
    let (mut largest, mut board) = (0, 0);
    while board < DESK.len() {
        let (mut sum, mut i) = (0, 0);
        while i < columns.len() {
            sum += size(DESK[board], columns[i]);
            i += 1;
        }
        largest = if sum > largest { sum } else { largest };
        board += 1;
    }
    largest
}

/// Number in a column of a board's row of [`SIZES`].
///
/// # Panics
/// At compile time, if the table has no such row.
const fn size(board: &str, column: usize) -> u64 {
    let (table, name) = (SIZES.as_bytes(), board.as_bytes());
    let mut at = 0;
    while at + name.len() < table.len() {
        if table[at] == b'`' && begins(table, at + 1, name) && table[at + 1 + name.len()] == b'`' {
            let (mut bars, mut n) = (0, 0);
            while bars <= column {
                at += 1;
                if table[at] == b'|' {
                    bars += 1;
                } else if bars == column && table[at].is_ascii_digit() {
                    n = 10 * n + (table[at] - b'0') as u64;
                }
            }
            return n;
        }
        at += 1;
    }
    panic!("no row of boards/sizes.md has this board")
}

/// True if `text` continues with `word` at this place.
const fn begins(text: &[u8], at: usize, word: &[u8]) -> bool {
    let mut i = 0;
    while i < word.len() && at + i < text.len() && text[at + i] == word[i] {
        i += 1;
    }
    i == word.len()
}

/// Bytes that the system and other programs keep. Assumption: Raspberry Pi OS Lite without a desktop takes about this much.
const SYSTEM: u64 = 128 * MIB;

const fn in_flash(bytes: u64) -> Place {
    Place::Flash { bytes, own: FIRMWARE_FLASH }
}

/// Microcontroller with a single RAM.
const fn controller(name: &'static str, what: &'static str, ram: u64, flash: u64) -> Board {
    Board { name, what, ram, own_ram: FIRMWARE_RAM, model: in_flash(flash) }
}

/// Microcontroller whose firmware also has a USB port, and on Raspberry Pi's the second core's stack.
const fn with_usb(name: &'static str, what: &'static str, ram: u64, flash: u64) -> Board {
    let own = size(name, 1) + size(name, 3) - POCKET_INDEX;
    Board { name, what, ram, own_ram: size(name, 4) - ARENA + STACK, model: Place::Flash { bytes: flash, own } }
}

/// Computer that runs the command.
const fn computer(name: &'static str, what: &'static str, ram: u64) -> Board {
    Board { name, what, ram, own_ram: SYSTEM, model: Place::Ram }
}

/// Emulated board of Arm's: code, stack and model have memories of their own.
const fn mps(name: &'static str, what: &'static str, model: u64) -> Board {
    Board { name, what, ram: 4 * MIB - 64 * KIB, own_ram: FIRMWARE_VARIABLES, model: Place::Apart { bytes: model } }
}

/// All machines. Those with a folder in `boards/` have the figures of its linker script.
pub static BOARDS: &[Board] = &[
    controller("stm32f411", "STM32F411 (Black Pill), Cortex-M4F", 128 * KIB, 512 * KIB),
    controller("microbit-v2", "micro:bit v2: nRF52833, Cortex-M4F", 128 * KIB, 512 * KIB),
    controller("stm32f405", "STM32F405, Cortex-M4F", 128 * KIB, MIB),
    controller("nrf52840-dk", "nRF52840, Cortex-M4F", 256 * KIB, MIB),
    // The flash between the master boot record and the boot loader (boards/nrf52840-usb/memory.x).
    with_usb(
        "nrf52840-usb",
        "nRF52840 with a USB boot loader (Feather, XIAO, dongle), Cortex-M4F",
        256 * KIB,
        892 * KIB,
    ),
    // Sources: RP2040 datasheet, 2.6.2: 264 KiB of SRAM; Raspberry Pi Pico datasheet: 2 MiB of flash.
    with_usb("pico", "Raspberry Pi Pico and Pico W: RP2040, two Cortex-M0+", 264 * KIB, 2 * MIB),
    // Source: STM32F745xx/746xx datasheet, DS10916: 320 Kbytes of SRAM, of which 64 are the DTCM right before the others; 1
    // Mbyte of flash.
    controller("stm32f746", "STM32F746, Cortex-M7", 320 * KIB, MIB),
    with_usb("pico2", "Raspberry Pi Pico 2 and Pico 2 W: RP2350, two Cortex-M33", 512 * KIB, 4 * MIB),
    // Source: esp-hal's memory map, ld/esp32c3/memory.x: 313 KiB of the 400 are for programs. Boards have 4 MiB of flash as a rule, whose first 64 KiB
    // espflash fills with the boot loader and the table of partitions. 16 KiB: assumed for code that esp-hal copies to the same RAM.
    Board {
        own_ram: FIRMWARE_RAM + 16 * KIB,
        ..controller("esp32c3", "ESP32-C3, RV32IMC", 313 * KIB, 4 * MIB - 64 * KIB)
    },
    // Source: boards/teensy41/build.rs. The other memories hold the code (224 KiB), and nothing (512 KiB).
    controller("teensy41", "Teensy 4.1: i.MX RT1062, Cortex-M7", 288 * KIB, 2 * MIB),
    // The stack lies in another memory, the DTCM.
    Board { own_ram: FIRMWARE_VARIABLES, ..controller("nucleo-h743zi", "STM32H743, Cortex-M7", 512 * KIB, 2 * MIB) },
    mps("mps2-an385", "Cortex-M0+ (ARMv6-M), emulated", 16 * MIB),
    mps("mps2-an386", "Cortex-M4F, emulated", 16 * MIB),
    mps("mps2-an500", "Cortex-M7, emulated", 16 * MIB),
    mps("mps2-an505", "Cortex-M33, emulated", 16 * MIB),
    mps("mps3-an547", "Cortex-M55, emulated", 256 * MIB),
    // The stack has 28 KiB, and a guard of 4 below it.
    Board {
        own_ram: FIRMWARE_VARIABLES + 32 * KIB,
        ..controller("riscv-virt", "RV32IMAC, emulated", 512 * KIB, 4 * MIB)
    },
    // The memory that is mapped. The image begins at 512 KiB; the stacks, of 256 KiB for each core, begin at a multiple of 2 MiB
    // (boards/raspi3/memory.x, src/mmu.rs).
    Board {
        name: "raspi3",
        what: "Raspberry Pi 3, 3B+, Zero 2 W and 4 without an operating system",
        ram: 64 * MIB,
        own_ram: 512 * KIB + size("raspi3", 1) + size("raspi3", 3) + 2 * MIB + 4 * 256 * KIB,
        model: Place::Ram,
    },
    // Every PC has RAM from 1 to 15 MiB (boards/pc/memory.x).
    Board {
        name: "pc",
        what: "a PC without an operating system",
        ram: 14 * MIB,
        own_ram: size("pc", 1) + size("pc", 3),
        model: Place::Ram,
    },
    // Source: Raspberry Pi's product briefs.
    computer("pi-zero", "Raspberry Pi Zero, Zero W and Zero 2 W, Linux", 512 * MIB),
    computer("pi3", "Raspberry Pi 3, Linux", GIB),
    computer("pi4-2g", "Raspberry Pi 4 with 2 GiB, Linux", 2 * GIB),
    computer("pi4-4g", "Raspberry Pi 4 with 4 GiB, Linux", 4 * GIB),
    computer("pi4-8g", "Raspberry Pi 4 with 8 GiB, Linux", 8 * GIB),
    computer("pi5-4g", "Raspberry Pi 5 with 4 GiB, Linux", 4 * GIB),
    computer("pi5-8g", "Raspberry Pi 5 with 8 GiB, Linux", 8 * GIB),
    computer("pi5-16g", "Raspberry Pi 5 with 16 GiB, Linux", 16 * GIB),
];

/// Machine of this name.
pub fn find(name: &str) -> Option<&'static Board> {
    BOARDS.iter().find(|board| board.name == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Bytes of a region in a linker script; 0 if it has none.
    fn length(script: &str, region: &str) -> u64 {
        let is_region = |line: &&str| line.split(':').next().is_some_and(|name| name.trim() == region);
        let Some(line) = script.lines().find(is_region) else { return 0 };
        let length = line.split("LENGTH =").nth(1).unwrap();
        let bytes = |term: &str| match term.trim() {
            term if term.ends_with('K') => term.trim_end_matches('K').parse::<u64>().unwrap() * KIB,
            term if term.ends_with('M') => term.trim_end_matches('M').parse::<u64>().unwrap() * MIB,
            term => u64::from_str_radix(term.trim_start_matches("0x"), 16).unwrap(),
        };
        let mut terms = length.split('-').map(bytes);
        let first = terms.next().unwrap();
        terms.fold(first, |sum, term| sum - term)
    }

    #[test]
    fn boards_are_as_large_as_their_linker_scripts_say() {
        let scripts = [
            ("stm32f411", include_str!("../../../boards/stm32f411/memory.x")),
            ("stm32f405", include_str!("../../../boards/stm32f405/memory.x")),
            ("microbit-v2", include_str!("../../../boards/microbit-v2/memory.x")),
            ("nrf52840-dk", include_str!("../../../boards/nrf52840-dk/memory.x")),
            ("nrf52840-usb", include_str!("../../../boards/nrf52840-usb/memory.x")),
            ("pico", include_str!("../../../boards/pico/memory.x")),
            ("pico2", include_str!("../../../boards/pico2/memory.x")),
            ("nucleo-h743zi", include_str!("../../../boards/nucleo-h743zi/memory.x")),
            ("mps2-an385", include_str!("../../../boards/mps2-an385/memory.x")),
            ("mps2-an386", include_str!("../../../boards/mps2-an386/memory.x")),
            ("mps2-an500", include_str!("../../../boards/mps2-an500/memory.x")),
            ("mps2-an505", include_str!("../../../boards/mps2-an505/memory.x")),
            ("mps3-an547", include_str!("../../../boards/mps3-an547/memory.x")),
            ("riscv-virt", include_str!("../../../boards/riscv-virt/memory.x")),
        ];
        for (name, script) in scripts {
            let board = find(name).unwrap();
            let (ram, stack) = (length(script, "RAM"), length(script, "STACK"));
            // A stack in the same memory has the size `STACK`.
            if board.ram != ram {
                assert_eq!((board.ram, STACK), (ram + stack, stack), "{name}");
            }
            match board.model {
                Place::Flash { bytes, .. } => {
                    assert_eq!(bytes, length(script, "FLASH") + length(script, "BOOT2"), "{name}")
                }
                Place::Apart { bytes } => assert_eq!(bytes, length(script, "MODEL"), "{name}"),
                Place::Ram => panic!("{name}"),
            }
        }
    }

    #[test]
    fn sizes_are_read_from_the_table() {
        for line in SIZES.lines().filter(|line| line.starts_with("| `")) {
            let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
            let name = cells[0].trim_matches('`');
            for (column, cell) in cells.iter().enumerate().skip(1) {
                assert_eq!(size(name, column).to_string(), *cell, "{name}, column {column}");
            }
        }
        const { assert!(FIRMWARE_VARIABLES < 4 * KIB && FIRMWARE_FLASH > 100 * KIB) };
    }

    #[test]
    fn names_are_found_and_different() {
        for (i, board) in BOARDS.iter().enumerate() {
            assert_eq!(BOARDS.iter().position(|other| other.name == board.name), Some(i));
            assert!(board.own_ram < board.ram, "{}", board.name);
        }
        assert_eq!(find("vax"), None);
    }
}
