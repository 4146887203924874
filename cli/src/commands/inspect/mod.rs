//! `nearfield inspect`: shows the contents of a model file or snapshot, and the memory to run it.

mod json;

use std::collections::BTreeMap;
use std::fmt;
use std::io::Write;
use std::path::PathBuf;

use anyhow::{Context, Result};
use clap::Args;
use nearfield::gguf::{Array, Value};
use nearfield::tokenizer::Vocab;
use nearfield::{
    EncoderConfig, EncoderPlan, Gguf, KvType, KvTypes, MemoryPlan, Model, Pooling, Prefix, SessionConfig,
    SnapshotHeader,
};
use nearfield_host::chat::SavedChat;
use nearfield_host::engine::N_BATCH;
use nearfield_host::memory::allocate;
use nearfield_host::model_file::{ModelFile, is_snapshot};
use nearfield_host::snapshot_file;
use nearfield_host::text;
use nearfield_kernels::block::gguf_type_name;

use self::json::{ModelObject, SnapshotObject};
use crate::args::ModelArgs;
use crate::json::print;
use crate::terminal::StandardOutput;
use crate::terminal::columns::{WIDTH, shortened, width};
use crate::terminal::monitor;
use crate::terminal::report::{Summary, parts};
use crate::terminal::{Bytes, Count};

#[derive(Args, Debug)]
pub struct InspectArgs {
    /// Model file, or a snapshot of `run --save-kv` [default: the built-in model]
    #[arg(value_name = "MODEL.gguf", conflicts_with = "model")]
    pub first: Option<PathBuf>,

    #[command(flatten)]
    pub model: ModelArgs,

    /// Context size in positions, for the memory plan
    #[arg(short, long, value_name = "N", default_value_t = SessionConfig::default().n_ctx)]
    pub ctx: usize,

    /// Print a JSON object
    #[arg(long)]
    pub json: bool,
}

/// Prints the metadata, the tensors and the memory plan; of a snapshot, its header.
pub fn inspect(args: &InspectArgs) -> Result<()> {
    let file = ModelFile::open(args.model.or(&args.first)?, monitor())?;
    if args.json {
        return inspect_as_json(args, &file);
    }
    let mut out = StandardOutput::lock();
    if is_snapshot(file.first()) {
        return snapshot(&file.name, file.first(), &mut out);
    }
    // A broken file is shown as far as it can be read.
    let (gguf, is_broken) = file.gguf_partly();
    if !matches!(gguf.version(), 2 | 3) {
        return Ok(file.gguf().map(drop)?);
    }
    let name = shortened(&file.name, NAME_WIDTH);
    writeln!(out, "{name}: GGUF version {}, {}", gguf.version(), Bytes(file.n_bytes()))?;
    if file.n_parts() > 1 {
        writeln!(out, "  in {} files", file.n_parts())?;
    }
    metadata(&gguf, &mut out)?;
    tensors(&gguf, &mut out)?;
    if is_broken {
        return Ok(file.gguf().map(drop)?);
    }
    let model = file.model();
    if let Ok(model) = &model {
        shape(model, &mut out)?;
        needs(model, args.ctx, &mut out)?;
    }
    if let Err(error) = file.vocab().and_then(with_tokenizer) {
        writeln!(out, "\nno text: {error:#}")?;
    }
    Ok(model.map(drop).inspect_err(|error| {
        // The exit code alone reports the error if standard output is closed.
        let _ = writeln!(out, "\ncannot run: {error:#}");
    })?)
}

/// Prints all of it as one object. Like the text, the object has what can be read of a broken file.
fn inspect_as_json(args: &InspectArgs, file: &ModelFile) -> Result<()> {
    if is_snapshot(file.first()) {
        return print(&SnapshotObject::new(&file.name, file.first())?);
    }
    let (gguf, _) = file.gguf_partly();
    if !matches!(gguf.version(), 2 | 3) {
        return Ok(file.gguf().map(drop)?);
    }
    let model = file.model();
    let no_text = || file.vocab().and_then(with_tokenizer).err();
    let error = model.as_ref().err().map(|error| format!("{error:#}"));
    let error = error.or_else(|| no_text().map(|error| format!("no text: {error:#}")));
    print(&ModelObject::new(file, &gguf, model.as_ref().ok(), error, args.ctx)?)?;
    Ok(model.map(drop)?)
}

