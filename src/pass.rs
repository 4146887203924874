//! Parts of a forward pass that sessions and encoders share: the model with the places of its tensors, and the counts of keys
//! visited.

use nearfield_kernels::atomic::AtomicU32;
use nearfield_kernels::{Arena, Kernels};

use crate::executor::Executor;
use crate::lengths::VisitedLengths;
use crate::model::{LayerTable, LoadError, Model};
use crate::planned::Planned;
use crate::shape::Shape;
use crate::steps::Steps;

/// A model, ready to run: the places of its tensors lie in the arena.
pub(crate) struct Runner<'m, 'f, 'a> {
    pub(crate) model: &'m Model<'f>,
    pub(crate) kernels: &'m dyn Kernels,
    executor: &'m dyn Executor,
    layers: LayerTable<'a>,
}

impl<'m, 'f, 'a> Runner<'m, 'f, 'a> {
    /// Fills `words` (of [`PassLengths::layer_table`](crate::lengths::PassLengths::layer_table)) with the places of the model's tensors.
    pub(crate) fn new(
        model: &'m Model<'f>,
        kernels: &'m dyn Kernels,
        executor: &'m dyn Executor,
        words: &'a mut [u64],
    ) -> Result<Self, LoadError> {
        Ok(Self { model, kernels, executor, layers: LayerTable::new(model, words)? })
    }

    pub(crate) fn shape(&self) -> &'m Shape {
        self.model.shape()
    }

    /// Bytes of the longest layer that is not in memory, in whole blocks of a storage; 0 if all are.
    pub(crate) fn longest_streamed(&self) -> u64 {
        let ranges = (0..self.shape().n_layer).filter_map(|layer| self.layers.streamed(self.model, layer));
        ranges.map(|range| range.end - range.start).max().unwrap_or(0)
    }

    /// A pass.
    pub(crate) fn forward(&self) -> Forward<'_, 'f, 'a> {
        let steps = Steps { shape: self.model.shape(), kernels: self.kernels, executor: self.executor };
        Forward { model: self.model, layers: &self.layers, steps }
    }
}

/// Model, kernels and workers of a forward pass. `forward` has the graph of decoders, `encoder::forward` that of encoders.
pub(crate) struct Forward<'s, 'f, 'a> {
    pub(crate) model: &'s Model<'f>,
    pub(crate) layers: &'s LayerTable<'a>,
    pub(crate) steps: Steps<'s>,
}

impl Forward<'_, '_, '_> {
    pub(crate) fn shape(&self) -> &Shape {
        self.model.shape()
    }
}

/// Counts of keys visited.
#[derive(Debug)]
pub(crate) struct Visited<'a> {
    /// In this step: `[n_head]`.
    step: &'a mut [AtomicU32],
    /// Since the sequence or the encoder began: `[n_layer, n_head]`.
    total: &'a mut [u64],
}

impl<'a> Visited<'a> {
    /// Takes counts of 0; `None` if the arena is too small.
    pub(crate) fn take(arena: &mut Arena<'a>, n: &VisitedLengths) -> Option<Self> {
        let step = arena.take::<AtomicU32>(n.step)?;
        let total = arena.take(n.total)?;
        step.iter_mut().for_each(|n| *n.get_mut() = 0);
        total.fill(0);
        Some(Self { step, total })
    }

    /// Counts of a step, one for each head, for workers to add to.
    pub(crate) fn step(&self) -> &[AtomicU32] {
        self.step
    }

    /// Adds the counts of a step to those of its layer, and sets them to 0.
    pub(crate) fn end_step(&mut self, layer: usize) -> Planned {
        let n_head = self.step.len();
        for (total, step) in self.total.get_mut(layer * n_head..)?.iter_mut().zip(self.step.iter_mut()) {
            *total += u64::from(core::mem::take(step.get_mut()));
        }
        Some(())
    }

    /// Counts since the beginning: `[n_layer, n_head]`.
    pub(crate) fn total(&self) -> &[u64] {
        self.total
    }

    /// Sets all counts to 0.
    pub(crate) fn reset(&mut self) {
        self.total.fill(0);
    }
}
