//! Models of which a card, or another storage, brings the layers that flash has no room for.

use nearfield::{Line, Storage, Stream, StreamPlan};

use crate::halt::Halt;
use crate::image::Image;

/// Model file on a card, of which flash holds the part that
/// [`Gguf::parse_resident`](nearfield::Gguf::parse_resident) reads.
#[derive(Clone, Copy, Debug)]
pub struct Card {
    /// Number of layers in flash, from the first on.
    pub n_layers: usize,
    /// Bytes of the model file.
    pub n_bytes: u64,
    /// [`checksum`](nearfield::checksum) of the model file when the firmware was built.
    pub checksum: u32,
}

impl Card {
    /// Checks that the storage holds the model file: reads all of it.
    ///
    /// # Errors
    /// [`Halt::Storage`] when it cannot be read, [`Halt::Card`] when it holds something else.
    pub fn check(&self, layers: &mut Layers<'_>) -> Result<(), Halt> {
        let found = layers.stream().checksum(self.n_bytes)?;
        if found == self.checksum { Ok(()) } else { Err(Halt::Card { want: self.checksum, found }) }
    }
}

/// Storage of a firmware, and its two buffers.
pub struct Layers<'s> {
    /// Source of the bytes of the model file.
    pub storage: &'s mut dyn Storage,
    /// Memory of [`stream_plan`].
    pub buffers: &'s mut [Line],
}

impl Layers<'_> {
    /// Stream of the layers.
    pub fn stream(&mut self) -> Stream<'_> {
        Stream::new(&mut *self.storage, &mut *self.buffers)
    }
}

/// Plan of the buffers for layers that are not in flash, for a `const`. Without a card they take nothing.
///
/// # Panics
/// Panics at compile time, when used as meant, for a model without a usable header.
pub const fn stream_plan(image: &Image) -> StreamPlan {
    let n_layers = match &image.card {
        Some(card) => card.n_layers,
        None => usize::MAX,
    };
    match image.gguf() {
        Ok(gguf) => StreamPlan::new(&gguf, n_layers),
        Err(_) => panic!("the model has no usable GGUF header"),
    }
}
