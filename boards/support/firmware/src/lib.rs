//! What all boards share: the way from power-on to a story, whatever the processor.
//!
//! A board's own folder holds its memory map, its clock and its serial port; it implements [`Board`] and hands over an
//! [`Image`] (the model in flash) and its memory. From there:
//!
//! ```text
//!  power_on ─▶ self_test: the kernels give the definitions' bits on this processor
//!           ─▶ image: the model in flash is whole
//!           ─▶ story: tokenizer, session, text, streamed ─▶ prompt after prompt
//! ```
//!
//! Nothing here knows a processor, so the host tests it, and its hashes compare a board with the `nearfield` command.
#![no_std]
#![forbid(unsafe_code)]

#[cfg(test)]
extern crate std;

mod board;
mod halt;
pub mod hash;
mod image;
mod power_on;
mod prompt;
mod self_test;
mod story;

pub use board::{Board, StackUse};
pub use halt::Halt;
pub use image::{Image, plan, require_kernels};
#[doc(hidden)]
pub use nearfield::include_model;
pub use power_on::power_on;
pub use prompt::{MAX_PROMPT, Prompt, answer_prompts};
pub use self_test::self_test;
pub use story::{Memory, Story, Teller, tell_one};
