//! Routes of OpenAI's API.
//!
//! Reference: <https://platform.openai.com/docs/api-reference>.

pub mod answer;
pub mod chat;
pub mod completions;
pub mod embeddings;
pub mod form;
pub mod models;
pub mod sampling;
pub mod texts;
