//! Builds the firmware around its memory map and its model.

use imxrt_rt::{Family, FlexRamBanks, Memory, RuntimeBuilder};

fn main() {
    // 8 MiB of flash, of which teensy4-fcb tells the boot ROM of the first 2. The 512 KiB beside the core are divided: 224 for code, which is
    // copied there from flash, 288 for variables and below them the stack. The other 512 KiB are free.
    RuntimeBuilder::from_flexspi(Family::Imxrt1060, 2048 * 1024)
        .flexram_banks(FlexRamBanks { ocram: 0, itcm: 7, dtcm: 9 })
        .text(Memory::Itcm)
        .rodata(Memory::Flash)
        .vectors(Memory::Dtcm)
        .data(Memory::Dtcm)
        .bss(Memory::Dtcm)
        .uninit(Memory::Dtcm)
        .stack(Memory::Dtcm)
        .stack_size(20 * 1024)
        .linker_script_name("teensy41.x")
        .build()
        .expect("the banks are 16, and cargo's OUT_DIR can be written to");
    nearfield_firmware_build::firmware("../../models/pocket.gguf");
}
