//! What can be asked of `nearfield quantize`.

use std::path::PathBuf;

use clap::Args;

use super::target::Target;

#[derive(Args, Debug)]
pub struct QuantizeArgs {
    /// The model, best in F16 or F32: what was quantized before only loses more
    #[arg(value_name = "IN.gguf")]
    pub input: PathBuf,

    /// Where to
    #[arg(value_name = "OUT.gguf")]
    pub output: PathBuf,

    /// F32 F16 BF16 Q8_0 Q6_K Q5_1 Q5_K_M Q5_K_S Q5_0 Q4_1 Q4_K_M Q4_K_S IQ4_NL Q4_0 IQ4_XS Q3_K_L Q3_K_M Q3_K_S Q2_K Q2_K_S, as
    /// llama.cpp has them: the matrices that matter most get more bits
    #[arg(value_name = "TYPE")]
    pub ty: Target,

    /// An importance matrix: errors count more in the columns that it found to matter more (`nearfield imatrix`, or llama.cpp's)
    #[arg(long, value_name = "FILE")]
    pub imatrix: Option<PathBuf>,

    /// All matrices in TYPE
    #[arg(long)]
    pub pure: bool,

    /// Threads; the file is the same for any number [default: one for each core]
    #[arg(long, value_name = "T", value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub threads: Option<u16>,

    /// Replace OUT.gguf, should it be there
    #[arg(long)]
    pub force: bool,
}
