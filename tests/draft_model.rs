//! Draft models: whatever they guess, the text and the bits of its logits are those without them.

use nearfield::tokenizer::{PreTokenizer, StringArray, Vocab};
use nearfield::{DraftError, DraftModel, Drafter, Gguf, KvType, Ring, SamplerConfig, SessionConfig};

use crate::common::file::File;
use crate::common::model::MPT;
use crate::common::pocket::{self, Generated, Text};
use crate::common::run::Setup;
use crate::common::threads::Threads;

const PROMPT: &str = "Tom had a red ball. Tom had a blue ball. Lily was sad because";
const SAMPLED: SamplerConfig =
    SamplerConfig { temp: 1.0, top_k: 0, top_p: 1.0, min_p: 0.0, seed: 7, ..SamplerConfig::GREEDY };
const CONFIG: SessionConfig = SessionConfig { n_ctx: 256, n_draft: 7, ..SessionConfig::DEFAULT };
const DRAFT: SessionConfig = SessionConfig { n_draft: 0, ..CONFIG };

/// A draft model that counts its guesses.
#[derive(Debug)]
struct Counted<'d, 'm, 'f, 'a> {
    draft: DraftModel<'d, 'm, 'f, 'a>,
    n_run: usize,
    n_true: usize,
}

impl Drafter for Counted<'_, '_, '_, '_> {
    fn accept(&mut self, token: u32) {
        self.draft.accept(token);
    }

    fn draft(&mut self, guesses: &mut [u32]) -> usize {
        self.draft.draft(guesses)
    }

    fn outcome(&mut self, n_run: usize, n_true: usize) {
        self.n_run += n_run;
        self.n_true += n_true;
        self.draft.outcome(n_run, n_true);
    }
}

/// The text with a draft, the number of guesses that were run, and of those that came true.
fn drafted(text: &Text<'_>, file: &File, config: SessionConfig, n_waiting: usize) -> (Generated, usize, usize) {
    Setup { config, executor: text.executor, ..Setup::default() }.session(file.bytes(), |session| {
        let mut waiting = vec![0; n_waiting];
        let draft = DraftModel::new(session, &mut waiting).unwrap();
        let mut counted = Counted { draft, n_run: 0, n_true: 0 };
        let generated = text.generate(Some(&mut counted));
        (generated, counted.n_run, counted.n_true)
    })
}

/// Sets all bytes of a tensor to those of `block`, one after the other.
fn fill(file: &mut File, tensor: &str, block: &[u8]) {
    let gguf = Gguf::parse(file.bytes()).unwrap();
    let tensor = gguf.tensors().find(|info| info.name == tensor).unwrap();
    let bytes = gguf.data(tensor.offset, tensor.n_bytes().unwrap()).unwrap();
    let (start, len) = (bytes.as_ptr().addr() - file.bytes().as_ptr().addr(), bytes.len());
    let bytes = &mut file.bytes_mut()[start..start + len];
    bytes.iter_mut().zip(block.iter().cycle()).for_each(|(byte, of_block)| *byte = *of_block);
}

/// The pocket model without the feed-forward of its last layers: a worse model of the same text.
fn worse() -> File {
    let mut file = pocket::file();
    for layer in 3..6 {
        fill(&mut file, &format!("blk.{layer}.ffn_down.weight"), &[0]);
    }
    file
}

#[test]
fn the_text_is_that_without_a_draft() {
    let (same, worse) = (pocket::file(), worse());
    let mut guesses = [0, 0];
    for kv in KvType::ALL {
        for (ring, n_sinks, endless, n_ctx) in [
            (Ring::Full, 0, false, 256),
            (Ring::Keys(64), 3, false, 256),
            (Ring::Bias(0.01), 0, false, 256),
            (Ring::Keys(32), 4, true, 100),
        ] {
            let config = SessionConfig { kv: kv.into(), ring, n_sinks, endless, n_ctx, ..CONFIG };
            for sampler in [SamplerConfig::GREEDY, SAMPLED] {
                let want = Text::new(PROMPT, sampler, SessionConfig { n_draft: 0, ..config }).generate(None);
                let text = Text::new(PROMPT, sampler, config);
                let small =
                    SessionConfig { kv: KvType::Q4_0.into(), ring: Ring::Keys(32), n_batch: 8, n_draft: 1, ..config };
                for (file, draft, n_waiting) in [
                    (&same, SessionConfig { n_draft: 0, ..config }, 64),
                    (&worse, SessionConfig { n_draft: 0, ..config }, 1),
                    (&worse, small, 7),
                ] {
                    let (got, n_run, n_true) = drafted(&text, file, draft, n_waiting);
                    assert_eq!(want, got, "{kv}, {ring:?}, {sampler:?}, {draft:?}");
                    assert!(n_true <= n_run);
                    guesses[0] += n_run;
                    guesses[1] += n_true;
                }
            }
        }
    }
    let [n_run, n_true] = guesses;
    assert!(n_true > 1000 && n_run - n_true > 1000, "{n_true} of {n_run} guesses came true");
}

