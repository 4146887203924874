//! Checks of arbitrary bytes. Fuzz targets and ordinary tests call the same functions.
//!
//! Each returns normally for any input. A panic, a read outside the input, or bits that differ between ISAs is a finding.

use std::hint::black_box;

use nearfield::gguf::Value;
use nearfield::kernels::{Kernels, available};
use nearfield::tokenizer::{Detokenizer, EncodeOptions, Encoded, Kind, TokenType, Tokenizer, Vocab};
use nearfield::{
    Arena, Gguf, Grammar, GrammarError, Inline, KvType, KvTypes, Line, MatcherConfig, MemoryPlan, Model, Prefix, Ring,
    RunError, Session, SessionConfig, Shape, ShapeError, SnapshotHeader, TextState, checksum,
};

/// Sessions that would take more memory than this are planned but not run.
const MAX_ARENA: usize = 64 << 20;

/// Reads the tables and walks all of them.
pub fn gguf(data: &[u8]) {
    let gguf = match Gguf::parse(data) {
        Ok(gguf) => gguf,
        Err(error) => {
            assert_eq!(Shape::from_bytes(data), Err(ShapeError::Gguf(error)));
            assert!(!error.to_string().is_empty());
            return;
        }
    };
    let n_entries = gguf.entries().inspect(|(_, value)| walk(*value)).count();
    assert_eq!(n_entries as u64, gguf.n_entries());
    // Each lookup of a key walks over all that stand before it.
    for (key, _) in gguf.entries().take(32).chain(gguf.entries().last()) {
        let first = gguf.entries().find(|(other, _)| *other == key).map(|(_, value)| value);
        assert!(is_same(gguf.get(key), first), "{key}");
        assert!(is_same(gguf.get_joined(&key[..0], key), first), "{key}");
    }
    let mut n_tensors = 0;
    for tensor in gguf.tensors() {
        n_tensors += 1;
        if let Some(n_bytes) = tensor.n_bytes() {
            let bytes = gguf.data(tensor.offset, n_bytes).expect("`parse` saw that it lies in the file");
            black_box(bytes.first().max(bytes.last()));
        }
    }
    assert_eq!(n_tensors, gguf.n_tensors());
    if let Some(last) = gguf.tensors().last() {
        assert!(gguf.tensor("", last.name).is_some());
    }
    assert_eq!(gguf.data(u64::MAX, 1), None);
    assert_eq!(gguf.data(0, u64::MAX), None);
    match Shape::from_gguf(&gguf) {
        Ok(shape) => drop(black_box(MemoryPlan::new(&shape, &SessionConfig::default()))),
        Err(error) => assert!(!error.to_string().is_empty()),
    }
}

/// True if both are the same value; NaN equals NaN.
fn is_same(a: Option<Value<'_>>, b: Option<Value<'_>>) -> bool {
    let is_nan = |value: Option<Value<'_>>| value.and_then(Value::as_f32).is_some_and(f32::is_nan);
    a == b || is_nan(a) && is_nan(b)
}

/// All elements of an array, and of arrays in it.
fn walk(value: Value<'_>) {
    black_box((value.ty().name(), value.as_u64(), value.as_f32()));
    if let Value::Array(array) = value {
        assert_eq!(array.iter().inspect(|element| walk(*element)).count() as u64, array.len);
    }
}

/// Loads a model, at an aligned address, and runs it for some tokens. Every ISA must give the same bits.
pub fn decode(data: &[u8]) {
    let mut lines = vec![Line::ZERO; data.len().div_ceil(Line::BYTES)];
    let file = Arena::new(&mut lines).take(data.len()).expect("as many lines as it needs");
    file.copy_from_slice(data);
    let model = match Model::from_gguf(file) {
        Ok(model) => model,
        Err(error) => return assert!(!error.to_string().is_empty()),
    };
    black_box(model.bytes_per_token());
    let horizon_eps = if data.len().is_multiple_of(2) { SessionConfig::HORIZON_EPS } else { 0.0 };
    let kv = KvTypes { keys: KvType::ALL[data.len() % 4], values: KvType::ALL[data.len() / 4 % 4] };
    let config = SessionConfig { n_ctx: 5, n_batch: 2, kv, horizon_eps, ..SessionConfig::DEFAULT };
    let Ok(plan) = MemoryPlan::new(model.shape(), &config) else { return };
    if plan.total() > MAX_ARENA {
        return;
    }
    let mut first = None;
    for kernels in available() {
        let logits = run(&model, config, kernels, plan.n_lines());
        let want = first.get_or_insert_with(|| logits.clone());
        assert_eq!(want.1, logits.1, "{} ends otherwise than scalar", kernels.name());
        let differs = want.0.iter().zip(&logits.0).position(|(want, got)| want.to_bits() != got.to_bits());
        assert_eq!(differs, None, "{} differs from scalar at this logit", kernels.name());
    }
}

