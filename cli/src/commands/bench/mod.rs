//! `nearfield bench`: tokens per second at the given depths, threads, caches and kernels, beside the machine's peaks.

mod args;
mod measure;
mod memory;
mod noise;
mod output;
mod peaks;
mod plot;
mod row;
mod table;
mod texts;
mod tokens;
mod turns;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use anyhow::{Result, ensure};
use nearfield::kernels::Kernels;
use nearfield::{KvType, Model};

use crate::args::{environment, threads};
use crate::terminal::monitor;

pub use args::BenchArgs;

use crate::terminal::Progress;
use crate::terminal::StandardOutput;
use crate::terminal::{Bytes, note};
use measure::{Case, Pools, Tests, measure};
use nearfield_host::engine::{Workers, kernels_called, n_cores};
use nearfield_host::model_file::ModelFile;
use nearfield_host::output_file::OutputFile;
use peaks::Machine;
use row::{ModelFacts, Row, Test};
use turns::Turns;

/// Measures every combination and prints a line for each. After an error or Ctrl-C the finished rows are printed.
pub fn bench(args: &BenchArgs) -> Result<()> {
    let tests = tests(args)?;
    let kernels = kernels(args)?;
    let files = files(args, kernels[0])?;
    args.plot.as_deref().map(OutputFile::check).transpose()?;
    let models: Vec<Model<'_>> = files.iter().map(ModelFile::model).collect::<Result<_, _>>()?;
    let cases = cases(args, &tests, &kernels, &files, &models)?;
    let plot = args.plot.as_deref().map(OutputFile::create).transpose()?;
    let pools = pools(args)?;
    for file in &files {
        file.page_in()?;
    }
    let machine = (!args.no_peaks).then(Machine::new);
    if let Some(machine) = &machine {
        note(format_args!("read bandwidth over {}", Bytes(machine.buffer_bytes())));
    }

    let mut rows = Vec::new();
    let n_steps = cases.iter().map(|case| tests.n_steps(case.is_encoder(), pools.len())).sum();
    let mut progress = Progress::of_steps(n_steps);
    let end =
        cases.iter().try_for_each(|case| measure(case, &tests, &pools, machine.as_ref(), &mut progress, &mut rows));
    drop(progress);
    if !rows.is_empty() {
        print(&rows, args)?;
        if let Some(plot) = plot {
            let svg = plot::plot(&rows)?;
            plot.write_all(svg.as_bytes())?;
        }
    }
    end
}

fn print(rows: &[Row], args: &BenchArgs) -> Result<()> {
    StandardOutput::lock().write_all(output::render(rows, args.output).as_bytes())?;
    let notes = [output::note_on_columns(rows, args.output), output::note_on_marks(rows)];
    notes.into_iter().flatten().for_each(note);
    Ok(())
}

/// Tests and their depths.
fn tests(args: &BenchArgs) -> Result<Tests> {
    let lengths = |default: &[usize]| -> Vec<usize> {
        let lengths = if args.prompt.is_empty() { default } else { &args.prompt };
        lengths.iter().copied().filter(|&n| n > 0).collect()
    };
    let prompts = lengths(&[512]).into_iter().map(Test::Prompt);
    let generated = args.generate.iter().filter(|&&n| n > 0).map(|&n| Test::Generate(n));
    let tests: Vec<Test> = prompts.chain(generated).collect();
    let texts: Vec<_> = lengths(&[20, 95, 512]).into_iter().map(|n_tokens| (args.texts.into(), n_tokens)).collect();
    ensure!(!tests.is_empty(), "nothing to time: -p or -n has to be above 0");
    let mut depths = args.depth.clone();
    depths.sort_unstable();
    depths.dedup();
    Ok(Tests {
        depths,
        tests,
        texts,
        repetitions: args.repetitions.into(),
        ring: args.ring,
        horizon_eps: args.horizon_eps,
        turns: Turns(args.turns),
        text: args.text.as_ref().map_or_else(|| tokens::RANDOM.into(), |path| path.display().to_string()),
    })
}

/// Model files, interleaved for the first of the kernels.
fn files(args: &BenchArgs, kernels: &dyn Kernels) -> Result<Vec<ModelFile>> {
    let named = args.models.iter().chain(&args.more_models).cloned();
    let mut paths: Vec<Option<PathBuf>> = named.chain(args.hub.paths()?).map(Some).collect();
    if paths.is_empty() {
        paths.push(environment::model());
    }
    paths
        .into_iter()
        .map(|path| Ok(ModelFile::open(path, monitor())?.interleaved(args.repack, kernels, n_cores())?))
        .collect()
}

/// Kernels of the ISAs asked for, at least one.
fn kernels(args: &BenchArgs) -> Result<Vec<&'static dyn Kernels>> {
    match &args.isa[..] {
        [] => Ok(vec![kernels_called(None)?]),
        names => names.iter().map(|name| Ok(kernels_called(Some(name))?)).collect(),
    }
}

/// Every combination of model, ISA, cache, batch and number of sequences. An error if one of the sessions is invalid, or there are too few tokens.
fn cases<'m>(
    args: &BenchArgs,
    tests: &Tests,
    isas: &[&'static dyn Kernels],
    files: &[ModelFile],
    models: &'m [Model<'m>],
) -> Result<Vec<Case<'m>>> {
    let mut cases = Vec::new();
    for (file, model) in files.iter().zip(models) {
        let first = cases.len();
        let default = if model.shape().arch.is_encoder() { KvType::F32 } else { KvType::F16 };
        let kv_types = if args.kv.is_empty() { vec![default.into()] } else { args.kv.clone() };
        let facts = Rc::new(ModelFacts::new(short_name(file), model));
        for &kernels in isas {
            for &kv in &kv_types {
                for &batch in &args.batch {
                    for n_sequences in args.sequences.iter().map(|&n| n.into()) {
                        let facts = facts.clone();
                        cases.push(Case { model, facts, kernels, kv, batch, n_sequences, tokens: Rc::default() });
                    }
                }
            }
        }
        // The sessions are checked before the tokens are made.
        cases[first..].iter().try_for_each(|case: &Case<'_>| case.check(tests))?;
        let n_tokens = cases[first].n_tokens(tests);
        let tokens = tokens::tokens(args, file, model.shape().n_vocab, n_tokens)?;
        cases[first..].iter_mut().for_each(|case| case.tokens = tokens.clone());
    }
    Ok(cases)
}

/// Name of the file without its folder.
fn short_name(file: &ModelFile) -> String {
    let name = Path::new(&file.name).file_name();
    name.map_or_else(|| file.name.clone(), |name| name.to_string_lossy().into_owned())
}

fn pools(args: &BenchArgs) -> Result<Pools> {
    let n_threads: Vec<usize> = match &args.threads[..] {
        [] => vec![environment::threads()?.map_or_else(n_cores, usize::from)],
        threads => threads.iter().map(|&n| n.into()).collect(),
    };
    n_threads.iter().for_each(|&n| threads::check(n, n_cores()));
    Ok(Pools::new(n_threads.into_iter().map(Workers::new).collect::<Result<_, _>>()?))
}
