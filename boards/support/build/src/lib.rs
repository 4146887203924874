//! Build script of all firmwares. It puts the board's memory map where the linker looks, and the model's path, its checksum, the
//! features that it needs, its tokenizer's index and the snapshot of a text where `nearfield_boards::image!` finds them; a compiled
//! grammar where `nearfield_boards::grammar!` finds it.
//!
//! Variables choose what else a firmware is built around, as paths relative to the firmware's folder:
//!
//! - `NEARFIELD_MODEL`: a model in place of the board's
//! - `NEARFIELD_CTX`: the number of tokens of its context, in place of the board's
//! - `NEARFIELD_KV`: a snapshot by `nearfield run --save-kv`, which every text goes on with
//! - `NEARFIELD_LAYERS`: the number of the model's layers that lie in flash; a card holds the model file, and brings the others

use std::error::Error;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::{env, fs};

use nearfield::kernels::Layout;
use nearfield::tokenizer::{Tokenizer, Vocab};
use nearfield::{
    Arena, Gguf, Grammar, GrammarError, Line, Model, ModelId, Prefix, Shape, TokenTrie, TriePlan, checksum, features,
};

/// Words of memory for compiling a grammar, at most: 64 MiB.
const MAX_WORDS: usize = 1 << 24;

/// Prepares a firmware with the model at `model`, relative to its folder, and with the `memory.x` there. Without one, the chip's support crate
/// has the memory map.
///
/// # Panics
/// Panics when a file cannot be read or written, or cannot be used: cargo shows the message.
pub fn firmware(model: impl AsRef<Path>) {
    memory_map();
    image(&chosen(model.as_ref()));
    // Firmwares whose logs are a feature need the linker script here; the others name it in their .cargo/config.toml.
    if env::var_os("CARGO_FEATURE_DEFMT").is_some() {
        println!("cargo:rustc-link-arg=-Tdefmt.x");
    }
}

/// Compiles the grammar in the file `gbnf`, and sorts the tokens of the model at `model`, for `nearfield_boards::grammar!`. Both files
/// are relative to the firmware's folder.
///
/// # Panics
/// Panics when a file cannot be read or written, or the grammar cannot be used: cargo shows the message.
pub fn grammar(gbnf: impl AsRef<Path>, model: impl AsRef<Path>) {
    let (gbnf, model) = (gbnf.as_ref(), &chosen(model.as_ref()));
    println!("cargo:rerun-if-changed={}", gbnf.display());
    let words = used(gbnf, words(gbnf));
    let words: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
    write("grammar.words", words);
    write("tokens.index", used(model, sorted_tokens(model)));
}

/// Value of a variable; `None` if it is empty.
fn variable(name: &str) -> Option<OsString> {
    println!("cargo:rerun-if-env-changed={name}");
    env::var_os(name).filter(|value| !value.is_empty())
}

/// Absolute path of the model: `NEARFIELD_MODEL`, or the board's.
fn chosen(model: &Path) -> PathBuf {
    let path = variable("NEARFIELD_MODEL").map_or_else(|| model.to_owned(), PathBuf::from);
    println!("cargo:rerun-if-changed={}", path.display());
    used(&path, fs::canonicalize(&path).map_err(Into::into))
}

/// Words of the compiled grammar in a file.
fn words(gbnf: &Path) -> Result<Vec<u32>, Box<dyn Error>> {
    let text = fs::read_to_string(gbnf)?;
    let mut memory = vec![0; 256 + 16 * text.len()];
    loop {
        match Grammar::compile(&text, &mut memory) {
            Err(GrammarError::Memory { have }) if have < MAX_WORDS => memory.resize(4 * have, 0),
            grammar => return Ok(grammar?.words().to_vec()),
        }
    }
}