/// The logits after three tokens in prefill and after two more, and the error that ended the run early. The only such error is a
/// number that is not finite.
fn run(
    model: &Model<'_>,
    config: SessionConfig,
    kernels: &dyn Kernels,
    n_lines: usize,
) -> (Vec<f32>, Option<RunError>) {
    let mut lines = vec![Line::ZERO; n_lines];
    let mut arena = Arena::new(&mut lines);
    let mut session = Session::new(model, config, kernels, &Inline, &mut arena).expect("as planned");
    let last = model.shape().n_vocab as u32 - 1;
    let mut logits = Vec::new();
    for tokens in [&[0, last, last / 2][..], &[last], &[0]] {
        match session.prefill(tokens) {
            Ok(more) => {
                assert!(more.iter().all(|logit| logit.is_finite()));
                logits.extend(more);
            }
            Err(error @ RunError::NotFinite { pos }) => {
                assert_eq!(pos + 1, session.pos());
                return (logits, Some(error));
            }
            Err(error) => panic!("they fit: {error}"),
        }
    }
    assert!(matches!(session.decode(0), Err(RunError::ContextFull { .. })));
    (logits, None)
}

/// The pocket model.
#[repr(C, align(64))]
struct Pocket([u8; include_bytes!("../../../models/pocket.gguf").len()]);
static POCKET: Pocket = Pocket(*include_bytes!("../../../models/pocket.gguf"));

/// Continues a snapshot of the pocket model, whose checksum and model are made to fit, and takes a snapshot of the result.
pub fn snapshot(data: &[u8]) {
    let mut lines = vec![Line::ZERO; data.len().div_ceil(Line::BYTES)];
    let bytes = Arena::new(&mut lines).take::<u8>(data.len()).expect("as many lines as it needs");
    bytes.copy_from_slice(data);
    let sum = checksum(&[data.get(..8).unwrap_or_default(), data.get(12..).unwrap_or_default()].concat());
    if let Some(checksum) = bytes.get_mut(8..12) {
        checksum.copy_from_slice(&sum.to_le_bytes());
    }
    let header = match SnapshotHeader::read(bytes) {
        Ok(header) => header,
        Err(error) => return assert!(!error.to_string().is_empty()),
    };
    let prefix = match Prefix::from_bytes(bytes, header.model) {
        Ok(prefix) => prefix,
        Err(error) => return assert!(!error.to_string().is_empty()),
    };
    let n_prefix = prefix.n_tokens();
    let ring = if prefix.oldest().all(|from| from == 0) { Ring::Full } else { Ring::Keys(64) };
    let (endless, n_sinks) = (data.len().is_multiple_of(128), header.n_sinks.min(n_prefix));
    let config = SessionConfig {
        n_ctx: n_prefix.saturating_add(3),
        n_batch: 2,
        kv: header.kv,
        ring,
        n_sinks,
        endless,
        n_prefix,
        horizon_eps: header.horizon_eps,
        alibi_bf16: header.alibi_bf16,
        ..SessionConfig::DEFAULT
    };
    let model = Model::from_gguf(&POCKET.0).expect("a model");
    let Ok(plan) = MemoryPlan::new(model.shape(), &config) else { return };
    if plan.total() > MAX_ARENA {
        return;
    }
    let mut lines = vec![Line::ZERO; plan.n_lines()];
    let (kernels, mut arena) = (nearfield::kernels::best(), Arena::new(&mut lines));
    let mut session = match Session::with_prefix(&model, config, kernels, &Inline, &mut arena, prefix) {
        Ok(session) => session,
        Err(error) => return assert!(!error.to_string().is_empty()),
    };
    // Keys of any bits may give logits that are not numbers.
    let bits = |logits: Result<&[f32], RunError>| match logits {
        Ok(logits) => Ok(logits.iter().map(|x| x.to_bits()).collect::<Vec<_>>()),
        Err(error @ RunError::NotFinite { .. }) => Err(error),
        Err(error) => panic!("they fit: {error}"),
    };
    let first = bits(session.prefill(&[1, 2, 3]));
    session.rewind(n_prefix).expect("it can be gone back to");
    let _ = bits(session.decode(1));
    session.reset();
    let again = bits(session.prefill(&[1, 2, 3]));
    assert_eq!(first, again, "after a reset");
    let snapshot = session.snapshot(header.model, &TextState::default()).expect("all of it is there");
    let mut lines = vec![Line::ZERO; snapshot.n_bytes() / Line::BYTES];
    let mut rest = Line::bytes_mut(&mut lines);
    let Ok(()) = snapshot.write(|part| {
        let (to, behind) = std::mem::take(&mut rest).split_at_mut(part.len());
        to.copy_from_slice(part);
        rest = behind;
        Ok::<(), std::convert::Infallible>(())
    });
    assert!(Prefix::from_bytes(Line::bytes(&lines), header.model).is_ok());
}