/// Prints the header of a snapshot.
fn snapshot(name: &str, bytes: &[u8], out: &mut impl Write) -> Result<()> {
    let (bytes, chat) = snapshot_file::parts(bytes);
    let header = SnapshotHeader::read(bytes).with_context(|| name.to_owned())?;
    // The snapshot's header names the model it belongs to, so the check against that model always passes.
    let prefix = Prefix::from_bytes(bytes, header.model).with_context(|| name.to_owned())?;
    let (text, n) = (prefix.text(), header.n_tokens);
    let name = shortened(name, NAME_WIDTH - 20);
    writeln!(out, "{name}: keys and values of {}, {}", Count(n, "token"), Bytes(header.n_bytes))?;
    writeln!(
        out,
        "  made with {} of {}",
        if text.model_name.is_empty() { "a model" } else { text.model_name },
        header.model
    )?;
    writeln!(
        out,
        "  {}, {} of {} for keys, in {}",
        Count(header.n_layer, "layer"),
        Count(header.n_head_kv, "head"),
        header.head_dim,
        header.kv
    )?;
    let oldest: Vec<String> = prefix.oldest().map(|from| from.to_string()).collect();
    if oldest.iter().any(|from| from != "0") {
        writeln!(out, "  kept from position (by head) {}, and {}", oldest.join(", "), Count(header.n_sinks, "sink"))?;
    }
    write!(out, "  horizon at {:e} of the sum", header.horizon_eps)?;
    writeln!(out, "{}", if header.alibi_bf16 { ", bias rounded to bfloat16" } else { "" })?;
    let tokens: Vec<String> = text.last_tokens.iter().map(u32::to_string).collect();
    writeln!(out, "  goes on with seed {} behind the tokens {}", text.seed, tokens.join(" "))?;
    if let Some(chat) = chat {
        let chat = SavedChat::from_bytes(chat).with_context(|| name.to_owned())?;
        let answers = if chat.n_turns() == 1 { "answer" } else { "answers" };
        writeln!(out, "  a chat of {} {answers} in a context of {}", chat.n_turns(), chat.n_ctx)?;
    }
    Ok(())
}

/// Checks that a tokenizer can be made from the vocabulary, as every command that reads a text makes it.
fn with_tokenizer(vocab: Vocab<'_>) -> nearfield_host::Result<()> {
    let mut lines = allocate(text::index_bytes(&vocab)?)?;
    text::tokenizer(vocab, &mut lines, monitor()).map(drop)
}

fn metadata(gguf: &Gguf<'_>, out: &mut impl Write) -> Result<()> {
    writeln!(out, "\nmetadata, {} {}", gguf.n_entries(), if gguf.n_entries() == 1 { "entry" } else { "entries" })?;
    for (key, value) in gguf.entries() {
        let key = key.escape_debug().to_string();
        let room = (WIDTH - 3).saturating_sub(width(&key).max(40));
        writeln!(out, "  {key:<40} {}", Shown { value, room: room.max(MIN_ROOM) })?;
    }
    Ok(())
}

/// Columns of the file's name, and of a tensor's.
const NAME_WIDTH: usize = 70;
const TENSOR_WIDTH: usize = 56;
/// Elements of an array that are shown at most.
const N_SHOWN: usize = 6;
/// Columns of a value even behind a long key.
const MIN_ROOM: usize = 32;