/// Index of a model's sorted tokens, as [`TokenTrie::prepared`] takes it.
fn sorted_tokens(model: &Path) -> Result<Vec<u8>, Box<dyn Error>> {
    let file = fs::read(model)?;
    with_tokenizer(&file, |tokenizer| {
        let plan = TriePlan::new(tokenizer)?;
        let [mut lines, mut scratch] = [plan.bytes, plan.scratch].map(|bytes| vec![Line::ZERO; bytes / Line::BYTES]);
        let trie = TokenTrie::new(tokenizer, &plan, &mut Arena::new(&mut lines), &mut Arena::new(&mut scratch))?;
        Ok(trie.index(tokenizer.vocab()).collect())
    })
}

/// Puts `memory.x`, if the board has one, where the linker looks for it.
fn memory_map() {
    let out = out_dir();
    if !Path::new("memory.x").exists() {
        return;
    }
    fs::copy("memory.x", out.join("memory.x")).expect("cargo's OUT_DIR can be written to");
    println!("cargo:rustc-link-search={}", out.display());
    println!("cargo:rerun-if-changed=memory.x");
}

/// Hands the model, its checksum, the features that it needs, its tokenizer's index and the snapshot to `image!`.
fn image(path: &Path) {
    let file = used(path, fs::read(path).map_err(Into::into));
    used(path, runs(&file));
    let (in_flash, card) = match variable("NEARFIELD_LAYERS") {
        None => (path.to_owned(), None),
        Some(n_layers) => {
            let (resident, card) = used(path, resident(&file, &n_layers.to_string_lossy()));
            write("resident.gguf", &resident);
            (out_dir().join("resident.gguf"), Some((resident, card)))
        }
    };
    let mut needed = used(path, features(path, &file));
    if card.is_some() {
        let message = "NEARFIELD_LAYERS needs the feature `stream`: boards/run riscv-virt --bin streamed gives it";
        needed.push(("stream", message.into()));
    }
    let flash = card.as_ref().map_or(&file, |(resident, _)| resident);
    println!("cargo:rustc-env=NEARFIELD_CHECKSUM={}", checksum(flash));
    write("card.rs", card.map_or_else(|| "None".into(), |(_, card)| format!("Some({card})")));
    let text = in_flash.to_str().ok_or("the path is no UTF-8".into());
    println!("cargo:rustc-env=NEARFIELD_MODEL_PATH={}", used(path, text));
    println!("cargo:rustc-env=NEARFIELD_MODEL_NAME={}", path.file_name().unwrap_or_default().display());
    write("context.rs", format!("{:?}", context()));
    write("features.rs", format!("&{needed:?}"));
    write("tokenizer.index", used(path, index(&file)));
    let snapshot = variable("NEARFIELD_KV").map(PathBuf::from);
    write("prefix.kv", snapshot.map_or_else(Vec::new, |path| used(&path, prefix(&path, &file))));
}

/// Part of a model file that lies in flash with its first `n_layers` layers, and the `Card` with the others, as Rust reads it.
fn resident(file: &[u8], n_layers: &str) -> Result<(Vec<u8>, String), Box<dyn Error>> {
    let gguf = Gguf::parse(file)?;
    let n = Shape::from_gguf(&gguf)?.n_layer;
    let n_layers: usize =
        n_layers.parse().ok().filter(|&n_layers| n_layers < n).ok_or_else(|| {
            format!("NEARFIELD_LAYERS is {n_layers}: a number below {n}, all of its layers, is needed")
        })?;
    let mut resident = gguf.tables().to_vec();
    for range in gguf.resident_data(n_layers) {
        resident.extend_from_slice(&file[range.start as usize..range.end as usize]);
    }
    let card = format!("Card {{ n_layers: {n_layers}, n_bytes: {}, checksum: {} }}", file.len(), checksum(file));
    Ok((resident, card))
}

