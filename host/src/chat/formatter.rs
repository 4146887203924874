//! Messages to tokens, in the way that a model was trained to read conversations.

use nearfield::Gguf;
use nearfield::gguf::Value;
use nearfield::tokenizer::{TokenType, Tokenizer};

use super::clock::Clock;
use super::error::ChatError;
use super::format::{Chat, Format};
use super::guard::{Alphabet, Names, Sign, name_of, special_tokens};
use super::message::{Message, Part, Role, Words};
use super::template::{Template, TokenNames};
use super::writer::Writer;
use crate::error::{Context, Result};
use crate::marks;
use crate::prompt::Prompt;
use crate::stops::Stops;

/// Key of the template in a model file.
const TEMPLATE: &str = "tokenizer.chat_template";
/// Text between messages that a format of the table puts into one.
const BETWEEN: &str = "\n\n";
/// Least number of letters of a text that ends an answer.
const MIN_STOP: usize = 3;

/// Way in which a model reads conversations: the chat template of its file, or a format of the table.
///
/// ```no_run
/// # use nearfield_host::chat::{Chat, Formatter, Message, Role};
/// # fn tokens(model: &nearfield_host::generate::TextModel<'_>) -> nearfield_host::Result<()> {
/// let formatter = Formatter::new(&model.file.gguf()?, model.tokenizer, Chat::Auto)?;
/// let prompt = formatter.prompt(&[Message { role: Role::User, content: b"Who wrote Faust?" }])?;
/// println!("{:?} until {:?}", prompt.tokens, prompt.stops);
/// # Ok(())
/// # }
/// ```
pub struct Formatter<'t> {
    tokenizer: &'t Tokenizer<'t, 't>,
    source: Source,
    stops: Stops,
    /// User-defined tokens that mark the parts of a conversation, which no message is encoded to.
    marks: Vec<u32>,
    /// Time that templates read on the clock; `None` for that of each prompt.
    clock: Option<Clock>,
}

enum Source {
    Table(Chat, Format),
    Template(Box<FileTemplate>),
}

/// Template of a file, with what is found out about it.
struct FileTemplate {
    template: Template,
    /// Text of the template.
    text: String,
    names: Names,
}

/// Conversation as tokens.
pub(super) struct Written {
    pub(super) tokens: Vec<u32>,
    /// White space at the end, which the answer begins behind.
    pub(super) lead: String,
}

impl<'t> Formatter<'t> {
    /// Formatter for a model. [`Chat::Auto`] takes the template of the file, or without one the table's format for the model;
    /// any other takes that format. Templates read the present time at each prompt.
    ///
    /// # Errors
    /// When the template is broken, when no format is known for the model, and when the model lacks a token of the format.
    pub fn new(gguf: &Gguf<'_>, tokenizer: &'t Tokenizer<'t, 't>, chat: Chat) -> Result<Self> {
        let template = match gguf.get(TEMPLATE) {
            Some(Value::String(text)) if chat == Chat::Auto => String::from_utf8_lossy(text).into_owned(),
            _ => String::new(),
        };
        let mut marks = marks::found_in_texts(gguf, tokenizer, Chat::all_tokens());
        let (source, stops) = if template.trim().is_empty() {
            let chat = if chat == Chat::Auto { Chat::of_model(gguf, tokenizer)? } else { chat };
            let format = chat.format().context("a format")?;
            let find = |token: &str| find(tokenizer, chat, token);
            let tokens: Vec<u32> = format.stop_tokens.iter().map(|token| find(token)).collect::<Result<_>>()?;
            marks.extend(&tokens);
            marks.extend(format.tokens().map(find).collect::<Result<Vec<u32>>>()?);
            let stops = Stops { tokens, texts: format.stop_texts.iter().map(ToString::to_string).collect() };
            (Source::Table(chat, format), stops)
        } else {
            let source = FileTemplate::new(template, gguf, tokenizer)?;
            marks.extend(source.marks(tokenizer));
            let stops = source.stops(tokenizer);
            (Source::Template(Box::new(source)), stops)
        };
        Ok(Self { tokenizer, source, stops, marks, clock: None })
    }

