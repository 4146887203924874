//! The tokenizer against other programs, against a literal BPE, and against whatever bytes a file or a text may hold.

mod added;
mod cases;
mod defined;
mod ends;
mod goldens;
mod hostile;
mod kinds;
mod long_texts;
mod prepared;
mod properties;
mod special;
mod vocab;
