//! Model and snapshot as they lie in flash.

use nearfield::kernels::Layout;
use nearfield::tokenizer::{Tokenizer, Vocab};
use nearfield::{MemoryPlan, Model, ModelId, Prefix, PrefixError, SessionConfig, SnapshotHeader, checksum};

use crate::halt::Halt;

/// Model in flash, with the checksum and the index made when the firmware was built.
#[derive(Clone, Copy, Debug)]
pub struct Image {
    /// Name of the model file.
    pub name: &'static str,
    /// Bytes of the model file, aligned to 64 bytes and read in place.
    pub gguf: &'static [u8],
    /// [`checksum`] of the file when the firmware was built.
    pub checksum: u32,
    /// Index of the model's tokenizer, made when the firmware was built: aligned to 64 bytes, used in place.
    pub index: &'static [u8],
    /// Snapshot that every text begins with, as `nearfield run --save-kv` writes it: aligned to 64 bytes, used in place. Empty
    /// without one.
    pub prefix: &'static [u8],
}

impl Image {
    /// Model of the image, once its checksum has been compared.
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

    /// Tokenizer of the model, whose index stays in flash and takes no other memory.
    ///
    /// # Errors
    /// [`Halt::Vocab`], or [`Halt::Tokenizer`] when the index is damaged or another model's.
    pub fn tokenizer(&self, model: &Model<'static>) -> Result<Tokenizer<'static, 'static>, Halt> {
        Ok(Tokenizer::prepared(Vocab::byte_level_from_gguf(model.gguf())?, self.index)?)
    }
}

impl Image {
    /// Prefix of every text, once the snapshot was checked to be whole and this model's. `None` without a snapshot.
    ///
    /// # Errors
    /// [`Halt::Prefix`] when the snapshot is damaged or another model's.
    pub fn prefix(&self) -> Result<Option<Prefix<'static>>, Halt> {
        if self.prefix.is_empty() {
            return Ok(None);
        }
        let model = ModelId { n_bytes: self.gguf.len() as u64, checksum: self.checksum };
        Ok(Some(Prefix::from_bytes(self.prefix, model)?))
    }

    /// Copy of `config` whose `n_prefix` is the snapshot's number of tokens.
    ///
    /// # Errors
    /// [`PrefixError`] when the bytes are no snapshot.
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

/// Memory plan of a session whose tokenizer's index and prefix lie in flash, for a `const`: a model without a usable header, or
/// a context that is out of range, does not compile.
///
/// # Panics
/// Panics at compile time, when used as meant.
pub const fn plan(image: &Image, config: &SessionConfig) -> MemoryPlan {
    let config = match image.config(config) {
        Ok(config) => config,
        Err(_) => panic!("the beginning of the text is no snapshot"),
    };
    MemoryPlan::of_file(image.gguf, &config).without_tokenizer()
}

/// Checks that kernels for weights of these GGUF type numbers are compiled in, for a `const`: a firmware that cannot run its
/// model does not compile.
///
/// # Panics
/// Panics at compile time, when used as meant.
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

/// Puts the model of a firmware into a static of its own and gives an [`Image`] of it.
///
/// `image!(NAME, PATH)`; with `in SECTION` model and snapshot lie in that section of the image, which the board's `memory.x` places.
#[macro_export]
macro_rules! image {
    ($name:literal, $path:expr $(, in $section:literal)?) => {{
        const _: () = $crate::require_kernels(include!(concat!(env!("OUT_DIR"), "/types.rs")));
        $crate::Image {
            name: $name,
            // SAFETY: the section holds bytes that are only read, and no name that anything links to.
            gguf: $crate::include_model!($path $(, #[unsafe(link_section = $section)])?),
            checksum: $crate::hash::parse(env!("NEARFIELD_CHECKSUM")),
            index: $crate::include_model!(concat!(env!("OUT_DIR"), "/tokenizer.index")),
            // SAFETY: as for the model.
            prefix: $crate::include_model!(
                concat!(env!("OUT_DIR"), "/prefix.kv") $(, #[unsafe(link_section = $section)])?
            ),
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
