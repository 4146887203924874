//! Tests on a board without hardware: typed bytes come from a list, output goes to a string.

mod common;

use std::convert::Infallible;

use common::{CONFIG, LINES, POCKET, Paper, image, in_flash};
use nearfield::kernels::best;
use nearfield::tokenizer::Tokenizer;
use nearfield::{
    Arena, Gguf, Inline, Line, MemoryPlan, Model, ModelId, RunError, Session, Storage, StorageError, TextState,
    checksum,
};
use nearfield_boards::{
    Card, Halt, Image, Layers, MAX_PROMPT, Memory, TextModel, TextSettings, answer_prompts, generate_once, hash, plan,
    plan_beside_card, power_on, self_test, stream_plan,
};

/// Image with the snapshot of a text of `tokens`, the last of which is not run yet.
fn image_behind(tokens: &[u32], seed: u64) -> Image {
    let (image, model) = (image(), Model::from_gguf(&POCKET.0).unwrap());
    let mut lines = vec![Line::ZERO; MemoryPlan::new(model.shape(), &CONFIG).unwrap().n_lines()];
    let mut session = Session::new(&model, CONFIG, best(), &Inline, &mut Arena::new(&mut lines)).unwrap();
    session.prefill(&tokens[..tokens.len() - 1]).unwrap();
    let text = TextState { model_name: "pocket.gguf", last_tokens: &tokens[tokens.len().saturating_sub(64)..], seed };
    let mut bytes = Vec::new();
    let snapshot = session.snapshot(ModelId::of(&POCKET.0), &text).unwrap();
    let Ok(()) = snapshot.write(|part| {
        bytes.extend_from_slice(part);
        Ok::<(), Infallible>(())
    });
    Image { prefix: in_flash(&bytes), ..image }
}

fn with_model<T>(then: impl FnOnce(&mut TextModel<'_, '_, '_>) -> Result<T, Halt>) -> T {
    let mut memory = Box::new(Memory::<LINES>::ZERO);
    TextModel::open(&image(), CONFIG, best(), &Inline, &mut memory, None, then).unwrap()
}

/// Card that holds these bytes.
struct Drawer(Vec<u8>);

impl Storage for Drawer {
    fn read(&mut self, at: u64, to: &mut [u8], work: &mut dyn FnMut()) -> Result<(), StorageError> {
        work();
        let bytes = self.0.get(at as usize..).ok_or(StorageError(3))?;
        let n = bytes.len().min(to.len());
        to[..n].copy_from_slice(&bytes[..n]);
        Ok(())
    }
}

#[test]
fn a_card_brings_the_layers_that_flash_has_no_room_for() {
    let text = |image: &Image, layers: Option<Layers<'_>>| {
        let (mut board, mut memory) = (Paper::default(), Box::new(Memory::<LINES>::ZERO));
        TextModel::open(image, CONFIG, best(), &Inline, &mut memory, layers, |model| {
            model.generate(&mut board, b"Once", TextSettings::new(12, 1)).map(|generated| generated.logits)
        })
    };
    let whole = image();
    let want = text(&whole, None).unwrap();
    let file = Gguf::parse(&POCKET.0).unwrap();
    for n_layers in [0, 3, 5] {
        let mut part = file.tables().to_vec();
        let ranges = file.resident_data(n_layers).map(|range| range.start as usize..range.end as usize);
        ranges.for_each(|range| part.extend_from_slice(&POCKET.0[range]));
        let part = in_flash(&part);
        let card = Card { n_layers, n_bytes: POCKET.0.len() as u64, checksum: checksum(&POCKET.0) };
        let image = Image { gguf: part, checksum: checksum(part), card: Some(card), ..whole };
        assert_eq!(plan_beside_card(&image, &CONFIG), plan(&whole, &CONFIG));
        let mut buffers = vec![Line::ZERO; stream_plan(&image).n_lines()];
        let mut right = Drawer(POCKET.0.to_vec());
        assert_eq!(text(&image, Some(Layers { storage: &mut right, buffers: &mut buffers })).unwrap(), want);
        right.0[400_000] ^= 1;
        let halt = text(&image, Some(Layers { storage: &mut right, buffers: &mut buffers })).unwrap_err();
        assert!(matches!(halt, Halt::Card { want, .. } if want == card.checksum) && halt.code() == 2, "{halt}");
        let mut empty = Drawer(vec![]);
        let halt = text(&image, Some(Layers { storage: &mut empty, buffers: &mut buffers })).unwrap_err();
        assert!(matches!(halt, Halt::Storage(StorageError(3)) | Halt::Card { .. }), "{halt}");
        let halt = text(&image, None).unwrap_err();
        assert!(matches!(halt, Halt::Run(RunError::NoStream { layer }) if layer == n_layers), "{halt}");
    }
}

