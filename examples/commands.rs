//! A model that gives commands, as on a board: `cargo run -p nearfield --example commands`
//!
//! The text is held to a grammar of commands, so that whatever the model writes can be carried out: here on a lamp that stands for a pin.
//! On a board the words of the grammar and the index of the trie are made by the build script and lie in flash.

use std::error::Error;

use nearfield::tokenizer::{Tokenizer, Vocab};
use nearfield::{
    Arena, Constraint, End, Generator, GeneratorConfig, Grammar, Inline, Line, Matcher, MatcherConfig, MemoryPlan,
    Model, Sampler, SamplerConfig, Session, SessionConfig, StopWords, TokenTrie, TriePlan, include_model, kernels,
};

static MODEL: &[u8] = include_model!("../models/pocket.gguf");
const CONFIG: SessionConfig = SessionConfig { n_ctx: 64, n_batch: 8, ..SessionConfig::DEFAULT };
const PLAN: MemoryPlan = MemoryPlan::of_file(MODEL, &CONFIG);

const GRAMMAR: &str = r#"root  ::= (" led " ("on" | "off") | " blink " count) "."
count ::= [1-9] [0-9]?"#;

/// A pin, and how often it changed.
#[derive(Default)]
struct Pin {
    is_high: bool,
    n_changes: usize,
}

impl Pin {
    fn set(&mut self, is_high: bool) {
        self.n_changes += usize::from(self.is_high != is_high);
        self.is_high = is_high;
    }

    /// Carries out a command of the grammar.
    fn obey(&mut self, command: &str) -> Result<(), &'static str> {
        match command.trim_end_matches('.').trim_start().split_once(' ') {
            Some(("led", state)) => self.set(state == "on"),
            Some(("blink", count)) => {
                let count: usize = count.parse().map_err(|_| "a count")?;
                (0..2 * count).for_each(|_| self.set(!self.is_high));
            }
            _ => return Err("a command"),
        }
        Ok(())
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut memory = [Line::ZERO; PLAN.n_lines()];
    let mut arena = Arena::new(&mut memory);
    let model = Model::from_gguf(MODEL)?;
    let tokenizer = Tokenizer::new(Vocab::from_gguf(model.gguf())?, &mut arena)?;
    let mut session = Session::new(&model, CONFIG, kernels::best(), &Inline, &mut arena)?;

    // In the build script: `words` of the grammar, `index` of the trie.
    let mut words = [0; 512];
    let grammar = Grammar::compile(GRAMMAR, &mut words)?;
    let plan = TriePlan::new(&tokenizer)?;
    let [mut lines, mut scratch] = [plan.bytes, plan.scratch].map(|bytes| vec![Line::ZERO; bytes / Line::BYTES]);
    let trie = TokenTrie::new(&tokenizer, &plan, &mut Arena::new(&mut lines), &mut Arena::new(&mut scratch))?;
    let index: Vec<u8> = trie.index(tokenizer.vocab()).collect();

    let bytes = Matcher::bytes(&grammar, &trie, &MatcherConfig::SMALL).ok_or("a size")?;
    let mut lines = vec![Line::ZERO; bytes / Line::BYTES];
    let mut matcher = Matcher::new(grammar, trie, &MatcherConfig::SMALL, &mut Arena::new(&mut lines))?;

    let mut tokens = [0; 32];
    let n = tokenizer.encode("The lamp was dark, so Tom said:", tokenizer.options(), &mut tokens)?;
    let mut pin = Pin::default();
    for seed in 0..8 {
        matcher.begin()?;
        session.reset();
        let sampler = Sampler::new(SamplerConfig { seed, temp: 2.0, ..SamplerConfig::default() })?;
        let generator = Generator::new(sampler, GeneratorConfig::DEFAULT, StopWords::none());
        let mut generator = generator.with_constraint(&mut matcher);
        generator.read(&mut session, &tokens[..n])?;
        let mut command = heapless::String::<32>::new();
        while generator.next(&mut session, &tokenizer, &mut command)?.is_some() {}
        assert_eq!(generator.end(), Some(End::Grammar));
        pin.obey(&command)?;
        println!(
            "{command:12} the pin is {} after {} changes",
            if pin.is_high { "high" } else { "low" },
            pin.n_changes
        );
    }
    println!(
        "[grammar {} bytes and sorted tokens {} bytes in flash, matcher {bytes} bytes of RAM]",
        4 * grammar.words().len(),
        index.len()
    );
    Ok(())
}
