//! Conversations in the formats that instruct models were trained with.

mod conversation;
mod format;
#[cfg(test)]
mod tests;

pub use conversation::Conversation;
pub use format::{Chat, Format};
