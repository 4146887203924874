//! The plan as text and as JSON.

use std::io::Write;

use anyhow::{Result, bail};
use nearfield::{AlibiScale, HeadPlan, Model, SessionConfig, features};
use nearfield_host::plan::calibrate::Calibration;
use nearfield_host::plan::speed::{self, Speed};
use nearfield_host::plan::target::{Need, Weights};
use nearfield_host::plan::{By, Choice, slope};
use serde_json::{Map, Value, json};

use super::advice::{Advice, Ram, smaller_weights};
use super::sheet::Sheet;
use crate::args::rings;
use crate::args::slopes;
use crate::terminal::StandardOutput;
use crate::terminal::columns::{WIDTH, shortened, wrapped};
use crate::terminal::report::{Summary, parts};
use crate::terminal::{Bytes, Count};

/// Prints the plan as text, or with `--json` as JSON. An error if the session does not fit.
pub fn print(sheet: &Sheet<'_>) -> Result<()> {
    let facts = Facts::new(sheet)?;
    let mut out = StandardOutput::lock();
    match sheet.args.json {
        true => writeln!(out, "{:#}", json(&facts))?,
        false => text(&facts, &mut out)?,
    }
    if facts.fits() { Ok(()) } else { bail!("it does not fit: {}", facts.missing()) }
}

/// Prints the features of the library that a model needs, one a line.
pub fn print_features(model: &Model<'_>) -> Result<()> {
    let mut out = StandardOutput::lock();
    for feature in features::of_model(model.gguf())? {
        writeln!(out, "{feature}")?;
    }
    Ok(())
}

/// Sheet with the needs and the advice that follow from it.
struct Facts<'s> {
    sheet: &'s Sheet<'s>,
    /// Last choice of rings, which counts.
    choice: &'s Choice,
    needs: Vec<Need>,
    advice: Vec<Advice>,
    /// Computed speed on the board that was named.
    speed: Option<Speed>,
}

impl<'s> Facts<'s> {
    fn new(sheet: &'s Sheet<'s>) -> Result<Self> {
        let choice = sheet.choices.last().expect("there is at least one");
        let file = sheet.file.n_bytes();
        let weights = sheet.weights.unwrap_or(Weights::in_memory(file));
        let needs = sheet.target.map_or_else(Vec::new, |target| target.needs(&choice.plan, weights));
        let mut advice = Vec::new();
        for need in needs.iter().filter(|need| !need.is_met()) {
            let n_before = advice.len();
            if let (Some(target), "RAM") = (&sheet.target, need.memory) {
                let ram = Ram { shape: sheet.model.shape(), target, config: choice.config, weights };
                advice.extend(ram.advice()?);
            }
            if need.parts.iter().any(|&(part, _)| part == "model") {
                advice.extend(smaller_weights(sheet.model.gguf(), weights, sheet.args.layers, need));
            }
            // Advice for one memory is of no use where nothing helps another.
            if advice.len() == n_before {
                advice.clear();
                break;
            }
        }
        let board = sheet.target.and_then(|target| target.board);
        // Counts of instructions know nothing of a storage.
        let board = board.filter(|_| sheet.weights.is_none());
        let speed = board.and_then(|board| speed::of(board.name, sheet.model));
        Ok(Self { sheet, choice, needs, advice, speed })
    }

    fn fits(&self) -> bool {
        self.needs.iter().all(Need::is_met)
    }

    /// Number of memories that do not suffice.
    fn n_unmet(&self) -> usize {
        self.needs.iter().filter(|need| !need.is_met()).count()
    }

    /// Bytes that each memory lacks.
    fn missing(&self) -> String {
        let unmet = self.needs.iter().filter(|need| !need.is_met());
        let lacks = unmet.map(|need| format!("{} lacks {} bytes", need.memory, need.bytes().abs_diff(need.have)));
        lacks.collect::<Vec<_>>().join(", ")
    }
}

