//! Kernels that are observed while they work; the results are those of the kernels alone.

use nearfield::kernels::{Kernels, Matrix};
use nearfield_kernels::{KvBlock, Walk};

/// Observer of a forward pass.
pub trait Watch: Sync {
    /// Called on any thread before queries walk over a block of keys: [`Kernels::attend_block`].
    fn attend_block(&self, block: &KvBlock<'_>, scale: f32, walks: &[Walk<'_>]) {
        let _ = (block, scale, walks);
    }

    /// Called before a matrix is multiplied: [`Kernels::watch`].
    fn product(&self, w: &Matrix<'_>, x: &[f32]) {
        let _ = (w, x);
    }
}

/// Kernels with an observer.
pub struct Watched<W> {
    /// Kernels that compute.
    pub kernels: &'static dyn Kernels,
    /// Observer that is called.
    pub watch: W,
}

impl<W: Watch> Kernels for Watched<W> {
    fn attend_block(&self, block: &KvBlock<'_>, scale: f32, walks: &mut [Walk<'_>]) {
        self.watch.attend_block(block, scale, walks);
        self.kernels.attend_block(block, scale, walks);
    }

    fn watch(&self, w: &Matrix<'_>, x: &[f32]) {
        self.watch.product(w, x);
    }

    fn name(&self) -> &'static str {
        self.kernels.name()
    }

    fn wrapped(&self) -> Option<&dyn Kernels> {
        Some(self.kernels)
    }
}
