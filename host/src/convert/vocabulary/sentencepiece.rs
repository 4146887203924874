//! Models of sentencepiece: a protocol buffer of pieces, and of the settings of trainer and normalizer. Source:
//! google/sentencepiece, `sentencepiece_model.proto`.

use std::fs;
use std::path::Path;

use super::protobuf::{Field, fields};
use super::{Algorithm, Kind, Normalizer, Token, Vocabulary};
use crate::error::{Context, Error, Result, bail, ensure};

/// Field numbers of `ModelProto`.
const PIECES: u64 = 1;
const TRAINER_SPEC: u64 = 2;
const NORMALIZER_SPEC: u64 = 3;

/// Reads a model.
pub fn read(path: &Path) -> Result<Vocabulary> {
    let bytes = fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    parse(&bytes).with_context(|| format!("{} is not a sentencepiece model that can be converted", path.display()))
}

fn parse(model: &[u8]) -> Result<Vocabulary> {
    let mut tokens = Vec::new();
    let mut trainer = Trainer::default();
    let mut normalizer = Normalizer { add_space_prefix: true, remove_extra_whitespaces: true, charsmap: Vec::new() };
    fields(model, |number, field| match (number, field) {
        (PIECES, Field::Bytes(piece)) => {
            let token = self::piece(piece).with_context(|| format!("piece {}", tokens.len()))?;
            tokens.push(token);
            Ok(())
        }
        (TRAINER_SPEC, Field::Bytes(spec)) => trainer.read(spec),
        (NORMALIZER_SPEC, Field::Bytes(spec)) => read_normalizer(spec, &mut normalizer),
        _ => Ok(()),
    })?;
    ensure!(!tokens.is_empty(), "it has no pieces");
    ensure!(!trainer.whitespace_is_suffix, "`treat_whitespace_as_suffix` is set");
    let algorithm = match trainer.model_type {
        1 => Algorithm::Unigram,
        2 => Algorithm::SentencePieceBpe,
        other => bail!("its `model_type` is {other}, neither 1 (unigram) nor 2 (BPE)"),
    };
    let mut vocabulary = Vocabulary { tokens, normalizer: Some(normalizer), ..Vocabulary::new(algorithm, "default") };
    for (name, id) in [("unk", trainer.unk), ("bos", trainer.bos), ("eos", trainer.eos), ("pad", trainer.pad)] {
        if let Some(id) = usize::try_from(id).ok().filter(|&id| id < vocabulary.tokens.len()) {
            vocabulary.special.offer(name, id);
        }
    }
    // The classes of the BPE models' families begin a text with `bos` where `tokenizer_config.json` has no setting.
    vocabulary.special.add_bos = algorithm == Algorithm::SentencePieceBpe;
    Ok(vocabulary)
}

/// Fields of `TrainerSpec` that matter here, with its defaults.
struct Trainer {
    model_type: u64,
    whitespace_is_suffix: bool,
    unk: i64,
    bos: i64,
    eos: i64,
    pad: i64,
}

impl Default for Trainer {
    fn default() -> Self {
        Self { model_type: 1, whitespace_is_suffix: false, unk: 0, bos: 1, eos: 2, pad: -1 }
    }
}

impl Trainer {
    fn read(&mut self, spec: &[u8]) -> Result<()> {
        fields(spec, |number, field| {
            // Negative numbers are 64 bits of two's complement.
            let Field::Number(x) = field else { return Ok(()) };
            match number {
                3 => self.model_type = x,
                24 => self.whitespace_is_suffix = x != 0,
                40 => self.unk = x as i64,
                41 => self.bos = x as i64,
                42 => self.eos = x as i64,
                43 => self.pad = x as i64,
                _ => {}
            }
            Ok(())
        })
    }
}

