//! A model file in the program.

/// Builds a file into the program, aligned to 64 bytes, and gives it as `&'static [u8]`: for a `static` or a `const`.
///
/// ```
/// use nearfield::{MemoryPlan, SessionConfig, include_model};
///
/// static MODEL: &[u8] = include_model!("../models/pocket.gguf");
/// const CONFIG: SessionConfig = SessionConfig { n_ctx: 128, ..SessionConfig::DEFAULT };
/// const N_LINES: usize = MemoryPlan::of_file(MODEL, &CONFIG).n_lines();
/// assert!(N_LINES > 0 && MODEL.as_ptr().addr().is_multiple_of(64));
/// ```
///
/// The path is relative to the source file, as for [`include_bytes!`]. Attributes behind it belong to the static that holds the
/// file: `include_model!(PATH, #[unsafe(link_section = ".model")])` puts it into a part of flash of its own.
///
/// **Alignment.** A [`Model`](crate::Model) is read where it lies. Its norms and biases need a multiple of 4 bytes
/// ([`LoadError::Misaligned`](crate::LoadError::Misaligned) otherwise), which a file at a multiple of 4 has, since GGUF aligns its
/// tensors. A [prepared index](crate::tokenizer::Tokenizer::prepared) needs 4 and a [`Prefix`](crate::Prefix) 8. Kernels read any
/// address, and fewest cache lines from a multiple of 64. Bytes of `include_bytes!` alone may lie anywhere.
#[macro_export]
macro_rules! include_model {
    ($path:expr $(, #[$attribute:meta])*) => {{
        #[repr(C, align(64))]
        struct Aligned<T>(T);
        const N_BYTES: usize = include_bytes!($path).len();
        $(#[$attribute])*
        static FILE: Aligned<[u8; N_BYTES]> = Aligned(*include_bytes!($path));
        let file: &'static [u8] = &FILE.0;
        file
    }};
}
