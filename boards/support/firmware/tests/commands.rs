//! Tests of commands for an LED: grammar and sorted tokens as in flash, an LED that writes down its changes.

mod common;

use common::{CONFIG, LINES, POCKET, Paper, image, in_flash};
use nearfield::kernels::best;
use nearfield::tokenizer::{Tokenizer, Vocab};
use nearfield::{
    Arena, Gguf, Grammar, Inline, Line, MatchError, Matcher, MatcherConfig, RunError, SessionConfig, TokenTrie,
    TriePlan,
};
use nearfield_boards::{Command, Commander, GrammarImage, Halt, Led, Memory, TextModel};

const GBNF: &str = include_str!("../commands.gbnf");

/// Calls `then` with a tokenizer of the pocket model.
fn with_tokenizer<T>(then: impl FnOnce(&Tokenizer<'_, '_>) -> T) -> T {
    let vocab = Vocab::from_gguf(&Gguf::parse(&POCKET.0).unwrap()).unwrap();
    let bytes = Tokenizer::index_bytes(vocab.tokens.len(), vocab.merges.len()).unwrap();
    let mut memory = vec![Line::ZERO; bytes / Line::BYTES];
    then(&Tokenizer::new(vocab, &mut Arena::new(&mut memory)).unwrap())
}

/// Grammar and sorted tokens, as a build script makes them.
fn grammar() -> GrammarImage {
    let tokens: Vec<u8> = with_tokenizer(|tokenizer| {
        let plan = TriePlan::new(tokenizer).unwrap();
        let [mut lines, mut scratch] = [plan.bytes, plan.scratch].map(|bytes| vec![Line::ZERO; bytes / Line::BYTES]);
        let (mut arena, mut scratch) = (Arena::new(&mut lines), Arena::new(&mut scratch));
        TokenTrie::new(tokenizer, &plan, &mut arena, &mut scratch).unwrap().index(tokenizer.vocab()).collect()
    });
    let mut memory = [0; 1024];
    let words = Grammar::compile(GBNF, &mut memory).unwrap().words();
    let grammar: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
    GrammarImage { grammar: in_flash(&grammar), tokens: in_flash(&tokens), config: MatcherConfig::SMALL }
}

/// LED that notes each change.
struct Lamp<'c> {
    on: bool,
    changes: &'c mut Vec<bool>,
}

impl Led for Lamp<'_> {
    fn set(&mut self, on: bool) {
        if self.on != on {
            self.changes.push(on);
        }
        self.on = on;
    }

    fn is_on(&mut self) -> bool {
        self.on
    }
}

