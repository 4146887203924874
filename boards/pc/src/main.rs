//! The larger model tells a story on a PC without an operating system.
#![no_std]
#![no_main]

use nearfield::{Inline, KvType, SessionConfig, kernels};
use nearfield_boards::{Image, Memory, image, plan, power_on, tell_one};
use nearfield_pc::{Pc, end, entry};
use static_cell::ConstStaticCell;

static IMAGE: Image = image!("stories.gguf", "../../../models/stories.gguf");

const CONFIG: SessionConfig = SessionConfig { n_ctx: 2048, n_batch: 32, kv: KvType::Q8_0, ..SessionConfig::DEFAULT };

/// All memory that changes but the stack: exactly what the plan says.
static MEMORY: ConstStaticCell<Memory<{ plan(IMAGE.gguf, &CONFIG).n_lines() }>> = ConstStaticCell::new(Memory::ZERO);

entry!(main);

fn main(mut pc: Pc) -> ! {
    end(power_on(&mut pc, &IMAGE, CONFIG, kernels::best(), &Inline, MEMORY.take(), |pc, teller| {
        tell_one(pc, teller, "Once upon a time", 64)
    }))
}
