//! Contents of a plan.

use nearfield::Model;
use nearfield_host::model_file::ModelFile;
use nearfield_host::plan::Choice;
use nearfield_host::plan::calibrate::Calibration;
use nearfield_host::plan::target::{Target, Weights};

use super::args::PlanArgs;

/// Everything that a plan reports.
pub struct Sheet<'s> {
    pub args: &'s PlanArgs,
    pub file: &'s ModelFile,
    pub model: &'s Model<'s>,
    /// Rings by each method that is available; the last choice counts. At least one.
    pub choices: Vec<Choice>,
    pub calibration: Option<Calibration>,
    /// Largest distance between two scores on any text, from [`nearfield_host::plan::certify`]. `[n_head_kv]`
    pub spread: Option<Vec<f64>>,
    pub target: Option<Target>,
    /// Memory of the weights, where a storage brings some layers.
    pub weights: Option<Weights>,
}
