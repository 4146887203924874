//! Errors of a grammar's text, of a compiled grammar, and of a text that is held to one.

use core::fmt;

/// Place in the text of a grammar.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Place {
    /// Line, from 1 on.
    pub line: usize,
    /// Column in characters, from 1 on.
    pub column: usize,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}, column {}", self.line, self.column)
    }
}

/// Name of a rule in an error, cut off where it is long.
pub type RuleName = heapless::String<40>;

/// Error of a grammar that cannot be compiled.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
#[allow(missing_docs)]
pub enum GrammarError {
    /// The text is not GBNF.
    Syntax { at: Place, expected: &'static str, found: Option<char> },
    /// A token is named, such as `<[7]>` or `<think>`: grammars here are over text.
    Token { at: Place },
    /// An escape or a character is no Unicode scalar value.
    NoCharacter { at: Place, found: u32 },
    /// A range or a repetition ends before it begins.
    Backwards { at: Place },
    /// A count of repetitions is too large.
    Count { at: Place, max: u32 },
    /// Groups or repetitions lie too deep in each other.
    Depth { at: Place, max: usize },
    /// A rule is used and not defined.
    UnknownRule { at: Place, name: RuleName },
    /// There is no rule `root`.
    NoRoot,
    /// A rule begins with itself, directly or through others.
    LeftRecursion { at: Place, name: RuleName },
    /// No text of finite length matches `root`.
    NoText,
    /// The program has more instructions than a program may have.
    Size { max: usize },
    /// The rules depend on each other in a way that takes too long to resolve.
    Order,
    /// The names of many rules have the same hash: they were made to collide.
    Names,
    /// The memory is too small for the program.
    Memory { have: usize },
}

impl fmt::Display for GrammarError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Syntax { at, expected, found: Some(found) } => {
                write!(f, "{at}: expected {expected}, found {found:?}")
            }
            Self::Syntax { at, expected, found: None } => write!(f, "{at}: expected {expected}, found the end"),
            Self::Token { at } => {
                write!(f, "{at}: a token (<[1000]>, <think>): only characters, classes and rules are supported")
            }
            Self::NoCharacter { at, found } => write!(f, "{at}: U+{found:04X} is no character"),
            Self::Backwards { at } => write!(f, "{at}: the end lies before the beginning"),
            Self::Count { at, max } => write!(f, "{at}: more than {max} repetitions"),
            Self::Depth { at, max } => write!(f, "{at}: more than {max} groups or repetitions in each other"),
            Self::UnknownRule { at, name } => write!(f, "{at}: rule {name} is not defined"),
            Self::NoRoot => f.write_str("rule root is not defined"),
            Self::LeftRecursion { at, name } => {
                write!(f, "{at}: rule {name} begins with itself (left recursion): let it begin with something else")
            }
            Self::NoText => f.write_str("no text matches rule root: some rule goes on without end"),
            Self::Size { max } => write!(f, "the grammar has more than {max} instructions"),
            Self::Order => f.write_str("the rules depend on each other in a way that takes too long to resolve"),
            Self::Names => f.write_str("the names of rules were made to collide"),
            Self::Memory { have } => write!(f, "{have} words of memory are too few for the grammar"),
        }
    }
}

impl core::error::Error for GrammarError {}

/// Error of a compiled grammar that cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum ProgramError {
    /// The bytes do not lie at a multiple of four, or are no whole words.
    Misaligned,
    /// The words do not begin as a compiled grammar does, or the processor is big-endian.
    Magic,
    /// The grammar was compiled by another version of this library.
    Version {
        /// Version of the program.
        found: u32,
    },
    /// The program does not have the length that its header says.
    Size {
        /// Words that were given.
        have: usize,
    },
    /// The checksum is wrong, or there is no such instruction.
    Damaged,
}

impl fmt::Display for ProgramError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Misaligned => f.write_str("a compiled grammar has to lie at a multiple of 4 bytes"),
            Self::Magic => f.write_str("these are not the words of a compiled grammar"),
            Self::Version { found } => {
                write!(f, "the grammar was compiled by another version of this library ({found})")
            }
            Self::Size { have } => write!(f, "{have} words: a compiled grammar of another length"),
            Self::Damaged => f.write_str("the compiled grammar is damaged"),
        }
    }
}

impl core::error::Error for ProgramError {}

/// Error of the tokens of a vocabulary, as [`TokenTrie`](super::TokenTrie) holds them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
#[allow(missing_docs)]
pub enum TrieError {
    /// The arena is smaller than planned.
    Arena { need: usize, have: usize },
    /// The tokens have more than 4 GiB of text, or the vocabulary changed while it was read.
    Vocabulary,
    /// The bytes were made for another vocabulary, by another version, or are damaged.
    Prepared,
}

impl fmt::Display for TrieError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Arena { need, have } => write!(f, "the tokens need an arena of {need} bytes, it has {have}"),
            Self::Vocabulary => f.write_str("the vocabulary's tokens cannot be sorted"),
            Self::Prepared => f.write_str("the sorted tokens were made for another vocabulary, or are damaged"),
        }
    }
}

impl core::error::Error for TrieError {}

/// Error of a text that is held to a grammar.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
#[allow(missing_docs)]
pub enum MatchError {
    /// The arena is smaller than planned.
    Arena { need: usize, have: usize },
    /// The text has more ways through the grammar, or lies deeper in it, than the memory has room for.
    Full,
    /// The choice of a token takes more steps than it may.
    Steps { max: u32 },
    /// The vocabulary cannot spell any text of the grammar from here.
    DeadEnd,
    /// The token is not allowed here.
    Token { token: u32 },
}

impl fmt::Display for MatchError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Arena { need, have } => write!(f, "the grammar needs an arena of {need} bytes, it has {have}"),
            Self::Full => {
                f.write_str("the grammar has more readings of the text, or deeper ones, than its memory has room for")
            }
            Self::Steps { max } => {
                write!(f, "the grammar has so many readings that a token takes more than {max} steps")
            }
            Self::DeadEnd => f.write_str("the vocabulary has no tokens that spell a text of the grammar"),
            Self::Token { token } => write!(f, "the grammar does not allow token {token} here"),
        }
    }
}

impl core::error::Error for MatchError {}
