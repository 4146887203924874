//! Code that all boards share, for any processor: from power-on to generated text.
//!
//! A board's own folder holds its memory map, its clock and its serial port. It implements [`Board`] and passes an [`Image`]
//! (the model in flash) and its memory to `power_on`:
//!
//! ```text
//!  power_on ─▶ self_test: the kernels give the definitions' bits on this processor
//!           ─▶ image: the model in flash is whole
//!           ─▶ generate: tokenizer, session, text, streamed ─▶ prompt after prompt
//! ```
//!
//! [`Commander`] generates commands instead, which a grammar in flash holds the text to, and an LED obeys.
//!
//! No code here depends on a processor. The host tests it, and its hashes compare a board with the `nearfield` command.
#![no_std]
#![forbid(unsafe_code)]

#[cfg(test)]
extern crate std;

mod board;
mod card;
mod commands;
mod config;
mod generate;
mod grammar;
mod halt;
pub mod hash;
mod image;
mod power_on;
mod prompt;
mod self_test;
mod settings;

pub use board::{Board, StackUse, send_lines};
pub use card::{Card, Layers, stream_plan};
pub use commands::{Command, Commander, Led};
pub use config::CONFIG;
pub use generate::{Generated, Memory, TextModel, generate_once};
pub use grammar::GrammarImage;
pub use halt::Halt;
pub use image::{Image, plan, plan_beside_card, require_features};
#[doc(hidden)]
pub use nearfield::include_model;
pub use power_on::{power_on, power_on_with};
pub use prompt::{MAX_PROMPT, Prompt, answer_prompts};
pub use self_test::self_test;
pub use settings::TextSettings;
