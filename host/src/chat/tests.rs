//! Tests that a session kept between turns reads less and changes no answer.

use nearfield::tokenizer::Detokenizer;
use nearfield::{KvType, KvTypes, Ring, SamplerConfig, SessionConfig};

use super::{Chat, Conversation};
use crate::draft::Draft;
use crate::engine::Engine;
use crate::error::{Error, QuestionTooLong};
use crate::generate::{Generated, Generator, Length, Options, TextModel, load};
use crate::model_file::{ModelFile, Repack};
use crate::monitor::Monitor;
use crate::sampler::SamplerOptions;

/// The built-in model as a file.
const STORIES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../models/stories.gguf");

const QUESTIONS: [&[u8]; 6] = [
    b"Once upon a time there was a cat",
    b"Then a dog came",
    b"What did they do",
    b"Where is it",
    b"Tom said yes",
    b"The end",
];

/// Options for texts of `n` tokens at temperature `temp`.
fn options(n: usize, temp: f32) -> Options {
    let config = SamplerConfig { temp, ..SamplerConfig::default() };
    let sampler = SamplerOptions { config, ..SamplerOptions::default() };
    Options { length: Length::Tokens(n), sampler, ..Options::default() }
}

/// Conversation with the built-in model.
fn talk(options: Options, stop: &[&str], then: impl Fn(&mut Conversation<'_>, &mut Generator<'_, '_>, &TextModel<'_>)) {
    let stop: Vec<String> = stop.iter().map(ToString::to_string).collect();
    let engine = Engine::new(None, Some(1)).unwrap();
    let file = ModelFile::open(None, &Monitor::silent()).unwrap();
    load(file, &engine, Repack::Auto, &options, None, |model| {
        let mut conversation = Conversation::new(model, Chat::Mpt30bInstruct, None, &stop).unwrap();
        model.with_generator(0, |generator| {
            then(&mut conversation, generator, model);
            Ok::<_, Error>(())
        })
    })
    .unwrap();
}

fn ask(
    conversation: &mut Conversation<'_>,
    generator: &mut Generator<'_, '_>,
    question: &[u8],
) -> (Generated, Vec<u32>, String) {
    let prompt = conversation.prompt(question).unwrap();
    let mut out = Vec::new();
    let generated = generator.generate(&prompt, 3, &mut out).unwrap();
    conversation.answered(question, &generated.tokens).unwrap();
    (generated, prompt.tokens, String::from_utf8(out).unwrap())
}

/// Settings: a stop that cuts into tokens, a stop that never comes, sampling, a ring that forgets, and a draft model.
#[test]
fn answers_are_those_of_a_session_that_reads_all_again() {
    let with = |session: SessionConfig, options: Options| Options { session, ..options };
    let (ring, kv) = (Ring::Keys(64), KvTypes::both(KvType::Q8_0));
    let draft = |options| Options { draft: Draft::Model(STORIES.into()), ..options };
    let settings: [(Options, &[&str]); 6] = [
        (options(20, 0.0), &[]),
        (options(24, SamplerConfig::default().temp), &["ed", "."]),
        (with(SessionConfig { ring, ..SessionConfig::default() }, options(20, 0.9)), &[]),
        (with(SessionConfig { kv, ..SessionConfig::default() }, options(9, 2.0)), &[]),
        (draft(options(20, 0.0)), &["ed"]),
        (draft(with(SessionConfig { ring, ..SessionConfig::default() }, options(20, 0.9))), &[]),
    ];
    for (options, stop) in settings {
        let arguments = format!("{options:?}");
        talk(options, stop, |conversation, generator, model| {
            for question in QUESTIONS {
                let prompt = conversation.prompt(question).unwrap();
                let mut out = Vec::new();
                let again = model.with_generator(0, |fresh| fresh.generate(&prompt, 3, &mut out)).unwrap();
                assert_eq!(again.prefill.n, prompt.tokens.len());
                let (generated, tokens, text) = ask(conversation, generator, question);
                assert_eq!(tokens, prompt.tokens);
                assert_eq!(text.as_bytes(), out, "{arguments}: {question:?}");
                assert_eq!(generated.tokens, again.tokens);
                assert_eq!(generated.drafts, again.drafts);
                assert_eq!(generated.hashes.logits.get(), again.hashes.logits.get(), "{arguments}: {question:?}");
            }
        });
    }
}

#[test]
fn what_is_read_for_a_question_does_not_grow() {
    talk(options(20, 0.0), &[], |conversation, generator, _| {
        let (first, tokens, _) = ask(conversation, generator, b"And then");
        assert_eq!(first.prefill.n, tokens.len());
        let mut read = Vec::new();
        for _ in 0..12 {
            let (generated, tokens, _) = ask(conversation, generator, b"And then");
            read.push((generated.prefill.n, tokens.len()));
        }
        let most = read.iter().map(|&(n_read, _)| n_read).max().unwrap();
        // Each turn reads the question, the words around it, and the last token of the answer before, which need not have run.
        assert!(most <= first.prefill.n, "{read:?}");
        let grown = read[11].1 - read[0].1;
        assert!(grown > 11 * 20, "the conversation does: {read:?}");
    });
}

/// Before a question, the answer stands as it was shown, without the stop and white space at its end.
#[test]
fn a_stop_is_no_part_of_what_was_said() {
    talk(options(30, 0.0), &["ed"], |conversation, generator, model| {
        let mut n_stopped = 0;
        for question in QUESTIONS {
            let (generated, tokens, shown) = ask(conversation, generator, question);
            assert!(!shown.contains("ed"), "{shown}");
            let text = |tokens: &[u32]| {
                let (mut text, mut detokenizer) = (String::new(), Detokenizer::new(true));
                tokens.iter().for_each(|&token| detokenizer.push(model.tokenizer, token, &mut text).unwrap());
                text
            };
            n_stopped += usize::from(text(&generated.tokens).contains("ed"));
            let next = conversation.prompt(b"Next").unwrap().tokens;
            let want = format!("{}{}\n\n###Instruction\nNext\n\n### Response\n", text(&tokens), shown.trim_end());
            assert_eq!(text(&next), want);
        }
        assert!(n_stopped > 0);
    });
}

#[test]
fn a_full_context_forgets_the_oldest_questions() {
    let n_ctx = 160;
    talk(Options { n_ctx: Some(n_ctx), ..options(20, 0.0) }, &[], |conversation, generator, _| {
        let system = conversation.prompt(b"").unwrap().tokens[..10].to_vec();
        let (mut n_forgotten, mut n_read_again) = (0, 0);
        for _ in 0..20 {
            let n = conversation.make_room(b"And then", n_ctx).unwrap();
            n_forgotten += n;
            n_read_again += usize::from(n > 0);
            let (_, tokens, _) = ask(conversation, generator, b"And then");
            assert!(tokens.len() + 20 <= n_ctx && tokens.starts_with(&system));
            assert!(n == 0 || tokens.len() + 20 <= n_ctx / 2 || conversation.n_turns() <= 2, "{}", tokens.len());
        }
        assert!(n_forgotten > 10 && n_read_again * 2 <= n_forgotten + 2, "{n_forgotten} {n_read_again}");
        // A question that no forgetting makes room for is refused, and no turn is forgotten for it.
        let n_turns = conversation.n_turns();
        let error = conversation.make_room(&b"cat ".repeat(200), n_ctx).unwrap_err();
        assert!(matches!(error, Error::QuestionTooLong(QuestionTooLong { n_ctx: 160, .. })), "{error}");
        assert_eq!(conversation.n_turns(), n_turns);
    });
}
