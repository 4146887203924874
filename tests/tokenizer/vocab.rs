//! Vocabularies for tests: made up, the small one that is committed here, or read from a GGUF file.

use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};

use nearfield::tokenizer::{
    EncodeOptions, Kind, PreTokenizer, StringArray, TextError, Tokenizer, TokenizerError, Vocab,
};
use nearfield::{Arena, Gguf, Line};

pub const NORMAL: i32 = 1;
pub const CONTROL: i32 = 3;
pub const USER_DEFINED: i32 = 4;

/// The parts of a vocabulary, as a file would hold them.
#[derive(Clone, Debug)]
pub struct Words {
    pub tokens: Vec<Vec<u8>>,
    pub types: Vec<i32>,
    pub merges: Vec<Vec<u8>>,
    pub pre: PreTokenizer,
    pub kind: Kind,
}

impl Words {
    /// Special tokens, a token for each byte, and the result of each merge, in this order.
    pub fn new(special: &[(&str, i32)], merges: &[String], pre: PreTokenizer) -> Self {
        let mut tokens: Vec<String> = special.iter().map(|(token, _)| token.to_string()).collect();
        let mut letters: Vec<char> = (0..=255).map(letter).collect();
        letters.sort();
        tokens.extend(letters.iter().map(char::to_string));
        tokens.extend(merges.iter().map(|merge| merge.replace(' ', "")));
        let mut seen = HashSet::new();
        tokens.retain(|token| seen.insert(token.clone()));
        let mut types = vec![NORMAL; tokens.len()];
        types.iter_mut().zip(special).for_each(|(ty, (_, special))| *ty = *special);
        let bytes = |strings: &[String]| strings.iter().map(|s| s.clone().into_bytes()).collect();
        Self { tokens: bytes(&tokens), types, merges: bytes(merges), pre, kind: Kind::BYTE_LEVEL_BPE }
    }

    /// The vocabulary of `merges.txt`, which `make_tokenizer_cases.py` trains and makes its cases for.
    pub fn small(pre: PreTokenizer) -> Self {
        let merges = fs::read_to_string(here().join("merges.txt")).unwrap();
        let merges: Vec<String> = merges.lines().map(str::to_string).collect();
        Self::new(&[("<|endoftext|>", CONTROL), ("<fim_prefix>", USER_DEFINED)], &merges, pre)
    }

    /// The vocabulary of a GGUF file.
    pub fn from_gguf(path: &Path) -> Self {
        let file = fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let gguf = Gguf::parse(&file).unwrap();
        let vocab = Vocab::from_gguf(&gguf).unwrap();
        let types = vocab.token_types.unwrap().chunks_exact(4);
        Self {
            tokens: vocab.tokens.iter().map(<[u8]>::to_vec).collect(),
            types: types.map(|ty| i32::from_le_bytes(ty.try_into().unwrap())).collect(),
            merges: vocab.merges.iter().map(<[u8]>::to_vec).collect(),
            pre: vocab.pre,
            kind: vocab.kind,
        }
    }

    /// Builds a tokenizer in exactly the memory that it asks for, and hands it over.
    pub fn with<R>(&self, use_it: impl FnOnce(&Tokenizer<'_, '_>) -> R) -> Result<R, TokenizerError> {
        let n_bytes = Tokenizer::index_bytes(self.tokens.len(), self.merges.len()).unwrap_or(0);
        // Garbage in the memory before must not matter.
        let mut lines = vec![garbage(); n_bytes / Line::BYTES];
        self.with_vocab(|vocab| Tokenizer::new(vocab, &mut Arena::new(&mut lines)).map(|tokenizer| use_it(&tokenizer)))
    }

    /// Hands over the vocabulary as a file would hold it.
    pub fn with_vocab<R>(&self, use_it: impl FnOnce(Vocab<'_>) -> R) -> R {
        let (tokens, merges) = (body(&self.tokens), body(&self.merges));
        let types: Vec<u8> = self.types.iter().flat_map(|ty| ty.to_le_bytes()).collect();
        use_it(Vocab {
            kind: self.kind,
            token_types: Some(&types),
            ..Vocab::byte_level(
                StringArray::split(self.tokens.len() as u64, &tokens).unwrap().0,
                StringArray::split(self.merges.len() as u64, &merges).unwrap().0,
                self.pre,
            )
        })
    }
}

/// The tokens of `text`.
pub fn encode(
    tokenizer: &Tokenizer<'_, '_>,
    text: impl AsRef<[u8]>,
    options: EncodeOptions,
) -> Result<Vec<u32>, TextError> {
    let mut out = vec![0; tokenizer.room(text.as_ref(), options)];
    let n = tokenizer.encode(text, options, &mut out)?;
    out.truncate(n);
    Ok(out)
}

/// The bytes that `tokens` stand for.
pub fn bytes_of(tokenizer: &Tokenizer<'_, '_>, tokens: &[u32]) -> Vec<u8> {
    tokens.iter().flat_map(|&token| tokenizer.bytes(token).unwrap()).collect()
}

/// The character that spells a byte in byte-level vocabularies (GPT-2's `bytes_to_unicode`).
pub fn letter(byte: u8) -> char {
    let printable = |byte| matches!(byte, b'!'..=b'~' | 0xa1..=0xac | 0xae..=0xff);
    if printable(byte) {
        return byte.into();
    }
    let before = (0..byte).filter(|&byte| !printable(byte)).count();
    char::from_u32(256 + before as u32).unwrap()
}

/// Strings as a GGUF array holds them.
pub fn body(strings: &[Vec<u8>]) -> Vec<u8> {
    strings.iter().flat_map(|s| [&(s.len() as u64).to_le_bytes()[..], s].concat()).collect()
}

/// The folder of this file.
pub fn here() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/tokenizer")
}

/// A folder that an environment variable names; says so where a test cannot run without it.
pub fn folder(variable: &str, holds: &str) -> Option<PathBuf> {
    let folder = std::env::var_os(variable).map(PathBuf::from);
    if folder.is_none() {
        eprintln!("\nNOT RUN: set {variable} to a folder with {holds}\n");
    }
    folder
}

fn garbage() -> Line {
    let mut lines = [Line::ZERO];
    Arena::new(&mut lines).take::<u8>(Line::BYTES).unwrap().fill(0xa5);
    lines[0]
}
