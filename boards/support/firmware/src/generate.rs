//! Generation of a text from a prompt on a board: tokenizer, session, sampler, serial port.

use core::fmt;
use core::ops::Range;
use core::slice;

use nearfield::features;
use nearfield::kernels::Kernels;
use nearfield::tokenizer::{EncodeOptions, Encoded, Tokenizer, Vocab};
use nearfield::{
    Arena, Constraint, Executor, Generator, GeneratorConfig, Line, MemoryPlan, Sampler, SamplerConfig, Session,
    SessionConfig, StopWords, TextState,
};

use crate::board::Board;
use crate::card::Layers;
use crate::halt::Halt;
use crate::hash::Fnv64;
use crate::image::Image;
use crate::prompt::MAX_PROMPT;
use crate::settings::TextSettings;

/// Greatest number of tokens that a prompt can become.
const MAX_TOKENS: usize = Tokenizer::encode_bound(MAX_PROMPT);

/// All memory that changes except the stack: a board's static, with an arena of `LINES` lines.
#[derive(Debug)]
pub struct Memory<const LINES: usize> {
    arena: [Line; LINES],
    tokens: [u32; MAX_TOKENS],
}

impl<const LINES: usize> Memory<LINES> {
    /// Memory of zeros, for a static.
    pub const ZERO: Self = Self { arena: [Line::ZERO; LINES], tokens: [0; MAX_TOKENS] };

    /// Arena for the self-test, before a model is opened.
    pub fn arena(&mut self) -> Arena<'_> {
        Arena::new(&mut self.arena)
    }
}

/// Result of a generated text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Generated {
    /// Number of tokens after the prompt.
    pub n_tokens: usize,
    /// Time from the first of these tokens to the last, in microseconds; `None` where the board has no clock.
    pub micros: Option<u64>,
    /// Hash of the prompt's and the text's bytes.
    pub text: u64,
    /// Hash of the logits after the prompt and after each token but the last.
    pub logits: u64,
    /// Key that stopped the text.
    pub stopped_by: Option<u8>,
}

/// Hashes in a line, as the `nearfield` command writes them with `--hash`.
impl fmt::Display for Generated {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "hash text {:016x} logits {:016x}", self.text, self.logits)
    }
}

/// Model that is ready to generate texts.
#[derive(Debug)]
pub struct TextModel<'m, 'f, 'a> {
    tokenizer: &'m Tokenizer<'f, 'a>,
    session: Session<'m, 'f, 'a>,
    tokens: &'m mut [u32],
    plan: MemoryPlan,
    /// Newest tokens and seed of the snapshot in flash; `None` without one.
    begun: Option<TextState<'static>>,
    n_prefix: usize,
    n_batch: usize,
}

