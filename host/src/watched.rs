//! Kernels that something looks at while they work: what they compute is what they compute alone.

use nearfield::kernels::{Kernels, KvBlock, Matrix, Walk};

/// What is told of a forward pass as it runs.
pub trait Watch: Sync {
    /// Queries are about to walk past a block of keys; see [`Kernels::attend_block`]. On any thread.
    fn attend_block(&self, block: &KvBlock<'_>, scale: f32, walks: &[Walk<'_>]) {
        let _ = (block, scale, walks);
    }

    /// A matrix is about to be multiplied; see [`Kernels::watch`].
    fn product(&self, w: &Matrix<'_>, x: &[f32]) {
        let _ = (w, x);
    }
}

/// Kernels, and who looks on.
pub struct Watched<W> {
    /// What computes.
    pub kernels: &'static dyn Kernels,
    /// What is told.
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