/// Loads a vocabulary, turns a text into tokens and these into text again.
///
/// The input: length of the text (`u16`, little-endian), the text, a GGUF file.
pub fn tokenizer(data: &[u8]) {
    let Some((len, rest)) = data.split_first_chunk() else { return };
    let Some((text, file)) = rest.split_at_checked(u16::from_le_bytes(*len).into()) else { return };
    let Ok(gguf) = Gguf::parse(file) else { return };
    let vocab = match Vocab::from_gguf(&gguf) {
        Ok(vocab) => vocab,
        Err(error) => return assert!(!error.to_string().is_empty()),
    };
    let Some(n_bytes) = Tokenizer::index_bytes(vocab.tokens.len(), vocab.merges.len()) else { return };
    let mut lines = vec![Line::ZERO; n_bytes / Line::BYTES];
    let tokenizer = match Tokenizer::new(vocab, &mut Arena::new(&mut lines)) {
        Ok(tokenizer) => tokenizer,
        Err(error) => return assert!(!error.to_string().is_empty()),
    };
    for options in [tokenizer.options(), EncodeOptions { parse_special: true, ..EncodeOptions::default() }] {
        round_trip(&tokenizer, text, options);
    }
    black_box(tokenizer.find(&String::from_utf8_lossy(text)));
}

fn round_trip(tokenizer: &Tokenizer<'_, '_>, text: &[u8], options: EncodeOptions) {
    let mut tokens = vec![0; tokenizer.room(text, options)];
    let is_as_it_stands = tokenizer.vocab().kind == Kind::BYTE_LEVEL_BPE;
    let n_skipped = match tokenizer.encode_counted(text, options, &mut tokens) {
        Ok(Encoded { n_tokens, n_skipped }) => {
            tokens.truncate(n_tokens);
            n_skipped
        }
        Err(error) => panic!("{options:?}: {error}"),
    };
    assert!(!is_as_it_stands || n_skipped <= text.len());
    let bytes = |&token: &u32| tokenizer.bytes(token).expect("a token");
    let text_tokens = &tokens[usize::from(options.add_bos)..tokens.len() - usize::from(options.add_eos)];
    // Tokens that a file calls unused or special, and yet merges to, are spelled as nothing or as they are.
    let is_normal = |&token: &u32| tokenizer.token_type(token) == Ok(TokenType::Normal);
    let is_exact = is_as_it_stands && n_skipped == 0;
    if is_exact && text_tokens.iter().all(is_normal) {
        assert_eq!(text_tokens.iter().flat_map(bytes).collect::<Vec<u8>>(), text, "{options:?}");
    }
    let (mut streamed, mut detokenizer) = (String::new(), Detokenizer::new(true));
    for &token in &tokens {
        detokenizer.push(tokenizer, token, &mut streamed).expect("a token");
    }
    detokenizer.finish(&mut streamed).expect("a string takes it");
    let whole: Vec<u8> = tokens.iter().flat_map(bytes).collect();
    assert_eq!(streamed, String::from_utf8_lossy(&whole), "{options:?}");
}

/// Compiles a grammar in GBNF, and reads one whose program is made of the bytes, behind the header of a compiled one. Matches the bytes
/// themselves with both.
pub fn grammar(data: &[u8]) {
    let mut memory = vec![0; 1 << 16];
    match Grammar::compile(&String::from_utf8_lossy(data), &mut memory) {
        Ok(grammar) => {
            assert_eq!(Grammar::from_words(grammar.words()).map(|grammar| grammar.words()), Ok(grammar.words()));
            match_bytes(&grammar, data);
        }
        // Only a text that is long needs more.
        Err(GrammarError::Memory { .. }) => assert!(data.len() > 64),
        Err(error) => assert!(!error.to_string().is_empty()),
    }
    let grammar = Grammar::compile("root ::= [a-z0-9]{2,5} \" \" .*", &mut memory).expect("a grammar");
    let mut words = grammar.words().to_vec();
    let n_code = words[2] as usize;
    let code = data.as_chunks::<4>().0.iter().map(|word| u32::from_le_bytes(*word));
    let header = words.len() - n_code;
    words.truncate(header);
    // Live instructions of the operations that exist.
    words.extend(code.map(|word| ((word >> 28) % 10) << 28 | 1 << 27 | word & 0x03ff_ffff));
    words[2] = (words.len() - header) as u32;
    words[3] = u32::from(data.first().copied().unwrap_or(0)) % 8;
    let bytes = |words: &[u32]| words.iter().flat_map(|word| word.to_le_bytes()).collect::<Vec<u8>>();
    words[7] = checksum(&[bytes(&words[..7]), bytes(&words[8..])].concat());
    let grammar = Grammar::from_words(&words).expect("a checksum that fits");
    match_bytes(&grammar, data);
    words.pop();
    assert!(Grammar::from_words(&words).is_err());
}

/// Matches beginnings of a text with little memory.
fn match_bytes(grammar: &Grammar<'_>, text: &[u8]) {
    let config = MatcherConfig { n_states: 16, n_readings: 96, n_frames: 64, n_sets: 1, max_steps: 1 << 16 };
    let mut lines = vec![Line::ZERO; grammar.match_bytes(&config).expect("a size") / Line::BYTES];
    for n in [0, text.len() / 2, text.len()] {
        let _ = black_box(grammar.matches(&text[..n], &config, &mut Arena::new(&mut lines)));
    }
}
