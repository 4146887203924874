//! Several sequences in a pass: each has the bits that it has alone, whatever else is in the pass.

use nearfield::kernels::{available, best};
use nearfield::tokenizer::{Tokenizer, Vocab};
use nearfield::{
    AlibiScale, Arena, Batch, BatchConfig, BatchPlan, Chunk, ChunkError, ChunkTokens, End, Generator, GeneratorConfig,
    Inline, KvType, KvTypes, Line, Lookup, MemoryPlan, Model, ModelId, PlanError, Prefix, Ring, RunError, Sampler,
    SamplerConfig, Sequence, SessionConfig, SessionError, StopWords, TextState,
};

use crate::common::compare::assert_same_bits;
use crate::common::file::File;
use crate::common::model::{BAICHUAN, BLOOM, FALCON, GPT2, JAIS, MPT, REFACT, Spec};
use crate::common::run::{Flash, Setup, bytes_of, logits, snapshot, soil};
use crate::common::threads::Threads;

const N_TOKENS: usize = 150;
const NO_TEXT: TextState<'static> = TextState { model_name: "", last_tokens: &[], seed: 0 };

/// A text, its configuration, and the logits after each of its tokens.
struct Text {
    config: SessionConfig,
    tokens: Vec<u32>,
    want: Vec<Vec<f32>>,
}

impl Text {
    /// The text of `tokens` from `first` on, run alone.
    fn alone(file: &File, config: SessionConfig, tokens: &[u32], first: usize) -> Self {
        let tokens = [&tokens[first..], &tokens[..first]].concat();
        let want = Setup { config, ..Setup::default() }.logits(file.bytes(), &tokens);
        Self { config, tokens, want }
    }
}

/// Numbers that look random.
struct Random(u32);

impl Random {
    fn below(&mut self, n: usize) -> usize {
        self.0 = self.0.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (self.0 >> 12) as usize % n
    }
}

/// Bytes of a batch and its sequences.
fn n_bytes(model: &Model<'_>, shared: &BatchConfig, configs: &[SessionConfig]) -> usize {
    let sequence = |config: &SessionConfig| MemoryPlan::new(model.shape(), config).unwrap().sequence();
    BatchPlan::new(model.shape(), shared).unwrap().total() + configs.iter().map(sequence).sum::<usize>()
}

