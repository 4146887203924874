// From where the Pi's firmware leaves each core (EL2, caches off) to Rust at EL1. Core 0 comes first; the others wait in
// the firmware's spin table until core 0 has written this address there, and come the same way.
.section .text.boot
.global _start
_start:
    mrs     x1, mpidr_el1
    and     x1, x1, #3              // the core's number
    mrs     x0, CurrentEL
    cmp     x0, #(2 << 2)
    b.ne    1f
    mov     x0, #0x33ff             // CPTR_EL2: floating point is not trapped
    msr     cptr_el2, x0
    mov     x0, #(1 << 31)          // HCR_EL2.RW: EL1 is AArch64
    msr     hcr_el2, x0
    mov     x0, #0x3c5              // EL1 with its own stack, interrupts masked
    msr     spsr_el2, x0
    adr     x0, 1f
    msr     elr_el2, x0
    eret
1:  mov     x0, #(3 << 20)          // CPACR_EL1.FPEN: nor at EL1
    msr     cpacr_el1, x0
    adr     x0, vectors
    msr     vbar_el1, x0
    isb
    ldr     x0, =__stacks_end       // 256 KiB of stack each, core 0's on top
    sub     x0, x0, x1, lsl #18
    mov     sp, x0
    cbnz    x1, 4f
    ldr     x2, =__bss_start
    ldr     x3, =__bss_end
2:  cmp     x2, x3
    b.hs    3f
    stp     xzr, xzr, [x2], #16
    b       2b
3:  sub     x2, x0, #(1 << 18)      // paint core 0's stack, to see later how much was used
    ldr     x3, =0xcccccccccccccccc
5:  stp     x3, x3, [x2], #16
    cmp     x2, x0
    b.lo    5b
4:  mov     x0, x1
    bl      start
6:  wfe
    b       6b

// Any exception: say so and halt.
.balign 2048
vectors:
.rept 16
    mrs     x0, esr_el1
    mrs     x1, elr_el1
    mrs     x2, far_el1
    b       exception
    .balign 128
.endr
