//! Arguments of `nearfield plan`.

use std::path::PathBuf;

use clap::Args;
use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};
use nearfield::{AlibiScale, KvTypes, Ring, SessionConfig};
use nearfield_host::plan::boards;

use crate::args::rings;
use crate::args::slopes;
use crate::args::threads::ThreadsArgs;
use crate::args::{ModelArgs, kv_types, share};

/// Default batch size on a microcontroller, in tokens.
pub const SMALL_BATCH: usize = 8;

#[derive(Args, Debug)]
pub struct PlanArgs {
    /// Model file [default: the built-in model]
    #[arg(value_name = "MODEL.gguf", conflicts_with = "model")]
    pub first: Option<PathBuf>,

    #[command(flatten)]
    pub model: ModelArgs,

    /// Context size in positions
    #[arg(short, long, value_name = "N", default_value_t = SessionConfig::default().n_ctx)]
    pub ctx: usize,

    /// Type of the stored keys and values: f32, f16, q8_0 or q4_0; K,V sets one for keys and one for values
    #[arg(long, value_name = "TYPE|K,V", default_value = "f16", value_parser = kv_types)]
    pub kv: KvTypes,

    /// Newest keys kept by each head, as in `nearfield run --ring`
    #[arg(long, value_name = "RING", default_value = "full", value_parser = rings::parse)]
    pub ring: Ring,

    /// Find a ring for each head so that keys, values and their norms fit in this many bytes, such as 96K or 1.5M
    #[arg(long, value_name = "BYTES", value_parser = bytes, conflicts_with = "ring")]
    pub kv_budget: Option<u64>,

    /// First tokens of the text whose keys are kept in addition to the ring
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub sinks: usize,

    /// ALiBi slopes, as in `nearfield run --alibi-scale`
    #[arg(long, value_name = "SCALE", default_value = "model", value_parser = slopes::parse, allow_negative_numbers = true)]
    pub alibi_scale: AlibiScale,

    /// Plan for a text without end
    #[arg(long)]
    pub endless: bool,

    /// Batch size: tokens that pass a layer together [default: 8 for a microcontroller, else 256]
    #[arg(long, value_name = "N")]
    pub batch: Option<usize>,

    /// Check whether the session fits this board; exit code 1 if it does not
    #[arg(long, value_name = "NAME", value_parser = board(), conflicts_with_all = ["ram", "flash"])]
    pub board: Option<&'static boards::Board>,

    /// Check whether the session fits in this much RAM, in bytes such as 96K or 1.5M; exit code 1 if it does not
    #[arg(long, value_name = "BYTES", value_parser = bytes)]
    pub ram: Option<u64>,

    /// Check whether the model and a firmware fit in this much flash, in bytes such as 96K or 1.5M; exit code 1 if they do not
    #[arg(long, value_name = "BYTES", value_parser = bytes)]
    pub flash: Option<u64>,

    /// Layers that stay in memory or flash, from the first on; a card or another storage brings the others in each pass
    /// (boards: NEARFIELD_LAYERS)
    #[arg(long, value_name = "N", conflicts_with = "features")]
    pub layers: Option<usize>,

    /// Bound the share that rings cut off on any text, by the norms of the weights, and choose rings by it: for --kv-budget, or
    /// for --loss
    #[arg(long, conflicts_with = "ring")]
    pub certify: bool,

    /// Measure the share that rings cut off on this text (- for standard input), and choose rings by it: for --kv-budget, or for
    /// --loss
    #[arg(long, value_name = "FILE", conflicts_with = "ring")]
    pub calibrate: Option<PathBuf>,

    /// Share of the softmax that rings chosen by --certify or --calibrate may cut off if no --kv-budget is given
    #[arg(long, value_name = "E", default_value = "2^-10", value_parser = loss)]
    pub loss: f32,

    /// Share of the text's queries that may lose more than the loss reported
    #[arg(long, value_name = "E", default_value = "1e-3", value_parser = outliers, requires = "calibrate")]
    pub outliers: f32,

    /// Maximum number of tokens of the text to use
    #[arg(long, value_name = "N", requires = "calibrate")]
    pub max_tokens: Option<usize>,

    #[command(flatten)]
    pub threads: ThreadsArgs,

    /// Print the features of the library that the model needs, one a line, and nothing else
    #[arg(long, conflicts_with_all = ["json", "board", "ram", "flash", "certify", "calibrate", "kv_budget"])]
    pub features: bool,

    /// Print a JSON object; `--ring @FILE` reads its `ring`
    #[arg(long)]
    pub json: bool,
}

/// Parses a number of bytes with an optional unit: K, M and G are powers of 1024, kB, MB and GB of 1000.
fn bytes(text: &str) -> Result<u64, &'static str> {
    const WHAT: &str = "a number of bytes such as 98304, 96K or 1.5M";
    let end = text.find(|c: char| c != '.' && !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    let factor = match unit {
        "" | "B" => 1u64,
        "K" | "KiB" => 1 << 10,
        "M" | "MiB" => 1 << 20,
        "G" | "GiB" => 1 << 30,
        "kB" => 1000,
        "MB" => 1_000_000,
        "GB" => 1_000_000_000,
        _ => return Err(WHAT),
    };
    if let Ok(n) = number.parse::<u64>() {
        return n.checked_mul(factor).ok_or(WHAT);
    }
    let product = number.parse::<f64>().map_err(|_| WHAT)? * factor as f64;
    if product < u64::MAX as f64 && factor > 1 { Ok(product as u64) } else { Err(WHAT) }
}

fn board() -> impl TypedValueParser<Value = &'static boards::Board> {
    let names = boards::BOARDS.iter().map(|board| PossibleValue::new(board.name).help(board.what));
    PossibleValuesParser::new(names)
        .try_map(|name| boards::find(&name).ok_or_else(|| format!("there is no board {name}")))
}

fn loss(text: &str) -> Result<f32, &'static str> {
    share(text).ok().filter(|&x| x > 0.0 && x < 1.0).ok_or("a share between 0 and 1 such as 2^-10")
}

fn outliers(text: &str) -> Result<f32, &'static str> {
    share(text).ok().filter(|&x| (0.0..1.0).contains(&x)).ok_or("a share from 0 to 1 such as 1e-3")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_with_and_without_units() {
        let cases = [("0", 0), ("98304", 98304), ("96K", 98304), ("1.5M", 3 << 19), ("2GiB", 2 << 30), ("1kB", 1000)];
        for (text, want) in cases {
            assert_eq!(bytes(text), Ok(want), "{text}");
        }
        for text in ["", "K", "-1", "1.5", "1e3", "96k", "96 K", "20000000000G", "1.2.3M", "x"] {
            assert!(bytes(text).is_err(), "{text}");
        }
    }
}
