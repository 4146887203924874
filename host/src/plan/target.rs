//! What a model takes on a machine, memory by memory, beside what that has.

use nearfield::MemoryPlan;

use super::boards::{Board, FIRMWARE_FLASH, FIRMWARE_RAM, Place};

/// What is to be fitted.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    /// The board that was named.
    pub board: Option<&'static Board>,
    /// Bytes of RAM, and what of it is not for the arena.
    ram: Option<(u64, u64)>,
    model: Option<Place>,
}

/// What one memory has to hold.
#[derive(Clone, Debug, PartialEq)]
pub struct Need {
    /// Which memory.
    pub memory: &'static str,
    /// Bytes that it has.
    pub have: u64,
    /// Bytes that are needed, by what they are for.
    pub parts: Vec<(&'static str, u64)>,
}

impl Need {
    /// All of them.
    pub fn bytes(&self) -> u64 {
        self.parts.iter().map(|&(_, bytes)| bytes).sum()
    }

    /// Whether there is as much.
    pub fn is_met(&self) -> bool {
        self.bytes() <= self.have
    }
}

/// Below this, what is asked for is a microcontroller.
const SMALL: u64 = 64 << 20;

impl Target {
    /// A board, or so many bytes of memory; `None` where nothing is named.
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

    /// Whether firmwares are written for it.
    pub fn is_small(&self) -> bool {
        self.ram.is_none_or(|(bytes, _)| bytes < SMALL)
    }

    /// What a session takes there, with a model file of so many bytes.
    pub fn needs(&self, plan: &MemoryPlan, file: u64) -> Vec<Need> {
        let mut needs = Vec::new();
        let is_in_ram = self.model == Some(Place::Ram);
        if let Some((have, own)) = self.ram {
            let mut parts = vec![("arena", plan.session() as u64)];
            if is_in_ram {
                parts.extend([("tokenizer index", plan.tokenizer as u64), ("model", file)]);
            }
            parts.push((if self.is_small() { "firmware" } else { "system" }, own));
            needs.push(Need { memory: "RAM", have, parts });
        }
        match self.model {
            Some(Place::Flash { bytes, own }) => {
                // A firmware has it made ahead of time (`Tokenizer::prepared`).
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
