//! A model beyond the flash on QEMU's machine `virt`: a disk brings the layers of the pocket model, one while another is computed.
//!
//! `boards/run riscv-virt --bin streamed` keeps no layer in flash, or as many as `NEARFIELD_LAYERS` says.
#![no_std]
#![no_main]

mod disk;

use disk::{Disk, NO_DISK};
use nearfield::Line;
use nearfield_boards::{CONFIG, Halt, Image, Layers, Memory, image, plan_beside_card, stream_plan};
use nearfield_riscv_virt::NAME;
use semihosting::{eprintln, process::exit};
use static_cell::ConstStaticCell;

static IMAGE: Image = image!(in ".model");

/// All memory that changes but the stack and the disk's queue: exactly what the plans say.
static MEMORY: ConstStaticCell<Memory<{ plan_beside_card(&IMAGE, &CONFIG).n_lines() }>> =
    ConstStaticCell::new(Memory::ZERO);
static BUFFERS: ConstStaticCell<[Line; stream_plan(&IMAGE).n_lines()]> =
    ConstStaticCell::new([Line::ZERO; stream_plan(&IMAGE).n_lines()]);

/// Entry point after `boot.s`.
#[unsafe(no_mangle)]
extern "C" fn start() -> ! {
    let Some(mut disk) = Disk::find() else {
        let halt = Halt::Storage(NO_DISK);
        eprintln!("halted with code {}: {halt}: QEMU has no disk", halt.code());
        exit(halt.code().into())
    };
    let layers = Layers { storage: &mut disk, buffers: BUFFERS.take() };
    nearfield_semihosted::streamed(NAME, &IMAGE, MEMORY.take(), layers)
}
