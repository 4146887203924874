//! Stored texts: what `nearfield run --save-kv` writes and `--load-kv` goes on with.

use std::fmt;
use std::io::Write;
use std::path::Path;

use anyhow::{Context, Error, Result};
use memmap2::Mmap;
use nearfield::{KvTypes, ModelId, PlanError, Prefix, PrefixError, Session, SessionError, SnapshotHeader, TextState};

use crate::model_file::map;
use crate::output_file::OutputFile;
use crate::report::Bytes;

/// A stored text, mapped.
#[derive(Debug)]
pub struct KvFile {
    name: String,
    bytes: Mmap,
}

impl KvFile {
    /// The file at `path`.
    pub fn open(path: &Path) -> Result<Self> {
        let name = path.display().to_string();
        let bytes = map(path).with_context(|| format!("cannot open {name}"))?;
        Ok(Self { name, bytes })
    }

    /// The text in it, which has to be this model's.
    pub fn prefix(&self, model: ModelId) -> Result<Prefix<'_>> {
        Prefix::from_bytes(&self.bytes, model).map_err(|error| match (error, made_with(&self.bytes)) {
            (PrefixError::Model { .. }, Some(name)) if !name.is_empty() => {
                Error::from(error).context(format!("{}, made with {name}", self.name))
            }
            _ => Error::from(error).context(self.name.clone()),
        })
    }
}

/// What the model was called that a whole snapshot was made with.
fn made_with(bytes: &[u8]) -> Option<&str> {
    let header = SnapshotHeader::read(bytes).ok()?;
    Some(Prefix::from_bytes(bytes, header.model).ok()?.text().model_name)
}

/// Whether a file is a stored text, by its first bytes.
pub fn is_snapshot(bytes: &[u8]) -> bool {
    bytes.starts_with(b"NFKV")
}

/// What an error of a session behind a stored text asks for on the command line.
pub fn explain(error: SessionError) -> Error {
    let flag = match &error {
        SessionError::Prefix(PrefixError::KvTypes { snapshot: KvTypes { keys, values }, .. }) => {
            if keys == values {
                format!("--kv {keys} goes on")
            } else {
                format!("--kv {keys},{values} goes on")
            }
        }
        SessionError::Prefix(PrefixError::HorizonEps { snapshot, .. }) => format!("--horizon-eps {snapshot:e} goes on"),
        SessionError::Prefix(PrefixError::AlibiBf16 { snapshot: true }) => "--alibi-bf16 goes on".into(),
        SessionError::Prefix(PrefixError::AlibiBf16 { snapshot: false }) => "without --alibi-bf16 it goes on".into(),
        SessionError::Prefix(PrefixError::Ring { .. }) => {
            "a shorter --ring goes on, or one stored with a longer".into()
        }
        SessionError::Prefix(PrefixError::Sinks { has, .. }) => format!("--sinks {has} goes on"),
        SessionError::Plan(PlanError::Prefix { .. }) => "--ctx N makes room".into(),
        _ => return error.into(),
    };
    Error::msg(format!("{error}: {flag}"))
}

/// What was stored.
#[derive(Clone, Debug)]
pub struct Stored {
    name: String,
    n_tokens: usize,
    n_bytes: u64,
}

impl fmt::Display for Stored {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} tokens in {}: {}", self.n_tokens, Bytes(self.n_bytes), self.name)
    }
}

/// Stores a text in a file, which is there whole or not at all.
pub fn save(
    path: &Path,
    force: bool,
    session: &Session<'_, '_, '_>,
    model: ModelId,
    text: &TextState<'_>,
) -> Result<Stored> {
    let snapshot = session.snapshot(model, text)?;
    let n_bytes = snapshot.n_bytes() as u64;
    OutputFile::create_new(path, n_bytes, force)?.write(|out| Ok(snapshot.write(|bytes| out.write_all(bytes))?))?;
    Ok(Stored { name: path.display().to_string(), n_tokens: session.pos(), n_bytes })
}

/// Prints what a stored text is.
pub fn inspect(name: &str, bytes: &[u8], out: &mut impl Write) -> Result<()> {
    let header = SnapshotHeader::read(bytes).with_context(|| name.to_owned())?;
    // Whose it is, it says itself.
    let prefix = Prefix::from_bytes(bytes, header.model).with_context(|| name.to_owned())?;
    let (text, n) = (prefix.text(), header.n_tokens);
    writeln!(out, "{name}: keys and values of {n} tokens, {}", Bytes(header.n_bytes))?;
    writeln!(
        out,
        "  made with {} of {}",
        if text.model_name.is_empty() { "a model" } else { text.model_name },
        header.model
    )?;
    writeln!(
        out,
        "  {} layers, {} heads of {} for keys, in {}",
        header.n_layer, header.n_head_kv, header.head_dim, header.kv
    )?;
    let oldest: Vec<String> = prefix.oldest().map(|from| from.to_string()).collect();
    if oldest.iter().any(|from| from != "0") {
        writeln!(out, "  kept from position (by head) {}, and {} sinks", oldest.join(", "), header.n_sinks)?;
    }
    write!(out, "  horizon at {:e} of the sum", header.horizon_eps)?;
    writeln!(out, "{}", if header.alibi_bf16 { ", bias rounded to bfloat16" } else { "" })?;
    let tokens: Vec<String> = text.last_tokens.iter().map(u32::to_string).collect();
    writeln!(out, "  goes on with seed {} behind the tokens {}", text.seed, tokens.join(" "))?;
    Ok(())
}