fn read_normalizer(spec: &[u8], normalizer: &mut Normalizer) -> Result<()> {
    fields(spec, |number, field| {
        match (number, field) {
            (2, Field::Bytes(charsmap)) => normalizer.charsmap = charsmap.into(),
            (3, Field::Number(x)) => normalizer.add_space_prefix = x != 0,
            (4, Field::Number(x)) => normalizer.remove_extra_whitespaces = x != 0,
            (5, Field::Number(0)) => bail!("`escape_whitespaces` is not set"),
            _ => {}
        }
        Ok(())
    })
}

fn piece(message: &[u8]) -> Result<Token> {
    let mut token = Token { text: String::new(), kind: Kind::Normal, score: 0.0 };
    fields(message, |number, field| {
        match (number, field) {
            (1, Field::Bytes(text)) => {
                let text =
                    std::str::from_utf8(text).map_err(|error| Error::invalid(error).context("its text is not UTF-8"));
                token.text = text?.into();
            }
            (2, Field::Fixed32(bits)) => token.score = f32::from_bits(bits),
            (3, Field::Number(kind)) => {
                let kinds = [Kind::Normal, Kind::Unknown, Kind::Control, Kind::UserDefined, Kind::Unused, Kind::Byte];
                let found = kinds.into_iter().find(|&known| known as u64 == kind);
                token.kind = found.with_context(|| format!("its type is {kind}, which is not known"))?;
            }
            _ => {}
        }
        Ok(())
    })?;
    Ok(token)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Encodes a field of fewer than 128 bytes.
    fn bytes(number: u8, body: &[u8]) -> Vec<u8> {
        [&[number << 3 | 2, body.len() as u8][..], body].concat()
    }

    fn piece_of(text: &str, score: f32, kind: u8) -> Vec<u8> {
        bytes(
            1,
            &[bytes(1, text.as_bytes()), [&[2 << 3 | 5][..], &score.to_le_bytes()].concat(), vec![3 << 3, kind]]
                .concat(),
        )
    }

    /// Model of three pieces. `pad_id` (field 43) is -1; fields above 15 have keys of two bytes.
    fn model(model_type: u8) -> Vec<u8> {
        let minus_one = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01];
        let trainer = [&[3 << 3, model_type, 0xd8, 0x02][..], &minus_one].concat();
        let pieces = [piece_of("<unk>", 0.0, 2), piece_of("<s>", 0.0, 3), piece_of("\u{2581}a", -1.5, 1)].concat();
        [pieces, bytes(2, &trainer), bytes(3, &[bytes(2, b"map"), vec![3 << 3, 0]].concat())].concat()
    }

    #[test]
    fn a_model_is_read() {
        let found = parse(&model(1)).unwrap();
        assert_eq!(found.algorithm, Algorithm::Unigram);
        assert_eq!(found.tokens[2], Token { text: "\u{2581}a".into(), kind: Kind::Normal, score: -1.5 });
        assert_eq!([found.tokens[0].kind, found.tokens[1].kind], [Kind::Unknown, Kind::Control]);
        let normalizer = found.normalizer.unwrap();
        assert_eq!(normalizer.charsmap, b"map");
        assert!(!normalizer.add_space_prefix && normalizer.remove_extra_whitespaces);
        assert_eq!([found.special.id("unk"), found.special.id("bos")], [Some(0), Some(1)]);
        // `eos` would be the third token, and there is no `pad`.
        assert_eq!([found.special.id("eos"), found.special.id("pad")], [Some(2), None]);
        assert_eq!(parse(&model(2)).unwrap().algorithm, Algorithm::SentencePieceBpe);
    }

    #[test]
    fn what_cannot_be_converted_says_why() {
        let error = |model: &[u8]| format!("{:#}", parse(model).unwrap_err());
        assert_eq!(error(&model(3)), "its `model_type` is 3, neither 1 (unigram) nor 2 (BPE)");
        assert_eq!(error(b""), "it has no pieces");
        assert_eq!(error(&piece_of("x", 0.0, 9)), "piece 0: its type is 9, which is not known");
        assert_eq!(error(&model(1)[..5]), "the file is cut off in the middle of a field");
    }
}