fn answers(typed: &[u8]) -> String {
    let mut board = Paper { typed: typed.iter().copied().collect(), ..Paper::default() };
    with_model(|model| answer_prompts(&mut board, model, 10));
    board.written
}

#[test]
fn a_text_and_its_hashes_are_written() {
    let mut board = Paper::default();
    with_model(|model| generate_once(&mut board, model, "Once upon a time", 12));
    let (text, report) = board.written.split_once("\nhash ").unwrap();
    assert!(text.starts_with("Once upon a time, there was"), "{text}");
    let mut want = hash::Fnv64::default();
    want.bytes(text.as_bytes());
    assert!(report.starts_with(&format!("text {:016x} logits ", want.get())), "{report}");
}

#[test]
fn a_text_generated_again_is_the_same() {
    let mut written = Vec::new();
    with_model(|model| {
        for (prompt, seed) in [("The dog", 1), ("The cat", 2), ("The dog", 1)] {
            written.push(model.generate(&mut Paper::default(), prompt.as_bytes(), TextSettings::new(9, seed))?);
        }
        Ok(())
    });
    assert_eq!((written[0].text, written[0].logits), (written[2].text, written[2].logits));
    assert_ne!(written[0].logits, written[1].logits);
}

#[test]
fn prompts_are_answered_until_nobody_types() {
    let written = answers(b"The cat\r\nThe dag\x7f\x7fog\n");
    assert!(written.contains("\r\n> The cat\r\nThe cat"), "{written}");
    assert!(written.contains("\r\n> The dag\x08 \x08\x08 \x08og\r\nThe dog"), "{written}");
    // Without noise, the seeds are counted.
    for seed in [1, 2] {
        assert!(written.contains(&format!("[10 tokens, seed {seed}, 9.000 tokens/s, arena ")), "{written}");
    }
    assert_eq!(written.matches("[hash text ").count(), 2, "{written}");
    assert!(written.ends_with("\r\n> "), "{written}");
}

#[test]
fn commands_set_what_the_next_texts_have() {
    let written = answers(b":seed 7\n:len 3\n:temp 0\nThe cat\nThe cat\n:seed\n:len 4\nThe cat\n:lan 4\n:stop\n");
    assert!(written.contains("[seed 7, temperature 0.000, at most 3 tokens]\r\n"), "{written}");
    assert_eq!(written.matches("[3 tokens, seed 7, ").count(), 2, "{written}");
    assert!(written.contains("[a new seed each time, temperature 0.000, at most 4 tokens]\r\n"), "{written}");
    assert!(written.contains("[4 tokens, seed 1, "), "{written}");
    assert!(
        written.contains("> :lan 4\r\n[no such command, or a number out of its range: :help lists both]\r\n"),
        "{written}"
    );
    assert!(written.ends_with("> :stop\r\n\r\n> "), "{written}");
    let help = answers(b":help\n");
    assert!(help.contains("\r\n:len N    the greatest number of tokens\r\n"), "{help}");
    assert!(help.contains("[a new seed each time, temperature 0.800, at most 10 tokens]"), "{help}");
}

