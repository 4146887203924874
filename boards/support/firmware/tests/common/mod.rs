//! Parts that tests of firmwares share: the pocket model in flash, and a board without hardware.

use std::collections::VecDeque;
use std::fmt;

use nearfield::tokenizer::{Tokenizer, Vocab};
use nearfield::{Arena, Gguf, KvType, KvTypes, Line, SessionConfig, checksum};
use nearfield_boards::{Board, Image, plan};

#[repr(C, align(64))]
pub struct Aligned(pub [u8; include_bytes!("../../../../../models/pocket.gguf").len()]);
pub static POCKET: Aligned = Aligned(*include_bytes!("../../../../../models/pocket.gguf"));

pub const CONFIG: SessionConfig =
    SessionConfig { n_ctx: 128, n_batch: 8, kv: KvTypes::both(KvType::Q8_0), ..SessionConfig::DEFAULT };
const BARE: Image =
    Image { name: "pocket.gguf", gguf: &POCKET.0, checksum: 0, card: None, index: &[], prefix: &[], n_ctx: None };
pub const LINES: usize = plan(&BARE, &CONFIG).n_lines();

/// Model and its tokenizer's index, as a build script makes them.
pub fn image() -> Image {
    let vocab = Vocab::from_gguf(&Gguf::parse(&POCKET.0).unwrap()).unwrap();
    let bytes = Tokenizer::index_bytes(vocab.tokens.len(), vocab.merges.len()).unwrap();
    let mut memory = vec![Line::ZERO; bytes / Line::BYTES];
    let index: Vec<u8> = Tokenizer::new(vocab, &mut Arena::new(&mut memory)).unwrap().index().collect();
    Image { checksum: checksum(&POCKET.0), index: in_flash(&index), ..BARE }
}

/// Copy of `bytes` that is aligned to 64 bytes and never freed, as in flash.
pub fn in_flash(bytes: &[u8]) -> &'static [u8] {
    let flash = Arena::new(vec![Line::ZERO; bytes.len().div_ceil(Line::BYTES)].leak()).take(bytes.len()).unwrap();
    flash.copy_from_slice(bytes);
    flash
}

/// Board whose typed bytes come from a list, and whose output goes to a string.
#[derive(Default)]
pub struct Paper {
    pub written: String,
    pub typed: VecDeque<u8>,
    pub micros: u64,
    /// Key that is typed after so many passes.
    pub key_after: Option<(usize, u8)>,
    pub n_passes: usize,
}

impl fmt::Write for Paper {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.written.push_str(text);
        Ok(())
    }
}

impl Board for Paper {
    fn name(&self) -> &'static str {
        "paper"
    }

    fn read(&mut self) -> Option<u8> {
        self.typed.pop_front()
    }

    fn typed(&mut self) -> Option<u8> {
        self.key_after.take_if(|&mut (n, _)| n <= self.n_passes).map(|(_, key)| key)
    }

    fn between_passes(&mut self) {
        self.n_passes += 1;
    }

    fn noise(&mut self) -> Option<u64> {
        None
    }

    fn micros(&mut self) -> Option<u64> {
        self.micros += 1_000_000;
        Some(self.micros)
    }
}
