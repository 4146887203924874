//! Conversations, as the model was trained to read them.
//!
//! A [`Formatter`] turns messages into tokens, by the chat template of the model's file or by a [`Format`] of the table for files
//! without one. A [`Conversation`] also keeps what was said, token by token.

mod clock;
mod conversation;
mod error;
mod format;
mod formatter;
mod guard;
mod message;
mod saved;
mod template;
#[cfg(test)]
mod tests;
mod writer;

pub use clock::Clock;
pub use conversation::{Conversation, TakenBack};
pub use error::ChatError;
pub use format::{Chat, Format};
pub use formatter::Formatter;
pub use message::{Message, Role};
pub use saved::SavedChat;
