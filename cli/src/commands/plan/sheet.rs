//! All that a plan consists of.

use nearfield::Model;
use nearfield_host::model_file::ModelFile;
use nearfield_host::plan::Choice;
use nearfield_host::plan::calibrate::Calibration;
use nearfield_host::plan::target::Target;

use super::args::PlanArgs;

/// All that is told.
pub struct Sheet<'s> {
    pub args: &'s PlanArgs,
    pub file: &'s ModelFile,
    pub model: &'s Model<'s>,
    /// Rings by what there is to choose them by; the last are those that count. At least one.
    pub choices: Vec<Choice>,
    pub calibration: Option<Calibration>,
    /// How far scores may lie apart on any text: see [`nearfield_host::plan::certify`]. `[n_head_kv]`
    pub spread: Option<Vec<f64>>,
    pub target: Option<Target>,
}
