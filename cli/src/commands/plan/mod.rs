//! `nearfield plan`: the memory of a session before it runs, rings for a budget, and whether a machine has room for it.
//!
//! - [`args`]: arguments of the command
//! - [`advice`]: changes that make the session fit
//! - [`output`]: the plan as text and as JSON

mod advice;
mod args;
mod output;
mod sheet;

use anyhow::{Context, Error, Result, ensure};
use nearfield::kernels;
use nearfield::{SessionConfig, SessionError};
use nearfield_host::engine::N_BATCH;
use nearfield_host::model_file::ModelFile;
use nearfield_host::plan::calibrate::{Calibration, CalibrationText};
use nearfield_host::plan::target::{Target, Weights};
use nearfield_host::plan::{by_bias, by_measurement, certify, for_any_text};

use crate::args::text::Source;
use crate::terminal::monitor;

pub use args::PlanArgs;
use args::SMALL_BATCH;
use sheet::Sheet;

/// Prints the plan.
pub fn plan(args: &PlanArgs) -> Result<()> {
    let file = ModelFile::open(args.model.or(&args.first)?, monitor())?;
    let model = file.model()?;
    if args.features {
        return output::print_features(&model).with_context(|| file.name.clone());
    }
    let shape = model.shape();
    if shape.arch.is_encoder() {
        return Err(SessionError::Encoder { arch: shape.arch.name }).with_context(|| file.name.clone());
    }
    let target = Target::new(args.board, args.ram, args.flash);
    let config = config(args, target.as_ref());
    let loss = (args.calibrate.is_some() || args.certify).then_some(args.loss);
    let mut choices = vec![by_bias(shape, &config, args.kv_budget, loss)?];
    let spread = match args.certify {
        true => Some(certify::spread(&model, kernels::best(), &config, monitor())?),
        false => None,
    };
    if let Some(spread) = &spread {
        choices.push(for_any_text(shape, &config, args.kv_budget, args.loss, spread)?);
    }
    let calibration = args.calibrate.as_ref().map(|path| {
        let text = CalibrationText {
            input: Source::of_file(path).input()?,
            max_tokens: args.max_tokens,
            n_sinks: args.sinks,
            outliers: args.outliers,
            n_threads: args.threads.number()?,
        };
        Ok::<_, Error>(Calibration::measure(&text, &file, &model, &config)?)
    });
    let calibration = calibration.transpose()?;
    if let Some(calibration) = &calibration {
        choices.push(by_measurement(shape, &config, args.kv_budget, args.loss, calibration)?);
    }
    let weights = args.layers.map(|n_layers| {
        let n = shape.n_layer;
        ensure!(n_layers < n, "--layers {n_layers}: a number below {n}, all layers of the model, is needed");
        Ok(Weights::streamed(model.gguf(), n_layers))
    });
    let weights = weights.transpose()?;
    output::print(&Sheet { args, file: &file, model: &model, choices, calibration, spread, target, weights })
}

fn config(args: &PlanArgs, target: Option<&Target>) -> SessionConfig {
    let is_small = target.is_some_and(Target::is_small);
    SessionConfig {
        n_ctx: args.ctx,
        n_batch: args.batch.unwrap_or(if is_small { SMALL_BATCH } else { N_BATCH }),
        kv: args.kv,
        ring: args.ring,
        n_sinks: args.sinks,
        endless: args.endless,
        alibi_scale: args.alibi_scale,
        ..SessionConfig::default()
    }
}
