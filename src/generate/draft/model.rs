//! Draft model: a smaller model with the same vocabulary guesses, and the large one checks.
//!
//! Leviathan et al. 2023, arXiv 2211.17192. There the draft samples, and a guess is taken or refused by chance, so that texts have the
//! same distribution. Here the draft always takes the likeliest token, and a guess counts where the sampler draws it, so the text
//! itself is the same.

use core::fmt;

use heapless::Deque;

use super::error::DraftError;
use super::pace::Pace;
use super::{Drafter, vocab};
use crate::config::SessionConfig;
use crate::sampler::likely;
use crate::session::{RunError, Session};
use crate::tokenizer::Vocab;

/// Share of the probability, at temperature 1, that the draft's likeliest token needs to be guessed. Hugging Face's
/// `assistant_confidence_threshold` has the same default.
const LEAST: f32 = 0.4;

/// Drafter that runs a second, smaller model over the text, and guesses the tokens that this model finds likeliest.
///
/// The draft's session has its own model, memory and settings, such as a ring, and reads the text as it is accepted, in chunks. A
/// draft ends before a token that has less than 0.4 of the draft's own probability. It has more guesses after guesses that came
/// true, and fewer after wrong ones; where nothing comes true, most drafts are left out.
///
/// Where the draft's session cannot go on, because its context is full or its logits are not finite, no more tokens are guessed and
/// the text goes on. In an [endless](SessionConfig::endless) session the draft goes on, too.
///
/// ```
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # use nearfield::tokenizer::{Tokenizer, Vocab};
/// # use nearfield::{Arena, Inline, Line, MemoryPlan, Model, SamplerConfig, Sampler, Session, SessionConfig, kernels};
/// use nearfield::{DraftModel, Generator, GeneratorConfig, StopWords};
/// # let (file, draft_file) = (std::fs::read("models/pocket.gguf")?, std::fs::read("models/pocket.gguf")?);
/// # let (model, draft_model) = (Model::from_gguf(&file)?, Model::from_gguf(&draft_file)?);
///
/// DraftModel::check_vocab(&Vocab::from_gguf(model.gguf())?, &Vocab::from_gguf(draft_model.gguf())?)?;
/// let draft_config = SessionConfig { n_ctx: 128, ..SessionConfig::default() };
/// let config = SessionConfig { n_draft: 7, ..draft_config };
/// let n_bytes = MemoryPlan::new(model.shape(), &config)?.total() + MemoryPlan::new(draft_model.shape(), &draft_config)?.session();
/// let mut memory = vec![Line::ZERO; n_bytes / Line::BYTES];
/// let mut arena = Arena::new(&mut memory);
/// # let tokenizer = Tokenizer::new(Vocab::from_gguf(model.gguf())?, &mut arena)?;
/// let mut session = Session::new(&model, config, kernels::best(), &Inline, &mut arena)?;
/// let mut draft_session = Session::new(&draft_model, draft_config, kernels::best(), &Inline, &mut arena)?;
///
/// let mut waiting = [0; 32];
/// let mut draft = DraftModel::new(&mut draft_session, &mut waiting)?;
/// let generator_config = GeneratorConfig { max_tokens: Some(20), ..GeneratorConfig::default() };
/// # let sampler = Sampler::new(SamplerConfig { seed: 1, ..SamplerConfig::default() })?;
/// let mut generator = Generator::new(sampler, generator_config, StopWords::none()).with_drafter(&mut draft);
/// # let mut tokens = [0; 64];
/// # let n = tokenizer.encode("Once upon a time", tokenizer.prompt_options(), &mut tokens)?;
/// generator.read(&mut session, &tokens[..n])?;
/// let mut text = String::new();
/// while generator.next(&mut session, &tokenizer, &mut text)?.is_some() {}
/// # assert_eq!(generator.n_tokens(), 20);
/// # Ok(())
/// # }
/// ```
pub struct DraftModel<'d, 'm, 'f, 'a> {
    session: &'d mut Session<'m, 'f, 'a>,
    /// Tokens of the text that the session has not read: the first `n_waiting`. None where guesses lie ahead.
    waiting: &'d mut [u32],
    n_waiting: usize,
    /// Guesses that the session has run behind the text.
    ahead: Deque<u32, { SessionConfig::MAX_DRAFT }>,
    /// Tokens that are passed over, since the session had read them before.
    n_known: usize,
    pace: Pace,
    /// True if the session cannot go on.
    is_out: bool,
}