/// The text before the key is that of a run without one.
#[test]
fn a_key_stops_a_text() {
    let settings = TextSettings::new(10, 1);
    let (mut whole, mut stopped, mut at_once) = (Paper::default(), Paper::default(), Paper::default());
    with_model(|model| {
        assert_eq!(model.generate(&mut whole, b"The cat", settings)?.stopped_by, None);
        // The prompt is one pass; then each token is one.
        stopped.key_after = Some((5, b'x'));
        let generated = model.generate(&mut stopped, b"The cat", settings)?;
        assert_eq!((generated.n_tokens, generated.stopped_by), (4, Some(b'x')));
        at_once.key_after = Some((0, b'x'));
        assert_eq!(model.generate(&mut at_once, b"The cat", settings)?.n_tokens, 0);
        // A terminal's line feed behind the carriage return is no key.
        let line_feed = &mut Paper { key_after: Some((2, b'\n')), ..Paper::default() };
        assert_eq!(model.generate(line_feed, b"The cat", settings)?.n_tokens, 10);
        Ok(())
    });
    assert!(whole.written.starts_with(&stopped.written) && stopped.written.len() > 7, "{}", stopped.written);
    assert_eq!(at_once.written, "The cat");
    // A command that was typed out stays one.
    let mut board = Paper {
        typed: b"The cat\nlen 2\nThe dog\n".iter().copied().collect(),
        key_after: Some((2, b':')),
        ..Paper::default()
    };
    with_model(|model| answer_prompts(&mut board, model, 10));
    assert!(board.written.contains("> :len 2\r\n[a new seed each time"), "{}", board.written);
    assert!(board.written.contains("[2 tokens, seed 2, "), "{}", board.written);
}

#[test]
fn a_prompt_that_is_too_long_is_cut_with_a_notice() {
    let line = [&[b'z'; MAX_PROMPT + 44][..], b"\n"].concat();
    let written = answers(&line);
    assert!(written.contains("[a prompt has at most 256 bytes: 44 were dropped]"), "{written}");
    assert!(written.contains("tokens do not fit: its last 96 are used]"), "{written}");
}

#[test]
fn characters_are_echoed_whole_and_taken_back_whole() {
    let written = answers("aß\u{8}\u{8}é€\n".as_bytes());
    assert!(written.contains("\r\n> aß\x08 \x08\x08 \x08é€\r\né€"), "{written}");
}

#[test]
fn what_is_damaged_halts_with_a_message_and_a_code() {
    let code = |image: Image| {
        let mut board = Paper::default();
        // The arena has room for the self-test, too.
        let mut memory = Box::new(Memory::<2048>::ZERO);
        let code = power_on(&mut board, &image, CONFIG, best(), &Inline, &mut memory, |board, model| {
            generate_once(board, model, "The cat", 3)
        });
        (code, board.written)
    };
    let whole = image();
    let (zero, written) = code(whole);
    assert!(zero == 0 && written.contains("16 cases of each kernel") && written.contains("\r\nThe cat"), "{written}");
    let checksum = whole.checksum ^ 1;
    let (two, written) = code(Image { checksum, ..whole });
    let want =
        format!("\r\nhalted with code 2: the model in flash is damaged: its checksum is {:#010x}", whole.checksum);
    assert!(two == 2 && written.contains(&want), "{written}");
    let gguf = &whole.gguf[..1000];
    let (three, written) = code(Image { gguf, checksum: nearfield::checksum(gguf), ..whole });
    assert!(three == 3 && written.contains("halted with code 3: the model cannot be run: "), "{written}");
    let (three, written) = code(Image { index: &whole.index[64..], ..whole });
    assert!(three == 3 && written.contains("halted with code 3: the model's tokenizer cannot be used: "), "{written}");
}