/// Output of a board, and changes of its LED, that `then` makes.
fn commanded(
    grammar: &GrammarImage,
    n_lines: usize,
    typed: &[u8],
    then: impl FnOnce(&mut Commander<'_, '_, '_, '_, Lamp<'_>>, &mut Paper) -> Result<(), Halt>,
) -> Result<(String, Vec<bool>), Halt> {
    let mut board = Paper { typed: typed.iter().copied().collect(), ..Paper::default() };
    let (mut memory, mut lines) = (Box::new(Memory::<LINES>::ZERO), vec![Line::ZERO; n_lines]);
    let mut changes = Vec::new();
    TextModel::open(&image(), CONFIG, best(), &Inline, &mut memory, None, |model| {
        let led = Lamp { on: false, changes: &mut changes };
        then(&mut Commander::new(model, grammar, &mut lines, led)?, &mut board)
    })?;
    Ok((board.written, changes))
}

#[test]
fn each_text_of_the_grammar_is_a_command() {
    let mut memory = [0; 1024];
    let grammar = Grammar::compile(GBNF, &mut memory).unwrap();
    let mut lines = vec![Line::ZERO; grammar.match_bytes(&MatcherConfig::SMALL).unwrap() / Line::BYTES];
    let mut is_text =
        |text: &str| grammar.matches(text.as_bytes(), &MatcherConfig::SMALL, &mut Arena::new(&mut lines)).unwrap();
    let led = [Command::Led { on: true }, Command::Led { on: false }];
    let commands: Vec<Command> = led.into_iter().chain((1..=99).map(|n| Command::Blink { n })).collect();
    for &command in &commands {
        let text = format!(" {command}.");
        assert!(is_text(&text), "{text:?}");
        assert_eq!(Command::parse(&text), Some(command));
    }
    assert_eq!(commands[2].to_string(), "blink 1");
    for text in
        ["", " led on", "led on.", " led On.", " led.", " blink 0.", " blink 100.", " blink +5.", " blink 05.", " x 1."]
    {
        assert!(!is_text(text), "{text:?}");
        assert_eq!(Command::parse(text), None, "{text:?}");
    }
}

#[test]
fn the_led_obeys_one_prompt() {
    let grammar = grammar();
    let n_lines = grammar.matcher_lines();
    let prompt = "Tom was afraid of the dark. He told the lamp:";
    let (written, changes) =
        commanded(&grammar, n_lines, b"", |commander, board| commander.obey_prompt(board, prompt, 8)).unwrap();
    let (text, memory) = written.split_once("arena ").unwrap();
    assert_eq!(
        text,
        "Tom was afraid of the dark. He told the lamp:\n\
         led on: the LED is on\n\
         led on: the LED is on\n\
         led off: the LED is off\n\
         led on: the LED is on\n\
         led off: the LED is off\n\
         led on: the LED is on\n\
         blink 10: the LED is on\n\
         led on: the LED is on\n"
    );
    assert_eq!(memory, format!("{} bytes, matcher {} bytes\n", LINES * Line::BYTES, n_lines * Line::BYTES));
    // On, off, on, off, on, and then ten times off and on.
    let want: Vec<bool> = (0..25).map(|i| i % 2 == 0).collect();
    assert_eq!(changes, want);
}

#[test]
fn the_led_obeys_each_prompt_that_is_typed() {
    let grammar = grammar();
    let typed = b"It was time to sleep. Mom told the lamp:\rThe ship was far away. The lighthouse must\r";
    let (written, changes) =
        commanded(&grammar, grammar.matcher_lines(), typed, |commander, board| commander.obey_prompts(board)).unwrap();
    assert_eq!(
        written,
        "\r\n> It was time to sleep. Mom told the lamp:\r\nled on: the LED is on\n\
         \r\n> The ship was far away. The lighthouse must\r\nled on: the LED is on\n\r\n> "
    );
    assert_eq!(changes, [true]);
}

#[test]
fn the_planned_memory_is_enough_and_less_is_not() {
    let grammar = grammar();
    let program = Grammar::from_bytes(grammar.grammar).unwrap();
    let need = with_tokenizer(|tokenizer| {
        let tokens = TokenTrie::prepared(tokenizer.vocab(), grammar.tokens).unwrap();
        Matcher::bytes(&program, &tokens, &grammar.config).unwrap()
    });
    let n_lines = grammar.matcher_lines();
    assert_eq!(n_lines * Line::BYTES, need);
    let halt = commanded(&grammar, n_lines - 1, b"", |_, _| Ok(())).unwrap_err();
    let have = need - Line::BYTES;
    assert!(
        matches!(halt, Halt::Run(RunError::Grammar(MatchError::Arena { need: n, have: h })) if (n, h) == (need, have)),
        "{halt}"
    );
}

#[test]
fn damaged_flash_halts_with_a_message_and_a_code() {
    let whole = grammar();
    let damaged = |bytes: &[u8]| {
        let mut bytes = bytes.to_vec();
        bytes[300] ^= 4;
        in_flash(&bytes)
    };
    let halted = |image: &GrammarImage| {
        let halt = commanded(image, whole.matcher_lines(), b"", |_, _| Ok(())).unwrap_err();
        (halt.code(), halt.to_string())
    };
    let grammar = GrammarImage { grammar: damaged(whole.grammar), ..whole };
    assert_eq!(halted(&grammar), (2, "the grammar in flash is damaged".to_owned()));
    let tokens = GrammarImage { tokens: damaged(whole.tokens), ..whole };
    assert_eq!(halted(&tokens), (2, "the sorted tokens in flash are damaged".to_owned()));
}

#[test]
#[should_panic(expected = "no compiled grammar")]
fn other_bytes_than_a_grammar_do_not_compile() {
    let whole = grammar();
    GrammarImage { grammar: &whole.grammar[..whole.grammar.len() - 4], ..whole }.matcher_lines();
}

#[test]
fn a_context_without_room_for_a_command_halts() {
    let grammar = grammar();
    let (mut memory, mut lines) = (Box::new(Memory::<LINES>::ZERO), vec![Line::ZERO; grammar.matcher_lines()]);
    let config = SessionConfig { n_ctx: 4, n_batch: 4, ..CONFIG };
    let halt = TextModel::open(&image(), config, best(), &Inline, &mut memory, None, |model| {
        let led = Lamp { on: false, changes: &mut Vec::new() };
        Commander::new(model, &grammar, &mut lines, led)?.obey(&mut Paper::default(), b"The lamp", 1)
    })
    .unwrap_err();
    assert!(matches!(halt, Halt::NoCommand), "{halt}");
    assert_eq!((halt.code(), halt.to_string()), (5, "the context has no room for a command".to_owned()));
}
