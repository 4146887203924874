//! Generating text: the loop of the library against one written by hand, and each reason to stop.

use nearfield::tokenizer::{Detokenizer, Tokenizer, Vocab};
use nearfield::{
    Arena, End, Generator, GeneratorConfig, Inline, Line, MemoryPlan, Model, RunError, Sampler, SamplerConfig, Session,
    SessionConfig, StopWords, kernels,
};

use crate::common::file::File;
use crate::common::model::MPT;
use crate::common::reference::gguf_writer::Value;
use crate::common::run::Setup;

const PROMPT: &str = "Once upon a time";

/// Calls `run` with a session of the pocket model, its tokenizer and the tokens of the prompt.
fn with_pocket<R>(n_ctx: usize, run: impl FnOnce(&mut Session<'_, '_, '_>, &Tokenizer<'_, '_>, &[u32]) -> R) -> R {
    let file = File::new(include_bytes!("../models/pocket.gguf"));
    let model = Model::from_gguf(file.bytes()).unwrap();
    let config = SessionConfig { n_ctx, ..SessionConfig::default() };
    let mut memory = vec![Line::ZERO; MemoryPlan::new(model.shape(), &config).unwrap().n_lines()];
    let mut arena = Arena::new(&mut memory);
    let tokenizer = Tokenizer::new(Vocab::from_gguf(model.gguf()).unwrap(), &mut arena).unwrap();
    let mut session = Session::new(&model, config, kernels::best(), &Inline, &mut arena).unwrap();
    let mut tokens = [0; 64];
    let n = tokenizer.encode(PROMPT, tokenizer.options(), &mut tokens).unwrap();
    run(&mut session, &tokenizer, &tokens[..n])
}

fn sampler() -> Sampler<'static> {
    Sampler::new(SamplerConfig { seed: 1, ..SamplerConfig::default() }).unwrap()
}

/// The text of a generator from where it stands, and the tokens.
fn text_of(
    mut generator: Generator<'_>,
    session: &mut Session<'_, '_, '_>,
    tokenizer: &Tokenizer<'_, '_>,
) -> (String, Vec<u32>, Option<End>) {
    let (mut text, mut tokens) = (String::new(), vec![]);
    while let Some(token) = generator.next(session, tokenizer, &mut text).unwrap() {
        tokens.push(token);
    }
    assert_eq!(generator.next(session, tokenizer, &mut text).unwrap(), None, "what ended stays ended");
    generator.finish(&mut text).unwrap();
    assert_eq!(generator.n_tokens(), tokens.len());
    (text, tokens, generator.end())
}

#[test]
fn the_text_is_that_of_the_loop_by_hand_whatever_the_parts_of_the_prompt() {
    with_pocket(128, |session, tokenizer, prompt| {
        let (mut sampler_by_hand, mut text, mut tokens) = (sampler(), String::new(), vec![]);
        let mut detokenizer = Detokenizer::new(false);
        prompt.iter().for_each(|&token| sampler_by_hand.accept(token));
        let mut token = sampler_by_hand.sample(session.prefill(prompt).unwrap());
        for _ in 0..40 {
            detokenizer.push(tokenizer, token, &mut text).unwrap();
            tokens.push(token);
            sampler_by_hand.accept(token);
            token = sampler_by_hand.sample(session.decode(token).unwrap());
        }
        detokenizer.finish(&mut text).unwrap();
        for part in [1, 2, 100] {
            session.reset();
            let config = GeneratorConfig { max_tokens: Some(40), ..GeneratorConfig::default() };
            let mut generator = Generator::new(sampler(), config, StopWords::none());
            for part in prompt.chunks(part) {
                generator.read(session, part).unwrap();
            }
            let got = text_of(generator, session, tokenizer);
            assert_eq!(got, (text.clone(), tokens.clone(), Some(End::Length)), "parts of {part}");
            // The last token was not run.
            assert_eq!(session.pos(), prompt.len() + 39);
        }
    });
}

