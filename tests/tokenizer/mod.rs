//! The tokenizer against other programs, against a literal BPE, and against arbitrary bytes in a file or a text.

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