/// A value in one line of at most `room` columns, whatever is in it.
struct Shown<'f> {
    value: Value<'f>,
    room: usize,
}

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.value {
            Value::U8(x) => write!(f, "{x}"),
            Value::I8(x) => write!(f, "{x}"),
            Value::U16(x) => write!(f, "{x}"),
            Value::I16(x) => write!(f, "{x}"),
            Value::U32(x) => write!(f, "{x}"),
            Value::I32(x) => write!(f, "{x}"),
            Value::U64(x) => write!(f, "{x}"),
            Value::I64(x) => write!(f, "{x}"),
            Value::F32(x) => write!(f, "{x}"),
            Value::F64(x) => write!(f, "{x}"),
            Value::Bool(x) => write!(f, "{x}"),
            Value::String(bytes) => f.write_str(&string(bytes, self.room)),
            Value::Array(array) => f.write_str(&elements(array, self.room)),
        }
    }
}

/// String in quotes; one that has no room is cut, with the number of its bytes behind it.
fn string(bytes: &[u8], room: usize) -> String {
    // A letter takes a column or more.
    let shown = &bytes[..bytes.len().min(4 * room)];
    let text = String::from_utf8_lossy(shown).escape_debug().to_string();
    if shown.len() == bytes.len() && width(&text) + 2 <= room {
        return format!("\"{text}\"");
    }
    let end = format!("\"... ({} bytes)", bytes.len());
    let text: String = text.chars().take(room.saturating_sub(1 + end.len())).collect();
    format!("\"{text}{end}")
}

/// Number, type and first elements of an array, as many as have room.
fn elements(array: Array<'_>, room: usize) -> String {
    let mut text = format!("{} x {}:", array.len, array.ty.name());
    let mut n_shown = 0;
    for value in array.iter().take(N_SHOWN) {
        let element = match value {
            // Arrays in arrays are only counted.
            Value::Array(inner) => format!(" [{} x {}]", inner.len, inner.ty.name()),
            value => format!(" {}", Shown { value, room }),
        };
        let end = if n_shown + 1 < array.len { " ...".len() } else { 0 };
        if n_shown > 0 && width(&text) + width(&element) + end > room {
            break;
        }
        text += &element;
        n_shown += 1;
    }
    if n_shown < array.len { text + " ..." } else { text }
}

fn tensors(gguf: &Gguf<'_>, out: &mut impl Write) -> Result<()> {
    writeln!(out, "\ntensors, {}", gguf.n_tensors())?;
    let mut by_type: BTreeMap<u32, (u64, u64)> = BTreeMap::new();
    let (mut n_weights, mut bytes) = (0.0, 0.0);
    for tensor in gguf.tensors() {
        let dims = &tensor.dims[..tensor.n_dims];
        let dims = dims.iter().map(u64::to_string).collect::<Vec<_>>().join(" x ");
        let size = tensor.n_bytes().map_or("unknown size".into(), |n| Bytes(n).to_string());
        let name = shortened(&tensor.name.escape_debug().to_string(), TENSOR_WIDTH);
        writeln!(out, "  {name:<32} {:<8} {dims:>16} {size:>12}", gguf_type_name(tensor.ty))?;
        let (n, n_bytes) = by_type.entry(tensor.ty).or_default();
        *n += 1;
        *n_bytes = n_bytes.saturating_add(tensor.n_bytes().unwrap_or(0));
        if let Some(n) = tensor.n_bytes() {
            n_weights += tensor.dims.iter().map(|&n| n as f64).product::<f64>();
            bytes += n as f64;
        }
    }
    writeln!(out, "\ntypes")?;
    for (ty, (n, n_bytes)) in by_type {
        let tensors = if n == 1 { "tensor" } else { "tensors" };
        writeln!(out, "  {:<8} {n:>5} {tensors:<7} {:>12}", gguf_type_name(ty), Bytes(n_bytes))?;
    }
    if n_weights > 0.0 {
        writeln!(out, "  {n_weights} weights of {:.2} bits", 8.0 * bytes / n_weights)?;
    }
    Ok(())
}

