//! Raspberry Pi 3, Zero 2 W and 4 without an operating system: four cores, PL011 serial, the larger story model.
//!
//! [`boot.s`](../src/boot.s) brings each core here.
#![no_std]
#![no_main]
// The plan looks a model's shape up in the file's table, which holds the vocabulary: long, and sure to end.
#![allow(long_running_const_eval)]

mod clock;
mod cores;
mod devices;
mod mmu;
mod uart;

use core::arch::{asm, global_asm};
use core::fmt::{self, Write};
use core::panic::PanicInfo;

use nearfield::{KvType, KvTypes, SessionConfig, kernels};
use nearfield_boards::{Board, Image, Memory, StackUse, answer_prompts, generate_once, image, plan, power_on};
use static_cell::ConstStaticCell;

use cores::Cores;
use uart::Uart;

global_asm!(include_str!("boot.s"));

static IMAGE: Image = image!();

const CONFIG: SessionConfig =
    SessionConfig { n_ctx: 2048, n_batch: 32, kv: KvTypes::both(KvType::Q8_0), ..SessionConfig::DEFAULT };

/// All memory that changes but the stacks: exactly what the plan says.
static MEMORY: ConstStaticCell<Memory<{ plan(&IMAGE, &CONFIG).n_lines() }>> = ConstStaticCell::new(Memory::ZERO);

struct Raspi3 {
    uart: Uart,
    /// True if prompts are asked for: always on a board, in the emulator with the argument `ask`.
    asks: bool,
}

impl fmt::Write for Raspi3 {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.uart.write_str(text)
    }
}

impl Board for Raspi3 {
    fn name(&self) -> &'static str {
        if devices::is_pi4() { "raspi4 (4 x Cortex-A72)" } else { "raspi3 (4 x Cortex-A53)" }
    }

    fn read(&mut self) -> Option<u8> {
        self.asks.then(|| self.uart.read())
    }

    fn typed(&mut self) -> Option<u8> {
        self.uart.typed()
    }

    #[cfg(not(feature = "qemu"))]
    fn micros(&mut self) -> Option<u64> {
        let (count, frequency): (u64, u64);
        // SAFETY: reads two registers.
        unsafe {
            asm!("isb", "mrs {}, cntpct_el0", "mrs {}, cntfrq_el0", out(reg) count, out(reg) frequency, options(nomem, nostack));
        }
        Some((u128::from(count) * 1_000_000 / u128::from(frequency.max(1))) as u64)
    }

    fn mark(&mut self) {
        // SAFETY: does nothing; a counter of instructions looks for it.
        unsafe { asm!("mov x18, x18", options(nomem, nostack, preserves_flags)) };
    }

    fn stack(&self) -> Option<StackUse> {
        const PAINT: u64 = 0xcccc_cccc_cccc_cccc;
        /// Without the page that is not there.
        const SIZE: usize = (1 << 18) - (1 << 12);
        unsafe extern "C" {
            static __stacks_end: u64;
        }
        let bottom = (&raw const __stacks_end).wrapping_byte_sub(SIZE);
        // SAFETY: the topmost of the four stacks, core 0's, by the linker script; volatile, since its upper part changes.
        let untouched = (0..SIZE / 8).take_while(|&i| unsafe { bottom.add(i).read_volatile() } == PAINT).count();
        Some(StackUse { used: SIZE - 8 * untouched, size: SIZE })
    }
}

/// Entry point of each core, after `boot.s`.
#[unsafe(no_mangle)]
extern "C" fn start(core: usize) -> ! {
    if core > 0 {
        // SAFETY: core 0 has built the tables before it woke this one.
        unsafe { mmu::enable() };
        cores::help();
    }
    // SAFETY: core 0, once, while the others wait; its caches are off, and the tables are built before anyone uses them.
    let megahertz = unsafe {
        let megahertz = clock::raise();
        mmu::build();
        Cores::wake();
        mmu::enable();
        megahertz
    };
    let mut board = Raspi3 { uart: Uart::new(), asks: asks() };
    if let Some(megahertz) = megahertz {
        // Without a terminal the line is lost, as the rest of the text.
        let _ = write!(board, "processor at {megahertz} MHz\r\n");
    }
    let (isa, cores) = (kernels::best(), Cores::ready());
    end(power_on(&mut board, &IMAGE, CONFIG, isa, &cores, MEMORY.take(), |board, model| {
        if board.asks { answer_prompts(board, model, 512) } else { generate_once(board, model, "Once upon a time", 64) }
    }))
}

#[cfg(not(feature = "qemu"))]
fn asks() -> bool {
    true
}

/// The emulator's argument `ask`; any other ends it with 2.
#[cfg(feature = "qemu")]
fn asks() -> bool {
    let words = semihosting::experimental::env::args::<64>();
    // The first is the firmware's name.
    match words.as_ref().map(|words| words.skip(1).next()) {
        Ok(None) => false,
        Ok(Some(Ok("ask"))) => true,
        _ => {
            let _ = writeln!(Uart::new(), "no such argument: there is `ask`");
            end(2)
        }
    }
}

/// The emulator ends with the code; a board waits to be switched off.
fn end(code: u8) -> ! {
    #[cfg(feature = "qemu")]
    semihosting::process::exit(code.into());
    #[cfg(not(feature = "qemu"))]
    {
        let _ = code;
        loop {
            // SAFETY: waits.
            unsafe { asm!("wfe", options(nomem, nostack)) };
        }
    }
}

/// Handler of every exception: a fault of the firmware, not of its input.
#[unsafe(no_mangle)]
extern "C" fn exception(syndrome: u64, address: u64, fault: u64) -> ! {
    let _ = writeln!(Uart::new(), "\r\nexception {syndrome:#x} at {address:#x}, address {fault:#x}");
    end(1)
}

#[panic_handler]
fn panic(info: &PanicInfo<'_>) -> ! {
    let _ = writeln!(Uart::new(), "\r\n{info}");
    end(1)
}