    /// The same formatter with templates that read this time on the clock at each prompt.
    pub fn at(self, clock: Clock) -> Self {
        Self { clock: Some(clock), ..self }
    }

    /// Name of the format: `template`, or that of the table.
    pub fn name(&self) -> &'static str {
        match self.source {
            Source::Table(chat, _) => chat.name(),
            Source::Template(_) => "template",
        }
    }

    /// Tokenizer for messages: it reads the tokens of chat formats as text.
    pub fn tokenizer(&self) -> Tokenizer<'t, '_> {
        self.tokenizer.reading_as_text(&self.marks)
    }

    /// Tokens and texts that end an answer, besides the tokens that end every text.
    pub fn stops(&self) -> &Stops {
        &self.stops
    }

    /// Prompt of these messages, up to the answer to the last. The prompts of a conversation and of the same with more messages
    /// share their first tokens, so a generator reads the new ones alone.
    ///
    /// Control tokens and marks of conversations in a message are text.
    ///
    /// # Errors
    /// [`Error::Chat`](crate::Error::Chat): when the last message is the assistant's, or the format has no place for the messages.
    pub fn prompt(&self, messages: &[Message<'_>]) -> Result<Prompt> {
        let parts: Vec<Part<'_>> = messages.iter().map(|&message| message.into()).collect();
        let Written { tokens, .. } = self.write(&parts)?;
        Ok(Prompt { shown: vec![], tokens, stops: self.stops.clone(), after: vec![] })
    }

    pub(super) fn write(&self, parts: &[Part<'_>]) -> Result<Written> {
        match parts.last().map(|part| part.role) {
            Some(Role::User | Role::Tool) => {}
            last => {
                let found = last.map_or("no message", Role::name);
                return Err(refused(format!("expected the user's as the last, found {found}")).into());
            }
        }
        let tokenizer = self.tokenizer();
        let mut writer = Writer::new(&tokenizer);
        match &self.source {
            Source::Table(chat, format) => write_by_table(&mut writer, *chat, format, parts)?,
            Source::Template(source) => {
                let clock = self.clock.unwrap_or_else(Clock::now);
                source.write(&mut writer, self.tokenizer, parts, clock)?;
            }
        }
        let lead = writer.lead();
        writer.end_text()?;
        Ok(Written { tokens: writer.tokens, lead })
    }
}

fn refused(reason: impl Into<String>) -> ChatError {
    ChatError::Refused(reason.into())
}

/// Id of a token of a format of the table.
fn find(tokenizer: &Tokenizer<'_, '_>, chat: Chat, token: &str) -> Result<u32> {
    tokenizer
        .find(token)
        .with_context(|| format!("--chat={}: the model has no token {token}: it was not made for it", chat.name()))
}

/// Writes a conversation in a format of the table: system prompt, then questions and answers in turn.
fn write_by_table(writer: &mut Writer<'_>, chat: Chat, format: &Format, parts: &[Part<'_>]) -> Result<()> {
    let n_system = parts.iter().take_while(|part| part.role == Role::System).count();
    let (system, mut rest) = parts.split_at(n_system);
    let has_system = match system {
        [] => !format.system.is_empty(),
        system => system.iter().any(|part| !matches!(part.words, Words::Text(b""))),
    };
    if has_system {
        fixed(writer, chat, format.around_system[0])?;
        match system {
            [] => writer.text.extend(format.system.as_bytes()),
            system => joined(writer, system)?,
        }
        fixed(writer, chat, format.around_system[1])?;
    }
    while let Some(first) = rest.first() {
        if first.role != Role::User {
            let (name, found) = (chat.name(), first.role.name());
            return Err(refused(format!("{name} expected the user's, found one of the role {found}")).into());
        }
        let n_user = rest.iter().take_while(|part| part.role == Role::User).count();
        let (questions, behind) = rest.split_at(n_user);
        fixed(writer, chat, format.question)?;
        joined(writer, questions)?;
        fixed(writer, chat, format.answer)?;
        rest = behind;
        if let [Part { role: Role::Assistant, words }, behind @ ..] = rest {
            writer.words(&words.without_lead())?;
            fixed(writer, chat, format.answered)?;
            rest = behind;
        }
    }
    Ok(())
}

