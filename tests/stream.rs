//! Layers from a storage have the bits of layers in memory, whenever the storage reads, and errors of it change nothing.

use crate::common::compare::assert_same_bits;
use crate::common::encoder;
use crate::common::file::File;
use crate::common::model::{BAICHUAN, BLOOM, GPT2, JAIS, MPT, REFACT, Spec};
use crate::common::reference::gguf_writer::{Value, Writer};
use crate::common::run::{Setup, logits, soil};
use crate::common::threads::Threads;
use std::sync::atomic::{AtomicIsize, Ordering};

use nearfield::{
    Arena, Gguf, GgufError, Line, LoadError, MemoryPlan, Model, Ring, RunError, Session, SessionConfig, SessionError,
    Storage, StorageError, Stream, StreamPlan, checksum,
};

/// Moment at which a storage lets the session work.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Works {
    Before,
    Amid,
    Behind,
    Twice,
    Never,
}

/// Storage over a file's bytes, which counts what it reads.
struct Card<'f> {
    file: &'f [u8],
    works: Works,
    n_read: u64,
    /// Number of reads before one that fails once.
    fails_after: Option<usize>,
}

impl<'f> Card<'f> {
    fn new(file: &'f [u8], works: Works) -> Self {
        Self { file, works, n_read: 0, fails_after: None }
    }
}

impl Storage for Card<'_> {
    fn read(&mut self, at: u64, to: &mut [u8], work: &mut dyn FnMut()) -> Result<(), StorageError> {
        let block = StreamPlan::BLOCK;
        assert!(at.is_multiple_of(block) && (to.len() as u64).is_multiple_of(block), "{at}, {}", to.len());
        let n_works = |works: &[Works]| usize::from(works.contains(&self.works));
        (0..n_works(&[Works::Before, Works::Twice])).for_each(|_| work());
        match &mut self.fails_after {
            Some(0) => {
                self.fails_after = None;
                to.fill(0xff);
                return Err(StorageError(7));
            }
            Some(n) => *n -= 1,
            None => {}
        }
        to.fill(0xff);
        let bytes = &self.file[at as usize..self.file.len().min(at as usize + to.len())];
        assert!(bytes.len() + block as usize > to.len(), "only the last block ends beyond the file");
        let half = bytes.len() / 2;
        to[..half].copy_from_slice(&bytes[..half]);
        (0..n_works(&[Works::Amid])).for_each(|_| work());
        to[half..bytes.len()].copy_from_slice(&bytes[half..]);
        (0..n_works(&[Works::Behind, Works::Twice])).for_each(|_| work());
        self.n_read += to.len() as u64;
        Ok(())
    }
}

/// Card that fails once, at a read that the test chooses while the session has it.
struct Fails<'f> {
    card: Card<'f>,
    /// Number of reads before the one that fails; negative for never.
    countdown: &'f AtomicIsize,
}

impl Storage for Fails<'_> {
    fn read(&mut self, at: u64, to: &mut [u8], work: &mut dyn FnMut()) -> Result<(), StorageError> {
        if self.countdown.fetch_sub(1, Ordering::Relaxed) == 0 {
            work();
            return Err(StorageError(7));
        }
        self.card.read(at, to, work)
    }
}

/// The part of a file that stays in memory with its first `n_layers` layers.
fn resident(file: &[u8], n_layers: usize) -> File {
    let gguf = Gguf::parse(file).unwrap();
    let ranges: Vec<_> = gguf.resident_data(n_layers).map(|range| range.start as usize..range.end as usize).collect();
    File::new(
        &[&file[..gguf.data_at()], &ranges.into_iter().flat_map(|range| &file[range]).copied().collect::<Vec<_>>()]
            .concat(),
    )
}

