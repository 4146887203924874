//! Puts the memory map of the machine that `MACHINE` names where the linker looks for it.

use std::path::PathBuf;
use std::{env, fs};

fn main() {
    let machine = env::var("MACHINE").unwrap_or_else(|_| "mps2-an386".into());
    let map = format!("../../boards/{machine}/memory.x");
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets OUT_DIR"));
    fs::copy(&map, out.join("memory.x")).unwrap_or_else(|error| panic!("{map}: {error}"));
    println!("cargo:rustc-link-search={}", out.display());
    println!("cargo:rerun-if-env-changed=MACHINE");
    println!("cargo:rerun-if-changed={map}");
}