/// Writes messages as one.
fn joined(writer: &mut Writer<'_>, parts: &[Part<'_>]) -> Result<()> {
    for (n, part) in parts.iter().enumerate() {
        writer.text.extend(if n > 0 { BETWEEN.as_bytes() } else { b"" });
        writer.words(&part.words)?;
    }
    Ok(())
}

/// Writes words of a format of the table, in which tokens stand in braces.
fn fixed(writer: &mut Writer<'_>, chat: Chat, words: &str) -> Result<()> {
    let mut rest = words;
    while let Some((before, (token, after))) =
        rest.split_once('{').and_then(|(before, rest)| Some((before, rest.split_once('}')?)))
    {
        writer.text.extend(before.as_bytes());
        writer.token(find(writer.tokenizer(), chat, token)?)?;
        rest = after;
    }
    writer.text.extend(rest.as_bytes());
    Ok(())
}

impl FileTemplate {
    fn new(text: String, gguf: &Gguf<'_>, tokenizer: &Tokenizer<'_, '_>) -> Result<Self> {
        let vocab = tokenizer.vocab();
        let id = |key: &str| u32::try_from(gguf.get(key).and_then(Value::as_u64)?).ok();
        let name = |id: Option<u32>| id.map(|id| name_of(tokenizer, id)).filter(|name| !name.is_empty());
        let names = TokenNames {
            bos: name(vocab.bos),
            eos: name(vocab.eos),
            unk: name(id("tokenizer.ggml.unknown_token_id")),
            pad: name(id("tokenizer.ggml.padding_token_id")),
        };
        let template =
            Template::new(&text, names).with_context(|| format!("{TEMPLATE}: --chat=FORMAT takes another format"))?;
        Ok(Self { template, text, names: Names::of(tokenizer) })
    }

    /// User-defined tokens that the template writes, or names: marks of conversations in vocabularies that do not call them
    /// control tokens.
    fn marks(&self, tokenizer: &Tokenizer<'_, '_>) -> Vec<u32> {
        let is_user_defined = |id: &u32| tokenizer.token_type(*id) == Ok(TokenType::UserDefined);
        let is_named = |id: &u32| !self.names.ignored.contains(id) && self.text.contains(&*name_of(tokenizer, *id));
        let mut marks: Vec<u32> = special_tokens(tokenizer).filter(is_user_defined).filter(is_named).collect();
        for roles in [&[Role::System, Role::User][..], &[Role::User, Role::Assistant, Role::User]] {
            let messages: Vec<(Role, String)> = roles.iter().map(|&role| (role, "x".into())).collect();
            // A template may refuse a role; another conversation shows the other marks.
            if let Ok(text) = self.template.render(&messages, true, Clock::now()) {
                marks.extend(self.tokens_in(tokenizer, &text).into_iter().filter(is_user_defined));
            }
        }
        marks.sort_unstable();
        marks.dedup();
        marks
    }

    /// Stops of an answer: the first token that the template writes behind one, or the text up to the next question.
    fn stops(&self, tokenizer: &Tokenizer<'_, '_>) -> Stops {
        let mut stops = Stops::default();
        let Some(alphabet) = Alphabet::outside([self.text.as_bytes()].into_iter(), 3) else { return stops };
        let [answer, question] = [0, 1].map(|at| alphabet.answer(at));
        let messages =
            [(Role::User, "x".to_owned()), (Role::Assistant, answer.to_string()), (Role::User, question.to_string())];
        let render = |messages: &[_]| self.template.render(messages, false, Clock::now());
        let rendered = render(&messages).or_else(|_| render(&messages[..2]));
        let Ok(rendered) = rendered else { return stops };
        let Some((_, behind)) = rendered.split_once(answer) else { return stops };
        let behind = behind.split(question).next().unwrap_or_default();
        let view = tokenizer.reading_as_text(&self.names.ignored);
        let is_blank = |text: &[u8]| text.trim_ascii().is_empty();
        let first = view.cut(behind.as_bytes()).find(|(text, token)| !is_blank(text) || token.is_some());
        let Some((text, token)) = first else { return stops };
        let text = String::from_utf8_lossy(text);
        match text.trim().lines().next().map(str::trim_end) {
            None => stops.tokens.extend(token),
            Some(line) if line.chars().count() >= MIN_STOP => stops.texts.push(line.to_owned()),
            Some(_) => {}
        }
        stops
    }

