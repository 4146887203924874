//! The formats that instruct models were trained with.
//!
//! A table, no template language: each published model has one format, and there are few of them.

use anyhow::{Result, bail};
use clap::ValueEnum;
use nearfield::gguf::Value;

use crate::story::Teller;

/// Which format.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Chat {
    /// The model's own, as its name, family and tokens tell
    Auto,
    /// MPT-7b-chat, MPT-30b-chat
    Chatml,
    /// MPT-7b-instruct
    MptInstruct,
    /// MPT-30b-instruct, MPT-7b-8k-instruct
    #[value(name = "mpt-30b-instruct")]
    Mpt30bInstruct,
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
    /// The same, spoken to in Arabic
    JaisArabic,
    /// The chat models of the Jais family, 590m to 30b
    JaisFamily,
    /// The same, spoken to in Arabic
    JaisFamilyArabic,
}

/// What stands between the words of a conversation. `{T}` in braces is a token of the vocabulary, looked for by its text.
pub struct Format {
    /// What the model is told of itself unless something else is.
    pub system: &'static str,
    /// Before and behind that; both are left out where it is empty.
    pub around_system: [&'static str; 2],
    /// Before a question, between it and its answer, and behind that.
    pub question: &'static str,
    pub answer: &'static str,
    pub answered: &'static str,
    /// Tokens that end an answer, beside the one that ends all texts.
    pub stop_tokens: &'static [&'static str],
    /// Words that do: with them a model would ask itself the next question.
    pub stop_texts: &'static [&'static str],
}

/// Words that stand around system and question in most formats of Jais.
const JAIS_STOPS: &[&str] = &["### Instruction", "### Input", "[|Human|]"];

impl Chat {
    /// Its words; none for [`Auto`](Self::Auto), which is to be found out first.
    pub fn format(self) -> Option<Format> {
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
                stop_tokens: &["<|im_end|>"],
                stop_texts: &[],
            },
            // MPT-7b-instruct's model card, after Dolly.
            Self::MptInstruct => Format {
                system: "Below is an instruction that describes a task. Write a response that appropriately completes the \
                         request.",
                around_system: ["", "\n"],
                question: "### Instruction:\n",
                answer: "\n### Response:\n",
                answered: "\n",
                stop_tokens: &[],
                stop_texts: &["### Instruction"],
            },
            // The model cards: this space is missing in the first heading there.
            Self::Mpt30bInstruct => Format {
                system: "Below is an instruction that describes a task. Write a response that appropriately completes the \
                         request.",
                around_system: ["", "\n\n"],
                question: "###Instruction\n",
                answer: "\n\n### Response\n",
                answered: "\n\n",
                stop_tokens: &[],
                stop_texts: &["###Instruction", "### Instruction"],
            },
            Self::Plain => Format {
                system: "",
                around_system: ["", "\n"],
                question: "",
                answer: "",
                answered: "\n",
                stop_tokens: &[],
                stop_texts: &[],
            },
            // `user_token_id` 195 and `assistant_token_id` 196 of the models' generation_config.json.
            Self::Baichuan => Format {
                system: "",
                around_system: ["", ""],
                question: "{<reserved_102>}",
                answer: "{<reserved_103>}",
                answered: "",
                stop_tokens: &["<reserved_102>"],
                stop_texts: &[],
            },
            Self::Baichuan2 => Format {
                system: "",
                around_system: ["", ""],
                question: "{<reserved_106>}",
                answer: "{<reserved_107>}",
                answered: "",
                stop_tokens: &["<reserved_106>"],
                stop_texts: &[],
            },
            // The model card.
            Self::Refact => Format {
                system: "You are a programming assistant",
                around_system: ["{<empty_output>}SYSTEM ", "\n"],
                question: "{<empty_output>}USER ",
                answer: "\n{<empty_output>}ASSISTANT",
                answered: "\n",
                stop_tokens: &["<empty_output>"],
                stop_texts: &[],
            },
            // The model cards, whose words on the model's name and virtues `--system` may bring.
            Self::Jais => Format {
                system: "You are a helpful, respectful and honest assistant. Always answer as helpfully as possible, while being safe.",
                around_system: [
                    "### Instruction: ",
                    "\n\nComplete the conversation below between [|Human|] and [|AI|]:\n",
                ],
                question: "### Input: [|Human|] ",
                answer: "\n### Response: [|AI|]",
                answered: "\n",
                stop_tokens: &[],
                stop_texts: JAIS_STOPS,
            },
            Self::JaisArabic => Format {
                system: "أنت مساعد مفيد ومحترم وصادق. أجب دائمًا بأكبر قدر ممكن من المساعدة ، مع الحفاظ على البقاء أمناً.",
                around_system: ["### Instruction: ", "\n\nأكمل المحادثة أدناه بين [|Human|] و [|AI|]:\n"],
                question: "### Input: [|Human|] ",
                answer: "\n### Response: [|AI|]",
                answered: "\n",
                stop_tokens: &[],
                stop_texts: JAIS_STOPS,
            },
            Self::JaisFamily => Format {
                system: "You are a helpful, respectful, and honest assistant. Always answer as helpfully as possible, while being safe.",
                around_system: ["### Instruction:", " Complete the conversation between [|Human|] and [|AI|]:\n"],
                question: "### Input: [|Human|] ",
                answer: "\n[|AI|]\n### Response :",
                answered: "\n",
                stop_tokens: &[],
                stop_texts: JAIS_STOPS,
            },
            Self::JaisFamilyArabic => Format {
                system: "أنت مساعد مفيد ومحترم وصادق. أجب دائمًا بأكبر قدر ممكن من المساعدة، مع الحفاظ على البقاء أمناً.",
                around_system: ["### Instruction:", " أكمل المحادثة بين [|Human|] و[|AI|] :\n"],
                question: "### Input:[|Human|] ",
                answer: "\n[|AI|]\n### Response :",
                answered: "\n",
                stop_tokens: &[],
                stop_texts: JAIS_STOPS,
            },
        })
    }

    /// The name on the command line.
    pub fn name(self) -> String {
        self.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default()
    }

    /// The format of a model.
    pub fn of_model(teller: &Teller<'_>) -> Result<Self> {
        let gguf = teller.file.gguf()?;
        let word = |key| match gguf.get(key) {
            Some(Value::String(word)) => String::from_utf8_lossy(word).to_lowercase(),
            _ => String::new(),
        };
        let (architecture, name) = (word("general.architecture"), word("general.name"));
        let has = |token| teller.tokenizer.find(token).is_some();
        Ok(match &*architecture {
            "mpt" if has("<|im_start|>") => Self::Chatml,
            "mpt" if name.contains("instruct") && (name.contains("30b") || name.contains("8k")) => Self::Mpt30bInstruct,
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
