//! Inputs that encoders refuse, and the words of the errors.

use nearfield::kernels::best;
use nearfield::{
    Arena, DocumentError, Encoder, EncoderConfig, EncoderError, EncoderPlan, Inline, Line, LoadError, Model, PlanError,
    Pooling, Session, SessionConfig, SessionError,
};

use crate::common::encoder::{JINA, Setup, Spec};
use crate::common::model::MPT;
use crate::common::reference::gguf_writer::Value;

#[track_caller]
fn assert_words(error: impl std::error::Error, words: &[&str]) {
    let text = error.to_string();
    println!("{text}");
    assert!(words.iter().all(|word| text.contains(word)), "{words:?} in {text:?}");
    assert!(!text.contains('\n') && !text.ends_with('.'), "one line, for others to end: {text:?}");
}

fn encoder_error(file: &[u8], config: EncoderConfig, n_lines: usize) -> EncoderError {
    let model = Model::from_gguf(file).unwrap();
    let mut lines = vec![Line::ZERO; n_lines];
    Encoder::new(&model, config, best(), &Inline, &mut Arena::new(&mut lines)).expect_err("no encoder")
}

#[test]
fn models_of_the_other_kind() {
    let error = encoder_error(MPT.file("F32").bytes(), EncoderConfig::default(), 1 << 16);
    assert_eq!(error, EncoderError::Decoder { arch: "mpt" });
    assert_words(error, &["mpt", "decoder", "no embeddings"]);
    let file = JINA.file("F32");
    let model = Model::from_gguf(file.bytes()).unwrap();
    let mut lines = vec![Line::ZERO; 1 << 16];
    let session = Session::new(&model, SessionConfig::default(), best(), &Inline, &mut Arena::new(&mut lines));
    let error = session.expect_err("no session");
    assert_eq!(error, SessionError::Encoder { arch: "jina-bert-v2" });
    assert_words(error, &["jina-bert-v2", "encoder", "continues no text"]);
}

#[test]
fn arenas_and_configurations() {
    let file = JINA.file("F32");
    let config = EncoderConfig::default();
    let need = EncoderPlan::new(Model::from_gguf(file.bytes()).unwrap().shape(), &config).unwrap().encoder();
    let have = need - Line::BYTES;
    let error = encoder_error(file.bytes(), config, have / Line::BYTES);
    assert_eq!(error, EncoderError::ArenaTooSmall { need, have });
    assert_words(error, &[&need.to_string(), &have.to_string()]);
    for (config, want) in [
        (EncoderConfig { n_ctx: 0, ..config }, PlanError::Context { found: 0 }),
        (EncoderConfig { n_ctx: (1 << 24) + 1, ..config }, PlanError::Context { found: (1 << 24) + 1 }),
        (EncoderConfig { n_batch: 0, ..config }, PlanError::Batch),
        (EncoderConfig { n_documents: 0, ..config }, PlanError::Documents),
        (EncoderConfig { n_documents: usize::MAX, ..config }, PlanError::TooLarge),
        (EncoderConfig { horizon_eps: f32::NAN, ..config }, PlanError::HorizonEps),
    ] {
        assert_eq!(encoder_error(file.bytes(), config, 1), EncoderError::Plan(want));
    }
}

#[test]
fn documents() {
    let setup = Setup::default().with(|config| config.n_ctx = 40);
    setup.encoder(Spec { n_token_types: 1, ..JINA }.file("F32").bytes(), |encoder| {
        let mut error = |tokens: &[u32]| encoder.embed(tokens, Pooling::Mean, true).expect_err("no vector");
        assert_eq!(error(&[]), DocumentError::NoTokens);
        assert_eq!(error(&[1, 48]), DocumentError::Token { token: 48, n_vocab: 48 });
        let too_long = error(&JINA.tokens(41));
        assert_eq!(too_long, DocumentError::TooLong { n_tokens: 41, n_ctx: 40 });
        assert_words(too_long, &["41 tokens", "room for 40"]);
        assert_eq!(encoder.score(&[1, 2], 1), Err(DocumentError::NoScore));
        assert_words(DocumentError::NoScore, &["cls.output", "no scores"]);
        assert!(encoder.embed(&JINA.tokens(40), Pooling::Mean, true).is_ok());
    });
    setup.encoder(Spec { n_token_types: 1, reranker: true, ..JINA }.file("F32").bytes(), |encoder| {
        let error = encoder.score(&[1, 2], 1).expect_err("no types");
        assert_eq!(error, DocumentError::TokenTypes { n_token_types: 1 });
        assert_words(error, &["second token type", "has 1"]);
        assert!(encoder.score(&[1, 2], 2).is_ok());
    });
}