/// A prompt after the snapshot gives the logits and the text of both prompts in one.
#[test]
fn a_stored_text_goes_on() {
    let tokens = |text: &str| -> Vec<u32> {
        let image = image();
        let model = Model::from_gguf(image.gguf).unwrap();
        let tokenizer = image.tokenizer(&model).unwrap();
        let mut tokens = vec![0; Tokenizer::encode_bound(text.len())];
        let n = tokenizer.encode(text, tokenizer.options(), &mut tokens).unwrap();
        tokens.truncate(n);
        tokens
    };
    let text = "Once upon a time, there was a little boy named Tim. Tim loved to play with his toy cars. One day, Tim\
                's mom said, \"Bye, Tim! Let's go to the park.\"";
    let whole = tokens(text);
    assert!(whole.len() > 34);
    let mut at_once = Paper::default();
    let want = with_model(|model| model.generate(&mut at_once, text.as_bytes(), TextSettings::new(12, 3)));
    for (image, prompt) in [
        (image_behind(&whole, 3), ""),
        (image_behind(&tokens("Once upon a time, there was a little boy named Tim."), 3), &text[51..]),
    ] {
        let mut memory = Box::new(Memory::<LINES>::ZERO);
        let (mut first, mut again) = (Paper::default(), Paper::default());
        let got = TextModel::open(&image, CONFIG, best(), &Inline, &mut memory, None, |model| {
            let got = model.generate(&mut first, prompt.as_bytes(), TextSettings::new(12, 3))?;
            // Each text begins again at the snapshot.
            model.generate(&mut Paper::default(), b" x", TextSettings::new(30, 1))?;
            assert_eq!(model.generate(&mut again, prompt.as_bytes(), TextSettings::new(12, 3))?.logits, got.logits);
            Ok(got)
        })
        .unwrap();
        assert_eq!(got.logits, want.logits, "{prompt:?}");
        assert_eq!(first.written, at_once.written[text.len() - prompt.len()..], "{prompt:?}");
        assert_eq!(first.written, again.written);
    }
    // A board with a snapshot needs less memory, writes its number of tokens, and uses its seed.
    let image = image_behind(&whole, 3);
    let mut board = Paper::default();
    let mut memory = Box::new(Memory::<2048>::ZERO);
    let code = power_on(&mut board, &image, CONFIG, best(), &Inline, &mut memory, |board, model| {
        assert!(model.arena_bytes() < LINES * Line::BYTES);
        generate_once(board, model, "not this", 12)
    });
    let n = whole.len() - 1;
    assert!(code == 0 && board.written.contains(&format!("\r\na text of {n} tokens goes on\r\n")), "{}", board.written);
    assert!(board.written.contains(&at_once.written[text.len()..]), "{}", board.written);
}

#[test]
fn a_stored_text_that_is_damaged_or_another_models_halts() {
    let image = image_behind(&[0, 430, 441, 259, 404], 1);
    let halted = |bytes: &[u8]| {
        let image = Image { prefix: in_flash(bytes), ..image };
        let mut memory = Box::new(Memory::<LINES>::ZERO);
        let halt = TextModel::open(&image, CONFIG, best(), &Inline, &mut memory, None, |_| Ok(())).unwrap_err();
        (halt.code(), halt.to_string())
    };
    let whole = image.prefix;
    let mut damaged = whole.to_vec();
    damaged[1000] ^= 4;
    let what = "the beginning of the text cannot be used: the snapshot ";
    assert_eq!(halted(&damaged), (2, format!("{what}is damaged: its checksum is not that of its bytes")));
    let (code, written) = halted(&whole[..whole.len() - 64]);
    assert!(code == 3 && written.starts_with(&format!("{what}should have ")), "{written}");
}

#[test]
fn a_self_test_needs_more_room_than_this_context_has() {
    let mut memory = Box::new(Memory::<LINES>::ZERO);
    let room = LINES * Line::BYTES;
    let result = self_test(best(), 1, memory.arena());
    assert!(matches!(result, Err(Halt::NoRoom { need, have }) if have == room && need > have), "{result:?}");
}