#[test]
fn threads_change_nothing() {
    let (same, worse) = (pocket::file(), worse());
    for sampler in [SamplerConfig::GREEDY, SAMPLED] {
        let want = Text { n_tokens: 30, ..Text::new(PROMPT, sampler, DRAFT) }.generate(None);
        let text = Text { n_tokens: 30, ..Text::new(PROMPT, sampler, CONFIG) };
        for file in [&same, &worse] {
            let alone = drafted(&text, file, DRAFT, 16);
            assert_eq!(want, alone.0);
            for executor in [Threads(1), Threads(3)] {
                assert_eq!(alone, drafted(&Text { executor: &executor, ..text }, file, DRAFT, 16));
            }
        }
    }
}

#[test]
fn all_guesses_of_the_model_itself_come_true() {
    for kv in KvType::ALL {
        for n_draft in [1, 3, 7, 15] {
            let config = SessionConfig { kv: kv.into(), n_draft, ..CONFIG };
            let draft = SessionConfig { n_draft: 0, ..config };
            let (_, n_run, n_true) =
                drafted(&Text::new(PROMPT, SamplerConfig::GREEDY, config), &pocket::file(), draft, 32);
            assert_eq!(n_run, n_true);
            assert!(n_run > 40, "{kv}, drafts of {n_draft}: {n_run} guesses");
        }
    }
}

/// In a sampled text, too, a guess counts only where the sampler draws it.
#[test]
fn guesses_are_run_in_sampled_texts() {
    let (_, n_run, n_true) = drafted(&Text::new(PROMPT, SAMPLED, CONFIG), &pocket::file(), DRAFT, 32);
    assert!(n_true > 40 && n_true < n_run, "{n_true} of {n_run}");
}

#[test]
fn a_full_draft_guesses_no_more_and_an_endless_one_goes_on() {
    let text = Text::new(PROMPT, SamplerConfig::GREEDY, CONFIG);
    let (want, all, _) = drafted(&text, &pocket::file(), DRAFT, 32);
    for n_waiting in [1, 32] {
        let n_prompt = want.tokens.len() - text.n_tokens;
        for (n_ctx, least) in [(8, 0), (n_prompt, 0), (n_prompt + 1, 0), (60, 1)] {
            let (got, n_run, _) = drafted(&text, &pocket::file(), SessionConfig { n_ctx, ..DRAFT }, n_waiting);
            assert_eq!(want, got);
            assert!((least..all).contains(&n_run), "a context of {n_ctx}: {n_run} of {all} guesses");
        }
        let endless = SessionConfig { n_ctx: 60, endless: true, ..DRAFT };
        let (got, n_run, _) = drafted(&text, &pocket::file(), endless, n_waiting);
        assert_eq!(want, got);
        assert!(n_run > all / 2, "{n_run} of {all} guesses");
    }
}

#[test]
fn a_draft_that_is_broken_guesses_nothing() {
    let mut file = pocket::file();
    // The scale of each block is not a number.
    fill(&mut file, "blk.5.ffn_down.weight", &[0xff; 1]);
    let text = Text::new(PROMPT, SamplerConfig::GREEDY, CONFIG);
    assert_eq!(drafted(&text, &file, DRAFT, 32), (text.generate(None), 0, 0));
    // No room for a token, and another vocabulary, which `check_vocab` would have found.
    assert_eq!(drafted(&text, &pocket::file(), DRAFT, 0), (text.generate(None), 0, 0));
    assert_eq!(drafted(&text, &MPT.file("Q8_0"), DRAFT, 32), (text.generate(None), 0, 0));
}

/// A draft's session that has read the beginning of the text does not read it again.
#[test]
fn a_draft_may_know_the_beginning() {
    let text = Text::new(PROMPT, SamplerConfig::GREEDY, CONFIG);
    let (want, n_run, _) = drafted(&text, &pocket::file(), DRAFT, 32);
    let n_prompt = want.tokens.len() - text.n_tokens;
    for n_known in [1, n_prompt - 1, n_prompt + 20] {
        Setup { config: DRAFT, ..Setup::default() }.session(pocket::file().bytes(), |session| {
            session.prefill(&want.tokens[..n_known]).unwrap();
            let mut waiting = [0; 32];
            let draft = DraftModel::new(session, &mut waiting).unwrap();
            let mut counted = Counted { draft, n_run: 0, n_true: 0 };
            assert_eq!(text.generate(Some(&mut counted)), want);
            assert_eq!(counted.n_run, counted.n_true);
            assert_eq!(counted.n_run < n_run, n_known > n_prompt, "nothing is guessed within the part that is known");
        });
    }
}

