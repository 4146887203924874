//! `nearfield run --chat`: conversations in the formats that instruct models were trained with.
//!
//! A table, no template language: each published model has one format, and there are few of them.

use std::io::{BufRead, Write, stdin};

use anyhow::{Context, Result, bail};
use clap::ValueEnum;
use nearfield::gguf::Value;
use nearfield::tokenizer::{EncodeOptions, Tokenizer};

use crate::interrupt::{Interrupted, while_waiting};
use crate::prompt::{Prompt, options};
use crate::run::tell_to;
use crate::standard_output::StandardOutput;
use crate::story::Teller;
use crate::text;

/// Which format.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Chat {
    /// The model's own, as its name, family and tokens tell
    Auto,
    /// MPT-7b-chat, MPT-30b-chat
    Chatml,
    /// MPT-7b-instruct, MPT-30b-instruct
    MptInstruct,
    /// BLOOMZ: the question and nothing else
    Plain,
    /// Baichuan-13B-Chat
    Baichuan,
    /// Baichuan2-13B-Chat
    Baichuan2,
    /// Refact-1.6B
    Refact,
    /// Jais-13b-chat, Jais-30b-chat
    Jais,
    /// The chat models of the Jais family, 590m to 30b
    JaisFamily,
}

/// What stands between the words of a conversation. `{T}` in braces is a token of the vocabulary, looked for by its text.
struct Format {
    /// What the model is told of itself unless something else is.
    system: &'static str,
    /// Before and behind that; both are left out where it is empty.
    around_system: [&'static str; 2],
    /// Before a question, before an answer that was given, behind it, and before the answer that is asked for.
    question: &'static str,
    answer: &'static str,
    answered: &'static str,
    ask: &'static str,
    /// Tokens that end an answer, beside the one that ends all texts.
    stops: &'static [&'static str],
}

impl Chat {
    fn format(self) -> Option<Format> {
        Some(match self {
            Self::Auto => return None,
            // MPT-30b-chat's tokenizer_config.json.
            Self::Chatml => Format {
                system: "A conversation between a user and an LLM-based AI assistant. The assistant gives helpful and \
                         honest answers.",
                around_system: ["{<|im_start|>}system\n", "{<|im_end|>}\n"],
                question: "{<|im_start|>}user\n",
                answer: "{<|im_end|>}\n{<|im_start|>}assistant\n",
                answered: "{<|im_end|>}\n",
                ask: "{<|im_end|>}\n{<|im_start|>}assistant\n",
                stops: &["<|im_end|>"],
            },
            // MPT-7b-instruct's model card, after Dolly.
            Self::MptInstruct => Format {
                system: "Below is an instruction that describes a task. Write a response that appropriately completes the \
                         request.",
                around_system: ["", "\n"],
                question: "### Instruction:\n",
                answer: "\n### Response:\n",
                answered: "\n",
                ask: "\n### Response:\n",
                stops: &[],
            },
            Self::Plain => Format {
                system: "",
                around_system: ["", "\n"],
                question: "",
                answer: "\n",
                answered: "\n",
                ask: "",
                stops: &[],
            },
            // `user_token_id` 195 and `assistant_token_id` 196 of the models' generation_config.json.
            Self::Baichuan => Format {
                system: "",
                around_system: ["", ""],
                question: "{<reserved_102>}",
                answer: "{<reserved_103>}",
                answered: "",
                ask: "{<reserved_103>}",
                stops: &["<reserved_102>"],
            },
            Self::Baichuan2 => Format {
                system: "",
                around_system: ["", ""],
                question: "{<reserved_106>}",
                answer: "{<reserved_107>}",
                answered: "",
                ask: "{<reserved_107>}",
                stops: &["<reserved_106>"],
            },
            // The model card.
            Self::Refact => Format {
                system: "You are a programming assistant",
                around_system: ["{<empty_output>}SYSTEM ", "\n"],
                question: "{<empty_output>}USER ",
                answer: "\n{<empty_output>}ASSISTANT",
                answered: "\n",
                ask: "\n{<empty_output>}ASSISTANT",
                stops: &["<empty_output>"],
            },
            // The model cards, whose words on the model's name and virtues `--system` may bring.
            Self::Jais => Format {
                system: "You are a helpful, respectful and honest assistant. Always answer as helpfully as possible, while being safe.",
                around_system: [
                    "### Instruction: ",
                    "\n\nComplete the conversation below between [|Human|] and [|AI|]:\n",
                ],
                question: "### Input: [|Human|] ",
                answer: "\n### Response: [|AI|] ",
                answered: "\n",
                ask: "\n### Response: [|AI|]",
                stops: &[],
            },
            Self::JaisFamily => Format {
                system: "You are a helpful, respectful, and honest assistant. Always answer as helpfully as possible, while being safe.",
                around_system: ["### Instruction:", " Complete the conversation between [|Human|] and [|AI|]:\n"],
                question: "### Input: [|Human|] ",
                answer: "\n[|AI|]\n### Response :",
                answered: "\n",
                ask: "\n[|AI|]\n### Response :",
                stops: &[],
            },
        })
    }

    /// The name on the command line.
    fn name(self) -> String {
        self.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default()
    }

