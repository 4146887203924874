//! A board without hardware: what is typed comes from a list, what is told goes to a string.

use std::collections::VecDeque;
use std::fmt;

use nearfield::kernels::best;
use nearfield::tokenizer::{Tokenizer, Vocab};
use nearfield::{Arena, Gguf, Inline, KvType, KvTypes, Line, SessionConfig, checksum};
use nearfield_boards::{
    Board, Halt, Image, MAX_PROMPT, Memory, Teller, answer_prompts, hash, plan, power_on, self_test, tell_one,
};

#[repr(C, align(64))]
struct Aligned([u8; include_bytes!("../../../models/pocket.gguf").len()]);
static POCKET: Aligned = Aligned(*include_bytes!("../../../models/pocket.gguf"));

const CONFIG: SessionConfig =
    SessionConfig { n_ctx: 128, n_batch: 8, kv: KvTypes::both(KvType::Q8_0), ..SessionConfig::DEFAULT };
const LINES: usize = plan(&POCKET.0, &CONFIG).n_lines();

/// The model and its tokenizer's index, as a build script makes them.
fn image() -> Image {
    let vocab = Vocab::from_gguf(&Gguf::parse(&POCKET.0).unwrap()).unwrap();
    let bytes = Tokenizer::index_bytes(vocab.tokens.len(), vocab.merges.len()).unwrap();
    let mut memory = vec![Line::ZERO; bytes / Line::BYTES];
    let index: Vec<u8> = Tokenizer::new(vocab, &mut Arena::new(&mut memory)).unwrap().index().collect();
    // In flash, it lies aligned for ever.
    let flash = Arena::new(vec![Line::ZERO; index.len() / Line::BYTES].leak()).take(index.len()).unwrap();
    flash.copy_from_slice(&index);
    Image { name: "pocket.gguf", gguf: &POCKET.0, checksum: checksum(&POCKET.0), index: flash }
}

#[derive(Default)]
struct Paper {
    told: String,
    typed: VecDeque<u8>,
    micros: u64,
}

impl fmt::Write for Paper {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.told.push_str(text);
        Ok(())
    }
}

impl Board for Paper {
    fn name(&self) -> &'static str {
        "paper"
    }

    fn read(&mut self) -> Option<u8> {
        self.typed.pop_front()
    }

    fn micros(&mut self) -> Option<u64> {
        self.micros += 1_000_000;
        Some(self.micros)
    }
}

fn with_teller<T>(then: impl FnOnce(&mut Teller<'_, '_, '_>) -> Result<T, Halt>) -> T {
    let mut memory = Box::new(Memory::<LINES>::ZERO);
    Teller::open(&image(), CONFIG, best(), &Inline, &mut memory, then).unwrap()
}

fn answers(typed: &[u8]) -> String {
    let mut board = Paper { typed: typed.iter().copied().collect(), ..Paper::default() };
    with_teller(|teller| answer_prompts(&mut board, teller, 10));
    board.told
}

#[test]
fn a_story_and_its_hashes_are_told() {
    let mut board = Paper::default();
    with_teller(|teller| tell_one(&mut board, teller, "Once upon a time", 12));
    let (text, report) = board.told.split_once("\nhash ").unwrap();
    assert!(text.starts_with("Once upon a time, there was"), "{text}");
    let mut want = hash::Fnv64::default();
    want.bytes(text.as_bytes());
    assert!(report.starts_with(&format!("story {:016x} logits ", want.get())), "{report}");
}

#[test]
fn a_story_told_again_is_the_same() {
    let mut told = Vec::new();
    with_teller(|teller| {
        for (prompt, seed) in [("The dog", 1), ("The cat", 2), ("The dog", 1)] {
            told.push(teller.tell(&mut Paper::default(), prompt.as_bytes(), 9, seed)?);
        }
        Ok(())
    });
    assert_eq!((told[0].text, told[0].logits), (told[2].text, told[2].logits));
    assert_ne!(told[0].logits, told[1].logits);
}

#[test]
fn prompts_are_answered_until_nobody_types() {
    let told = answers(b"The cat\r\nThe dag\x7f\x7fog\n");
    assert!(told.contains("\r\n> The cat\r\nThe cat"), "{told}");
    assert!(told.contains("\r\n> The dag\x08 \x08\x08 \x08og\r\nThe dog"), "{told}");
    assert_eq!(told.matches("[10 tokens, 10.000 tokens/s, arena ").count(), 2, "{told}");
    assert!(told.ends_with("\r\n> "), "{told}");
}

#[test]
fn a_prompt_that_is_too_long_is_cut_with_a_notice() {
    let line = [&[b'z'; MAX_PROMPT + 44][..], b"\n"].concat();
    let told = answers(&line);
    assert!(told.contains("[a prompt has at most 256 bytes: 44 were dropped]"), "{told}");
    assert!(told.contains("tokens do not fit: its last 96 are used]"), "{told}");
}

#[test]
fn characters_are_echoed_whole_and_taken_back_whole() {
    let told = answers("aß\u{8}\u{8}é€\n".as_bytes());
    assert!(told.contains("\r\n> aß\x08 \x08\x08 \x08é€\r\né€"), "{told}");
}

#[test]
fn what_is_damaged_halts_with_a_message_and_a_code() {
    let code = |image: Image| {
        let mut board = Paper::default();
        // Room for the self-test, too.
        let mut memory = Box::new(Memory::<2048>::ZERO);
        let code = power_on(&mut board, &image, CONFIG, best(), &Inline, &mut memory, |board, teller| {
            tell_one(board, teller, "The cat", 3)
        });
        (code, board.told)
    };
    let whole = image();
    let (zero, told) = code(whole);
    assert!(zero == 0 && told.contains("16 cases of each kernel") && told.contains("\r\nThe cat"), "{told}");
    let checksum = whole.checksum ^ 1;
    let (two, told) = code(Image { checksum, ..whole });
    let want =
        format!("\r\nhalted with code 2: the model in flash is damaged: its checksum is {:#010x}", whole.checksum);
    assert!(two == 2 && told.contains(&want), "{told}");
    let gguf = &whole.gguf[..1000];
    let (three, told) = code(Image { gguf, checksum: checksum(gguf), ..whole });
    assert!(three == 3 && told.contains("halted with code 3: the model cannot be run: "), "{told}");
    let (three, told) = code(Image { index: &whole.index[64..], ..whole });
    assert!(three == 3 && told.contains("halted with code 3: the model's tokenizer cannot be used: "), "{told}");
}

#[test]
fn a_self_test_needs_more_room_than_this_context_has() {
    let mut memory = Box::new(Memory::<LINES>::ZERO);
    let room = LINES * Line::BYTES;
    let result = self_test(best(), 1, memory.arena());
    assert!(matches!(result, Err(Halt::NoRoom { need, have }) if have == room && need > have), "{result:?}");
}
