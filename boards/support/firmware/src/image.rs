//! The model as it lies in flash, and the beginning of its text.

use nearfield::kernels::Layout;
use nearfield::tokenizer::{Tokenizer, Vocab};
use nearfield::{MemoryPlan, Model, ModelId, Prefix, PrefixError, SessionConfig, SnapshotHeader, checksum};

use crate::halt::Halt;

/// A model in flash, and what was known of it when the firmware was built.
#[derive(Clone, Copy, Debug)]
pub struct Image {
    /// The file's name.
    pub name: &'static str,
    /// The file, aligned to 64 bytes, read in place.
    pub gguf: &'static [u8],
    /// [`checksum`] of the file when the firmware was built.
    pub checksum: u32,
    /// The index of its tokenizer, made when the firmware was built: aligned to 64 bytes, used in place.
    pub index: &'static [u8],
    /// The beginning of every text, as `nearfield run --save-kv` stores it: aligned to 64 bytes, used in place. Empty without one.
    pub prefix: &'static [u8],
}

impl Image {
    /// The model, once its bytes were seen to be whole.
    ///
    /// # Errors
    /// [`Halt::Checksum`] when a bit of the flash has changed, [`Halt::Load`] when the file is no model that runs.
    pub fn model(&self) -> Result<Model<'static>, Halt> {
        let found = checksum(self.gguf);
        if found != self.checksum {
            return Err(Halt::Checksum { want: self.checksum, found });
        }
        Ok(Model::from_gguf(self.gguf)?)
    }

    /// The tokenizer, whose index takes no memory but flash.
    ///
    /// # Errors
    /// [`Halt::Vocab`], or [`Halt::Tokenizer`] when the index is damaged or another model's.
    pub fn tokenizer(&self, model: &Model<'static>) -> Result<Tokenizer<'static, 'static>, Halt> {
        Ok(Tokenizer::prepared(Vocab::byte_level_from_gguf(model.gguf())?, self.index)?)
    }
}

impl Image {
    /// The beginning of every text, once its bytes were seen to be whole and this model's. `None` without one.
    ///
    /// # Errors
    /// [`Halt::Prefix`] when it is damaged or another model's.
    pub fn prefix(&self) -> Result<Option<Prefix<'static>>, Halt> {
        if self.prefix.is_empty() {
            return Ok(None);
        }
        let model = ModelId { n_bytes: self.gguf.len() as u64, checksum: self.checksum };
        Ok(Some(Prefix::from_bytes(self.prefix, model)?))
    }

    /// `config` for a text that begins with the prefix.
    ///
    /// # Errors
    /// [`PrefixError`] for what is none.
    pub const fn config(&self, config: &SessionConfig) -> Result<SessionConfig, PrefixError> {
        if self.prefix.is_empty() {
            return Ok(*config);
        }
        match SnapshotHeader::read(self.prefix) {
            Ok(header) => Ok(SessionConfig { n_prefix: header.n_tokens, ..*config }),
            Err(error) => Err(error),
        }
    }
}

/// The memory of a model in a session, its tokenizer's index and the beginning of its text in flash, for a `const`: a model
/// without a usable header, or a context that cannot be, does not compile.
///
/// # Panics
/// At compile time, when used as meant.
pub const fn plan(image: &Image, config: &SessionConfig) -> MemoryPlan {
    let config = match image.config(config) {
        Ok(config) => config,
        Err(_) => panic!("the beginning of the text is no snapshot"),
    };
    MemoryPlan::of_file(image.gguf, &config).without_tokenizer()
}

/// Whether kernels for weights of these GGUF type numbers are compiled in, for a `const`: a firmware that its model could not run
/// on does not compile.
///
/// # Panics
/// At compile time, when used as meant.
pub const fn require_kernels(mut types: &[u32]) {
    while let [ty, rest @ ..] = types {
        if Layout::from_gguf(*ty).is_none() {
            panic!(
                "the model has weights of a type without kernels here: give `nearfield` in the board's Cargo.toml the \
                 feature `legacy` (Q4_0, Q4_1, Q5_0, Q5_1), `k` (Q2_K to Q6_K), `iq4` (IQ4_NL, IQ4_XS) or `rare` (others)"
            )
        }
        types = rest;
    }
}

/// The model of a firmware in a static of its own, and an [`Image`] of it.
///
/// `image!(NAME, PATH)`: the build script sets the variable `NEARFIELD_CHECKSUM` and writes `types.rs`, `tokenizer.index` and
/// `prefix.kv`.
/// With `in SECTION` the model and the prefix lie in that section of the image.
#[macro_export]
macro_rules! image {
    ($name:literal, $path:expr $(, in $section:literal)?) => {{
        const _: () = $crate::require_kernels(include!(concat!(env!("OUT_DIR"), "/types.rs")));
        $crate::Image {
            name: $name,
            gguf: $crate::include_model!($path $(, in $section)?),
            checksum: $crate::hash::parse(env!("NEARFIELD_CHECKSUM")),
            index: $crate::include_model!(concat!(env!("OUT_DIR"), "/tokenizer.index")),
            prefix: $crate::include_model!(concat!(env!("OUT_DIR"), "/prefix.kv") $(, in $section)?),
        }
    }};
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::include_model;

    static POCKET: &[u8] = include_model!("../../../../models/pocket.gguf");

    #[test]
    #[should_panic(expected = "a type without kernels here")]
    fn weights_without_kernels_do_not_compile() {
        require_kernels(&[8, 0]);
        require_kernels(&[8, 24]);
    }

    #[test]
    fn a_damaged_image_is_refused() {
        let image = Image { name: "pocket.gguf", gguf: POCKET, checksum: checksum(POCKET), index: &[], prefix: &[] };
        let model = image.model().unwrap();
        assert_eq!(image.tokenizer(&model).unwrap_err().code(), 3, "no index is no index of this model");
        let want = image.checksum ^ 1;
        let error = Image { checksum: want, ..image }.model().unwrap_err();
        assert_eq!(error.code(), 2);
        assert!(matches!(error, Halt::Checksum { want: w, found } if w == want && found == image.checksum));
        let empty = Image { gguf: &[], checksum: checksum(&[]), ..image }.model().unwrap_err();
        assert_eq!(empty.code(), 3, "{empty}");
    }
}
