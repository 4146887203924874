//! Tests of `nearfield serve`: the real command on a free port, and answers that are those of the other commands.

mod chat;
mod client;
mod completions;
mod encoders;
mod errors;
mod grammars;
mod hostile;
mod infill;
#[path = "../../../tests/reference/mod.rs"]
mod reference;
mod server;
mod shared;
#[allow(dead_code)]
#[path = "../cli/tiny.rs"]
mod tiny;
mod tokens;
