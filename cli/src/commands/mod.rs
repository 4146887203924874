//! The commands, one file or folder each, with their arguments.

pub mod bench;
pub mod completions;
pub mod convert;
pub mod embed;
pub mod imatrix;
pub mod inspect;
pub mod logits;
pub mod man;
pub mod pack;
pub mod perplexity;
pub mod plan;
pub mod quantize;
pub mod rerank;
pub mod run;
pub mod serve;
pub mod tokenize;
