//! First line of a journal.

use nearfield_boards::hash::Fnv64;
use nearfield_host::model_file::ModelFile;

use super::args::PerplexityArgs;
use crate::args::slopes;

/// Names everything that a score depends on.
pub fn heading(args: &PerplexityArgs, model: &ModelFile, tokens: &[u32]) -> String {
    let mut hash = Fnv64::default();
    model.pieces().for_each(|piece| hash.bytes(piece));
    let model = hash.get();
    let mut hash = Fnv64::default();
    tokens.iter().for_each(|token| hash.bytes(&token.to_le_bytes()));
    let (text, session) = (hash.get(), &args.session);
    format!(
        "nearfield perplexity: model {model:016x}, text {text:016x}, {:?}, kv {}, {:?}, sinks {}, horizon {:e}, slopes {}{}",
        args.protocol(),
        session.kv,
        session.ring,
        session.sinks,
        session.horizon_eps,
        slopes::word(session.alibi_scale),
        if session.alibi_bf16 { ", bias in bf16" } else { "" }
    )
}
