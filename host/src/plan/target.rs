//! Memory that a model needs on a machine, beside the memory that is there.

use nearfield::{Gguf, MemoryPlan, StreamPlan};

use super::boards::{Board, FIRMWARE_FLASH, FIRMWARE_RAM, Place};

/// Machine, or amounts of memory, that a model should fit.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    /// Machine that was named, if one was.
    pub board: Option<&'static Board>,
    /// Bytes of RAM, and the number of them that the arena cannot have.
    ram: Option<(u64, u64)>,
    model: Option<Place>,
}

/// Need of one memory.
#[derive(Clone, Debug, PartialEq)]
pub struct Need {
    /// Name of the memory.
    pub memory: &'static str,
    /// Bytes that the memory has.
    pub have: u64,
    /// Bytes that are needed, by use.
    pub parts: Vec<(&'static str, u64)>,
}

impl Need {
    /// Number of bytes needed in all.
    pub fn bytes(&self) -> u64 {
        self.parts.iter().map(|&(_, bytes)| bytes).sum()
    }

    /// True if the memory suffices.
    pub fn is_met(&self) -> bool {
        self.bytes() <= self.have
    }
}

/// Memory that the weights take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Weights {
    /// Bytes of the model's file that stay in memory.
    pub resident: u64,
    /// Bytes of both buffers for layers of a storage.
    pub buffers: u64,
    /// Bytes that each pass reads from the storage.
    pub per_pass: u64,
}

impl Weights {
    /// Weights of a file of `n_bytes` bytes, all in memory.
    pub fn in_memory(n_bytes: u64) -> Self {
        Self { resident: n_bytes, buffers: 0, per_pass: 0 }
    }

    /// Weights of a file of which a storage brings the layers from `n_layers` on.
    pub fn streamed(gguf: &Gguf<'_>, n_layers: usize) -> Self {
        let plan = StreamPlan::new(gguf, n_layers);
        let data: u64 = gguf.resident_data(n_layers).map(|range| range.end - range.start).sum();
        Self { resident: gguf.data_at() as u64 + data, buffers: 2 * plan.buffer as u64, per_pass: plan.per_pass }
    }
}

/// Bytes of RAM below which a target is a microcontroller.
const SMALL: u64 = 64 << 20;

impl Target {
    /// Makes a target of a machine, or of bytes of RAM and flash; `None` where nothing is given.
    pub fn new(board: Option<&'static Board>, ram: Option<u64>, flash: Option<u64>) -> Option<Self> {
        match (board, ram, flash) {
            (None, None, None) => None,
            (Some(board), ..) => {
                Some(Self { board: Some(board), ram: Some((board.ram, board.own_ram)), model: Some(board.model) })
            }
            (None, ram, flash) => Some(Self {
                board: None,
                ram: ram.map(|bytes| (bytes, FIRMWARE_RAM)),
                model: flash.map(|bytes| Place::Flash { bytes, own: FIRMWARE_FLASH }),
            }),
        }
    }

    /// True for a microcontroller, which runs a firmware.
    pub fn is_small(&self) -> bool {
        self.ram.is_none_or(|(bytes, _)| bytes < SMALL)
    }

    /// Needs of a session with this plan and these weights, one for each memory.
    pub fn needs(&self, plan: &MemoryPlan, weights: Weights) -> Vec<Need> {
        let file = weights.resident;
        let mut needs = Vec::new();
        let is_in_ram = self.model == Some(Place::Ram);
        if let Some((have, own)) = self.ram {
            let mut parts = vec![("arena", plan.session() as u64)];
            if weights.buffers > 0 {
                parts.push(("two layers", weights.buffers));
            }
            if is_in_ram {
                parts.extend([("tokenizer index", plan.tokenizer as u64), ("model", file)]);
            }
            parts.push((if self.is_small() { "firmware" } else { "system" }, own));
            needs.push(Need { memory: "RAM", have, parts });
        }
        match self.model {
            Some(Place::Flash { bytes, own }) => {
                // A firmware has the index made ahead of time (`Tokenizer::prepared`).
                let parts = vec![("model", file), ("tokenizer index", plan.tokenizer as u64), ("firmware", own)];
                needs.push(Need { memory: "flash", have: bytes, parts });
            }
            Some(Place::Apart { bytes }) => {
                needs.push(Need { memory: "model memory", have: bytes, parts: vec![("model", file)] });
            }
            Some(Place::Ram) | None => {}
        }
        needs
    }
}
