//! Properties of kernels over one row of floats.

use super::draw::{floats, units};
use super::{Case, Mismatch};
use crate::{Kernels, scalar};

/// Compares `kernel(x, y)`, in place in `x`, with its definition.
fn in_place(
    case: &mut Case<'_>,
    name: &'static str,
    kernel: impl Fn(&dyn Kernels, &mut [f32], &[f32], f32),
    definition: impl Fn(&mut [f32], &[f32], f32),
) -> Result<(), Mismatch> {
    let (n, start) = (case.rng.length(), case.rng.below(9));
    let scratch = &mut *case.scratch;
    let (want, got, y) = (&mut scratch.want[start..][..n], &mut scratch.got[start..][..n], &mut scratch.y[..n]);
    floats(&mut case.rng, want);
    floats(&mut case.rng, y);
    got.copy_from_slice(want);
    let number = case.rng.pick(&[0.0, 1.0, 3.7, -1.0, 1e-30, f32::INFINITY, f32::NAN]);
    kernel(case.isa, got, y, number);
    definition(want, y, number);
    case.subject(name, [n, 0, 0]).compare(&case.scratch.want[start..][..n], &case.scratch.got[start..][..n])
}

pub fn add(case: &mut Case<'_>) -> Result<(), Mismatch> {
    in_place(case, "add", |isa, x, y, _| isa.add(x, y), |x, y, _| scalar::add(x, y))
}

pub fn multiply(case: &mut Case<'_>) -> Result<(), Mismatch> {
    in_place(case, "multiply", |isa, x, y, _| isa.multiply(x, y), |x, y, _| scalar::multiply(x, y))
}

pub fn clamp(case: &mut Case<'_>) -> Result<(), Mismatch> {
    in_place(case, "clamp", |isa, x, _, limit| isa.clamp(x, limit), |x, _, limit| scalar::clamp(x, limit))
}

pub fn scale(case: &mut Case<'_>) -> Result<(), Mismatch> {
    in_place(case, "scale", |isa, x, _, factor| isa.scale(x, factor), |x, _, factor| scalar::scale(x, factor))
}

pub fn gelu_tanh(case: &mut Case<'_>) -> Result<(), Mismatch> {
    in_place(case, "gelu_tanh", |isa, x, _, _| isa.gelu_tanh(x), |x, _, _| scalar::gelu_tanh(x))
}

pub fn gelu_erf(case: &mut Case<'_>) -> Result<(), Mismatch> {
    in_place(case, "gelu_erf", |isa, x, _, _| isa.gelu_erf(x), |x, _, _| scalar::gelu_erf(x))
}

pub fn silu(case: &mut Case<'_>) -> Result<(), Mismatch> {
    in_place(case, "silu", |isa, x, _, _| isa.silu(x), |x, _, _| scalar::silu(x))
}

/// The single exponential of this processor, [`crate::exp`].
pub fn exp(case: &mut Case<'_>) -> Result<(), Mismatch> {
    let each = |x: &mut [f32], exp: fn(f32) -> f32| x.iter_mut().for_each(|x| *x = exp(*x));
    in_place(case, "exp", |_, x, _, _| each(x, crate::exp), |x, _, _| each(x, scalar::exp))
}

/// Norm, as `norm(x, weight, bias, eps, out)`.
type Norm<'a> = &'a dyn Fn(&[f32], &[f32], &[f32], f32, &mut [f32]);

/// Compares a norm with its definition.
fn norm(case: &mut Case<'_>, name: &'static str, kernel: Norm<'_>, definition: Norm<'_>) -> Result<(), Mismatch> {
    let (n, start) = (case.rng.length(), case.rng.below(9));
    let (x, rest) = case.scratch.x[start..].split_at_mut(n);
    let (weight, bias) = (&mut rest[..n], &mut case.scratch.y[start..][..n]);
    floats(&mut case.rng, x);
    floats(&mut case.rng, weight);
    units(&mut case.rng, bias);
    let eps = case.rng.pick(&[0.0, 1e-5, 1e-12]);
    case.scratch.want[..n].fill(f32::MIN);
    case.scratch.got[..n].fill(f32::MIN);
    definition(x, weight, bias, eps, &mut case.scratch.want[..n]);
    kernel(x, weight, bias, eps, &mut case.scratch.got[..n]);
    case.subject(name, [n, 0, 0]).compare(&case.scratch.want[..n], &case.scratch.got[..n])
}

pub fn layer_norm(case: &mut Case<'_>) -> Result<(), Mismatch> {
    let isa = case.isa;
    norm(
        case,
        "layer_norm",
        &|x, weight, bias, eps, out| isa.layer_norm(x, weight, Some(bias), eps, out),
        &|x, weight, bias, eps, out| scalar::layer_norm(x, weight, Some(bias), eps, out),
    )?;
    norm(
        case,
        "layer_norm without bias",
        &|x, weight, _, eps, out| isa.layer_norm(x, weight, None, eps, out),
        &|x, weight, _, eps, out| scalar::layer_norm(x, weight, None, eps, out),
    )
}

pub fn rms_norm(case: &mut Case<'_>) -> Result<(), Mismatch> {
    let isa = case.isa;
    norm(case, "rms_norm", &|x, weight, _, eps, out| isa.rms_norm(x, weight, eps, out), &|x, weight, _, eps, out| {
        scalar::rms_norm(x, weight, eps, out)
    })
}

/// Checks that small numbers are not flushed to zero, which every definition rests on. Compilers that vectorize floats for a
/// unit that flushes (Helium) break the definitions themselves, too, so this property compares with a constant.
pub fn subnormals(case: &mut Case<'_>) -> Result<(), Mismatch> {
    let n = case.rng.length();
    let (want, got) = (&mut case.scratch.want[..n], &mut case.scratch.got[..n]);
    want.fill(f32::from_bits(0x0040_0000));
    got.fill(f32::MIN_POSITIVE);
    scalar::scale(got, core::hint::black_box(0.5));
    case.subject("subnormals", [n, 0, 0]).compare(&case.scratch.want[..n], &case.scratch.got[..n])
}
