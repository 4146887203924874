//! Model and snapshot as they lie in flash.

use nearfield::features;
use nearfield::tokenizer::{Tokenizer, Vocab};
use nearfield::{
    Gguf, GgufError, MemoryPlan, Model, ModelId, Prefix, PrefixError, SessionConfig, Shape, SnapshotHeader, checksum,
};

use crate::card::Card;
use crate::halt::Halt;

/// Model in flash, with the checksum and the index made when the firmware was built.
#[derive(Clone, Copy, Debug)]
pub struct Image {
    /// Name of the model file.
    pub name: &'static str,
    /// Bytes of the model file, aligned to 64 bytes and read in place; with a card, those of its part in flash.
    pub gguf: &'static [u8],
    /// [`checksum`] of these bytes when the firmware was built.
    pub checksum: u32,
    /// Model file that holds the other layers; `None` if all are in flash.
    pub card: Option<Card>,
    /// Index of the model's tokenizer, made when the firmware was built: aligned to 64 bytes, used in place.
    pub index: &'static [u8],
    /// Snapshot that every text begins with, as `nearfield run --save-kv` writes it: aligned to 64 bytes, used in place. Empty
    /// without one.
    pub prefix: &'static [u8],
    /// Number of tokens of the context that was asked for when the firmware was built, in place of the board's.
    pub n_ctx: Option<usize>,
}

impl Image {
    /// Tables of the model.
    ///
    /// # Errors
    /// Errors of [`Gguf::parse`], or with a card of [`Gguf::parse_resident`].
    pub const fn gguf(&self) -> Result<Gguf<'static>, GgufError> {
        match &self.card {
            None => Gguf::parse(self.gguf),
            Some(card) => Gguf::parse_resident(self.gguf, card.n_bytes, card.n_layers),
        }
    }

    /// Model of the image, once its checksum has been compared.
    ///
    /// # Errors
    /// [`Halt::Checksum`] when a bit of the flash has changed, [`Halt::Load`] when the file is no model that runs.
    pub fn model(&self) -> Result<Model<'static>, Halt> {
        let found = checksum(self.gguf);
        if found != self.checksum {
            return Err(Halt::Checksum { want: self.checksum, found });
        }
        Ok(Model::from_tables(self.gguf()?)?)
    }

    /// Tokenizer of the model, whose index stays in flash and takes no other memory.
    ///
    /// # Errors
    /// [`Halt::Vocab`], or [`Halt::Tokenizer`] when the index is damaged or another model's.
    pub fn tokenizer(&self, model: &Model<'static>) -> Result<Tokenizer<'static, 'static>, Halt> {
        Ok(Tokenizer::prepared(Vocab::from_gguf(model.gguf())?, self.index)?)
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
        let model = match self.card {
            None => ModelId { n_bytes: self.gguf.len() as u64, checksum: self.checksum },
            Some(card) => ModelId { n_bytes: card.n_bytes, checksum: card.checksum },
        };
        Ok(Some(Prefix::from_bytes(self.prefix, model)?))
    }

    /// Copy of `config` with the image's context, whose `n_prefix` is the snapshot's number of tokens.
    ///
    /// # Errors
    /// [`PrefixError`] when the bytes are no snapshot.
    pub const fn config(&self, config: &SessionConfig) -> Result<SessionConfig, PrefixError> {
        let n_ctx = match self.n_ctx {
            Some(n_ctx) => n_ctx,
            None => config.n_ctx,
        };
        if self.prefix.is_empty() {
            return Ok(SessionConfig { n_ctx, ..*config });
        }
        match SnapshotHeader::read(self.prefix) {
            Ok(header) => Ok(SessionConfig { n_ctx, n_prefix: header.n_tokens, ..*config }),
            Err(error) => Err(error),
        }
    }
}

/// Memory plan of a session whose tokenizer's index and prefix lie in flash, for a `const`: a model without a usable header, a
/// context that is out of range, or a model on a card, does not compile.
///
/// # Panics
/// Panics at compile time, when used as meant.
pub const fn plan(image: &Image, config: &SessionConfig) -> MemoryPlan {
    if image.card.is_some() {
        panic!("NEARFIELD_LAYERS is set, and this firmware has no card: boards/run riscv-virt --bin streamed has one");
    }
    plan_beside_card(image, config)
}

/// Does what [`plan`] does for a firmware to which a card may bring layers. Their buffers are [`stream_plan`](crate::stream_plan)'s.
///
/// # Panics
/// Panics at compile time, when used as meant.
pub const fn plan_beside_card(image: &Image, config: &SessionConfig) -> MemoryPlan {
    let config = match image.config(config) {
        Ok(config) => config,
        Err(_) => panic!("the beginning of the text is no snapshot"),
    };
    let Ok(gguf) = image.gguf() else { panic!("the model has no usable GGUF header") };
    let Ok(shape) = Shape::from_gguf(&gguf) else { panic!("the model has no usable GGUF header") };
    match MemoryPlan::new(&shape, &config) {
        Ok(plan) => plan.without_tokenizer(),
        Err(_) => panic!("no plan can be made for this configuration"),
    }
}

/// Checks that features of `nearfield` are built in, for a `const`: a firmware that cannot run its model does not compile.
///
/// - `needed`: names, each with the message for a firmware without it
///
/// # Panics
/// Panics at compile time, when used as meant.
pub const fn require_features(mut needed: &[(&str, &str)]) {
    while let [(feature, message), rest @ ..] = needed {
        if !features::is_built(feature) {
            panic!("{}", *message)
        }
        needed = rest;
    }
}

/// Puts the model that the build script names into a static of its own and gives an [`Image`] of it.
///
/// `image!()`; with `image!(in SECTION)` model and snapshot lie in that section of the image, which the board's `memory.x` places.
#[macro_export]
macro_rules! image {
    ($(in $section:literal)?) => {{
        const _: () = $crate::require_features(include!(concat!(env!("OUT_DIR"), "/features.rs")));
        $crate::Image {
            name: env!("NEARFIELD_MODEL_NAME"),
            // SAFETY: the section holds bytes that are only read, and no name that anything links to.
            gguf: $crate::include_model!(env!("NEARFIELD_MODEL_PATH") $(, #[unsafe(link_section = $section)])?),
            checksum: $crate::hash::parse(env!("NEARFIELD_CHECKSUM")),
            card: {
                use $crate::Card;
                include!(concat!(env!("OUT_DIR"), "/card.rs"))
            },
            index: $crate::include_model!(concat!(env!("OUT_DIR"), "/tokenizer.index")),
            // SAFETY: as for the model.
            prefix: $crate::include_model!(
                concat!(env!("OUT_DIR"), "/prefix.kv") $(, #[unsafe(link_section = $section)])?
            ),
            n_ctx: include!(concat!(env!("OUT_DIR"), "/context.rs")),
        }
    }};
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::include_model;

    static POCKET: &[u8] = include_model!("../../../../models/pocket.gguf");

    #[test]
    #[should_panic(expected = "no float8 here")]
    fn a_missing_feature_does_not_compile() {
        require_features(&[("legacy", "no Q4_0 here"), ("byte_level", "no BPE here")]);
        require_features(&[("legacy", "no Q4_0 here"), ("float8", "no float8 here")]);
    }

    #[test]
    fn a_damaged_image_is_refused() {
        let image = Image {
            name: "pocket.gguf",
            gguf: POCKET,
            checksum: checksum(POCKET),
            card: None,
            index: &[],
            prefix: &[],
            n_ctx: None,
        };
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