/// Calls `run` with a batch and its sequences, in an arena of exactly the planned size that held something else before.
fn with_batch<R>(
    file: &[u8],
    setup: Setup<'_>,
    shared: BatchConfig,
    configs: &[SessionConfig],
    run: impl FnOnce(&mut Batch<'_, '_, '_>, &mut [Sequence<'_, '_>]) -> R,
) -> R {
    let model = Model::from_gguf(file).unwrap();
    let mut lines = vec![Line::ZERO; n_bytes(&model, &shared, configs) / Line::BYTES];
    soil(&mut lines);
    let mut arena = Arena::new(&mut lines);
    let mut batch = Batch::new(&model, shared, setup.kernels, setup.executor, &mut arena).unwrap();
    let sequences = configs.iter().map(|&config| batch.sequence(config, &mut arena).unwrap());
    let mut sequences: Vec<_> = sequences.collect();
    assert_eq!(arena.free_bytes(), 0);
    run(&mut batch, &mut sequences)
}

/// Runs all texts to their ends in passes of random numbers of tokens from sequences in random order, with guesses, sequences that
/// go back or begin again, and compares every row of logits.
fn assert_as_alone(what: &str, file: &File, setup: Setup<'_>, shared: BatchConfig, texts: &[Text], seed: u32) {
    let configs: Vec<_> = texts.iter().map(|text| text.config).collect();
    let mut random = Random(seed);
    let (mut n_compared, mut n_advanced, mut n_together, mut n_back) = (0, 0, 0, 0);
    with_batch(file.bytes(), setup, shared, &configs, |batch, sequences| {
        let compare = |batch: &mut Batch<'_, '_, '_>, sequence: &mut Sequence<'_, '_>, text: &Text| {
            let at = sequence.pos() - 1;
            let got = batch.logits(sequence).unwrap().to_vec();
            assert_same_bits(&format!("{what}, seed {seed}, position {at}"), &text.want[at..=at], &[got]);
        };
        while sequences.iter().zip(texts).any(|(sequence, text)| sequence.pos() < text.tokens.len()) {
            // The plan of a pass: tokens of some of the sequences, and right or wrong guesses behind them.
            let plans = sequences.iter().zip(texts).map(|(sequence, text)| {
                let rest = &text.tokens[sequence.pos()..];
                let n = [0, 1, 1, 1, 2, 5, 33, 70][random.below(8)].min(rest.len());
                let mut guesses: Vec<u32> = rest[n..].iter().copied().take([0, 0, 1, 3, 9][random.below(5)]).collect();
                if let Some(guess) = guesses.get_mut(random.below(8)) {
                    *guess = (*guess + 1) % 60;
                }
                (rest[..n].to_vec(), guesses, random.below(4) > 0)
            });
            let plans: Vec<_> = plans.collect();
            let chunks = sequences.iter_mut().zip(&plans).map(|(sequence, (tokens, guesses, logits))| {
                let chunk = Chunk::new(sequence, tokens).with_guesses(guesses);
                if *logits { chunk } else { chunk.without_logits() }
            });
            let mut order: Vec<usize> = (0..chunks.len()).collect();
            order.sort_by_key(|_| random.below(100));
            let mut chunks: Vec<_> = chunks.map(Some).collect();
            let mut chunks: Vec<_> = order.iter().map(|&i| chunks[i].take().unwrap()).collect();
            let before: Vec<usize> = chunks.iter().map(|chunk| chunk.rest().len()).collect();
            let n_run = batch.run(&mut chunks).unwrap();
            assert_eq!(n_run, chunks.iter().map(Chunk::n_run).sum::<usize>());
            assert!(n_run > 0 || before.iter().all(|&n| n == 0));
            n_together += usize::from(chunks.iter().filter(|chunk| chunk.n_run() > 0).count() > 1);
            let ended: Vec<bool> = chunks
                .iter()
                .zip(&before)
                .map(|(chunk, &n)| {
                    assert_eq!(chunk.rest().len(), n - chunk.n_run());
                    chunk.n_run() > 0 && chunk.rest().is_empty()
                })
                .collect();
            drop(chunks);
            for (&i, ended) in order.iter().zip(ended) {
                let (sequence, text) = (&mut sequences[i], &texts[i]);
                if ended && plans[i].2 {
                    compare(batch, sequence, text);
                    n_compared += 1;
                    while random.below(8) > 0
                        && sequence.pos() < text.tokens.len()
                        && batch.advance(sequence, text.tokens[sequence.pos()])
                    {
                        compare(batch, sequence, text);
                        n_advanced += 1;
                    }
                } else if ended && random.below(2) == 0 {
                    match batch.logits(sequence) {
                        Err(error) => assert_eq!(error, RunError::NoRoomForLogits { n_outputs: shared.n_outputs }),
                        Ok(_) => compare(batch, sequence, text),
                    }
                }
                match random.below(20) {
                    0 if n_back < 30 => {
                        sequence.reset();
                        n_back += 10;
                    }
                    1..4 if sequence.pos() > 0 && n_back < 30 => {
                        // A ring may have forgotten the position; the sequence is as before then.
                        let pos = sequence.pos();
                        let _ = sequence.rewind(pos - 1 - random.below(pos.min(9)));
                        n_back += 1;
                    }
                    _ => (),
                }
            }
        }
    });
    assert!(n_compared > 30 && n_together > 5, "{what}: {n_compared} compared, {n_together} passes of several");
    let has_guesses = shared.n_outputs > 1 && texts.iter().any(|text| text.config.n_draft > 0);
    assert_eq!(n_advanced > 0, has_guesses, "{what}");
}

