//! Loads from rows of blocks, which have no alignment: each load reads at a pointer and steps it forward in one instruction.
//!
//! The loads are `asm!`, because the compiler adds a constant to every pointer instead, and because a target with strict
//! alignment (bare metal) would load such blocks byte by byte. Vector loads need no alignment wherever memory is Normal memory.

use core::arch::aarch64::*;
use core::arch::asm;

use crate::contract::broken;

/// Rows that are worked on together: two quads, a 32-bit lane each row.
pub(super) const ROWS: usize = 8;

/// Message of the contract check that rows exist.
const ROWS_EXIST: &str = "rows that are all there";

/// Elements `first..first + n`.
///
/// # Panics
/// When there are fewer.
#[inline(always)]
pub(super) fn part<T>(all: &[T], first: usize, n: usize) -> &[T] {
    all.get(first..).and_then(|rest| rest.get(..n)).unwrap_or_else(|| broken(ROWS_EXIST))
}

/// Addresses of rows `first..first + 8` of `[_, stride]`; the last row stands in for rows that do not exist.
///
/// # Panics
/// When row `first` does not exist.
#[inline]
pub(super) fn rows_from<T>(all: &[T], stride: usize, first: usize) -> [*const u8; ROWS] {
    let rest = all.get(first * stride..).unwrap_or_else(|| broken(ROWS_EXIST));
    let last = (rest.len() / stride.max(1)).saturating_sub(1);
    core::array::from_fn(|r| rest.as_ptr().wrapping_add(r.min(last) * stride).cast())
}

/// Loads 16 bytes and steps behind them.
///
/// # Safety
/// The 16 bytes can be read.
#[inline(always)]
pub(super) unsafe fn next_16(p: &mut *const u8) -> int8x16_t {
    let out;
    // SAFETY: reads the bytes that the caller vouches for.
    unsafe {
        asm!(
            "ldr {out:q}, [{p}], #16",
            out = out(vreg) out,
            p = inout(reg) *p,
            options(pure, readonly, nostack, preserves_flags)
        );
    }
    out
}

/// Loads 32 bytes and steps behind them.
///
/// # Safety
/// The 32 bytes can be read.
#[inline(always)]
pub(super) unsafe fn next_32(p: &mut *const u8) -> [int8x16_t; 2] {
    let (low, high);
    // SAFETY: reads the bytes that the caller vouches for.
    unsafe {
        asm!(
            "ldp {low:q}, {high:q}, [{p}], #32",
            low = out(vreg) low,
            high = out(vreg) high,
            p = inout(reg) *p,
            options(pure, readonly, nostack, preserves_flags)
        );
    }
    [low, high]
}

/// Loads 16 bytes and steps by `stride`.
///
/// # Safety
/// The 16 bytes can be read.
#[inline(always)]
pub(super) unsafe fn step_16(p: &mut *const u8, stride: usize) -> int8x16_t {
    let out;
    // SAFETY: reads the bytes that the caller vouches for.
    unsafe {
        asm!(
            "ld1 {{{out:v}.16b}}, [{p}], {stride}",
            out = out(vreg) out,
            p = inout(reg) *p,
            stride = in(reg) stride,
            options(pure, readonly, nostack, preserves_flags)
        );
    }
    out
}

/// Loads 32 bytes and steps by `stride`. `ld1` cannot do it: its two registers follow each other, and an operand of `asm!` is
/// one register.
///
/// # Safety
/// The 32 bytes can be read.
#[inline(always)]
pub(super) unsafe fn step_32(p: &mut *const u8, stride: usize) -> [int8x16_t; 2] {
    // SAFETY: the caller vouches for the 32 bytes.
    let out = unsafe { load_32::<0>(*p) };
    *p = p.wrapping_add(stride);
    out
}

/// Loads 32 bytes at `p + OFFSET` (a multiple of 16 below 1024), without a step.
///
/// # Safety
/// The 32 bytes can be read.
#[inline(always)]
pub(super) unsafe fn load_32<const OFFSET: usize>(p: *const u8) -> [int8x16_t; 2] {
    const { assert!(OFFSET.is_multiple_of(16) && OFFSET < 1024) };
    let (low, high);
    // SAFETY: reads the bytes that the caller vouches for.
    unsafe {
        asm!(
            "ldp {low:q}, {high:q}, [{p}, #{offset}]",
            low = out(vreg) low,
            high = out(vreg) high,
            p = in(reg) p,
            offset = const OFFSET,
            options(pure, readonly, nostack, preserves_flags)
        );
    }
    [low, high]
}

/// Loads 4 bytes, with zeros behind them, and steps behind them.
///
/// # Safety
/// The 4 bytes can be read.
#[inline(always)]
pub(super) unsafe fn next_4(p: &mut *const u8) -> uint8x16_t {
    let out;
    // SAFETY: reads the bytes that the caller vouches for.
    unsafe {
        asm!(
            "ldr {out:s}, [{p}], #4",
            out = out(vreg) out,
            p = inout(reg) *p,
            options(pure, readonly, nostack, preserves_flags)
        );
    }
    out
}

/// Loads a half-precision number of each row, as floats, and steps behind it.
///
/// # Safety
/// Two bytes of each row can be read.
#[inline(always)]
pub(super) unsafe fn next_halves(rows: &mut [*const u8; ROWS]) -> [float32x4_t; 2] {
    // SAFETY: the caller vouches for two bytes of each row.
    widen(unsafe { next_2(rows) })
}