fn shape(model: &Model<'_>, out: &mut impl Write) -> Result<()> {
    let s = model.shape();
    writeln!(out, "\nshape\n  {}", Summary(s))?;
    write!(out, "  trained for {}", Count(s.n_ctx_train, "token"))?;
    if s.max_alibi_bias != 0.0 {
        write!(out, ", largest ALiBi exponent {}", s.max_alibi_bias)?;
    }
    if let Some(length) = s.alibi_train_length {
        write!(out, ", slopes shrink beyond {length} tokens")?;
    }
    if let Some(n) = s.n_positions {
        write!(out, ", {n} learned positions")?;
    }
    writeln!(out)?;
    if let Some(limit) = s.clamp_kqv {
        writeln!(out, "  queries, keys and values clamped to {limit}")?;
    }
    Ok(())
}

/// Parts of a plan with their bytes, and their sum.
type Parts = Vec<(&'static str, usize)>;

/// Plans for a context of `n_ctx` tokens, or as many as the model has positions for, one for each type of keys and values.
fn plans(model: &Model<'_>, n_ctx: usize) -> Result<(usize, Vec<Parts>)> {
    let n_ctx = model.shape().n_positions.map_or(n_ctx, |n| n.min(n_ctx));
    let plan =
        |ty| if model.shape().arch.is_encoder() { of_encoder(model, n_ctx, ty) } else { of_session(model, n_ctx, ty) };
    Ok((n_ctx, KvType::ALL.into_iter().map(plan).collect::<Result<_>>()?))
}

fn of_encoder(model: &Model<'_>, n_ctx: usize, ty: KvType) -> Result<Parts> {
    let config = EncoderConfig { n_ctx, n_batch: N_BATCH, kv: KvTypes::both(ty), ..EncoderConfig::DEFAULT };
    let plan = EncoderPlan::new(model.shape(), &config)?;
    Ok(vec![
        ("keys and values", plan.keys),
        ("layer table", plan.layer_table),
        ("document", plan.document),
        ("activations", plan.activations),
        ("tokenizer index", plan.tokenizer),
        ("arena", plan.total()),
    ])
}

fn of_session(model: &Model<'_>, n_ctx: usize, ty: KvType) -> Result<Parts> {
    let config = SessionConfig { n_ctx, n_batch: N_BATCH, kv: KvTypes::both(ty), ..SessionConfig::default() };
    let plan = MemoryPlan::new(model.shape(), &config)?;
    Ok(parts(&plan).into_iter().chain([("arena", plan.total())]).collect())
}

/// Prints a table of bytes: a row for each part of the plans, a column for each type of keys and values.
fn memory(model: &Model<'_>, n_ctx: usize, out: &mut impl Write) -> Result<()> {
    let (n_ctx, plans) = plans(model, n_ctx)?;
    write!(out, "\n  {:<16}", format!("{}, KV", Count(n_ctx, "token")))?;
    KvType::ALL.iter().try_for_each(|kv| write!(out, " {:>10}", kv.name()))?;
    for (i, (part, _)) in plans[0].iter().enumerate() {
        write!(out, "\n  {part:<16}")?;
        plans.iter().try_for_each(|plan| write!(out, " {:>10}", Bytes(plan[i].1 as u64)))?;
    }
    Ok(writeln!(out)?)
}

/// Prints what it takes to run the model.
fn needs(model: &Model<'_>, n_ctx: usize, out: &mut impl Write) -> Result<()> {
    if model.shape().arch.is_encoder() {
        let pooling = match Pooling::of_file(model.gguf(), model.shape().arch.name) {
            Some(pooling) => format!("a vector for a text (pooling: {})", pooling.name()),
            None => "a score for a query and a text".into(),
        };
        writeln!(out, "  an encoder: {pooling}, {}", Count(model.shape().n_token_types, "token type"))?;
        writeln!(out, "\nto run it")?;
    } else {
        writeln!(out, "\nto run it")?;
        writeln!(out, "  {} of weights are read for each new token", Bytes(model.bytes_per_token()))?;
    }
    memory(model, n_ctx, out)
}