/// Result of using the file at `path`; cargo shows the error.
fn used<T>(path: &Path, result: Result<T, Box<dyn Error>>) -> T {
    result.unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Writes a file where `image!` and `grammar!` look for it.
fn write(name: &str, content: impl AsRef<[u8]>) {
    fs::write(out_dir().join(name), content).expect("cargo's OUT_DIR can be written to");
}

/// Number of tokens in `NEARFIELD_CTX`.
fn context() -> Option<usize> {
    let text = variable("NEARFIELD_CTX")?;
    let n = text.to_str().and_then(|text| text.parse().ok()).filter(|&n| n > 0);
    Some(n.unwrap_or_else(|| panic!("NEARFIELD_CTX is {}: a number of tokens is needed", text.display())))
}

/// Checks that the model loads and writes texts.
fn runs(file: &[u8]) -> Result<(), Box<dyn Error>> {
    let lines = lines(file);
    let model = Model::from_gguf(&Line::bytes(&lines)[..file.len()])?;
    if model.shape().arch.is_encoder() {
        return Err("an encoder, which gives embeddings or scores, and writes no text".into());
    }
    let is_packed = |ty| matches!(Layout::from_gguf(ty), Some((_, Layout::Interleaved)));
    if is_slow_where_packed() && model.gguf().tensors().any(|tensor| is_packed(tensor.ty)) {
        return Err(
            "it is packed, and would run several times slower on this processor: take the file that it was packed from"
                .into(),
        );
    }
    Ok(())
}

/// True for processors without a floating-point unit, whose kernels have no loops for interleaved rows: from a packed file a token of the
/// pocket model takes a Cortex-M0+ 73 million instructions in place of 18, and RV32 40 in place of 13.
fn is_slow_where_packed() -> bool {
    let target = env::var("TARGET").expect("cargo sets TARGET");
    target.starts_with("thumbv6m") || target.starts_with("riscv32")
}

/// Copy of bytes at a multiple of 64.
fn lines(bytes: &[u8]) -> Vec<Line> {
    let mut lines = vec![Line::ZERO; bytes.len().div_ceil(Line::BYTES)];
    Line::bytes_mut(&mut lines)[..bytes.len()].copy_from_slice(bytes);
    lines
}

/// Bytes of the snapshot at `path`; an error if it is damaged or another model's.
fn prefix(path: &Path, model: &[u8]) -> Result<Vec<u8>, Box<dyn Error>> {
    println!("cargo:rerun-if-changed={}", path.display());
    let bytes = fs::read(path)?;
    Prefix::from_bytes(&Line::bytes(&lines(&bytes))[..bytes.len()], ModelId::of(model))?;
    Ok(bytes)
}

/// Features of `nearfield` that a model needs, each with the message for a firmware without it.
fn features(model: &Path, file: &[u8]) -> Result<Vec<(&'static str, String)>, Box<dyn Error>> {
    let gguf = Gguf::parse(file)?;
    let needed: Vec<_> = features::of_model(&gguf)?.collect();
    let message = |feature: &str| {
        format!(
            "{} needs the feature `{feature}`: boards/run and boards/dist give it, or --features {}",
            model.display(),
            cargo_features(&needed)
        )
    };
    Ok(needed.iter().map(|&feature| (feature, message(feature))).collect())
}

/// Features of `nearfield` as cargo takes them behind `--features` for a firmware.
pub fn cargo_features(names: &[&str]) -> String {
    names.iter().map(|name| format!("nearfield/{name}")).collect::<Vec<_>>().join(",")
}

/// Index of a model's tokenizer, as [`Tokenizer::prepared`] takes it.
fn index(file: &[u8]) -> Result<Vec<u8>, Box<dyn Error>> {
    with_tokenizer(file, |tokenizer| Ok(tokenizer.index().collect()))
}

/// Calls `then` with a model's tokenizer.
fn with_tokenizer<T>(
    file: &[u8],
    then: impl FnOnce(&Tokenizer<'_, '_>) -> Result<T, Box<dyn Error>>,
) -> Result<T, Box<dyn Error>> {
    let vocab = Vocab::from_gguf(&Gguf::parse(file)?)?;
    let bytes = Tokenizer::index_bytes(vocab.tokens.len(), vocab.merges.len()).ok_or("a vocabulary of no size")?;
    let mut memory = vec![Line::ZERO; bytes / Line::BYTES];
    then(&Tokenizer::new(vocab, &mut Arena::new(&mut memory))?)
}

fn out_dir() -> PathBuf {
    PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets OUT_DIR"))
}
