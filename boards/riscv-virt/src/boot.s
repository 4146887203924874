# From reset, in machine mode, to Rust.
.section .text.boot, "ax"
.global _start
_start:
.option push
.option norelax
    la      gp, __global_pointer$
.option pop
    la      t0, trap
    csrw    mtvec, t0
    # Nobody may touch the bytes below the stack (privileged ISA, "Physical Memory Protection"): a naturally aligned region of 4 KiB,
    # no permissions, locked, so that it holds for machine mode, too.
    la      t2, bounds
    lw      t0, 0(t2)
    srli    t0, t0, 2
    ori     t0, t0, (4096 / 8) - 1
    csrw    pmpaddr0, t0
    li      t0, 0x98
    csrw    pmpcfg0, t0
    # Paint the stack, to see later how much was used.
    la      t0, _stack_end
    lw      sp, 4(t2)
    li      t1, 0xcccccccc
1:  sw      t1, 0(t0)
    addi    t0, t0, 4
    bltu    t0, sp, 1b
    la      t0, _bss_start
    la      t1, _bss_end
    bgeu    t0, t1, 3f
2:  sw      zero, 0(t0)
    addi    t0, t0, 4
    bltu    t0, t1, 2b
3:  call    start

.balign 4
bounds:
    .word   _guard, _stack_start

# Any exception: said, then the end. The stack may be what is at fault, so it begins anew.
.balign 4
trap:
    la      sp, _stack_start
    csrr    a0, mcause
    csrr    a1, mepc
    csrr    a2, mtval
    call    exception
