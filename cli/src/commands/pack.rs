//! `nearfield pack`: writes a model file with its matrices in interleaved rows.

use std::path::PathBuf;

use anyhow::{Result, ensure};
use clap::Args;
use nearfield::tokenizer::Vocab;
use nearfield_host::memory::allocate;
use nearfield_host::model_file::ModelFile;
use nearfield_host::model_file::packing::Packing;
use nearfield_host::output_file::OutputFile;
use nearfield_host::text;

use crate::terminal::Progress;
use crate::terminal::interrupt;
use crate::terminal::monitor;
use crate::terminal::{Bytes, note};

#[derive(Args, Debug)]
pub struct PackArgs {
    /// Model file
    #[arg(value_name = "IN.gguf")]
    pub input: PathBuf,

    /// Output file, which nearfield maps and runs in place; includes the token index
    #[arg(value_name = "OUT.gguf")]
    pub output: PathBuf,

    /// Replace OUT.gguf if it exists
    #[arg(long)]
    pub force: bool,
}

/// Reads one file and writes the other, unit by unit.
pub fn pack(args: &PackArgs) -> Result<()> {
    let file = ModelFile::open(Some(args.input.clone()), monitor())?;
    OutputFile::check_new(&args.output, args.force)?;
    // A model that cannot run is refused before anything is written.
    file.model()?;
    let gguf = file.gguf()?;
    let mut packing = Packing::new(&gguf)?;
    ensure!(packing.n_matrices() > 0, "{} has no matrix left that can be interleaved: nothing to pack", file.name);
    // A file without a vocabulary runs on token ids.
    if let Ok(vocab) = Vocab::from_gguf(&gguf)
        && vocab.index.is_none()
    {
        let mut lines = allocate(text::index_bytes(&vocab)?)?;
        packing = packing.with_index(&gguf, text::tokenizer(vocab, &mut lines, monitor())?.index());
    }
    let n_bytes = packing.n_bytes() as u64;
    OutputFile::create_new(&args.output, n_bytes, args.force)?.write(|out| -> Result<()> {
        let mut progress = Progress::of_bytes("packing", n_bytes);
        let (mut buffer, mut n) = (Vec::new(), 0);
        for unit in packing.units() {
            interrupt::check()?;
            buffer.resize(unit.n_bytes(), 0);
            packing.make(&unit, &mut buffer);
            out.write_all(&buffer)?;
            n += unit.n_bytes() as u64;
            progress.reached(n);
        }
        Ok(())
    })?;
    let bytes = Bytes(n_bytes);
    let n = packing.n_matrices();
    let matrices = if n == 1 { "matrix" } else { "matrices" };
    note(format_args!("packed {n} {matrices} of {bytes} to {}", args.output.display()));
    Ok(())
}