/// Configurations that differ in all that a sequence may have of its own.
fn mixed(kv: KvTypes, n_draft: usize) -> [SessionConfig; 5] {
    let base = SessionConfig { n_ctx: N_TOKENS, kv, n_draft, ..SessionConfig::DEFAULT };
    [
        base,
        SessionConfig { ring: Ring::Keys(64), n_batch: 40, ..base },
        SessionConfig { ring: Ring::Keys(32), n_sinks: 5, n_batch: 7, horizon_eps: 0.0, ..base },
        SessionConfig { endless: true, n_ctx: 70, n_sinks: 33, n_batch: 33, ..base },
        SessionConfig { ring: Ring::Bias(0.01), n_batch: 1, alibi_scale: AlibiScale::Trained(50), ..base },
    ]
}

#[test]
fn the_bits_are_those_of_each_sequence_alone() {
    let spec = Spec { n_head_kv: 2, ..MPT };
    let (file, tokens) = (spec.file("Q8_0"), spec.tokens(N_TOKENS));
    for kv in KvType::ALL {
        for n_draft in [0, 4] {
            let texts = mixed(kv.into(), n_draft).into_iter().enumerate();
            let texts: Vec<_> = texts.map(|(i, config)| Text::alone(&file, config, &tokens, 29 * i)).collect();
            let shared =
                [(64, 8), (3, 1), (16, 3), (200, 25)].map(|(n_tokens, n_outputs)| BatchConfig { n_tokens, n_outputs });
            for (seed, shared) in (0..).zip(shared) {
                let what = format!("{kv}, drafts of {n_draft}, {shared:?}");
                assert_as_alone(&what, &file, Setup::default(), shared, &texts, seed);
            }
        }
    }
}

/// One batch serves sequences whose keys and values have different types.
#[test]
fn sequences_may_have_different_types_of_keys_and_values() {
    let (file, tokens) = (MPT.file("Q4_0"), MPT.tokens(N_TOKENS));
    let texts = KvType::ALL.into_iter().zip(mixed(KvType::F16.into(), 2)).enumerate();
    let texts: Vec<_> = texts
        .map(|(i, (keys, config))| {
            let kv = KvTypes { keys, values: KvType::ALL[(i + 1) % 4] };
            Text::alone(&file, SessionConfig { kv, ..config }, &tokens, 31 * i)
        })
        .collect();
    let shared = BatchConfig { n_tokens: 30, n_outputs: 9 };
    assert_as_alone("mixed types", &file, Setup::default(), shared, &texts, 3);
}

#[test]
fn the_bits_are_those_of_each_isa_and_number_of_workers() {
    let spec = Spec { n_head_kv: 4, ..MPT };
    let (file, tokens) = (spec.file("Q4_0"), spec.tokens(N_TOKENS));
    let texts = mixed(KvType::F16.into(), 3).into_iter().cycle().take(11).enumerate();
    let texts: Vec<_> = texts.map(|(i, config)| Text::alone(&file, config, &tokens, 13 * i)).collect();
    for kernels in available() {
        for n_workers in [1, 3] {
            let executor = Threads(n_workers);
            let setup = Setup { kernels, executor: &executor, ..Setup::default() };
            let what = format!("{}, {n_workers} workers", kernels.name());
            assert_as_alone(&what, &file, setup, BatchConfig { n_tokens: 64, n_outputs: 30 }, &texts, 7);
        }
    }
}

