//! Build script of all firmwares. It puts the board's memory map where the linker looks, and the model's checksum, the types of
//! its weights, its tokenizer's index and the snapshot of a text where `nearfield_boards::image!` finds them.

use std::error::Error;
use std::path::{Path, PathBuf};
use std::{env, fs};

use nearfield::tokenizer::{Tokenizer, Vocab};
use nearfield::{Arena, Gguf, Line, ModelId, Prefix, checksum};

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
    let vocab = Vocab::byte_level_from_gguf(&Gguf::parse(file)?)?;
    let bytes = Tokenizer::index_bytes(vocab.tokens.len(), vocab.merges.len()).ok_or("a vocabulary of no size")?;
    let mut memory = vec![Line::ZERO; bytes / Line::BYTES];
    Ok(Tokenizer::new(vocab, &mut Arena::new(&mut memory))?.index().collect())
}

fn out_dir() -> PathBuf {
    PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets OUT_DIR"))
}