    /// The format of a model.
    fn of_model(teller: &Teller<'_>) -> Result<Self> {
        let gguf = teller.file.gguf()?;
        let word = |key| match gguf.get(key) {
            Some(Value::String(word)) => String::from_utf8_lossy(word).to_lowercase(),
            _ => String::new(),
        };
        let (architecture, name) = (word("general.architecture"), word("general.name"));
        let has = |token| teller.tokenizer.find(token).is_some();
        Ok(match &*architecture {
            "mpt" if has("<|im_start|>") => Self::Chatml,
            "mpt" if name.contains("instruct") => Self::MptInstruct,
            "bloom" if name.contains("bloomz") => Self::Plain,
            "baichuan"
                if name.contains("chat")
                    && has("<reserved_106>")
                    && has("<reserved_107>")
                    && !has("<reserved_102>") =>
            {
                Self::Baichuan2
            }
            "baichuan" if name.contains("chat") && name.contains("baichuan2") => Self::Baichuan2,
            "baichuan" if name.contains("chat") => Self::Baichuan,
            "refact" if has("<empty_output>") => Self::Refact,
            "jais" if name.contains("chat") && name.contains("family") => Self::JaisFamily,
            "jais" if name.contains("chat") => Self::Jais,
            _ => {
                let names: Vec<String> = Self::value_variants()[1..].iter().map(|chat| chat.name()).collect();
                bail!(
                    "--chat: no chat format is known for this model ({architecture}, \"{name}\"): --chat=NAME takes one of {}",
                    names.join(", ")
                )
            }
        })
    }
}

/// Questions that were answered.
type Turns = Vec<(String, String)>;

/// Answers `question`, or without one each line of standard input, knowing those before.
pub fn chat(teller: &Teller<'_>, chat: Chat, question: Option<&str>) -> Result<()> {
    let chat = if chat == Chat::Auto { Chat::of_model(teller)? } else { chat };
    let mut turns = Turns::new();
    // A format that the model has no tokens for is found out before anything is asked.
    render(teller, chat, &turns, "")?;
    if let Some(question) = question {
        return answer(teller, chat, &mut turns, question);
    }
    let mut input = stdin().lock();
    loop {
        write!(StandardOutput::lock(), "> ")?;
        StandardOutput::lock().flush()?;
        let mut line = String::new();
        let n = while_waiting(|| input.read_line(&mut line))?;
        match line.trim_end_matches(['\r', '\n']) {
            "" if n == 0 => return Ok(writeln!(StandardOutput::lock())?),
            "" => return Ok(()),
            question => match answer(teller, chat, &mut turns, question) {
                Err(error) if error.is::<Interrupted>() => {}
                result => result?,
            },
        }
    }
}

fn answer(teller: &Teller<'_>, chat: Chat, turns: &mut Turns, question: &str) -> Result<()> {
    let prompt = render(teller, chat, turns, question)?;
    let mut out = Kept { out: StandardOutput::lock(), text: Vec::new() };
    let result = tell_to(teller, &prompt, &mut out);
    let text = String::from_utf8_lossy(&out.text).trim().to_owned();
    turns.push((question.to_owned(), text));
    result
}

/// What is written, and a copy of it.
struct Kept<W> {
    out: W,
    text: Vec<u8>,
}

impl<W: Write> Write for Kept<W> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let n = self.out.write(bytes)?;
        self.text.extend_from_slice(&bytes[..n]);
        Ok(n)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.out.flush()
    }
}

/// The tokens of a conversation up to the answer to `question`.
fn render(teller: &Teller<'_>, chat: Chat, turns: &Turns, question: &str) -> Result<Prompt> {
    let format = chat.format().context("a format")?;
    let mut writer = Writer { tokenizer: teller.tokenizer, chat, tokens: Vec::new(), text: String::new() };
    let system = teller.args.system.as_deref().unwrap_or(format.system);
    if !system.is_empty() {
        writer.fixed(format.around_system[0])?;
        writer.text.push_str(system);
        writer.fixed(format.around_system[1])?;
    }
    for (question, answer) in turns {
        writer.fixed(format.question)?;
        writer.text.push_str(question);
        writer.fixed(format.answer)?;
        writer.text.push_str(answer);
        writer.fixed(format.answered)?;
    }
    writer.fixed(format.question)?;
    writer.text.push_str(question);
    writer.fixed(format.ask)?;
    writer.end_text()?;
    let stops = format.stops.iter().map(|token| writer.find(token)).collect::<Result<_>>()?;
    Ok(Prompt { shown: vec![], tokens: writer.tokens, stops, after: vec![] })
}

/// A conversation that is turned into tokens.
struct Writer<'t> {
    tokenizer: &'t Tokenizer<'t, 't>,
    chat: Chat,
    tokens: Vec<u32>,
    /// What was written since the last token: one text, in which words may merge with what stands around them.
    text: String,
}

impl Writer<'_> {
    /// Writes words of the format, in which tokens stand in braces.
    fn fixed(&mut self, words: &str) -> Result<()> {
        let mut rest = words;
        while let Some((before, (token, after))) =
            rest.split_once('{').and_then(|(before, rest)| Some((before, rest.split_once('}')?)))
        {
            self.text.push_str(before);
            self.end_text()?;
            let token = self.find(token)?;
            self.tokens.push(token);
            rest = after;
        }
        self.text.push_str(rest);
        Ok(())
    }

    /// What a user writes is text, even where it looks like a control token.
    fn end_text(&mut self) -> Result<()> {
        let options = match self.tokens.is_empty() {
            true => options(self.tokenizer),
            false => EncodeOptions::default(),
        };
        let text = core::mem::take(&mut self.text);
        self.tokens.extend(text::encode(self.tokenizer, text.as_bytes(), options)?);
        Ok(())
    }

    fn find(&self, token: &str) -> Result<u32> {
        self.tokenizer.find(token).with_context(|| {
            format!("--chat={}: the model has no token {token}: it was not made for it", self.chat.name())
        })
    }
}
