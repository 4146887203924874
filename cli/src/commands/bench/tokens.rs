//! Tokens to run: of a text, or at random.

use std::fs;
use std::path::Path;
use std::rc::Rc;

use anyhow::{Context, Result, ensure};
use nearfield::tokenizer::EncodeOptions;
use nearfield_host::memory::allocate;
use nearfield_host::model_file::ModelFile;
use nearfield_host::text::{self, Notes};

use super::args::BenchArgs;
use crate::terminal::{Count, monitor};

/// Name of random tokens in the results.
pub const RANDOM: &str = "random tokens";

/// Returns `n` tokens for a model with `n_vocab` of them.
pub fn tokens(args: &BenchArgs, file: &ModelFile, n_vocab: usize, n: usize) -> Result<Rc<[u32]>> {
    match &args.text {
        Some(path) => of_text(path, args.special, file, n).with_context(|| path.display().to_string()),
        None => Ok(random(n_vocab, n).into()),
    }
}

/// Returns the first `n` tokens of a text. An error if it has fewer.
fn of_text(path: &Path, parse_special: bool, file: &ModelFile, n: usize) -> Result<Rc<[u32]>> {
    let bytes = fs::read(path).context("cannot be read")?;
    let vocab = file.vocab()?;
    let mut lines = allocate(text::index_bytes(&vocab)?)?;
    let tokenizer = file.tokenizer(vocab, &mut lines)?;
    let options = EncodeOptions { parse_special, ..tokenizer.options() };
    let mut notes = Notes::default();
    let mut tokens = notes.encode_looking_for_names(&tokenizer, &bytes, options)?;
    notes.tell(monitor());
    let n_found = tokens.len();
    ensure!(n_found >= n, "{}: depth and test together are {n}", Count(n_found, "token"));
    tokens.truncate(n);
    Ok(tokens.into())
}

/// Returns pseudo-random tokens, the same in each run.
fn random(n_vocab: usize, n: usize) -> Vec<u32> {
    // SplitMix64, Steele, Lea & Flood 2014.
    let mut state = 1_u64;
    let mut next = || {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (state ^ state >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ z >> 31
    };
    (0..n).map(|_| (next() % n_vocab.max(1) as u64) as u32).collect()
}
