//! Grammar and sorted tokens as they lie in flash.

use nearfield::tokenizer::Vocab;
use nearfield::{Arena, Grammar, Line, Matcher, MatcherConfig, TokenTrie};

use crate::halt::Halt;

/// Grammar in flash, and the model's tokens in the order that a matcher walks over them, both made when the firmware was built.
#[derive(Clone, Copy, Debug)]
pub struct GrammarImage {
    /// Words of the compiled grammar ([`Grammar::words`]): aligned to 64 bytes, used in place.
    pub grammar: &'static [u8],
    /// Sorted tokens of the model ([`TokenTrie::index`]): aligned to 64 bytes, used in place.
    pub tokens: &'static [u8],
    /// Sizes of a matcher's memory.
    pub config: MatcherConfig,
}

impl GrammarImage {
    /// Lines of memory for a [`matcher`](Self::matcher), for a `const`: a grammar that cannot be used does not compile.
    ///
    /// # Panics
    /// Panics at compile time, when used as meant.
    pub const fn matcher_lines(&self) -> usize {
        match Matcher::bytes_in_flash(self.grammar, self.tokens, &self.config) {
            Some(bytes) => bytes / Line::BYTES,
            None => panic!("no compiled grammar, no sorted tokens, or a matcher that is too large"),
        }
    }

    /// Matcher of texts of the grammar, once grammar and tokens were checked to be whole and those of this vocabulary.
    ///
    /// # Errors
    /// [`Halt::Grammar`] or [`Halt::Tokens`] when a bit of the flash has changed; [`RunError::Grammar`](nearfield::RunError::Grammar)
    /// when there are fewer [`matcher_lines`](Self::matcher_lines) than planned, or the vocabulary cannot spell a text of the grammar.
    pub fn matcher<'a>(&self, vocab: &Vocab<'_>, lines: &'a mut [Line]) -> Result<Matcher<'static, 'static, 'a>, Halt> {
        let (grammar, tokens) = (Grammar::from_bytes(self.grammar)?, TokenTrie::prepared(vocab, self.tokens)?);
        Ok(Matcher::new(grammar, tokens, &self.config, &mut Arena::new(lines))?)
    }
}

/// Puts the grammar that the build script compiled, and the sorted tokens of its model, into statics of their own and gives a
/// [`GrammarImage`] of them: `grammar!(CONFIG)`, with the sizes of a matcher's memory.
#[macro_export]
macro_rules! grammar {
    ($config:expr) => {
        $crate::GrammarImage {
            grammar: $crate::include_model!(concat!(env!("OUT_DIR"), "/grammar.words")),
            tokens: $crate::include_model!(concat!(env!("OUT_DIR"), "/tokens.index")),
            config: $config,
        }
    };
}