/// Loads two bytes of each row and steps behind them.
///
/// # Safety
/// Two bytes of each row can be read.
#[inline(always)]
pub(super) unsafe fn next_2(rows: &mut [*const u8; ROWS]) -> uint16x8_t {
    let bits: uint16x8_t;
    let [a, b, c, d, e, f, g, h] = rows;
    // SAFETY: reads the bytes that the caller vouches for.
    unsafe {
        asm!(
            "ldr {bits:h}, [{a}], #2",
            "ld1 {{{bits:v}.h}}[1], [{b}], #2",
            "ld1 {{{bits:v}.h}}[2], [{c}], #2",
            "ld1 {{{bits:v}.h}}[3], [{d}], #2",
            "ld1 {{{bits:v}.h}}[4], [{e}], #2",
            "ld1 {{{bits:v}.h}}[5], [{f}], #2",
            "ld1 {{{bits:v}.h}}[6], [{g}], #2",
            "ld1 {{{bits:v}.h}}[7], [{h}], #2",
            bits = out(vreg) bits,
            a = inout(reg) *a,
            b = inout(reg) *b,
            c = inout(reg) *c,
            d = inout(reg) *d,
            e = inout(reg) *e,
            f = inout(reg) *f,
            g = inout(reg) *g,
            h = inout(reg) *h,
            options(pure, readonly, nostack, preserves_flags)
        );
    }
    bits
}

/// Loads eight half-precision numbers, with a step of `stride` bytes behind each.
///
/// # Safety
/// The eight numbers can be read.
#[inline(always)]
pub(super) unsafe fn halves_apart(p: &mut *const u8, stride: usize) -> uint16x8_t {
    let bits;
    // SAFETY: reads the bytes that the caller vouches for.
    unsafe {
        asm!(
            "ld1 {{{bits:v}.h}}[0], [{p}], {stride}",
            "ld1 {{{bits:v}.h}}[1], [{p}], {stride}",
            "ld1 {{{bits:v}.h}}[2], [{p}], {stride}",
            "ld1 {{{bits:v}.h}}[3], [{p}], {stride}",
            "ld1 {{{bits:v}.h}}[4], [{p}], {stride}",
            "ld1 {{{bits:v}.h}}[5], [{p}], {stride}",
            "ld1 {{{bits:v}.h}}[6], [{p}], {stride}",
            "ld1 {{{bits:v}.h}}[7], [{p}], {stride}",
            bits = out(vreg) bits,
            p = inout(reg) *p,
            stride = in(reg) stride,
            options(pure, readonly, nostack, preserves_flags)
        );
    }
    bits
}

/// Loads four bytes of each row, a lane each, and steps behind them.
///
/// # Safety
/// Four bytes of each row can be read.
#[inline(always)]
pub(super) unsafe fn next_words(rows: &mut [*const u8; ROWS]) -> [uint32x4_t; 2] {
    let (low, high);
    let [a, b, c, d, e, f, g, h] = rows;
    // SAFETY: reads the bytes that the caller vouches for.
    unsafe {
        asm!(
            "ldr {low:s}, [{a}], #4",
            "ldr {high:s}, [{e}], #4",
            "ld1 {{{low:v}.s}}[1], [{b}], #4",
            "ld1 {{{high:v}.s}}[1], [{f}], #4",
            "ld1 {{{low:v}.s}}[2], [{c}], #4",
            "ld1 {{{high:v}.s}}[2], [{g}], #4",
            "ld1 {{{low:v}.s}}[3], [{d}], #4",
            "ld1 {{{high:v}.s}}[3], [{h}], #4",
            low = out(vreg) low,
            high = out(vreg) high,
            a = inout(reg) *a,
            b = inout(reg) *b,
            c = inout(reg) *c,
            d = inout(reg) *d,
            e = inout(reg) *e,
            f = inout(reg) *f,
            g = inout(reg) *g,
            h = inout(reg) *h,
            options(pure, readonly, nostack, preserves_flags)
        );
    }
    [low, high]
}

/// Converts eight half-precision numbers to floats. `asm!`, because older compilers have no vectors of half precision.
#[inline(always)]
pub(super) fn widen(bits: uint16x8_t) -> [float32x4_t; 2] {
    let (low, high);
    // SAFETY: works on registers alone.
    unsafe {
        asm!(
            "fcvtl {low:v}.4s, {bits:v}.4h",
            "fcvtl2 {high:v}.4s, {bits:v}.8h",
            low = out(vreg) low,
            high = lateout(vreg) high,
            bits = in(vreg) bits,
            options(pure, nomem, nostack, preserves_flags)
        );
    }
    [low, high]
}

/// Converts eight floats to half precision, rounded half to even.
#[inline(always)]
pub(super) fn narrow([low, high]: [float32x4_t; 2]) -> uint16x8_t {
    let bits;
    // SAFETY: works on registers alone.
    unsafe {
        asm!(
            "fcvtn {bits:v}.4h, {low:v}.4s",
            "fcvtn2 {bits:v}.8h, {high:v}.4s",
            bits = out(vreg) bits,
            low = in(vreg) low,
            high = in(vreg) high,
            options(pure, nomem, nostack, preserves_flags)
        );
    }
    bits
}

/// Converts one half-precision number to a float.
#[inline(always)]
pub(super) fn widen_one(bits: u16) -> f32 {
    let out;
    // SAFETY: works on registers alone.
    unsafe {
        asm!(
            "fmov {out:s}, {bits:w}",
            "fcvt {out:s}, {out:h}",
            out = out(vreg) out,
            bits = in(reg) u32::from(bits),
            options(pure, nomem, nostack, preserves_flags)
        );
    }
    out
}
