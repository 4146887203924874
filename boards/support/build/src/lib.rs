//! Build script of all firmwares. It puts the board's memory map where the linker looks, and the model's checksum, the types of
//! its weights, its tokenizer's index and the snapshot of a text where `nearfield_boards::image!` finds them; a compiled grammar where
//! `nearfield_boards::grammar!` finds it.

use std::error::Error;
use std::path::{Path, PathBuf};
use std::{env, fs};

use nearfield::tokenizer::{Tokenizer, Vocab};
use nearfield::{Arena, Gguf, Grammar, GrammarError, Line, ModelId, Prefix, TokenTrie, TriePlan, checksum};

/// Words of memory for compiling a grammar, at most: 64 MiB.
const MAX_WORDS: usize = 1 << 24;

/// Prepares a firmware with a `memory.x` in its folder and the model at `model`, relative to that folder. The variable
/// `NEARFIELD_KV` may name a snapshot by `nearfield run --save-kv`, relative to the folder too, which the firmware continues.
///
/// # Panics
/// Panics when a file cannot be read or written: cargo shows the message.
pub fn firmware(model: impl AsRef<Path>) {
    memory_map();
    image(model.as_ref());
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
    let (gbnf, model) = (gbnf.as_ref(), model.as_ref());
    println!("cargo:rerun-if-changed={}", gbnf.display());
    println!("cargo:rerun-if-changed={}", model.display());
    let words = words(gbnf).unwrap_or_else(|error| panic!("{}: {error}", gbnf.display()));
    let words: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
    fs::write(out_dir().join("grammar.words"), words).expect("cargo's OUT_DIR can be written to");
    let tokens = sorted_tokens(model).unwrap_or_else(|error| panic!("{}: {error}", model.display()));
    fs::write(out_dir().join("tokens.index"), tokens).expect("cargo's OUT_DIR can be written to");
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

/// Puts `memory.x` where the linker looks for it.
fn memory_map() {
    let out = out_dir();
    fs::copy("memory.x", out.join("memory.x")).expect("the board's folder has a memory.x");
    println!("cargo:rustc-link-search={}", out.display());
    println!("cargo:rerun-if-changed=memory.x");
}

/// Hands the model's checksum, the types of its weights, its tokenizer's index and the snapshot to `image!`.
fn image(model: &Path) {
    println!("cargo:rerun-if-changed={}", model.display());
    let file = fs::read(model).unwrap_or_else(|error| panic!("{}: {error}", model.display()));
    println!("cargo:rustc-env=NEARFIELD_CHECKSUM={}", checksum(&file));
    let types = types(&file).unwrap_or_else(|error| panic!("{}: {error}", model.display()));
    fs::write(out_dir().join("types.rs"), format!("&{types:?}")).expect("cargo's OUT_DIR can be written to");
    let index = index(&file).unwrap_or_else(|error| panic!("{}: {error}", model.display()));
    fs::write(out_dir().join("tokenizer.index"), index).expect("cargo's OUT_DIR can be written to");
    println!("cargo:rerun-if-env-changed=NEARFIELD_KV");
    let prefix = match env::var_os("NEARFIELD_KV").filter(|path| !path.is_empty()).map(PathBuf::from) {
        None => Vec::new(),
        Some(path) => prefix(&path, &file).unwrap_or_else(|error| panic!("{}: {error}", path.display())),
    };
    fs::write(out_dir().join("prefix.kv"), prefix).expect("cargo's OUT_DIR can be written to");
}

/// Bytes of the snapshot at `path`; an error if it is damaged or another model's.
fn prefix(path: &Path, model: &[u8]) -> Result<Vec<u8>, Box<dyn Error>> {
    println!("cargo:rerun-if-changed={}", path.display());
    let bytes = fs::read(path)?;
    let mut aligned = vec![Line::ZERO; bytes.len().div_ceil(Line::BYTES)];
    let aligned = &mut Line::bytes_mut(&mut aligned)[..bytes.len()];
    aligned.copy_from_slice(&bytes);
    Prefix::from_bytes(aligned, ModelId::of(model))?;
    Ok(bytes)
}

/// GGUF type numbers of a model's weights, sorted, each once.
fn types(file: &[u8]) -> Result<Vec<u32>, Box<dyn Error>> {
    let mut types: Vec<u32> = Gguf::parse(file)?.tensors().map(|tensor| tensor.ty).collect();
    types.sort_unstable();
    types.dedup();
    Ok(types)
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
    let vocab = Vocab::byte_level_from_gguf(&Gguf::parse(file)?)?;
    let bytes = Tokenizer::index_bytes(vocab.tokens.len(), vocab.merges.len()).ok_or("a vocabulary of no size")?;
    let mut memory = vec![Line::ZERO; bytes / Line::BYTES];
    then(&Tokenizer::new(vocab, &mut Arena::new(&mut memory))?)
}

fn out_dir() -> PathBuf {
    PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets OUT_DIR"))
}