fn text(facts: &Facts<'_>, out: &mut impl Write) -> Result<()> {
    let Facts { sheet, choice, .. } = facts;
    let SessionConfig { n_ctx, n_batch, kv, n_sinks, endless, alibi_scale, .. } = choice.config;
    let name = shortened(&sheet.file.name, WIDTH - 1);
    writeln!(out, "{}", wrapped(&format!("{name}: {}", Summary(sheet.model.shape())), 2))?;
    let endless = if endless { " of an endless text" } else { "" };
    let sinks = if n_sinks > 0 { format!(", {}", Count(n_sinks, "sink")) } else { String::new() };
    let scale = match alibi_scale {
        AlibiScale::Model => String::new(),
        scale => format!(", slopes scaled by {}", slopes::word(scale)),
    };
    let (tokens, batch) = (Count(n_ctx, "token"), Count(n_batch, "token"));
    let line = format!("{tokens}{endless}, keys and values in {kv}{sinks}{scale}, {batch} at a time");
    writeln!(out, "{}", wrapped(&line, 2))?;
    memory(choice, out)?;
    if let (Some(weights), Some(n_layers)) = (&sheet.weights, sheet.args.layers) {
        storage(weights, n_layers, sheet.model.shape().n_layer, out)?;
    }
    for choice in &sheet.choices {
        if choice.forgets() || choice.by != By::Hand {
            heads(sheet, choice, out)?;
        }
    }
    if !facts.needs.is_empty() {
        fit(facts, out)?;
    }
    Ok(())
}

fn memory(choice: &Choice, out: &mut impl Write) -> Result<()> {
    let total = choice.plan.total();
    writeln!(out, "\n{:<18} {:>12}", "memory", "bytes")?;
    for (part, bytes) in parts(&choice.plan) {
        writeln!(out, "  {part:<16} {bytes:>12} {:>6.1} %", 100.0 * bytes as f64 / total as f64)?;
    }
    Ok(writeln!(out, "  {:<16} {total:>12}          {}", "in all", Bytes(total as u64))?)
}

/// Prints the memory of the weights, where a storage brings some of them.
fn storage(weights: &Weights, n_layers: usize, n: usize, out: &mut impl Write) -> Result<()> {
    let Weights { resident, buffers, per_pass } = *weights;
    writeln!(out, "\n{:<18} {:>12}", "weights", "bytes")?;
    writeln!(
        out,
        "  {:<16} {resident:>12}          {n_layers} of {n} layers, and all that belongs to none",
        "in memory"
    )?;
    writeln!(out, "  {:<16} {buffers:>12}          two layers, one read while the other is computed", "buffers")?;
    let seconds = per_pass as f64 / 1e6;
    Ok(writeln!(out, "  {:<16} {per_pass:>12}          {seconds:.2} s at 1 MB/s, in each pass", "read")?)
}

/// Prints a table of the heads, under the method by which their rings were chosen.
fn heads(sheet: &Sheet<'_>, choice: &Choice, out: &mut impl Write) -> Result<()> {
    let shape = sheet.model.shape();
    let title = match (choice.by, &sheet.calibration) {
        (By::Weights, _) => "rings by a bound for any text, from the norms of the weights".into(),
        (By::Text, Some(found)) => {
            format!("rings by a measurement on {}: no bound for other texts", shortened(&found.file, 40))
        }
        (By::Bias, _) => "rings by the bias, as if no key that is cut off fitted better than the query's own".into(),
        (By::Hand, _) | (By::Text, None) => "rings".to_owned(),
    };
    writeln!(out, "\n{title}")?;
    let measured = sheet.calibration.is_some();
    // With both tables beside each other their columns are narrower, so that a line has at most 100.
    let (wide, mean) = if measured && sheet.spread.is_some() { (9, "text mean") } else { (11, "text: mean") };
    let narrow = wide - 1;
    write!(out, "  head      slope      keys       bytes  bias alone")?;
    if sheet.spread.is_some() {
        write!(out, " {:>wide$} {:>narrow$}", "any text", "(spread)")?;
    }
    if measured {
        write!(out, " {mean:>wide$} {:>wide$} {:>wide$}", "most", "held out")?;
    }
    writeln!(out)?;
    for (i, head) in choice.heads.iter().enumerate() {
        let bytes = choice.bytes_of(i);
        write!(
            out,
            "  {i:>4} {:>10} {:>9} {bytes:>11} {:>11}",
            short(slope(shape, &choice.config, i)),
            head.n_seen,
            share(head.bias_cut)
        )?;
        if let Some(spread) = &sheet.spread {
            let (cut, spread) = (share(head.bias_cut + spread[i] as f32), format!("({:.1})", spread[i]));
            write!(out, " {cut:>wide$} {spread:>narrow$}")?;
        }
        if let Some(found) = &sheet.calibration {
            let (cut, held_out) = found.cut(i, n_blocks(head));
            let held_out = held_out.map_or("-".into(), |cut| share(cut.most.ln() as f32));
            let [mean, most] = [cut.mean, cut.most].map(|cut| share(cut.ln() as f32));
            write!(out, " {mean:>wide$} {most:>wide$} {held_out:>wide$}")?;
        }
        writeln!(out)?;
    }
    writeln!(out, "  keys and values with their norms: {} bytes", choice.cache_bytes())?;
    if choice.by != By::Hand {
        writeln!(out, "  --ring {}", rings::word(&choice.config.ring))?;
    }
    if let (By::Text, Some(found)) = (choice.by, &sheet.calibration) {
        let (n, outliers) = (found.n_pieces, sheet.args.outliers);
        let line = format!(
            "  chosen by {n} of {} pieces of the context's length, all queries but {outliers:e} of them; the others check: \
             `nearfield perplexity` tells what it costs",
            n + found.n_held_out
        );
        writeln!(out, "{}", wrapped(&line, 4))?;
    }
    Ok(())
}

