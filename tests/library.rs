//! The tests of the library that see it from outside: one program, since each would be linked with the library again.

mod common;
#[path = "reference/data.rs"]
mod reference;
#[path = "fuzz/src/lib.rs"]
mod targets;

mod alibi_scale;
mod batch;
mod bits;
mod compile_time;
mod draft_model;
mod drafts;
mod encoder;
mod endless;
mod errors;
mod fuzz_corpus;
mod generator;
mod horizon;
mod horizon_tight;
mod hostile;
mod kv_types;
mod literal_reference;
mod long_distance;
mod metadata;
mod pieces;
mod planner;
mod reference_logits;
mod rewind;
mod ring;
mod sampler;
mod snapshot;
mod stories_horizon;
mod stream;
mod tokenizer;
