//! `nearfield quantize`: writes a model file with its weights in another type.

use std::path::PathBuf;
use std::time::Instant;

use anyhow::Result;
use clap::Args;
use nearfield_host::quantize::{self, Quantization, Target};

use crate::args::threads::ThreadsArgs;
use crate::terminal::{Bytes, monitor, note};

#[derive(Args, Debug)]
pub struct QuantizeArgs {
    /// Model file, best in F16 or F32: quantizing quantized weights again loses more
    #[arg(value_name = "IN.gguf")]
    pub input: PathBuf,

    /// Output file
    #[arg(value_name = "OUT.gguf")]
    pub output: PathBuf,

    /// F32 F16 BF16 Q8_0 Q6_K Q5_1 Q5_K_M Q5_K_S Q5_0 Q4_1 Q4_K_M Q4_K_S IQ4_NL Q4_0 IQ4_XS Q3_K_L Q3_K_M Q3_K_S Q2_K Q2_K_S,
    /// as in llama.cpp: the matrices that matter most get more bits
    #[arg(value_name = "TYPE")]
    pub ty: Target,

    /// Importance matrix of `nearfield imatrix` or llama.cpp: weighs errors by how much their column matters
    #[arg(long, value_name = "FILE")]
    pub imatrix: Option<PathBuf>,

    /// Quantize all matrices to TYPE, without more bits for those that matter most
    #[arg(long)]
    pub pure: bool,

    #[command(flatten)]
    pub threads: ThreadsArgs,

    /// Replace OUT.gguf if it exists
    #[arg(long)]
    pub force: bool,
}

/// Quantizes, and notes the bytes read and written, bits per weight and the speed.
pub fn quantize(args: &QuantizeArgs) -> Result<()> {
    let begun = Instant::now();
    let done = quantize::quantize(
        &Quantization {
            input: args.input.clone(),
            output: args.output.clone(),
            ty: args.ty,
            imatrix: args.imatrix.clone(),
            pure: args.pure,
            n_threads: args.threads.number()?,
            force: args.force,
        },
        monitor(),
    )?;
    let bits = |n_bytes: u64| 8.0 * n_bytes as f64 / done.n_weights.max(1) as f64;
    let (before, after, time) = (done.n_bytes_read, done.n_bytes_written, begun.elapsed());
    let rate = Bytes((before as f64 / time.as_secs_f64().max(1e-9)) as u64);
    note(format_args!("read     {}: {}, {:.2} bits a weight", done.input, Bytes(before), bits(before)));
    note(format_args!("written  {}: {}, {:.2}", args.output.display(), Bytes(after), bits(after)));
    note(format_args!("time     {time:.2?}, {rate}/s"));
    Ok(())
}
