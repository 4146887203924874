//! Parts that all Cortex-M boards share: the stack's high-water mark, and marks for a counter of instructions.
#![no_std]

use nearfield_boards::StackUse;

/// Word that `cortex-m-rt` paints the stack with before `main` (its feature `paint-stack`).
const PAINT: u32 = 0xcccc_cccc;

unsafe extern "C" {
    /// Lowest word of the stack, by the linker script.
    static _stack_end: u32;
    /// Word past the highest one of the stack, by the linker script.
    static _stack_start: u32;
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

/// Executes `mov r9, r9`, which does nothing and which no compiler emits: the emulator's counter of instructions looks for it.
#[inline(always)]
pub fn mark() {
    // SAFETY: changes nothing.
    #[cfg(target_arch = "arm")]
    unsafe {
        core::arch::asm!("mov r9, r9", options(nomem, nostack, preserves_flags));
    }
}
