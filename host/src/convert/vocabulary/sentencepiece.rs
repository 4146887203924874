//! Models of sentencepiece: a protocol buffer of pieces, and of the settings of trainer and normalizer. Source:
//! google/sentencepiece, `sentencepiece_model.proto`.

use std::fs;
use std::path::Path;

use prost::Message;

use super::{Algorithm, Kind, Normalizer, Token, Vocabulary};
use crate::error::{Context, Error, Result, bail, ensure};

/// Model, with the fields that matter here, as in all messages below.
#[derive(Clone, PartialEq, Message)]
struct ModelProto {
    #[prost(message, repeated, tag = "1")]
    pieces: Vec<SentencePiece>,
    #[prost(message, optional, tag = "2")]
    trainer_spec: Option<TrainerSpec>,
    #[prost(message, optional, tag = "3")]
    normalizer_spec: Option<NormalizerSpec>,
}

#[derive(Clone, PartialEq, Message)]
struct SentencePiece {
    /// Text of the piece, checked in [`SentencePiece::token`], where its id is known.
    #[prost(bytes = "vec", optional, tag = "1")]
    piece: Option<Vec<u8>>,
    #[prost(float, optional, tag = "2")]
    score: Option<f32>,
    /// Kind of the token, in the numbers of [`Kind`].
    #[prost(int32, optional, tag = "3", default = "1")]
    ty: Option<i32>,
}

#[derive(Clone, PartialEq, Message)]
struct TrainerSpec {
    #[prost(int32, optional, tag = "3", default = "1")]
    model_type: Option<i32>,
    #[prost(bool, optional, tag = "24")]
    treat_whitespace_as_suffix: Option<bool>,
    #[prost(int32, optional, tag = "40", default = "0")]
    unk_id: Option<i32>,
    #[prost(int32, optional, tag = "41", default = "1")]
    bos_id: Option<i32>,
    #[prost(int32, optional, tag = "42", default = "2")]
    eos_id: Option<i32>,
    #[prost(int32, optional, tag = "43", default = "-1")]
    pad_id: Option<i32>,
}

#[derive(Clone, PartialEq, Message)]
struct NormalizerSpec {
    #[prost(bytes = "vec", optional, tag = "2")]
    precompiled_charsmap: Option<Vec<u8>>,
    #[prost(bool, optional, tag = "3", default = "true")]
    add_dummy_prefix: Option<bool>,
    #[prost(bool, optional, tag = "4", default = "true")]
    remove_extra_whitespaces: Option<bool>,
    #[prost(bool, optional, tag = "5", default = "true")]
    escape_whitespaces: Option<bool>,
}

/// Reads a model.
pub fn read(path: &Path) -> Result<Vocabulary> {
    let bytes = fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    parse(&bytes).with_context(|| format!("{} is not a sentencepiece model that can be converted", path.display()))
}

fn parse(model: &[u8]) -> Result<Vocabulary> {
    let model = ModelProto::decode(model).map_err(Error::invalid).context("it is broken or cut off")?;
    let numbered = model.pieces.into_iter().enumerate();
    let tokens = numbered.map(|(id, piece)| piece.token().with_context(|| format!("piece {id}")));
    let tokens = tokens.collect::<Result<Vec<Token>>>()?;
    ensure!(!tokens.is_empty(), "it has no pieces");
    let trainer = model.trainer_spec.unwrap_or_default();
    ensure!(!trainer.treat_whitespace_as_suffix(), "`treat_whitespace_as_suffix` is set");
    let algorithm = match trainer.model_type() {
        1 => Algorithm::Unigram,
        2 => Algorithm::SentencePieceBpe,
        other => bail!("its `model_type` is {other}, neither 1 (unigram) nor 2 (BPE)"),
    };
    let normalizer = Some(model.normalizer_spec.unwrap_or_default().normalizer()?);
    let mut vocabulary = Vocabulary { tokens, normalizer, ..Vocabulary::new(algorithm, "default") };
    let special =
        [("unk", trainer.unk_id()), ("bos", trainer.bos_id()), ("eos", trainer.eos_id()), ("pad", trainer.pad_id())];
    for (name, id) in special {
        if let Some(id) = usize::try_from(id).ok().filter(|&id| id < vocabulary.tokens.len()) {
            vocabulary.special.offer(name, id);
        }
    }
    // The classes of the BPE models' families begin a text with `bos` where `tokenizer_config.json` has no setting.
    vocabulary.special.add_bos = algorithm == Algorithm::SentencePieceBpe;
    Ok(vocabulary)
}

impl SentencePiece {
    fn token(self) -> Result<Token> {
        let (kind, score) = (self.ty(), self.score());
        let text = String::from_utf8(self.piece.unwrap_or_default()).map_err(Error::invalid);
        let kinds = [Kind::Normal, Kind::Unknown, Kind::Control, Kind::UserDefined, Kind::Unused, Kind::Byte];
        let found = kinds.into_iter().find(|&known| known as i32 == kind);
        Ok(Token {
            text: text.context("its text is not UTF-8")?,
            kind: found.with_context(|| format!("its type is {kind}, which is not known"))?,
            score,
        })
    }
}

impl NormalizerSpec {
    fn normalizer(self) -> Result<Normalizer> {
        ensure!(self.escape_whitespaces(), "`escape_whitespaces` is not set");
        Ok(Normalizer {
            add_space_prefix: self.add_dummy_prefix(),
            remove_extra_whitespaces: self.remove_extra_whitespaces(),
            charsmap: self.precompiled_charsmap.unwrap_or_default(),
        })
    }
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
        let cut_off = error(&model(1)[..5]);
        assert!(cut_off.starts_with("it is broken or cut off: failed to decode Protobuf message: "), "{cut_off}");
        assert!(error(&bytes(1, &bytes(1, b"\xff"))).starts_with("piece 0: its text is not UTF-8: invalid utf-8 "));
        let suffix = [piece_of("x", 0.0, 1), bytes(2, &[0xc0, 0x01, 1])].concat();
        assert_eq!(error(&suffix), "`treat_whitespace_as_suffix` is set");
        let spaces = [piece_of("x", 0.0, 1), bytes(3, &[5 << 3, 0])].concat();
        assert_eq!(error(&spaces), "`escape_whitespaces` is not set");
    }

    #[test]
    fn fields_that_are_missing_have_the_defaults_of_the_format() {
        let found = parse(&bytes(1, &bytes(1, b"x"))).unwrap();
        assert_eq!(found.algorithm, Algorithm::Unigram);
        assert_eq!(found.tokens, [Token { text: "x".into(), kind: Kind::Normal, score: 0.0 }]);
        let want = Normalizer { add_space_prefix: true, remove_extra_whitespaces: true, charsmap: Vec::new() };
        assert_eq!(found.normalizer, Some(want));
    }

    #[test]
    fn a_model_cut_off_within_a_field_is_refused() {
        let model = model(1);
        let n_read = (0..model.len()).filter(|&len| parse(&model[..len]).is_ok()).count();
        // After each of three pieces, and after the trainer's settings.
        assert_eq!(n_read, 4);
        for broken in [&b"\x0b"[..], b"\x0a\xff\xff\xff\xff\x0f", b"\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"] {
            assert!(parse(broken).is_err(), "{broken:?}");
        }
    }
}
