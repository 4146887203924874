//! `nearfield pack`: writes a model file with its matrices in interleaved rows.

use anyhow::{Result, ensure};

use crate::args::PackArgs;
use crate::interrupt;
use crate::model_file::ModelFile;
use crate::output_file::OutputFile;
use crate::packing::Packing;
use crate::progress::Progress;
use crate::report;

/// Reads one file and writes the other, unit by unit.
pub fn pack(args: &PackArgs) -> Result<()> {
    let file = ModelFile::open(Some(args.input.clone()))?;
    // What cannot run packed could not run before, which is better said now.
    file.model()?;
    let packing = Packing::new(&file.gguf()?, file.bytes())?;
    ensure!(packing.n_matrices() > 0, "{} has no quantized matrix in plain rows: nothing to pack", file.name);
    let is_taken = std::fs::metadata(&args.output).is_ok_and(|metadata| metadata.is_file());
    ensure!(!is_taken, "{} is there already: another name, or remove it first", args.output.display());
    OutputFile::create(&args.output)?.write(|out| {
        let mut progress = Progress::of_bytes("packing", file.bytes().len() as u64);
        let (mut buffer, mut n) = (Vec::new(), 0);
        for unit in packing.units() {
            interrupt::check()?;
            buffer.resize(unit.len(), 0);
            packing.make(&unit, &mut buffer);
            out.write_all(&buffer)?;
            n += unit.len() as u64;
            progress.reached(n);
        }
        Ok(())
    })?;
    let bytes = report::Bytes(file.bytes().len() as u64);
    report::note(format_args!("packed {} matrices of {bytes} to {}", packing.n_matrices(), args.output.display()));
    Ok(())
}
