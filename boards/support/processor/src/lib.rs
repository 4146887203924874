//! Parts of a processor that firmwares need, on Cortex-M and RISC-V: the stack's high-water mark, and marks for a counter of instructions.
#![no_std]

use nearfield_boards::StackUse;

/// Word that the stack is painted with before `main`: by `cortex-m-rt` (its feature `paint-stack`), or by the board's start code.
const PAINT: u32 = 0xcccc_cccc;

unsafe extern "C" {
    /// Lowest word of the stack, by the linker script.
    static _stack_end: u32;
    /// Word past the highest one of the stack, by the linker script.
    static _stack_start: u32;
}

/// Paints the stack below the caller's part of it, where the start code has not.
///
/// # Safety
/// The caller runs on the stack that the linker script gives from `_stack_end` on.
#[cfg(target_arch = "riscv32")]
#[inline(always)]
pub unsafe fn paint_stack() {
    // SAFETY: by the contract, the words from `_stack_end` to the stack pointer belong to the stack. Nobody uses them: RISC-V has no red zone (psABI,
    // "Integer Calling Convention").
    unsafe {
        core::arch::asm!(
            "1: bgeu {word}, sp, 2f",
            "sw {paint}, 0({word})",
            "addi {word}, {word}, 4",
            "j 1b",
            "2:",
            word = inout(reg) &raw const _stack_end => _,
            paint = in(reg) PAINT,
            options(nostack)
        );
    }
}

/// Bytes of the stack that were ever used, counted as those above the untouched [`PAINT`].
pub fn stack_use() -> StackUse {
    let (end, start) = (&raw const _stack_end, &raw const _stack_start);
    let n_words = (start as usize - end as usize) / size_of::<u32>();
    // SAFETY: the linker script gives the words from `_stack_end` to `_stack_start` to the stack. Reads are volatile, since the
    // part in use changes, and a value is only compared with the paint.
    let untouched = (0..n_words).take_while(|&i| unsafe { end.add(i).read_volatile() } == PAINT).count();
    StackUse { used: (n_words - untouched) * size_of::<u32>(), size: n_words * size_of::<u32>() }
}

/// True if an exception came from an overflow of the stack.
///
/// - `sp`: stack pointer of the exception's handler
pub fn has_overflowed(sp: usize) -> bool {
    sp < (&raw const _stack_end).addr() || is_beyond_limit()
}

/// ARMv8-M has a limit of the stack pointer, and tells when an instruction would have passed it: STKOF of the CFSR (Armv8-M Architecture
/// Reference Manual, D1.2). Elsewhere the bit is zero.
#[cfg(target_arch = "arm")]
fn is_beyond_limit() -> bool {
    const CFSR: *const u32 = 0xe000_ed28_usize as *const u32;
    const STKOF: u32 = 1 << 20;
    // SAFETY: a register of every Cortex-M, or reserved and read as zero; reading it changes nothing.
    unsafe { CFSR.read_volatile() & STKOF != 0 }
}

#[cfg(not(target_arch = "arm"))]
fn is_beyond_limit() -> bool {
    false
}

/// Executes an instruction that does nothing and that no compiler emits: the emulator's counter of instructions looks for it. A function
/// of its own: QEMU 7.2 loses some that are inlined behind a call.
#[inline(never)]
pub fn mark() {
    // SAFETY: changes nothing. On RISC-V, one of the hints for custom use (unprivileged ISA, "HINT Instructions").
    #[cfg(any(target_arch = "arm", target_arch = "riscv32"))]
    unsafe {
        core::arch::asm!(
            #[cfg(target_arch = "arm")]
            "mov r9, r9",
            #[cfg(target_arch = "riscv32")]
            "slti zero, zero, 1",
            options(nomem, nostack, preserves_flags)
        );
    }
}
