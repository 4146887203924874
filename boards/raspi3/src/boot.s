// From where the Pi's firmware leaves each core (EL2, caches off) to Rust at EL1. Core 0 comes first; the others wait in
// the firmware's spin table until core 0 has written this address there, and come the same way.
.section .text.boot
// The header of an ARM64 image (Linux, Documentation/arch/arm64/booting.rst): loaders that know it load the image to 0x80000.
.global _start
_start:
    b       entry
    .long   0
    .quad   __image_start           // offset of the image in memory
    .quad   __image_size
    .quad   2                       // flags: little-endian, pages of 4 KiB
    .quad   0, 0, 0
    .ascii  "ARM\x64"
    .long   0

// Other loaders load it elsewhere (0x200000 is the default of the Pi's firmware for 64-bit kernels without the header). Then it moves
// to its place, which has to lie below: first the code that moves the rest, since the rest may overwrite the place that it came from.
entry:
    adr     x0, _start
    ldr     x1, =_start
    cmp     x0, x1
    b.eq    placed
    mov     x2, x1
    adr     x3, move_end
1:  ldp     x4, x5, [x0], #16
    stp     x4, x5, [x2], #16
    cmp     x0, x3
    b.lo    1b
    ldr     x4, =__image_end
    ldr     x3, =move_rest
    dsb     sy
    ic      iallu
    dsb     sy
    isb
    br      x3
move_rest:
    ldp     x5, x6, [x0], #16
    stp     x5, x6, [x2], #16
    cmp     x2, x4
    b.lo    move_rest
    ldr     x3, =placed
    dsb     sy
    ic      iallu
    dsb     sy
    isb
    br      x3
.ltorg
.balign 16
move_end:

placed:
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
    adr     x0, stacks
    ldr     x0, [x0]                // 256 KiB of stack each, core 0's on top
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

.balign 8
.global stacks
stacks:
    .quad   __stacks_end

// Any exception: say so and halt, on a stack of the core's for this alone, since an overflow of its own may be the reason.
.balign 2048
vectors:
.rept 16
    mrs     x0, mpidr_el1
    and     x0, x0, #3
    ldr     x1, =__exception_stacks_end
    sub     x0, x1, x0, lsl #12
    mov     sp, x0
    mrs     x0, esr_el1
    mrs     x1, elr_el1
    mrs     x2, far_el1
    b       exception
    .balign 128
.endr