impl TextModel<'_, '_, '_> {
    /// Loads a model and hands it to `then`.
    ///
    /// - `layers`: source of the layers that are not in flash, which is checked first
    ///
    /// # Errors
    /// [`Halt`] when the image or the card is damaged or the memory too small, and any error of `then`.
    pub fn open<T, const LINES: usize>(
        image: &Image,
        config: SessionConfig,
        kernels: &dyn Kernels,
        executor: &dyn Executor,
        memory: &mut Memory<LINES>,
        mut layers: Option<Layers<'_>>,
        then: impl FnOnce(&mut TextModel<'_, '_, '_>) -> Result<T, Halt>,
    ) -> Result<T, Halt> {
        let model = image.model()?;
        let tokenizer = image.tokenizer(&model)?;
        let (prefix, config) = (image.prefix()?, image.config(&config)?);
        let plan = MemoryPlan::new(model.shape(), &config)?.without_tokenizer();
        let mut arena = Arena::new(&mut memory.arena);
        let session = match prefix {
            None => Session::new(&model, config, kernels, executor, &mut arena)?,
            Some(prefix) => Session::with_prefix(&model, config, kernels, executor, &mut arena, prefix)?,
        };
        let session = match &mut layers {
            // A firmware without a card carries no code for one.
            Some(layers) if features::is_built("stream") => {
                if let Some(card) = &image.card {
                    card.check(layers)?;
                }
                session.with_stream(layers.stream())?
            }
            _ => session,
        };
        let begun = prefix.map(|prefix| prefix.text());
        let (n_prefix, n_batch) = (config.n_prefix, config.n_batch);
        let tokens = &mut memory.tokens;
        then(&mut TextModel { tokenizer: &tokenizer, session, tokens, plan, begun, n_prefix, n_batch })
    }

    /// Number of bytes of the arena in use.
    pub fn arena_bytes(&self) -> usize {
        self.plan.total()
    }

    /// Number of tokens of the prefix in flash, which are not run again.
    pub fn n_prefix(&self) -> usize {
        self.n_prefix
    }

    /// Writes `prompt`, which follows the prefix in flash if there is one, and the generated text. A key that is typed meanwhile stops
    /// it.
    ///
    /// # Errors
    /// [`Halt`] when the board cannot be written to or the model fails.
    pub fn generate<B: Board>(
        &mut self,
        board: &mut B,
        prompt: &[u8],
        settings: TextSettings,
    ) -> Result<Generated, Halt> {
        let in_use = self.encode(board, prompt)?;
        let TextSettings { max_tokens, seed, temp } = settings;
        let mut generator = generator(SamplerConfig { seed, temp, ..SamplerConfig::DEFAULT }, Some(max_tokens))?;
        let (mut text, mut hash) = (Fnv64::default(), Fnv64::default());
        text.bytes(prompt);
        for chunk in prompt.utf8_chunks() {
            board.write_str(chunk.valid())?;
        }

        let mut stopped_by = self.read(board, &mut generator, prompt.is_empty(), in_use)?;
        let mut start = None;
        while stopped_by.is_none()
            && let Some(logits) = generator.advance(&mut self.session)?
        {
            hash.floats(logits);
            board.mark();
            if generator.n_tokens() == 0 {
                start = board.micros();
            }
            generator.write(self.tokenizer, &mut Tee { board, hash: &mut text })?;
            board.between_passes();
            stopped_by = key(board);
        }
        generator.finish(&mut Tee { board, hash: &mut text })?;
        let micros = start.zip(board.micros()).map(|(start, end)| end.saturating_sub(start));
        Ok(Generated { n_tokens: generator.n_tokens(), micros, text: text.get(), logits: hash.get(), stopped_by })
    }

    /// Writes a text to `out` that follows `prompt` and is held to `constraint`, until it is complete.
    ///
    /// # Errors
    /// [`Halt`] when neither can be written to, or the model or the constraint fails.
    pub fn generate_held<B: Board>(
        &mut self,
        board: &mut B,
        prompt: &[u8],
        constraint: &mut dyn Constraint,
        seed: u64,
        out: &mut impl fmt::Write,
    ) -> Result<(), Halt> {
        let in_use = self.encode(board, prompt)?;
        constraint.begin()?;
        let mut generator =
            generator(SamplerConfig { seed, ..SamplerConfig::DEFAULT }, None)?.with_constraint(constraint);
        // A key stops nothing here: the constraint ends each text soon.
        self.read(board, &mut generator, prompt.is_empty(), in_use)?;
        while generator.advance(&mut self.session)?.is_some() {
            generator.write(self.tokenizer, out)?;
            board.between_passes();
        }
        Ok(generator.finish(out)?)
    }

    /// Vocabulary of the model.
    pub fn vocab(&self) -> &Vocab<'_> {
        self.tokenizer.vocab()
    }

    /// Runs the end of the prefix in flash and the tokens of the prompt, from the beginning of a text, pass by pass. Returns the key that
    /// was typed meanwhile, at which it ends.
    ///
    /// - `continues`: true if no prompt stands between the prefix and the generated text
    /// - `in_use`: place of the prompt's tokens in `self.tokens`
    fn read<B: Board>(
        &mut self,
        board: &mut B,
        generator: &mut Generator<'_>,
        continues: bool,
        in_use: Range<usize>,
    ) -> Result<Option<u8>, Halt> {
        self.session.reset();
        let begun = self.begun.map(|begun| begun.last_tokens).unwrap_or_default();
        if continues {
            generator.follow(self.tokenizer, begun)?;
        }
        // The last token of a snapshot is not run yet.
        let (last, before) =
            begun.split_last().map_or((&[][..], begun), |(last, before)| (slice::from_ref(last), before));
        generator.accept(before);
        let passes = self.tokens.get(in_use).unwrap_or_default().chunks(self.n_batch.max(1));
        for tokens in [last].into_iter().filter(|last| !last.is_empty()).chain(passes) {
            generator.read(&mut self.session, tokens)?;
            board.between_passes();
            if let Some(key) = key(board) {
                return Ok(Some(key));
            }
        }
        Ok(None)
    }

    /// Encodes the prompt and returns its place in `self.tokens`. A prompt too long for the context loses its beginning, with a
    /// notice.
    fn encode(&mut self, board: &mut impl Board, prompt: &[u8]) -> Result<Range<usize>, Halt> {
        let (options, goes_on) = (self.tokenizer.prompt_options(), self.begun.is_some());
        let options = EncodeOptions { add_bos: options.add_bos && !goes_on, continues: goes_on, ..options };
        let Encoded { n_tokens: mut n, n_skipped } = self.tokenizer.encode_counted(prompt, options, self.tokens)?;
        if n_skipped > 0 {
            write!(board, "[{n_skipped} bytes that no token stands for are left out]\r\n")?;
        }
        if n == 0 && !goes_on {
            // A text needs a first token: `bos`, or `eos` where the vocabulary has none.
            let vocab = self.tokenizer.vocab();
            if let (Some(first), Some(token)) = (self.tokens.first_mut(), vocab.bos.or(vocab.eos)) {
                *first = token;
                n = 1;
            }
        }
        // A quarter of the context is left for the generated text.
        let most = (self.session.n_ctx() - self.session.n_ctx() / 4).saturating_sub(self.n_prefix).max(1);
        if n > most {
            write!(board, "[the prompt's {n} tokens do not fit: its last {most} are used]\r\n")?;
        }
        Ok(n.saturating_sub(most)..n)
    }
}