#[test]
fn the_bits_are_those_of_each_family() {
    for spec in [BLOOM, GPT2, FALCON, BAICHUAN, REFACT, JAIS] {
        let (file, tokens) = (spec.file("Q8_0"), spec.tokens(N_TOKENS));
        let config = SessionConfig { n_ctx: N_TOKENS, n_draft: 2, ..SessionConfig::DEFAULT };
        let texts = [0, 40, 90].map(|first| Text::alone(&file, config, &tokens, first));
        let shared = BatchConfig { n_tokens: 20, n_outputs: 4 };
        assert_as_alone(spec.arch, &file, Setup::default(), shared, &texts, 11);
    }
}

/// A sequence counts the keys that it visited itself.
#[test]
fn keys_are_counted_for_each_sequence() {
    let spec = Spec { n_head_kv: 2, ..MPT };
    let (file, tokens) = (spec.file("Q8_0"), spec.tokens(N_TOKENS));
    let configs = mixed(KvType::F16.into(), 0);
    let want = configs.iter().map(|&config| {
        Setup { config, ..Setup::default() }.session(file.bytes(), |session| {
            session.run(&tokens).unwrap();
            let stats = session.key_stats();
            (stats.visited.to_vec(), stats.held, stats.in_ring.to_vec())
        })
    });
    let want: Vec<_> = want.collect();
    let shared = BatchConfig { n_tokens: 50, n_outputs: 5 };
    with_batch(file.bytes(), Setup::default(), shared, &configs, |batch, sequences| {
        let mut chunks: Vec<_> = sequences.iter_mut().map(|sequence| Chunk::new(sequence, &tokens)).collect();
        while batch.run(&mut chunks).unwrap() > 0 {}
        drop(chunks);
        for (sequence, want) in sequences.iter_mut().zip(&want) {
            let stats = sequence.key_stats();
            assert_eq!(*want, (stats.visited.to_vec(), stats.held, stats.in_ring.to_vec()));
            sequence.reset();
            assert!(sequence.key_stats().visited.iter().all(|&n| n == 0));
        }
    });
}

/// A snapshot of a sequence is that of a session, and another sequence goes on from it beside others.
#[test]
fn a_sequence_is_stored_and_continued() {
    let spec = Spec { n_head_kv: 2, ..MPT };
    let (file, tokens) = (spec.file("Q8_0"), spec.tokens(N_TOKENS));
    let shared = BatchConfig { n_tokens: 20, n_outputs: 8 };
    for (n, config) in [70, 64, 33, 90].into_iter().zip(mixed(KvType::Q8_0.into(), 3)) {
        let what = format!("{n} tokens, {config:?}");
        let setup = Setup { config, ..Setup::default() };
        let (want, rest) = setup.session(file.bytes(), |session| {
            session.run(&tokens[..n]).unwrap();
            (snapshot(session, file.bytes(), &NO_TEXT), logits(session, &tokens[n..]))
        });
        let stored = with_batch(file.bytes(), setup, shared, &[config; 2], |batch, sequences| {
            let [a, b] = sequences else { panic!("two sequences") };
            let mut chunks = [Chunk::new(a, &tokens[..n]).with_guesses(&[1, 2, 3]), Chunk::new(b, &tokens[5..7])];
            while batch.run(&mut chunks).unwrap() > 0 {}
            assert_eq!(a.ahead(), [1, 2, 3], "{what}");
            bytes_of(&a.snapshot(ModelId::of(file.bytes()), &NO_TEXT).unwrap())
        });
        assert!(stored == want.bytes(), "{what}: another snapshot");

        let model = Model::from_gguf(file.bytes()).unwrap();
        let stored = Flash::new(&stored);
        let prefix = Prefix::from_bytes(stored.bytes(), ModelId::of(file.bytes())).unwrap();
        let behind = SessionConfig { n_prefix: n, ..config };
        let mut lines = vec![Line::ZERO; n_bytes(&model, &shared, &[behind, behind, config]) / Line::BYTES];
        let mut arena = Arena::new(&mut lines);
        let mut batch = Batch::new(&model, shared, best(), &Inline, &mut arena).unwrap();
        let refused = batch.sequence(behind, &mut arena).unwrap_err();
        assert_eq!(refused, SessionError::PrefixLength { planned: n, found: 0 });
        let mut begin = || batch.sequence_with_prefix(behind, &mut arena, prefix).unwrap();
        // Two sequences read the same prefix.
        let (mut a, mut b) = (begin(), begin());
        let mut other = batch.sequence(config, &mut arena).unwrap();
        for (i, token) in tokens[n..].chunks(1).enumerate() {
            let other_token = &tokens[i..=i];
            let mut chunks = vec![Chunk::new(&mut a, token), Chunk::new(&mut other, other_token).without_logits()];
            if i % 3 == 0 {
                chunks.push(Chunk::new(&mut b, &tokens[n + i..N_TOKENS.min(n + i + 3)]));
            }
            while batch.run(&mut chunks).unwrap() > 0 {}
            if i % 3 == 0 {
                let at = (i + 2).min(rest.len() - 1);
                assert_same_bits(&what, &rest[at..=at], &[batch.logits(&mut b).unwrap().to_vec()]);
            } else {
                assert_same_bits(&what, &rest[i..=i], &[batch.logits(&mut a).unwrap().to_vec()]);
            }
        }
        assert_eq!([a.pos(), b.pos(), other.pos()], [N_TOKENS, N_TOKENS, N_TOKENS - n]);
    }
}