/// A draft begins with guesses that were run before, as when a chunk of a batch had to wait.
#[test]
fn a_draft_that_was_not_run_is_made_again() {
    Setup { config: DRAFT, ..Setup::default() }.session(pocket::file().bytes(), |session| {
        let mut waiting = [0; 32];
        let mut draft = DraftModel::new(session, &mut waiting).unwrap();
        let tokens = Text::new(PROMPT, SamplerConfig::GREEDY, DRAFT).generate(None).tokens;
        tokens[..60].iter().for_each(|&token| draft.accept(token));
        let mut drafts = [[0; 7]; 3];
        let n = drafts.each_mut().map(|guesses| draft.draft(guesses));
        assert_eq!(n[0], 3, "so many guesses are made first");
        assert_eq!((drafts[0], n[0]), (drafts[1], n[1]));
        assert_eq!(drafts[0][..3], tokens[60..63]);
        draft.outcome(3, 3);
        draft.accept(tokens[60]);
        assert_eq!(draft.draft(&mut drafts[2][..2]), 2);
        assert_eq!(drafts[2][..2], tokens[61..63]);
    });
}

#[test]
fn rings_need_room_for_guesses() {
    let new = |config: SessionConfig| {
        Setup { config, ..Setup::default() }
            .session(MPT.file("F32").bytes(), |session| DraftModel::new(session, &mut [0]).map(drop))
    };
    let config = SessionConfig { ring: Ring::Keys(64), n_ctx: 256, n_batch: 32, ..SessionConfig::DEFAULT };
    assert_eq!(new(config), Err(DraftError::Ring));
    assert_eq!(new(SessionConfig { ring: Ring::Full, endless: true, ..config }), Err(DraftError::Ring));
    let rooms = [
        SessionConfig { n_draft: 1, ..config },
        SessionConfig { n_batch: 33, ..config },
        SessionConfig { ring: Ring::Full, ..config },
        SessionConfig { n_ctx: 64, ..config },
    ];
    assert!(rooms.into_iter().all(|config| new(config).is_ok()));
    let told = DraftError::Ring.to_string();
    assert!(told.ends_with("an n_batch above 32 or an n_draft of 1 gives them some"), "{told}");
}

/// Strings as a GGUF file holds them.
fn strings(texts: &[&str]) -> Vec<u8> {
    texts.iter().flat_map(|text| [&(text.len() as u64).to_le_bytes()[..], text.as_bytes()].concat()).collect()
}

#[test]
fn another_vocabulary_is_an_error_that_names_the_first_difference() {
    let bytes = [&["<end>", "a", "Ġb"][..], &["<end>", "a", "Ġc"], &["<end>", "a"]].map(strings);
    let [model, other, fewer] = [(&bytes[0], 3), (&bytes[1], 3), (&bytes[2], 2)].map(|(bytes, n)| {
        let tokens = StringArray::split(n, bytes).unwrap().0;
        Vocab { bos: Some(0), eos: Some(0), ..Vocab::byte_level(tokens, StringArray::EMPTY, PreTokenizer::Gpt2) }
    });
    let told = |draft: Vocab<'_>| DraftModel::check_vocab(&model, &draft).map_err(|error| error.to_string());
    let error = |end: &str| Err(format!("another vocabulary: {end}"));
    assert_eq!(told(model), Ok(()));
    assert_eq!(told(fewer), error("the model has 3 tokens, the draft 2"));
    assert_eq!(told(other), error("token 2 is 'Ġb' in the model and 'Ġc' in the draft"));
    assert_eq!(told(Vocab { eos: Some(1), ..model }), error("eos_token_id is 0 in the model and 1 in the draft"));
    assert_eq!(told(Vocab { bos: Some(2), ..model }), error("bos_token_id is 0 in the model and 2 in the draft"));
    assert_eq!(told(Vocab { bos: None, eot: Some(2), ..model }), Ok(()), "what a file does not name is no difference");
    let stories = include_bytes!("../models/stories.gguf");
    let (pocket, stories) = (pocket::file(), File::new(stories));
    let [pocket, stories] =
        [&pocket, &stories].map(|file| Vocab::from_gguf(&Gguf::parse(file.bytes()).unwrap()).unwrap());
    let found = DraftModel::check_vocab(&stories, &pocket);
    assert_eq!(found, Err(DraftError::NTokens { model: 2048, draft: 1024 }));
}
