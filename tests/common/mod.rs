//! Code shared by the tests that cross the modules. A test target uses it by `mod common;`.
#![allow(dead_code)] // each test target uses a part

pub mod compare;
pub mod encoder;
pub mod file;
pub mod literal;
pub mod model;
pub mod pocket;
#[path = "../reference/mod.rs"]
pub mod reference;
pub mod run;
pub mod threads;
