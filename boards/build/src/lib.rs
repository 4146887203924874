//! What the build scripts of all firmwares do: the board's memory map is put where the linker looks, and the model's
//! checksum becomes the variable that `nearfield_boards::image!` reads.

use std::path::{Path, PathBuf};
use std::{env, fs};

use nearfield_boards::hash::checksum;

/// For a firmware with a `memory.x` in its folder and the model at `model`, seen from there.
///
/// # Panics
/// When a file cannot be read or written: cargo shows the message.
pub fn firmware(model: impl AsRef<Path>) {
    memory_map();
    image(model.as_ref());
}

/// Puts `memory.x` where the linker looks for it.
fn memory_map() {
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets OUT_DIR"));
    fs::copy("memory.x", out.join("memory.x")).expect("the board's folder has a memory.x");
    println!("cargo:rustc-link-search={}", out.display());
    println!("cargo:rerun-if-changed=memory.x");
}

/// Hands the model's checksum to `image!`.
pub fn image(model: &Path) {
    let file = fs::read(model).unwrap_or_else(|error| panic!("{}: {error}", model.display()));
    println!("cargo:rustc-env=NEARFIELD_CHECKSUM={}", checksum(&file));
    println!("cargo:rerun-if-changed={}", model.display());
}