#[test]
fn vectors_and_scores_that_are_no_numbers() {
    let spec = Spec { reranker: true, ..JINA };
    let mut parts = spec.parts("F32");
    let width = 4 * spec.n_embd();
    parts.tensor("token_embd.weight").bytes[7 * width..][..4].copy_from_slice(&f32::NAN.to_le_bytes());
    Setup::default().encoder(parts.file().bytes(), |encoder| {
        for pooling in Pooling::ALL {
            assert_eq!(encoder.embed(&[5, 7], pooling, true), Err(DocumentError::NotFinite), "{}", pooling.name());
            assert!(encoder.embed(&[5, 6], pooling, true).is_ok());
        }
        assert_eq!(encoder.score(&[5, 7], 2), Err(DocumentError::NotFinite));
        assert!(encoder.score(&[5, 6], 2).is_ok());
    });
    assert_words(DocumentError::NotFinite, &["not finite", "broken"]);
}

#[test]
fn files() {
    let load = |parts: crate::common::model::Parts| Model::from_gguf(parts.file().bytes()).expect_err("a broken file");
    let code = Spec { code: true, reranker: true, ..JINA };
    for name in [
        "token_embd_norm.weight",
        "cls.output.weight",
        "blk.1.attn_q.weight",
        "blk.0.attn_output_norm.weight",
        "blk.1.layer_output_norm.weight",
        "blk.0.ffn_gate.weight",
    ] {
        let error = load(code.parts("F32").without(name));
        assert_eq!(error.to_string(), format!("the tensor {name} is missing"));
    }
    // A tensor that only decoders have is refused in an encoder's file, and the other way round.
    let mut parts = JINA.parts("F32");
    parts.tensors.push(code.parts("F32").tensor("blk.0.attn_norm_2.weight").clone());
    parts.tensors.last_mut().unwrap().name = "blk.0.attn_norm.weight".into();
    assert_words(load(parts), &["blk.0.attn_norm.weight", "not part of this architecture"]);
    let mut parts = MPT.parts_of(&MPT.tensors(), "F32");
    parts.tensors.push(code.parts("F32").tensor("blk.0.attn_norm_2.weight").clone());
    assert_words(load(parts), &["blk.0.attn_norm_2.weight", "not part of this architecture"]);
    // Gate and up in one matrix, as other converters write the code model.
    let mut parts = code.parts("F32");
    let fused = parts.tensor("blk.0.ffn_up.weight");
    fused.shape[0] *= 2;
    fused.bytes.extend(fused.bytes.clone());
    assert_eq!(
        load(parts),
        LoadError::TensorShape { layer: Some(0), name: "ffn_up.weight", want: [64, 96], found: [64, 192, 1, 1] }
    );
    // Older files have no key for the family's bias.
    let plain = JINA.parts("F32").without("jina-bert-v2.attention.max_alibi_bias");
    assert_eq!(Model::from_gguf(plain.file().bytes()).unwrap().shape().max_alibi_bias, 8.0);
    let pooling = |value: u32| {
        let file = JINA.parts("F32").set("jina-bert-v2.pooling_type", Value::U32(value)).file();
        let model = Model::from_gguf(file.bytes()).unwrap();
        Pooling::of_file(model.gguf(), "jina-bert-v2")
    };
    let want = [None, Some(Pooling::Mean), Some(Pooling::Cls), Some(Pooling::Last), None, None];
    assert_eq!([0, 1, 2, 3, 4, 9].map(pooling), want);
}