impl fmt::Debug for DraftModel<'_, '_, '_, '_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = f.debug_struct("DraftModel");
        out.field("session", &self.session).field("n_waiting", &self.n_waiting).field("ahead", &self.ahead);
        out.field("pace", &self.pace).field("is_out", &self.is_out).finish_non_exhaustive()
    }
}

impl<'d, 'm, 'f, 'a> DraftModel<'d, 'm, 'f, 'a> {
    /// A drafter with a session of the draft model, which stands at the beginning of the text, or has read as many of its first
    /// tokens as its position says.
    ///
    /// `waiting` holds the tokens that the session has not read yet. They are read before a draft, or once it is full: chunks of a
    /// prompt have its length. Without room for a token nothing is guessed.
    ///
    /// # Errors
    /// [`DraftError::Ring`] if a ring of the session has no room for guesses that are taken back.
    pub fn new(session: &'d mut Session<'m, 'f, 'a>, waiting: &'d mut [u32]) -> Result<Self, DraftError> {
        if !session.can_take_back(SessionConfig::MAX_DRAFT) {
            return Err(DraftError::Ring);
        }
        let (n_known, is_out) = (session.pos(), waiting.is_empty());
        Ok(Self { session, waiting, n_waiting: 0, ahead: Deque::new(), n_known, pace: Pace::new(), is_out })
    }

    /// Checks that two models have the same vocabulary: as many tokens, with the same texts, and the same special tokens, as far
    /// as both files name them.
    ///
    /// A draft with another vocabulary would change no text either, but its guesses would mean something else.
    ///
    /// # Errors
    /// [`DraftError`] names the first difference.
    pub fn check_vocab(model: &Vocab<'_>, draft: &Vocab<'_>) -> Result<(), DraftError> {
        vocab::check(model, draft)
    }

    /// Takes back the guesses that the session has run.
    fn take_back(&mut self) {
        if self.ahead.is_empty() {
            return;
        }
        let pos = self.session.pos().saturating_sub(self.ahead.len());
        self.ahead.clear();
        if self.session.rewind(pos).is_err() {
            // Rings have room, as `new` checked, so only a bug leads here. No text depends on it.
            self.session.reset();
            self.is_out = true;
        }
    }

    /// Lets the session read the tokens that wait.
    fn read(&mut self) {
        let tokens = self.waiting.get(..self.n_waiting).unwrap_or_default();
        if !tokens.is_empty() && self.session.run(tokens).is_err() {
            self.is_out = true;
        }
        self.n_waiting = 0;
    }

    /// Guess `i` of a draft, behind the guess `before`; `None` if no token is likely.
    fn guess(&mut self, i: usize, before: Option<u32>) -> Option<u32> {
        if let Some(&guess) = self.ahead.iter().nth(i) {
            return Some(guess);
        }
        if self.ahead.len() < i {
            let guess = before?;
            // The context may be full.
            self.session.run(&[guess]).ok()?;
            self.ahead.push_back(guess).ok()?;
        }
        match self.session.logits() {
            Ok(logits) => likely(logits, LEAST),
            Err(RunError::NoTokens) => None,
            Err(_) => {
                self.is_out = true;
                None
            }
        }
    }
}

impl Drafter for DraftModel<'_, '_, '_, '_> {
    fn accept(&mut self, token: u32) {
        if self.n_known > 0 {
            self.n_known -= 1;
            return;
        }
        if self.ahead.front() == Some(&token) {
            self.ahead.pop_front();
            return;
        }
        self.take_back();
        if self.is_out {
            return;
        }
        if let Some(slot) = self.waiting.get_mut(self.n_waiting) {
            *slot = token;
            self.n_waiting += 1;
        }
        if self.n_waiting == self.waiting.len() {
            self.read();
        }
    }

    fn draft(&mut self, guesses: &mut [u32]) -> usize {
        if self.is_out || self.n_known > 0 || guesses.is_empty() {
            return 0;
        }
        let n = self.pace.n_guesses().min(guesses.len());
        if n > 0 {
            self.read();
        }
        let mut before = None;
        for (i, guess) in guesses.iter_mut().take(n).enumerate() {
            before = self.guess(i, before);
            match before {
                Some(token) => *guess = token,
                None if i > 0 => return i,
                None => {
                    self.pace.empty();
                    return 0;
                }
            }
        }
        n
    }

    fn outcome(&mut self, n_run: usize, n_true: usize) {
        self.pace.outcome(n_run, n_true);
    }
}