#[test]
fn a_text_ends_for_each_reason() {
    let run = |n_ctx, config: GeneratorConfig<'_>, words: &[&str]| {
        with_pocket(n_ctx, |session, tokenizer, prompt| {
            let mut memory = vec![0; StopWords::memory_bytes(words)];
            let stop = StopWords::new(words, &mut memory).unwrap();
            let mut generator = Generator::new(sampler(), config, stop);
            generator.read(session, prompt).unwrap();
            text_of(generator, session, tokenizer)
        })
    };
    let config = GeneratorConfig { max_tokens: Some(30), ..GeneratorConfig::default() };
    let (text, tokens, end) = run(128, config, &[]);
    assert_eq!((tokens.len(), end), (30, Some(End::Length)));
    let none = GeneratorConfig { max_tokens: Some(0), ..GeneratorConfig::default() };
    assert_eq!(run(128, none, &[]), (String::new(), vec![], Some(End::Length)));

    let (before, full, end) = run(20, config, &[]);
    assert_eq!(end, Some(End::ContextFull));
    assert!(text.starts_with(&before) && tokens.starts_with(&full) && full.len() < 30);

    let at = tokens.iter().position(|&token| token == tokens[7]).unwrap();
    let stop_tokens = &tokens[7..8];
    let (_, before, end) = run(128, GeneratorConfig { stop_tokens, ..config }, &[]);
    assert_eq!((&before[..], end), (&tokens[..at], Some(End::Token)));
    let goes_on = GeneratorConfig { stop_tokens, after_end: Some("|"), ..config };
    let (marked, same, end) = run(128, goes_on, &[]);
    assert_eq!((same, end), (tokens.clone(), Some(End::Length)));
    assert_eq!(marked.replace('|', ""), text);
    assert!(marked.contains('|'));

    let word = &text[5..9];
    let (before, _, end) = run(128, config, &[word]);
    assert_eq!((&before[..], end), (&text[..text.find(word).unwrap()], Some(End::Word)));
}

#[test]
fn a_text_goes_on_in_another_generator() {
    with_pocket(128, |session, tokenizer, prompt| {
        let config = |n| GeneratorConfig { max_tokens: Some(n), ..GeneratorConfig::default() };
        let mut whole = Generator::new(sampler(), config(30), StopWords::none());
        whole.read(session, prompt).unwrap();
        let (text, ..) = text_of(whole, session, tokenizer);

        session.reset();
        let mut first = Generator::new(sampler(), config(12), StopWords::none());
        first.read(session, prompt).unwrap();
        let mut parts = String::new();
        while first.next(session, tokenizer, &mut parts).unwrap().is_some() {}
        first.pause(&mut parts).unwrap();
        let sampler = Sampler::new(SamplerConfig { seed: first.seed(), ..SamplerConfig::default() }).unwrap();
        let mut second = Generator::new(sampler, config(18), StopWords::none());
        let recent: Vec<u32> = first.sampler().recent().collect();
        second.accept(&recent);
        second.follow(tokenizer, &recent).unwrap();
        let last = first.not_run().unwrap();
        second.follow(tokenizer, &[last]).unwrap();
        second.read(session, &[last]).unwrap();
        assert_eq!(parts + &text_of(second, session, tokenizer).0, text);
    });
}

#[test]
fn nothing_comes_of_no_prompt() {
    with_pocket(128, |session, tokenizer, prompt| {
        let mut generator = Generator::new(sampler(), GeneratorConfig::default(), StopWords::none());
        assert_eq!(generator.advance(session), Err(RunError::NoTokens));
        assert_eq!(generator.read(session, &[]), Err(RunError::NoTokens));
        assert_eq!(generator.write(tokenizer, &mut String::new()), Ok(None));
        generator.read(session, prompt).unwrap();
        assert!(generator.advance(session).unwrap().is_some());
    });
}

/// Rows of a padded vocabulary stand for no token: no sampler sees them.
#[test]
fn a_padded_vocabulary_has_the_logits_of_its_tokens() {
    const N_TOKENS: usize = 40;
    let mut parts = MPT.parts_of(&MPT.tensors(), "F32");
    let tokens: Vec<String> = (0..N_TOKENS).map(|i| format!("<{i}>")).collect();
    parts.metadata.push(("tokenizer.ggml.tokens".into(), Value::strings(&tokens)));
    let file = parts.file();
    let shape = *Model::from_gguf(file.bytes()).unwrap().shape();
    assert_eq!((shape.n_vocab, shape.n_tokens, shape.n_logits()), (MPT.n_vocab, N_TOKENS, N_TOKENS));
    Setup::default().session(file.bytes(), |session| {
        let mut all = vec![];
        session.prefill_each(&[1, 2], |row| all = row.to_vec()).unwrap();
        assert_eq!(all.len(), MPT.n_vocab);
        session.reset();
        assert_eq!(session.prefill(&[1, 2]).unwrap(), &all[..N_TOKENS]);
    });
}
