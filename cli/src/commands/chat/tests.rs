//! What a kept session saves, and that it changes nothing.

use clap::Parser;
use nearfield::tokenizer::Detokenizer;
use nearfield_host::chat::Chat;
use nearfield_host::model_file::ModelFile;

use super::conversation::{Conversation, TooLong};
use crate::cli::{Cli, Command};
use crate::commands::run::with_teller;
use crate::story::{Reader, Story, Teller};
use crate::terminal::monitor;

const QUESTIONS: [&[u8]; 6] = [
    b"Once upon a time there was a cat",
    b"Then a dog came",
    b"What did they do",
    b"Where is it",
    b"Tom said yes",
    b"The end",
];

/// A conversation of the built-in model, with these arguments of `nearfield run`.
fn talk(arguments: &str, then: impl Fn(&mut Conversation<'_>, &mut Reader<'_, '_>, &Teller<'_>)) {
    let arguments = ["nearfield", "run", "--threads", "1"].into_iter().chain(arguments.split_whitespace());
    let Some(Command::Run(args)) = Cli::try_parse_from(arguments).unwrap().command else { panic!("not run") };
    with_teller(ModelFile::open(None, monitor()).unwrap(), &args, |teller| {
        let mut conversation = Conversation::new(teller, Chat::Mpt30bInstruct).unwrap();
        teller.with_reader(0, |reader| {
            then(&mut conversation, reader, teller);
            Ok(())
        })
    })
    .unwrap();
}

fn ask(conversation: &mut Conversation<'_>, reader: &mut Reader<'_, '_>, question: &[u8]) -> (Story, Vec<u32>, String) {
    let prompt = conversation.prompt(question).unwrap();
    let mut out = Vec::new();
    let story = reader.tell(&prompt, 3, &mut out).unwrap();
    conversation.answered(question, &story.written).unwrap();
    (story, prompt.tokens, String::from_utf8(out).unwrap())
}

/// With a stop that cuts into tokens, and one that is never met; sampled, and with a ring that forgets.
#[test]
fn answers_are_those_of_a_session_that_reads_all_again() {
    let arguments =
        ["-n 20 --temp 0", "-n 24 --stop ed --stop .", "-n 20 --temp 0.9 --ring 64", "-n 9 --kv q8_0 --temp 2"];
    for arguments in arguments {
        talk(arguments, |conversation, reader, teller| {
            for question in QUESTIONS {
                let prompt = conversation.prompt(question).unwrap();
                let mut out = Vec::new();
                let again = teller.with_reader(0, |fresh| fresh.tell(&prompt, 3, &mut out)).unwrap();
                assert_eq!(again.prefill.n, prompt.tokens.len());
                let (story, tokens, text) = ask(conversation, reader, question);
                assert_eq!(tokens, prompt.tokens);
                assert_eq!(text.as_bytes(), out, "{arguments}: {question:?}");
                assert_eq!(story.written, again.written);
                assert_eq!(story.hashes.logits.get(), again.hashes.logits.get(), "{arguments}: {question:?}");
            }
        });
    }
}

#[test]
fn what_is_read_for_a_question_does_not_grow() {
    talk("-n 20 --temp 0", |conversation, reader, _| {
        let (first, tokens, _) = ask(conversation, reader, b"And then");
        assert_eq!(first.prefill.n, tokens.len());
        let mut read = Vec::new();
        for _ in 0..12 {
            let (story, tokens, _) = ask(conversation, reader, b"And then");
            read.push((story.prefill.n, tokens.len()));
        }
        let most = read.iter().map(|&(n_read, _)| n_read).max().unwrap();
        // The question, the words around it, and the last token of the answer before, which need not have run.
        assert!(most <= first.prefill.n, "{read:?}");
        let grown = read[11].1 - read[0].1;
        assert!(grown > 11 * 20, "the conversation does: {read:?}");
    });
}

/// Before a question, the answer stands as it was shown, without the stop and white space at its end.
#[test]
fn a_stop_is_no_part_of_what_was_said() {
    talk("-n 30 --temp 0 --stop ed", |conversation, reader, teller| {
        let mut n_stopped = 0;
        for question in QUESTIONS {
            let (story, tokens, shown) = ask(conversation, reader, question);
            assert!(!shown.contains("ed"), "{shown}");
            let text = |tokens: &[u32]| {
                let (mut text, mut detokenizer) = (String::new(), Detokenizer::new(true));
                tokens.iter().for_each(|&token| detokenizer.push(teller.tokenizer, token, &mut text).unwrap());
                text
            };
            n_stopped += usize::from(text(&story.written).contains("ed"));
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
    talk(&format!("-n 20 --temp 0 --ctx {n_ctx}"), |conversation, reader, _| {
        let system = conversation.prompt(b"").unwrap().tokens[..10].to_vec();
        let (mut n_forgotten, mut n_read_again) = (0, 0);
        for _ in 0..20 {
            let n = conversation.make_room(b"And then", n_ctx).unwrap();
            n_forgotten += n;
            n_read_again += usize::from(n > 0);
            let (_, tokens, _) = ask(conversation, reader, b"And then");
            assert!(tokens.len() + 20 <= n_ctx && tokens.starts_with(&system));
            assert!(n == 0 || tokens.len() + 20 <= n_ctx / 2 || conversation.n_turns() <= 2, "{}", tokens.len());
        }
        assert!(n_forgotten > 10 && n_read_again * 2 <= n_forgotten + 2, "{n_forgotten} {n_read_again}");
        // A question that nothing makes room for is refused, and nothing is forgotten for it.
        let n_turns = conversation.n_turns();
        let error = conversation.make_room(&b"cat ".repeat(200), n_ctx).unwrap_err();
        assert!(error.is::<TooLong>() && error.to_string().contains("the context has 160: --ctx N"), "{error}");
        assert_eq!(conversation.n_turns(), n_turns);
    });
}