fn fit(facts: &Facts<'_>, out: &mut impl Write) -> Result<()> {
    let name = match facts.sheet.target.and_then(|target| target.board) {
        Some(board) => format!("{} ({})", board.name, board.what),
        None => "what there is".into(),
    };
    writeln!(out, "\n{name}")?;
    for need in &facts.needs {
        let parts: Vec<String> = need.parts.iter().map(|(part, bytes)| format!("{part} {bytes}")).collect();
        let (bytes, have) = (need.bytes(), need.have);
        let difference = if need.is_met() { "left" } else { "missing" };
        let (parts, rest) = (parts.join(", "), bytes.abs_diff(have));
        let line = format!("  {:<6} {bytes} of {have}: {parts}; {rest} {difference}", need.memory);
        writeln!(out, "{}", wrapped(&line, 9))?;
    }
    writeln!(out, "{}", if facts.fits() { "it fits" } else { "it does not fit" })?;
    if let (true, Some(speed)) = (facts.fits(), facts.speed) {
        writeln!(out, "  speed  {speed}, computed (docs/boards-speed.md): nobody has measured it")?;
    }
    if facts.fits() {
        return Ok(());
    }
    match &facts.advice[..] {
        [] => writeln!(out, "nothing that was tried would make it fit")?,
        _ if facts.n_unmet() > 1 => writeln!(out, "\nwhat would make it fit, one change for each memory")?,
        _ => writeln!(out, "\nwhat would make it fit, each planned by itself")?,
    }
    for advice in &facts.advice {
        let cut = advice.bias_cut.map_or(String::new(), |cut| format!(", cuts off {} by the bias", share(cut)));
        writeln!(out, "  {:<44} {} {}{cut}", advice.what, advice.memory, advice.need)?;
    }
    Ok(())
}

/// Formats a share of the softmax, from its natural logarithm.
fn share(ln: f32) -> String {
    match ln {
        f32::NEG_INFINITY => "nothing".into(),
        ln if ln >= 0.0 => "no bound".into(),
        ln => format!("{:.1e}", f64::from(ln).exp()),
    }
}

/// Formats a slope in a few characters.
fn short(slope: f32) -> String {
    let exponent = -slope.log2();
    if slope > 0.0 && exponent.fract() == 0.0 { format!("2^-{exponent}") } else { format!("{slope:.6}") }
}

/// Number of blocks of a head's ring.
fn n_blocks(head: &HeadPlan) -> usize {
    head.n_seen.div_ceil(nearfield::kernels::KV_BLOCK)
}

