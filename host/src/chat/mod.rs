//! Conversations in the formats that instruct models were trained with.

mod format;

pub use format::{Chat, Format};
