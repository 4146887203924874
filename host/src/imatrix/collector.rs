//! Collector of the inputs of a model's matrices, while these are multiplied.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, PoisonError};

use nearfield::Model;
use nearfield::kernels::Matrix;

use super::file::Inputs;
use crate::error::{Result, ensure};
use crate::watched::Watch;

/// Adds up the squares of each matrix's inputs.
///
/// All rows come on one thread, in the order of the text, and sums are f64: they are the same for any number of threads.
pub struct Collector<'f> {
    /// Index in `found` by the address of a matrix's weights.
    places: HashMap<usize, usize>,
    found: Mutex<Vec<(&'f str, Inputs)>>,
}

impl<'f> Collector<'f> {
    /// Makes a collector for the tensors whose names are `wanted`.
    pub fn new(model: &Model<'f>, wanted: impl Fn(&str) -> bool) -> Self {
        let gguf = model.gguf();
        let (mut places, mut found) = (HashMap::new(), Vec::new());
        for tensor in gguf.tensors().filter(|tensor| wanted(tensor.name)) {
            if let Some(bytes) = tensor.n_bytes().and_then(|n| gguf.data(tensor.offset, n)) {
                places.insert(bytes.as_ptr().addr(), found.len());
                found.push((tensor.name, Inputs::default()));
            }
        }
        Self { places, found: Mutex::new(found) }
    }

    /// Checks that all sums so far are finite.
    ///
    /// # Errors
    /// Names the first matrix, in the order of the file, whose sums are not.
    pub fn check(&self) -> Result<()> {
        let found = self.found.lock().unwrap_or_else(PoisonError::into_inner);
        for (name, inputs) in found.iter() {
            let column = inputs.squares.iter().position(|sum| !sum.is_finite());
            let column = column.unwrap_or_default();
            let sum = inputs.squares.get(column).copied().unwrap_or_default();
            ensure!(
                sum.is_finite(),
                "{name}: column {column} is multiplied with what is no number: the model is broken"
            );
        }
        Ok(())
    }

    /// Inputs of all matrices that were multiplied.
    pub fn finish(self) -> BTreeMap<String, Inputs> {
        let found = self.found.into_inner().unwrap_or_else(PoisonError::into_inner);
        let used = found.into_iter().filter(|(_, inputs)| inputs.n_rows > 0.0);
        used.map(|(name, inputs)| (name.to_string(), inputs)).collect()
    }
}

impl Watch for Collector<'_> {
    fn product(&self, w: &Matrix<'_>, x: &[f32]) {
        let bytes = w.tile(0).unwrap_or_else(|| w.row(0));
        // A part that begins inside a tensor is not in the map: it has the inputs of the part at the tensor's beginning.
        let Some(&i) = self.places.get(&bytes.as_ptr().addr()) else { return };
        let mut found = self.found.lock().unwrap_or_else(PoisonError::into_inner);
        let (_, inputs) = &mut found[i];
        inputs.squares.resize(w.n_cols(), 0.0);
        for row in x.chunks_exact(w.n_cols()) {
            inputs.n_rows += 1.0;
            for (sum, &x) in inputs.squares.iter_mut().zip(row) {
                *sum += f64::from(x) * f64::from(x);
            }
        }
    }
}
