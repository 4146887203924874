// From the BIOS, which loads the disk's first sector and enters it in real mode, to Rust in 64-bit mode.
//
// "SDM": Intel 64 and IA-32 Architectures Software Developer's Manual, volume 3A. "RBIL": Ralf Brown's Interrupt List.

.section .boot, "ax"
.code16
.global _start
_start:
    cli                             // for good: nothing here needs interrupts but the BIOS, which enables them for itself
    cld
    .byte   0xea                    // far jump: some BIOSes enter at 07c0:0000
    .word   1f, 0
1:  xor     ax, ax
    mov     ds, ax
    mov     es, ax
    mov     ss, ax
    mov     sp, 0x7c00
    mov     [drive], dl             // the BIOS's number of the disk
    mov     ax, 0x2401              // RBIL, INT 15 AX=2401: address line 20 on
    int     0x15

load:                               // 32 KiB at a time to the buffer, from there to 1 MiB and up
    mov     ah, 0x42                // RBIL, INT 13 AH=42: read sectors by number
    mov     dl, [drive]
    mov     si, offset packet
    int     0x13
    jc      failed
    mov     ah, 0x87                // RBIL, INT 15 AH=87: copy to memory beyond the first MiB
    mov     cx, 0x8000 / 2
    mov     si, offset move
    int     0x15
    jc      failed
    add     dword ptr [packet_sector], 0x8000 / 512
    add     dword ptr [move_to], 0x8000
    dec     word ptr [n_chunks]
    jnz     load

    cli
    lgdt    [gdt_pointer]           // SDM 10.9.1: to protected mode
    mov     eax, cr0
    or      al, 1                   // CR0.PE
    mov     cr0, eax
    .byte   0x66, 0xea              // far jump to the 32-bit code segment
    .long   protected
    .word   0x08

failed:                             // a letter on the screen (RBIL, INT 10 AH=0E) and on COM1 is all there is room for
    mov     ax, 0x0e44
    int     0x10
    mov     al, 0x44
    mov     dx, 0x3f8
    out     dx, al
    hlt
    jmp     failed

drive:
    .byte   0
n_chunks:
    .word   __n_chunks
packet:                             // size, sectors, buffer (offset, segment), first sector
    .word   16, 0x8000 / 512, 0, 0x1000
packet_sector:
    .long   1, 0
move:                               // descriptors: none, the table's own, source, destination, the BIOS's two
    .long   0, 0, 0, 0
    .word   0xffff                  // limit; address 0x10000 below "data, writable" (0x93)
    .long   0x93010000
    .word   0
    .word   0xffff
move_to:
    .long   0x93100000
    .word   0
    .long   0, 0, 0, 0

    .balign 8
gdt:                                // SDM 3.4.5: base 0, limit 4 GiB
    .quad   0
    .quad   0x00cf9a000000ffff      // 0x08: code, 32 bits
    .quad   0x00cf92000000ffff      // 0x10: data
    .quad   0x00af9a000000ffff      // 0x18: code, 64 bits
    .quad   0x0000890050000067, 0   // 0x20: task state (SDM 8.2.3): 104 bytes at 0x5000
gdt_pointer:
    .word   6 * 8 - 1
    .long   gdt

    .org    384                     // a text that ends with a zero, written to the disk for one start
.global arguments
arguments:
    .space  126
    .org    510                     // the BIOS looks for this in a disk that it can start from
    .word   0xaa55

.section .text.start, "ax"
.code32
protected:
    mov     ax, 0x10
    mov     ds, ax
    mov     es, ax
    mov     ss, ax
    // SDM 5.5.4: the first GiB, each address to itself, in 2 MiB pages. One table of each level, at 0x1000, 0x2000, 0x3000. The first
    // 2 MiB are pages of 4 KiB, by a table at 0x4000, without the page below the stack: an overflow is a page fault (14).
    xor     eax, eax
    mov     edi, 0x1000
    mov     ecx, 0x5000 / 4
    rep     stosd
    mov     dword ptr [0x1000], 0x2003      // present, writable
    mov     dword ptr [0x2000], 0x3003
    mov     edi, 0x3000
    mov     eax, 0x83                       // the same, a page of 2 MiB
2:  mov     [edi], eax
    add     eax, 0x200000
    add     edi, 8
    cmp     edi, 0x4000
    jb      2b
    mov     dword ptr [0x3000], 0x4003
    mov     eax, 0x03
4:  mov     [edi], eax
    add     eax, 0x1000
    add     edi, 8
    cmp     edi, 0x5000
    jb      4b
    mov     dword ptr [0x4000 + 8 * ((0x40000 - 0x1000) / 0x1000)], 0
    // SDM 8.7: exceptions have a stack of their own (IST 1), below that page, since the other may be the reason.
    mov     dword ptr [0x5000 + 36], 0x40000 - 0x1000
    // SDM 10.8.5: to IA-32e mode.
    mov     eax, cr4
    or      eax, 1 << 5 | 1 << 9 | 1 << 10  // CR4.PAE, OSFXSR, OSXMMEXCPT (the last two for SSE: SDM 10.6)
    mov     cr4, eax
    mov     eax, 0x1000
    mov     cr3, eax
    mov     ecx, 0xc0000080                 // IA32_EFER.LME
    rdmsr
    or      eax, 1 << 8
    wrmsr
    mov     eax, cr0
    and     eax, ~(1 << 2 | 1 << 3)         // not CR0.EM, TS: SSE instructions are executed
    or      eax, 1 << 31 | 1 << 1           // CR0.PG, MP
    mov     cr0, eax
    .byte   0xea                            // far jump to the 64-bit code segment
    .long   long_mode
    .word   0x18

.code64
long_mode:
    mov     ax, 0x20
    ltr     ax
    // SDM 13.2 and 2.6: all vector state that this processor has, of x87, SSE, AVX and AVX-512 (XCR0 bits 0-2, 5-7).
    mov     eax, 1
    cpuid
    bt      ecx, 26                         // XSAVE
    jnc     3f
    mov     rax, cr4
    bts     rax, 18                         // CR4.OSXSAVE
    mov     cr4, rax
    mov     eax, 0xd
    xor     ecx, ecx
    cpuid                                   // edx:eax: what XCR0 may be
    and     eax, 0xe7
    xor     edx, edx
    xor     ecx, ecx
    xsetbv
3:  mov     rdi, offset __bss_start
    mov     rcx, offset __bss_end
    sub     rcx, rdi
    shr     rcx, 3
    xor     eax, eax
    rep     stosq
    mov     rdi, offset __stack_start       // paint the stack, to see later how much was used
    mov     rcx, (0x80000 - 0x40000) / 8
    mov     rax, 0xcccccccccccccccc
    rep     stosq
    mov     rsp, offset __stack_end
    call    start

// An entry for each exception (SDM 6.15; of AMD's processors 29 and 30, AMD64 Architecture Programmer's Manual 2, 8.2): its number
// and, where the processor pushes none, an error code of 0.
.balign 16
.global exceptions
exceptions:
.set vector, 0
.rept 32
    .balign 16
    .if !(vector == 8 || vector >= 10 && vector <= 14 || vector == 17 || vector == 21 || vector == 29 || vector == 30)
    push    0
    .endif
    push    vector
    jmp     exception_entry
    .set vector, vector + 1
.endr
exception_entry:
    mov     rdi, rsp                        // number, error code, rip, ...
    and     rsp, -16
    call    exception