/// Key that was typed already. A line feed is none: terminals may send it behind the carriage return that began the text.
fn key(board: &mut impl Board) -> Option<u8> {
    board.typed().filter(|&byte| byte != b'\n')
}

/// Generator at the beginning of a text of at most `n` tokens.
fn generator<'s>(config: SamplerConfig, n: Option<usize>) -> Result<Generator<'s>, Halt> {
    let sampler = Sampler::new(config)?;
    let config = GeneratorConfig { max_tokens: n, ..GeneratorConfig::DEFAULT };
    Ok(Generator::new(sampler, config, StopWords::none()))
}

/// Writer that sends text to the board and feeds it to the hash.
struct Tee<'t, B> {
    board: &'t mut B,
    hash: &'t mut Fnv64,
}

impl<B: Board> fmt::Write for Tee<'_, B> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.hash.bytes(text.as_bytes());
        self.board.write_str(text)
    }
}

/// Generates one text, as emulated boards do, and writes its hashes in a line that is compared with the `nearfield` command's.
/// With a snapshot in flash, its text is continued and `prompt` is unused.
///
/// # Errors
/// Errors of [`TextModel::generate`].
pub fn generate_once<B: Board>(
    board: &mut B,
    model: &mut TextModel<'_, '_, '_>,
    prompt: &str,
    n: usize,
) -> Result<(), Halt> {
    let (prompt, seed) = model.begun.map_or((prompt, 1), |begun| ("", begun.seed));
    let generated = model.generate(board, prompt.as_bytes(), TextSettings::new(n, seed))?;
    writeln!(board, "\n{generated}, {} tokens", generated.n_tokens)?;
    let MemoryPlan { kv_cache, key_norms, layer_table, activations, logits, .. } = model.plan;
    writeln!(
        board,
        "arena {} bytes: keys and values {kv_cache}, key norms {key_norms}, layer table {layer_table}, activations \
         {activations}, logits {logits}",
        model.arena_bytes()
    )?;
    if let Some(stack) = board.stack() {
        writeln!(board, "stack {stack}")?;
    }
    Ok(())
}
