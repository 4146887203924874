//! Importances of a model's columns, from an importance matrix.

use std::path::Path;

use crate::error::{Result, bail, ensure};
use crate::imatrix::file::Imatrix;
use crate::monitor::Monitor;

/// Least importance of a column, relative to the average: errors count even in a column whose inputs were all zero.
const LEAST: f64 = 1.0 / (1 << 20) as f64;

/// Matrices with the same inputs, whole or as parts of others: the file and the importance matrix may have different ones.
const SAME_INPUTS: [&[&str]; 2] = [&["attn_qkv", "attn_q", "attn_k", "attn_v"], &["ffn_up", "ffn_gate"]];

/// Importance matrix and its file.
#[derive(Debug)]
pub struct Importances {
    /// Path of the file, for messages.
    pub file: String,
    pub imatrix: Imatrix,
}

impl Importances {
    /// Reads a file.
    pub fn read(path: &Path) -> Result<Self> {
        Ok(Self { file: path.display().to_string(), imatrix: Imatrix::read(path)? })
    }

    /// Importances of a tensor's columns, one on average; `None` where the file has none for it. `[n_cols]`
    ///
    /// # Errors
    /// When the file has another number of columns for it.
    pub fn of(&self, tensor: &str, n_cols: u64) -> Result<Option<Vec<f32>>> {
        let inputs = |name: &str| self.imatrix.inputs.get_key_value(name);
        let Some((name, inputs)) = inputs(tensor).or_else(|| others(tensor).iter().find_map(|name| inputs(name)))
        else {
            return Ok(None);
        };
        let n = inputs.squares.len();
        if n as u64 != n_cols {
            bail!("{tensor} has {n_cols} columns, and {} has {n} for {name}: it is another model's", self.file);
        }
        let mean = inputs.squares.iter().sum::<f64>() / n as f64;
        let is_used = inputs.n_rows > 0.0 && mean > 0.0 && mean.is_finite();
        Ok(is_used.then(|| inputs.squares.iter().map(|sum| (sum / mean).max(LEAST) as f32).collect()))
    }

    /// Notes the quantized matrices that have no importances.
    ///
    /// # Errors
    /// When no matrix has importances.
    pub fn tell(&self, n_quantized: usize, missing: &[&str], monitor: &Monitor) -> Result<()> {
        let (file, n) = (&self.file, missing.len());
        ensure!(
            n == 0 || n < n_quantized,
            "{file} has nothing for any of the {n} matrices: it is another model's, or made of no text"
        );
        if n > 0 {
            let (shown, rest) = missing.split_at(n.min(3));
            let more = if rest.is_empty() { "" } else { ", ..." };
            let names = shown.join(", ");
            monitor.note(format_args!(
                "note: {file} has nothing for {n} of {n_quantized} matrices, whose columns count alike: {names}{more}"
            ));
        }
        Ok(())
    }
}

/// Names of the tensors that have the inputs of `tensor`.
fn others(tensor: &str) -> Vec<String> {
    let parts = || {
        let (layer, name) = tensor.strip_prefix("blk.")?.split_once('.')?;
        let name = name.strip_suffix(".weight")?;
        let same = SAME_INPUTS.iter().find(|names| names.contains(&name))?;
        Some(same.iter().map(|name| format!("blk.{layer}.{name}.weight")).collect())
    };
    parts().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::imatrix::file::Inputs;

    fn importances(inputs: &[(&str, &[f64], f64)]) -> Importances {
        let inputs =
            inputs.iter().map(|&(name, squares, n_rows)| (name.into(), Inputs { squares: squares.into(), n_rows }));
        Importances { file: "im.gguf".into(), imatrix: Imatrix { inputs: inputs.collect(), ..Imatrix::default() } }
    }

    #[test]
    fn columns_count_one_on_average_and_never_nothing() {
        let found = importances(&[("blk.0.ffn_down.weight", &[3e30, 0.0, 1e30, 0.0], 7.0)]);
        let want = vec![3.0, LEAST as f32, 1.0, LEAST as f32];
        assert_eq!(found.of("blk.0.ffn_down.weight", 4).unwrap(), Some(want));
        assert_eq!(found.of("blk.1.ffn_down.weight", 4).unwrap(), None);
        let error = found.of("blk.0.ffn_down.weight", 5).unwrap_err().to_string();
        let want =
            "blk.0.ffn_down.weight has 5 columns, and im.gguf has 4 for blk.0.ffn_down.weight: it is another model's";
        assert_eq!(error, want);
    }

    #[test]
    fn fused_and_split_matrices_have_the_same_inputs() {
        let found =
            importances(&[("blk.3.attn_q.weight", &[1.0, 3.0], 1.0), ("blk.4.attn_qkv.weight", &[3.0, 1.0], 1.0)]);
        let of = |name| found.of(name, 2).unwrap();
        assert_eq!(of("blk.3.attn_qkv.weight"), Some(vec![0.5, 1.5]));
        assert_eq!(of("blk.3.attn_v.weight"), Some(vec![0.5, 1.5]));
        assert_eq!(of("blk.4.attn_k.weight"), Some(vec![1.5, 0.5]));
        assert_eq!(
            [of("blk.3.attn_output.weight"), of("blk.2.attn_q.weight"), of("token_embd.weight")],
            [None, None, None]
        );
    }

    #[test]
    fn no_rows_and_nothing_but_zeros_say_nothing() {
        let found = importances(&[("a", &[1.0], 0.0), ("b", &[0.0], 2.0)]);
        assert_eq!([found.of("a", 1).unwrap(), found.of("b", 1).unwrap()], [None, None]);
        assert!(found.tell(2, &["a"], &Monitor::silent()).is_ok());
        let error = found.tell(2, &["a", "b"], &Monitor::silent()).unwrap_err().to_string();
        assert_eq!(error, "im.gguf has nothing for any of the 2 matrices: it is another model's, or made of no text");
    }
}