/// Calls `run` with a session whose layers from `n_layers` on come from a card.
fn streamed<R>(
    setup: Setup<'_>,
    file: &[u8],
    n_layers: usize,
    card: &mut impl Storage,
    run: impl FnOnce(&mut Session<'_, '_, '_>) -> R,
) -> R {
    let resident = resident(file, n_layers);
    let gguf = Gguf::parse_resident(resident.bytes(), file.len() as u64, n_layers).unwrap();
    let streams = StreamPlan::new(&gguf, n_layers);
    let model = Model::from_tables(gguf).unwrap();
    let plan = MemoryPlan::new(model.shape(), &setup.config).unwrap();
    let [mut lines, mut buffers] = [plan.n_lines(), streams.n_lines()].map(|n| vec![Line::ZERO; n]);
    soil(&mut lines);
    soil(&mut buffers);
    let session =
        Session::new(&model, setup.config, setup.kernels, setup.executor, &mut Arena::new(&mut lines)).unwrap();
    run(&mut session.with_stream(Stream::new(card, &mut buffers)).unwrap())
}

/// Logits after each token of a prompt and of tokens that follow one by one, and the keys visited.
fn run(session: &mut Session<'_, '_, '_>, tokens: &[u32]) -> (Vec<Vec<f32>>, Vec<u64>) {
    let (prompt, rest) = tokens.split_at(tokens.len() - 5);
    let mut rows = logits(session, prompt);
    rows.extend(rest.iter().map(|&token| session.decode(token).unwrap().to_vec()));
    (rows, session.key_stats().visited.to_vec())
}

const SPEC: Spec = Spec { n_layer: 5, n_head_kv: 2, ..MPT };

#[test]
fn the_bits_are_those_of_layers_in_memory() {
    let setup = Setup::default().with_ctx(100).with_batch(16);
    let specs = [SPEC, BLOOM, GPT2, BAICHUAN, REFACT, JAIS, Spec { qk_norm: true, biases: true, n_layer: 3, ..MPT }];
    for (spec, weight_type) in specs.into_iter().flat_map(|spec| [(spec, "Q8_0"), (spec, "F16")]) {
        let (file, tokens) = (spec.file(weight_type), spec.tokens(45));
        let want = setup.session(file.bytes(), |session| run(session, &tokens));
        for n_layers in 0..=spec.n_layer {
            for works in [Works::Before, Works::Amid, Works::Behind, Works::Twice, Works::Never] {
                let what = format!("{}, {weight_type}, {n_layers} layers in memory, {works:?}", spec.arch);
                let mut card = Card::new(file.bytes(), works);
                let got = streamed(setup, file.bytes(), n_layers, &mut card, |session| run(session, &tokens));
                assert_same_bits(&what, &want.0, &got.0);
                assert_eq!(want.1, got.1, "{what}: keys visited");
            }
        }
    }
}

#[test]
fn threads_compute_a_layer_from_a_storage() {
    let (file, tokens, threads) = (SPEC.file("Q4_0"), SPEC.tokens(45), Threads(3));
    let setup = Setup::default().with_ctx(100).with_batch(16);
    let want = setup.session(file.bytes(), |session| run(session, &tokens));
    let setup = Setup { executor: &threads, ..setup };
    let mut card = Card::new(file.bytes(), Works::Amid);
    let got = streamed(setup, file.bytes(), 1, &mut card, |session| run(session, &tokens));
    assert_same_bits("three workers", &want.0, &got.0);
}

/// Each pass reads each layer once, and the first one also the layer that it begins with.
#[test]
fn a_pass_reads_what_the_plan_says() {
    let (file, tokens) = (SPEC.file("Q8_0"), SPEC.tokens(40));
    let setup = Setup::default().with_ctx(100).with_batch(16);
    for n_layers in 0..=SPEC.n_layer {
        let plan = StreamPlan::new(&Gguf::parse(file.bytes()).unwrap(), n_layers);
        let mut card = Card::new(file.bytes(), Works::Behind);
        let n_passes = 3;
        streamed(setup, file.bytes(), n_layers, &mut card, |session| session.run(&tokens).unwrap());
        assert_eq!(plan.n_lines() * Line::BYTES, 2 * plan.buffer);
        match SPEC.n_layer - n_layers {
            0 => assert_eq!((card.n_read, plan.per_pass, plan.buffer), (0, 0, 0)),
            // Two layers stay in their buffers. All are alike, but for the blocks that they begin and end in.
            n @ (1 | 2) => {
                let least = n as u64 * (plan.buffer as u64 - StreamPlan::BLOCK);
                assert!(plan.per_pass == 0 && (least..=n as u64 * plan.buffer as u64).contains(&card.n_read));
            }
            _ => {
                let extra = card.n_read - n_passes * plan.per_pass;
                let one = plan.buffer as u64 - StreamPlan::BLOCK..=plan.buffer as u64;
                assert!(one.contains(&extra), "{extra}, {plan:?}");
            }
        }
    }
}

#[test]
fn a_storage_that_fails_changes_nothing() {
    let (file, tokens) = (SPEC.file("Q8_0"), SPEC.tokens(45));
    let setup = Setup::default().with_ctx(100).with_batch(64);
    let (want, _) = setup.session(file.bytes(), |session| run(session, &tokens));
    // The prompt reads six times: five layers, and the first one again.
    for fails_after in 0..16 {
        let mut card = Card { fails_after: Some(fails_after), ..Card::new(file.bytes(), Works::Amid) };
        streamed(setup, file.bytes(), 0, &mut card, |session| {
            let mut rows = vec![];
            let mut n_errors = 0;
            for (i, &token) in tokens.iter().enumerate() {
                loop {
                    let pos = session.pos();
                    assert_eq!(pos, i);
                    match session.decode(token) {
                        Ok(row) => break rows.push(row.to_vec()),
                        Err(RunError::Storage { at, error }) => {
                            n_errors += 1;
                            assert!(error == StorageError(7) && at < file.bytes().len() as u64);
                            assert_eq!(session.pos(), pos, "nothing was run");
                        }
                        Err(error) => panic!("{error}"),
                    }
                }
            }
            assert_eq!(n_errors, 1, "after {fails_after} reads");
            assert_same_bits(&format!("after {fails_after} reads"), &want, &rows);
        });
    }
}

/// Keys that a failed pass stored are taken back: whatever follows has the bits, and visits the keys, of a text without that pass.
#[test]
fn keys_of_a_failed_pass_are_taken_back() {
    let (file, tokens) = (SPEC.file("Q8_0"), SPEC.tokens(150));
    for ring in [Ring::Full, Ring::Keys(64)] {
        let setup = Setup::default().with_ctx(200).with_batch(32).with_ring(ring).with_eps(SessionConfig::HORIZON_EPS);
        for (n_before, back_to) in [(0, 0), (96, 96), (96, 64), (96, 33), (80, 70)] {
            for (n_failed, fails_at) in [(20, 0), (20, 1), (20, 3), (1, 2), (32, 4)] {
                let what = format!("{ring:?}, {n_before} tokens, {n_failed} fail at {fails_at}, back to {back_to}");
                let texts = |fails: bool| {
                    let countdown = AtomicIsize::new(-1);
                    let mut card = Fails { card: Card::new(file.bytes(), Works::Before), countdown: &countdown };
                    streamed(setup, file.bytes(), 0, &mut card, |session| {
                        let first = (n_before > 0).then(|| session.prefill(&tokens[..n_before]).unwrap().to_vec());
                        if fails {
                            countdown.store(fails_at, Ordering::Relaxed);
                            let error = session.run(&tokens[110..110 + n_failed]).unwrap_err();
                            assert!(matches!(error, RunError::Storage { .. }), "{error}");
                            assert_eq!(session.pos(), n_before, "{what}");
                            countdown.store(-1, Ordering::Relaxed);
                            // Logits that were computed before are still there.
                            assert_eq!(session.logits().ok().map(<[f32]>::to_vec), first, "{what}");
                        }
                        let is_back = session.rewind(back_to).is_ok();
                        let before = session.key_stats().visited.to_vec();
                        let rows = logits(session, &tokens[100..107]);
                        let visited = session.key_stats().visited.iter().zip(before).map(|(n, before)| n - before);
                        (is_back, rows, visited.collect::<Vec<_>>())
                    })
                };
                let (want, got) = (texts(false), texts(true));
                // A ring may have lost keys to the pass: going back is refused then, and the text goes on where it was.
                if got.0 == want.0 {
                    assert_same_bits(&what, &want.1, &got.1);
                    assert_eq!(want.2, got.2, "{what}: keys visited");
                } else {
                    assert!(want.0 && ring != Ring::Full, "{what}");
                }
            }
        }
    }
}

#[test]
fn the_checksum_is_that_of_the_file() {
    let file = SPEC.file("Q8_0");
    for (n_lines, n_bytes) in [(0, 5000), (1, 4097), (16, 4096), (38, 1), (500, 4095), (2000, file.bytes().len())] {
        let (mut card, mut buffers) = (Card::new(file.bytes(), Works::Never), vec![Line::ZERO; n_lines]);
        let found = Stream::new(&mut card, &mut buffers).checksum(n_bytes as u64);
        assert_eq!(found, Ok(checksum(&file.bytes()[..n_bytes])), "{n_lines} lines, {n_bytes} bytes");
        let mut card = Card { fails_after: Some(0), ..card };
        assert_eq!(Stream::new(&mut card, &mut buffers).checksum(n_bytes as u64), Err(StorageError(7)));
    }
}

#[test]
fn sessions_without_a_stream_and_buffers_that_are_too_small_are_errors() {
    let (file, setup) = (SPEC.file("Q8_0"), Setup::default().with_ctx(100));
    let resident = resident(file.bytes(), 2);
    let gguf = Gguf::parse_resident(resident.bytes(), file.bytes().len() as u64, 2).unwrap();
    let plan = StreamPlan::new(&gguf, 2);
    let model = Model::from_tables(gguf).unwrap();
    let n_lines = MemoryPlan::new(model.shape(), &setup.config).unwrap().n_lines();
    let mut lines = vec![Line::ZERO; n_lines];
    let mut arena = Arena::new(&mut lines);
    let mut session = Session::new(&model, setup.config, setup.kernels, setup.executor, &mut arena).unwrap();
    let error = session.prefill(&[1, 2]).unwrap_err();
    assert_eq!(error, RunError::NoStream { layer: 2 });
    assert_eq!(error.to_string(), "layer 2 is not in memory, and the session has no stream to bring it");
    assert_eq!(session.pos(), 0);
    let mut card = Card::new(file.bytes(), Works::Never);
    let mut buffers = vec![Line::ZERO; plan.n_lines() - 2];
    let error = session.with_stream(Stream::new(&mut card, &mut buffers)).unwrap_err();
    assert_eq!(error, SessionError::StreamTooSmall { need: plan.buffer, have: plan.buffer - Line::BYTES });
    assert!(model.layer(1).unwrap().is_some() && model.layer(2).unwrap().is_none());
}

/// A file whose alignment is not that of floats: refused if a norm on the card is not aligned, and run otherwise.
#[test]
fn vectors_that_are_not_aligned_are_an_error() {
    let mut n_refused = 0;
    // A name of another length moves the data.
    for (n_vocab, name) in [(45, "a"), (45, "abc"), (46, "a"), (46, "abc")] {
        let spec = Spec { n_vocab, head_dim: 4, ..SPEC };
        let parts = spec.parts_of(&spec.tensors(), "Q4_0");
        // Norms outside the layers come first, which keeps them aligned where the data are.
        let (last, first): (Vec<_>, Vec<_>) =
            parts.tensors.iter().partition(|tensor| tensor.name != "output_norm.weight");
        let writer = parts.metadata.iter().fold(Writer::new(3), |file, (key, value)| file.meta(key, value.clone()));
        let writer = first
            .into_iter()
            .chain(last)
            .fold(writer.alignment(2).meta("general.name", Value::string(name)), |file, tensor| {
                file.tensor(&tensor.name, &tensor.shape, tensor.ty, tensor.bytes.clone())
            });
        let file = File::new(&writer.finish());
        let part = resident(file.bytes(), 0);
        let gguf = Gguf::parse_resident(part.bytes(), file.bytes().len() as u64, 0).unwrap();
        match Model::from_tables(gguf) {
            Err(LoadError::Misaligned { layer, .. }) => n_refused += usize::from(layer.is_some()),
            Err(error) => panic!("{error}"),
            Ok(_) => {
                let mut card = Card::new(file.bytes(), Works::Behind);
                let setup = Setup::default().with_ctx(20);
                streamed(setup, file.bytes(), 0, &mut card, |session| assert!(session.prefill(&[1, 2]).is_ok()));
            }
        }
    }
    assert_eq!(n_refused, 1, "one of these has aligned norms outside the layers, and others that are not");
}

#[test]
fn a_part_of_another_file_is_an_error() {
    let file = SPEC.file("Q8_0");
    let (bytes, n) = (file.bytes(), file.bytes().len() as u64);
    let part = resident(bytes, 2);
    for (n_layers, found) in [(1, part.bytes()), (3, part.bytes()), (2, &part.bytes()[..part.bytes().len() - 1])] {
        let error = Gguf::parse_resident(found, n, n_layers).unwrap_err();
        assert!(matches!(error, GgufError::Resident { found: f, .. } if f == found.len() as u64), "{error}");
    }
    let error = Gguf::parse_resident(part.bytes(), n - 1, 2).unwrap_err();
    assert!(matches!(error, GgufError::TensorBounds { .. }), "{error}");
    assert!(Gguf::parse_resident(part.bytes(), u64::MAX, 2).is_ok(), "what follows the last tensor does not matter");
    // A file that is there as a whole is one whose layers are all in memory.
    assert_eq!(resident(bytes, SPEC.n_layer).bytes(), bytes);
    // Damage on the card shows in the logits, or changes them: norms there are not checked.
    let encoder = encoder::JINA.file("F16");
    let part = resident(encoder.bytes(), 0);
    let gguf = Gguf::parse_resident(part.bytes(), encoder.bytes().len() as u64, 0).unwrap();
    let error = Model::from_tables(gguf).unwrap_err();
    assert!(matches!(error, LoadError::NotResident { layer: Some(0), .. }), "{error}");
}