    /// Special tokens in a rendered text.
    fn tokens_in(&self, tokenizer: &Tokenizer<'_, '_>, text: &str) -> Vec<u32> {
        tokenizer.reading_as_text(&self.names.ignored).cut(text.as_bytes()).filter_map(|(_, token)| token).collect()
    }

    /// Writes a conversation as the template does.
    fn write(
        &self,
        writer: &mut Writer<'_>,
        tokenizer: &Tokenizer<'_, '_>,
        parts: &[Part<'_>],
        clock: Clock,
    ) -> Result<()> {
        let texts = parts.iter().map(|part| match part.words {
            Words::Text(text) => text,
            Words::Answer { .. } => b"",
        });
        let answers: Vec<&Words<'_>> =
            parts.iter().map(|part| &part.words).filter(|words| matches!(words, Words::Answer { .. })).collect();
        let alphabet = Alphabet::outside(texts.chain([self.text.as_bytes()]), answers.len())
            .context("the messages have all private characters of Unicode")?;
        let rendered = self.render_guarded(tokenizer, parts, alphabet, clock)?;
        let view = tokenizer.reading_as_text(&self.names.ignored);
        let bos = tokenizer.vocab().bos;
        for (n, (text, token)) in view.cut(rendered.as_bytes()).enumerate() {
            // A template that begins with the first token itself needs no other.
            writer.add_bos &= n > 0 || !text.is_empty() || token.is_none() || token != bos;
            for char in String::from_utf8_lossy(text).chars() {
                match alphabet.sign(char) {
                    Sign::Char(char) => writer.text.extend(char.encode_utf8(&mut [0; 4]).as_bytes()),
                    Sign::Byte(byte) => writer.text.push(byte),
                    Sign::Answer(at) => writer.words(answers.get(at).context("an answer")?)?,
                    Sign::Seam => {}
                }
            }
            if let Some(token) = token {
                writer.token(token)?;
            }
        }
        Ok(())
    }

    /// Text of a conversation in which all special tokens are the template's.
    ///
    /// With seams in the names alone, a template sees the beginnings and ends of messages as they are. Seams there, too, show
    /// whether a special token is made of a message and the text beside it.
    fn render_guarded(
        &self,
        tokenizer: &Tokenizer<'_, '_>,
        parts: &[Part<'_>],
        alphabet: Alphabet,
        clock: Clock,
    ) -> Result<String> {
        let render = |at_ends| {
            let mut n_answers = 0;
            let messages: Vec<(Role, String)> = parts
                .iter()
                .map(|part| {
                    let text = match part.words {
                        Words::Text(text) => alphabet.guarded(text, &self.names, at_ends),
                        Words::Answer { .. } => {
                            n_answers += 1;
                            alphabet.answer(n_answers - 1).to_string()
                        }
                    };
                    (part.role, text)
                })
                .collect();
            self.template.render(&messages, true, clock)
        };
        let (text, closed) = (render(false)?, render(true)?);
        if self.tokens_in(tokenizer, &text) == self.tokens_in(tokenizer, &closed) {
            return Ok(text);
        }
        if alphabet.without_seams(&text) == alphabet.without_seams(&closed) {
            Ok(closed)
        } else {
            Err(ChatError::Forged.into())
        }
    }
}
