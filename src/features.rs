//! Features of this crate that a model needs, by name, so that a build script can compare them with those that are built in.

use nearfield_kernels::Layout;

use crate::gguf::Gguf;
use crate::tokenizer::{Vocab, VocabError};

macro_rules! features {
    ($($name:literal)*) => {
        /// All features that a model may need.
        pub const ALL: &[&str] = &[$($name),*];

        /// True if a feature of [`ALL`] is built in.
        pub const fn is_built(feature: &str) -> bool {
            match feature.as_bytes() {
                $(name if equal(name, $name.as_bytes()) => cfg!(feature = $name),)*
                _ => false,
            }
        }
    };
}

features! {
    "legacy" "legacy_1" "k" "iq4" "rare"
    "byte_level" "nfc" "character_bpe" "sentencepiece" "unigram" "wordpiece" "single_word"
    "stream"
}

/// Compares bytes as `==` does, in a `const fn`.
const fn equal(a: &[u8], b: &[u8]) -> bool {
    let mut i = 0;
    while i < a.len() && i < b.len() && a[i] == b[i] {
        i += 1;
    }
    i == a.len() && i == b.len()
}

/// Features that a model needs for its weights and its tokenizer, in the order of [`ALL`]. A file without a tokenizer needs none for
/// it. The keys and values of a session may need `kv_q4_0`, and a model of which memory holds a part `stream`: neither is among them.
///
/// # Errors
/// [`VocabError`] if no feature reads the vocabulary.
pub fn of_model(gguf: &Gguf<'_>) -> Result<impl Iterator<Item = &'static str>, VocabError> {
    let tokenizer = match Vocab::features(gguf) {
        Ok(features) => Some(features),
        Err(VocabError::Missing { .. }) => None,
        Err(error) => return Err(error),
    };
    let mut needed = [false; ALL.len()];
    let weights = gguf.tensors().filter_map(|tensor| Layout::feature_of(tensor.ty));
    for feature in weights.chain(tokenizer.into_iter().flatten()) {
        let places = ALL.iter().zip(&mut needed).filter(|(name, _)| **name == feature);
        places.for_each(|(_, needed)| *needed = true);
    }
    Ok(ALL.iter().zip(needed).filter(|(_, needed)| *needed).map(|(name, _)| *name))
}

#[cfg(test)]
mod tests {
    extern crate std;

    use std::vec::Vec;

    use super::*;
    use crate::kernels::WeightType;

    #[test]
    fn the_embedded_models_need_few() {
        for (file, needed) in [
            (&include_bytes!("../models/pocket.gguf")[..], &["legacy", "byte_level"][..]),
            (include_bytes!("../models/stories.gguf"), &["byte_level"]),
        ] {
            let gguf = Gguf::parse(file).unwrap();
            assert_eq!(of_model(&gguf).unwrap().collect::<Vec<_>>(), needed);
        }
    }

    #[test]
    fn each_type_of_weights_has_a_known_feature_or_none() {
        let without = [WeightType::F32, WeightType::F16, WeightType::Q8_0, WeightType::BF16];
        for &ty in WeightType::ALL {
            let feature = Layout::feature_of(Layout::Plain.to_gguf(ty));
            assert_eq!(feature.is_none(), without.contains(&ty), "{ty}");
            assert!(feature.is_none_or(|feature| ALL.contains(&feature) && is_built(feature)), "{ty}");
            if ty.can_interleave() {
                assert_eq!(Layout::feature_of(Layout::Interleaved.to_gguf(ty)), feature, "{ty}");
            }
        }
        assert!(!is_built("kv") && !is_built(""));
    }
}