#[test]
fn what_does_not_fit_a_pass_waits() {
    let (file, tokens) = (MPT.file("F32"), MPT.tokens(60));
    let config = SessionConfig { n_ctx: 60, n_draft: 3, ..SessionConfig::DEFAULT };
    let shared = BatchConfig { n_tokens: 8, n_outputs: 2 };
    with_batch(file.bytes(), Setup::default(), shared, &[config; 3], |batch, sequences| {
        let [a, b, c] = sequences else { panic!("three sequences") };
        let mut chunks = [
            Chunk::new(a, &tokens[..1]),
            Chunk::new(b, &tokens[..9]).with_guesses(&[1, 2]),
            Chunk::new(c, &tokens[..2]),
        ];
        let ran = |chunks: &[Chunk<'_, '_, '_>; 3]| chunks.each_ref().map(Chunk::n_run);
        assert_eq!((batch.run(&mut chunks), ran(&chunks)), (Ok(8), [1, 7, 0]));
        assert_eq!((batch.run(&mut chunks), ran(&chunks)), (Ok(4), [0, 2, 2]));
        assert!(chunks[1].sequence().ahead().is_empty(), "guesses leave the rows of logits to tokens");
        assert_eq!((batch.run(&mut chunks), ran(&chunks)), (Ok(0), [0, 0, 0]));
        assert!(chunks.iter().all(|chunk| chunk.rest().is_empty()));
        assert_eq!(batch.run(&mut []), Ok(0));
        assert_eq!(batch.logits(a).unwrap_err(), RunError::LogitsGone);
        batch.logits(b).unwrap();
        batch.logits(c).unwrap();

        let mut chunks = [
            Chunk::new(a, &tokens[1..2]).with_guesses(&[1]),
            Chunk::new(b, &tokens[9..11]).with_guesses(&[1, 2]),
            Chunk::new(c, &tokens[2..4]),
        ];
        assert_eq!((batch.run(&mut chunks), ran(&chunks)), (Ok(4), [1, 2, 1]), "no row of logits is left for the last");
        assert_eq!((batch.run(&mut chunks), ran(&chunks)), (Ok(1), [0, 0, 1]));
        // A token that was guessed runs again where its logits are gone.
        assert_eq!(batch.run(&mut [Chunk::new(b, &tokens[11..12]).with_guesses(&[7])]), Ok(1));
        assert_eq!(b.ahead(), [7]);
        assert_eq!(batch.run(&mut [Chunk::new(a, &tokens[2..3])]), Ok(1));
        assert!(!batch.advance(b, 7));
        assert_eq!(batch.run(&mut [Chunk::new(b, &[7])]), Ok(1));
        let want = Setup { config, ..Setup::default() }.logits(file.bytes(), &[&tokens[..12], &[7]].concat());
        assert_same_bits("again", &want[12..], &[batch.logits(b).unwrap().to_vec()]);
    });
}

#[test]
fn errors_name_the_chunk_and_leave_all_as_it_was() {
    let file = MPT.file("F32");
    let model = Model::from_gguf(file.bytes()).unwrap();
    let config = SessionConfig { n_ctx: 4, n_draft: 2, ..SessionConfig::DEFAULT };
    let shared = BatchConfig { n_tokens: 4, n_outputs: 1 };
    let mut lines = vec![Line::ZERO; 2 * n_bytes(&model, &shared, &[config]) / Line::BYTES];
    let mut arena = Arena::new(&mut lines);
    let mut batches = [(); 2].map(|()| Batch::new(&model, shared, best(), &Inline, &mut arena).unwrap());
    let [batch, other] = &mut batches;
    let mut a = batch.sequence(config, &mut arena).unwrap();
    let mut b = other.sequence(config, &mut arena).unwrap();

    assert_eq!(batch.logits(&mut a).unwrap_err(), RunError::NoTokens);
    let error = batch.run(&mut [Chunk::new(&mut a, &[1]), Chunk::new(&mut b, &[1])]).unwrap_err();
    assert_eq!(error, ChunkError { chunk: 1, error: RunError::OtherBatch });
    assert_eq!(error.to_string(), "chunk 1: the sequence was begun in another batch");
    assert_eq!(batch.logits(&mut b).unwrap_err(), RunError::OtherBatch);
    assert!(!batch.advance(&mut b, 1));
    let error = other.run(&mut [Chunk::new(&mut b, &[0, 48])]).unwrap_err();
    assert_eq!(error, ChunkError { chunk: 0, error: RunError::Token { token: 48, n_vocab: 48 } });
    let error = other.run(&mut [Chunk::new(&mut b, &[0; 5])]).unwrap_err();
    assert_eq!(error, ChunkError { chunk: 0, error: RunError::ContextFull { n_tokens: 5, pos: 0, n_ctx: 4 } });
    assert_eq!([a.pos(), b.pos()], [0, 0], "nothing was run");

    // A guess that is no token ends the guesses; those that do not fit the context are left out.
    assert_eq!(batch.run(&mut [Chunk::new(&mut a, &[1, 2]).without_logits()]), Ok(2));
    assert_eq!(batch.logits(&mut a).map(<[f32]>::len), Ok(48));
    assert_eq!(batch.run(&mut [Chunk::new(&mut a, &[3]).with_guesses(&[1, 2])]), Ok(1));
    assert!(a.ahead().is_empty(), "logits of one token are planned");
}

#[test]
fn guesses_end_where_there_is_no_room() {
    let file = MPT.file("F32");
    let config = SessionConfig { n_ctx: 6, n_draft: 3, ..SessionConfig::DEFAULT };
    let shared = BatchConfig { n_tokens: 8, n_outputs: 8 };
    with_batch(file.bytes(), Setup::default(), shared, &[config; 2], |batch, sequences| {
        let [a, b] = sequences else { panic!("two sequences") };
        let mut run = |a: &mut Sequence<'_, '_>, tokens: &[u32], guesses: &[u32]| {
            batch.run(&mut [Chunk::new(a, tokens).with_guesses(guesses)]).unwrap();
            a.ahead().to_vec()
        };
        assert_eq!(run(a, &[1], &[1, 2, 3, 4]), [1, 2, 3], "as many as the draft has");
        assert_eq!(run(a, &[1], &[1, 48, 3]), [1], "up to a guess that is no token");
        assert_eq!(run(a, &[1, 2], &[5, 6, 7]), [5, 6], "as many as the context has room for");
        let chunk = |b| Chunk::new(b, &[1, 2, 3, 4]).with_guesses(&[1, 2]).without_logits();
        batch.run(&mut [chunk(b)]).unwrap();
        assert!(b.ahead().is_empty(), "guesses need logits");
    });
}

#[test]
fn plans_and_memory_that_are_too_small() {
    let file = MPT.file("F32");
    let model = Model::from_gguf(file.bytes()).unwrap();
    let config = SessionConfig { n_ctx: 40, n_batch: 8, n_draft: 2, ..SessionConfig::DEFAULT };
    for (shared, want, told) in [
        (BatchConfig { n_tokens: 0, n_outputs: 1 }, PlanError::Batch, "a batch of 0 tokens"),
        (BatchConfig { n_tokens: 1, n_outputs: 0 }, PlanError::Outputs, "a batch with logits of 0 tokens"),
        (
            BatchConfig { n_tokens: usize::MAX, n_outputs: 1 },
            PlanError::TooLarge,
            "the session needs more memory than this machine can address",
        ),
    ] {
        assert_eq!(BatchPlan::new(model.shape(), &shared), Err(want));
        let batch = Batch::new(&model, shared, best(), &Inline, &mut Arena::new(&mut []));
        assert_eq!(batch.unwrap_err(), SessionError::Plan(want));
        assert_eq!(want.to_string(), told);
    }
    // A session is a batch of one sequence.
    let shared = BatchConfig { n_tokens: 8, n_outputs: 3 };
    let (batch_plan, plan) =
        (BatchPlan::new(model.shape(), &shared).unwrap(), MemoryPlan::new(model.shape(), &config).unwrap());
    assert_eq!(batch_plan.total() + plan.sequence(), plan.session());
    const SHARED: BatchConfig = BatchConfig::DEFAULT;
    assert_eq!(SHARED, BatchConfig::default());

    let mut lines = vec![Line::ZERO; plan.session() / Line::BYTES];
    let (need, have) = (batch_plan.total(), batch_plan.total() - Line::BYTES);
    let mut arena = Arena::new(&mut lines[..have / Line::BYTES]);
    let error = Batch::new(&model, shared, best(), &Inline, &mut arena).unwrap_err();
    assert_eq!((error, arena.free_bytes()), (SessionError::ArenaTooSmall { need, have }, have));
    let n_lines = lines.len() - 1;
    let mut arena = Arena::new(&mut lines[..n_lines]);
    let batch = Batch::new(&model, shared, best(), &Inline, &mut arena).unwrap();
    let (need, have) = (plan.sequence(), plan.sequence() - Line::BYTES);
    let error = batch.sequence(config, &mut arena).unwrap_err();
    assert_eq!((error, arena.free_bytes()), (SessionError::ArenaTooSmall { need, have }, have));
    let error = batch.sequence(SessionConfig { n_ctx: 0, ..config }, &mut arena).unwrap_err();
    assert_eq!(error, SessionError::Plan(PlanError::Context { found: 0 }));
}

/// Texts that are generated together, with drafts, stop words and ends of their own, are those of sessions.
#[test]
fn generators_share_a_batch() {
    let file = File::new(include_bytes!("../models/pocket.gguf"));
    let model = Model::from_gguf(file.bytes()).unwrap();
    let mut index = vec![Line::ZERO; 1 << 10];
    let tokenizer = Tokenizer::new(Vocab::from_gguf(model.gguf()).unwrap(), &mut Arena::new(&mut index)).unwrap();
    let config = SessionConfig { n_ctx: 100, n_draft: 7, ..SessionConfig::DEFAULT };
    let greedy = SamplerConfig { seed: 4, repeat_penalty: 1.2, ..SamplerConfig::GREEDY };
    let texts = [
        ("Tom had a red ball. Tom had a blue ball. Tom had a green ball. Tom had", greedy, None, "bird"),
        ("Once upon a time", SamplerConfig { seed: 1, ..SamplerConfig::default() }, Some(60), "."),
        ("The dog ran. The dog ran. The", SamplerConfig::GREEDY, None, "\n\n\n\n"),
        ("Lily", SamplerConfig { seed: 2, temp: 1.0, top_k: 0, ..SamplerConfig::default() }, Some(41), "qqq"),
    ];
    let prompts = texts.map(|(prompt, ..)| {
        let mut tokens = vec![0; 64];
        let n = tokenizer.encode(prompt, tokenizer.options(), &mut tokens).unwrap();
        tokens[..n].to_vec()
    });
    for has_drafts in [false, true] {
        let mut memory = [[0; 64]; 8];
        let mut lookups = memory.each_mut().map(|memory| Lookup::new(memory));
        let mut words = [[0; 64]; 8];
        let settings = lookups.iter_mut().zip(&mut words).zip(texts.iter().cycle());
        let mut generators = settings.map(|((lookup, words), (_, sampler, max_tokens, stop))| {
            let stop = StopWords::new(std::slice::from_ref(stop), words).unwrap();
            let config = GeneratorConfig { max_tokens: *max_tokens, after_end: Some("\n"), ..GeneratorConfig::DEFAULT };
            let generator = Generator::new(Sampler::new(*sampler).unwrap(), config, stop);
            if has_drafts { generator.with_drafter(lookup) } else { generator }
        });
        let alone = generators.by_ref().take(4).zip(&prompts).map(|(mut generator, prompt)| {
            Setup { config, ..Setup::default() }.session(file.bytes(), |session| {
                let mut text = String::new();
                generator.read(session, prompt).unwrap();
                while generator.next(session, &tokenizer, &mut text).unwrap().is_some() {}
                generator.finish(&mut text).unwrap();
                (text, generator.end(), generator.n_tokens(), generator.seed())
            })
        });
        let alone: Vec<_> = alone.collect();
        let ends = [End::ContextFull, End::Word, End::ContextFull, End::Length];
        assert_eq!(alone.iter().map(|text| text.1).collect::<Vec<_>>(), ends.map(Some), "{alone:?}");

        // The texts begin one after the other, and fewer tokens fit a pass than there are.
        let shared = BatchConfig { n_tokens: 6, n_outputs: 5 };
        let together = with_batch(file.bytes(), Setup::default(), shared, &[config; 4], |batch, sequences| {
            let slots = generators.zip(sequences).zip(&prompts).map(|((mut generator, sequence), prompt)| {
                generator.accept(prompt);
                (generator, sequence, String::new())
            });
            let mut slots: Vec<_> = slots.collect();
            let mut tokens = [ChunkTokens::default(); 4];
            for n_pass in 0.. {
                let begun = slots.iter_mut().zip(&mut tokens).zip(&prompts).take(1 + n_pass / 3);
                let chunks = begun.filter_map(|(((generator, sequence, _), tokens), prompt)| {
                    let rest = prompt.get(sequence.pos()..).filter(|rest| !rest.is_empty());
                    if rest.is_some() { Some(Chunk::new(sequence, rest?)) } else { generator.chunk(sequence, tokens) }
                });
                let n_run = batch.run(&mut chunks.collect::<Vec<_>>()).unwrap();
                if n_run == 0 {
                    break;
                }
                for ((generator, sequence, text), prompt) in slots.iter_mut().zip(&prompts) {
                    if sequence.pos() >= prompt.len() {
                        while generator.next_of(batch, sequence, &tokenizer, text).unwrap().is_some() {}
                    }
                }
            }
            slots
                .into_iter()
                .map(|(mut generator, _, mut text)| {
                    generator.finish(&mut text).unwrap();
                    (text, generator.end(), generator.n_tokens(), generator.seed())
                })
                .collect::<Vec<_>>()
        });
        assert_eq!(alone, together, "drafts: {has_drafts}");
    }
}