fn json(facts: &Facts<'_>) -> Value {
    let Facts { sheet, choice, .. } = facts;
    let config = &choice.config;
    let mut object = Map::new();
    let mut set = |name: &str, value: Value| object.insert(name.into(), value);
    set("model", json!(sheet.file.name));
    set("model_bytes", json!(sheet.file.n_bytes()));
    set("n_ctx", json!(config.n_ctx));
    set("n_batch", json!(config.n_batch));
    set("kv", json!(config.kv.to_string()));
    set("n_sinks", json!(config.n_sinks));
    set("endless", json!(config.endless));
    set("alibi_scale", json!(slopes::word(config.alibi_scale)));
    set("ring", json!(rings::word(&config.ring)));
    let plan = &choice.plan;
    set(
        "memory",
        json!({
            "kv_cache": plan.kv_cache,
            "key_norms": plan.key_norms,
            "layer_table": plan.layer_table,
            "activations": plan.activations,
            "logits": plan.logits,
            "tokenizer": plan.tokenizer,
            "total": plan.total(),
        }),
    );
    if let Some(weights) = &sheet.weights {
        let Weights { resident, buffers, per_pass } = weights;
        set(
            "weights",
            json!({ "layers": sheet.args.layers, "resident": resident, "buffers": buffers, "read_per_pass": per_pass }),
        );
    }
    set("rings", sheet.choices.iter().map(|choice| rings_json(sheet, choice)).collect());
    if let Some(found) = &sheet.calibration {
        set("calibration", calibration_json(sheet, found));
    }
    if !facts.needs.is_empty() {
        set("fit", fit_json(facts));
    }
    Value::Object(object)
}

fn rings_json(sheet: &Sheet<'_>, choice: &Choice) -> Value {
    let shape = sheet.model.shape();
    let by = match choice.by {
        By::Hand => "hand",
        By::Bias => "bias",
        By::Weights => "weights",
        By::Text => "text",
    };
    let head = |(i, head): (usize, &HeadPlan)| {
        let mut object = json!({
            "head": i,
            "slope": slope(shape, &choice.config, i),
            "n_seen": head.n_seen,
            "n_rows": head.n_rows,
            "bytes": choice.bytes_of(i),
            "bias_cut": bound(head.bias_cut),
        });
        if let Some(spread) = &sheet.spread {
            object["any_text_cut"] = bound(head.bias_cut + spread[i] as f32);
            object["any_text_spread"] = json!(spread[i]);
        }
        if let Some(found) = &sheet.calibration {
            let (cut, held_out) = found.cut(i, n_blocks(head));
            object["text_cut_mean"] = json!(cut.mean);
            object["text_cut_most"] = json!(cut.most);
            object["held_out_cut_mean"] = json!(held_out.map(|cut| cut.mean));
            object["held_out_cut_most"] = json!(held_out.map(|cut| cut.most));
        }
        object
    };
    json!({
        "by": by,
        "ring": rings::word(&choice.config.ring),
        "cache_bytes": choice.cache_bytes(),
        "heads": choice.heads.iter().enumerate().map(head).collect::<Vec<_>>(),
    })
}

/// Share from its natural logarithm: 0 where nothing is cut off, null where there is no bound below 1.
fn bound(ln: f32) -> Value {
    if ln < 0.0 { json!(f64::from(ln).exp()) } else { Value::Null }
}

fn calibration_json(sheet: &Sheet<'_>, found: &Calibration) -> Value {
    json!({
        "text": found.file,
        "n_tokens": found.n_tokens,
        "n_pieces": found.n_pieces,
        "n_held_out": found.n_held_out,
        "loss": sheet.args.loss,
        "outliers": sheet.args.outliers,
    })
}

fn fit_json(facts: &Facts<'_>) -> Value {
    let need = |need: &Need| {
        let parts: Map<String, Value> = need.parts.iter().map(|&(part, bytes)| (part.into(), json!(bytes))).collect();
        json!({ "memory": need.memory, "have": need.have, "need": need.bytes(), "parts": parts, "fits": need.is_met() })
    };
    let advice = |advice: &Advice| json!({ "what": advice.what, "memory": advice.memory, "need": advice.need, "bias_cut": advice.bias_cut.map(bound) });
    json!({
        "board": facts.sheet.target.and_then(|target| target.board).map(|board| board.name),
        "fits": facts.fits(),
        "needs": facts.needs.iter().map(need).collect::<Vec<_>>(),
        "computed_tokens_per_second": facts.speed.map(|speed| json!([speed.tokens.least, speed.tokens.most])),
        "advice": facts.advice.iter().map(advice).collect::<Vec<_>>(),
    })
}
