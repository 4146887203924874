//! Formats that instruct models were trained with.
//!
//! The table is for files without a chat template of their own, which early converters left out.

use nearfield::Gguf;
use nearfield::gguf::Value;
use nearfield::tokenizer::Tokenizer;

use crate::error::{Context, Result};

/// Format of a conversation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Chat {
    /// The model's own: the chat template of its file, else the format of its name and tokens.
    Auto,
    /// Format of MPT-7b-chat and MPT-30b-chat.
    Chatml,
    /// ChatML without a system prompt of its own: fine-tunes whose template is ChatML.
    ChatmlBare,
    /// Format of MPT-7b-instruct.
    MptInstruct,
    /// Format of MPT-30b-instruct and MPT-7b-8k-instruct.
    Mpt30bInstruct,
    /// Format of BLOOMZ: the question and nothing else.
    Plain,
    /// Format of BLOOMZ-560m-sft-chat and kin.
    BloomzSft,
    /// Format of Baichuan-13B-Chat.
    Baichuan,
    /// Format of Baichuan2-13B-Chat.
    Baichuan2,
    /// Format of Refact-1.6B.
    Refact,
    /// Format of Jais-13b-chat and Jais-30b-chat.
    Jais,
    /// Format of Jais-13b-chat and Jais-30b-chat for Arabic.
    JaisArabic,
    /// Format of the chat models of the Jais family, 590m to 30b.
    JaisFamily,
    /// Format of the chat models of the Jais family for Arabic.
    JaisFamilyArabic,
}

/// Texts between the words of a conversation. `{T}` in braces is a token of the vocabulary, found by its text `T`.
pub struct Format {
    /// System prompt, unless the caller gives another.
    pub system: &'static str,
    /// Texts before and behind the system prompt; both are left out where it is empty.
    pub around_system: [&'static str; 2],
    /// Text before a question.
    pub question: &'static str,
    /// Text between a question and its answer.
    pub answer: &'static str,
    /// Text after an answer.
    pub answered: &'static str,
    /// Tokens that end an answer, besides the end-of-text token.
    pub stop_tokens: &'static [&'static str],
    /// Words that end an answer: without them a model would ask itself the next question.
    pub stop_texts: &'static [&'static str],
}

/// Stop words of most formats of Jais: they stand around system prompt and question.
const JAIS_STOPS: &[&str] = &["### Instruction", "### Input", "[|Human|]"];

impl Chat {
    /// All formats, each with its name and its models.
    pub const ALL: [(Self, &str, &str); 14] = [
        (Self::Auto, "auto", "The model's own: its chat template, or as its name and tokens tell"),
        (Self::Chatml, "chatml", "MPT-7b-chat, MPT-30b-chat"),
        (
            Self::ChatmlBare,
            "chatml-bare",
            "ChatML without words on the model itself: fine-tunes whose template is ChatML",
        ),
        (Self::MptInstruct, "mpt-instruct", "MPT-7b-instruct"),
        (Self::Mpt30bInstruct, "mpt-30b-instruct", "MPT-30b-instruct, MPT-7b-8k-instruct"),
        (Self::Plain, "plain", "BLOOMZ: the question and nothing else"),
        (Self::BloomzSft, "bloomz-sft", "BLOOMZ-560m-sft-chat and kin"),
        (Self::Baichuan, "baichuan", "Baichuan-13B-Chat"),
        (Self::Baichuan2, "baichuan2", "Baichuan2-13B-Chat"),
        (Self::Refact, "refact", "Refact-1.6B"),
        (Self::Jais, "jais", "Jais-13b-chat, Jais-30b-chat"),
        (Self::JaisArabic, "jais-arabic", "The same, spoken to in Arabic"),
        (Self::JaisFamily, "jais-family", "The chat models of the Jais family, 590m to 30b"),
        (Self::JaisFamilyArabic, "jais-family-arabic", "The same, spoken to in Arabic"),
    ];

    /// Texts of the format; `None` for [`Auto`](Self::Auto), which has to be resolved first.
    pub fn format(self) -> Option<Format> {
        Some(match self {
            Self::Auto => return None,
            // Source: MPT-30b-chat's tokenizer_config.json.
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
            Self::ChatmlBare => Format { system: "", ..Self::Chatml.format()? },
            // Source: MPT-7b-instruct's model card, after Dolly.
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
            // Source: the model cards. Their first heading lacks the space, too.
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
            // Source: the model cards of cmarkea's models: `</s>question<s>`, and `</s>` behind an answer, which the next
            // question begins with.
            Self::BloomzSft => Format {
                system: "",
                around_system: ["", ""],
                question: "{</s>}",
                answer: "{<s>}",
                answered: "",
                stop_tokens: &["</s>"],
                stop_texts: &[],
            },
            // Source: `user_token_id` 195 and `assistant_token_id` 196 of the models' generation_config.json.
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
            // Source: the model card.
            Self::Refact => Format {
                system: "You are a programming assistant",
                around_system: ["{<empty_output>}SYSTEM ", "\n"],
                question: "{<empty_output>}USER ",
                answer: "\n{<empty_output>}ASSISTANT",
                answered: "\n",
                stop_tokens: &["<empty_output>"],
                stop_texts: &[],
            },
            // Source: the model cards. `--system` can add their words on the model's name and virtues.
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

    /// Tokens that stand in any format.
    pub fn all_tokens() -> impl Iterator<Item = &'static str> {
        Self::ALL.into_iter().filter_map(|(chat, ..)| chat.format()).flat_map(|format| format.tokens())
    }

    /// Name of the format on the command line.
    pub fn name(self) -> &'static str {
        Self::ALL.into_iter().find_map(|(chat, name, _)| (chat == self).then_some(name)).unwrap_or_default()
    }

    /// Format of a published model, by its name and tokens.
    ///
    /// # Errors
    /// When no format is known for the model.
    pub fn of_model(gguf: &Gguf<'_>, tokenizer: &Tokenizer<'_, '_>) -> Result<Self> {
        let word = |key| match gguf.get(key) {
            Some(Value::String(word)) => String::from_utf8_lossy(word).into_owned(),
            _ => String::new(),
        };
        let (architecture, name) = (word("general.architecture"), word("general.name"));
        let has = |token: &str| tokenizer.find(token).is_some();
        let has_tokens = |chat: &Self| chat.format().is_some_and(|format| format.tokens().all(has));
        // Two models of one architecture and one name are told apart by their tokens.
        let found = match &*architecture {
            "mpt" if has_tokens(&Self::Chatml) => Some(Self::Chatml),
            "refact" => Some(Self::Refact),
            architecture => published(architecture, &name),
        };
        found.filter(has_tokens).with_context(|| {
            let names = Self::ALL[1..].iter().map(|(_, name, _)| *name).collect::<Vec<_>>();
            let (name, names) = (name.to_lowercase(), names.join(", "));
            format!(
                "--chat: no chat format is known for this model ({}, {name:?}): --chat=NAME takes one of {names}",
                architecture.escape_debug()
            )
        })
    }
}

/// Published models: architecture, names, format.
const PUBLISHED: [(&str, &[&str], Chat); 8] = [
    ("mpt", &["mpt-7b-instruct"], Chat::MptInstruct),
    ("mpt", &["mpt-30b-instruct", "mpt-7b-8k-instruct"], Chat::Mpt30bInstruct),
    (
        "bloom",
        &[
            "bloomz",
            "bloomz-560m",
            "bloomz-1b1",
            "bloomz-1b7",
            "bloomz-3b",
            "bloomz-7b1",
            "bloomz-mt",
            "bloomz-p3",
            "bloomz-7b1-mt",
            "bloomz-7b1-p3",
        ],
        Chat::Plain,
    ),
    ("bloom", &["bloomz-560m-sft-chat", "bloomz-3b-sft-chat", "bloomz-7b1-mt-sft-chat"], Chat::BloomzSft),
    ("baichuan", &["baichuan-13b-chat"], Chat::Baichuan),
    ("baichuan", &["baichuan2-13b-chat"], Chat::Baichuan2),
    ("jais", &["jais-13b-chat", "jais-30b-chat-v1", "jais-30b-chat-v3"], Chat::Jais),
    (
        "jais",
        &[
            "jais-family-590m-chat",
            "jais-family-1p3b-chat",
            "jais-family-2p7b-chat",
            "jais-family-6p7b-chat",
            "jais-family-13b-chat",
            "jais-family-30b-8k-chat",
            "jais-family-30b-16k-chat",
        ],
        Chat::JaisFamily,
    ),
];

/// Words that may stand around a model's name: its owner, and how its file is stored.
const AROUND: [&str; 34] = [
    "mosaicml",
    "bigscience",
    "baichuan",
    "inc",
    "inceptionai",
    "core42",
    "cmarkea",
    "models",
    "model",
    "hf",
    "gguf",
    "ggml",
    "quantized",
    "q2",
    "q3",
    "q4",
    "q5",
    "q6",
    "q8",
    "iq4",
    "0",
    "1",
    "k",
    "s",
    "m",
    "l",
    "nl",
    "xs",
    "f16",
    "fp16",
    "f32",
    "fp32",
    "bf16",
    "v2",
];

/// Format of the published model of that name, as its makers or a converter write it.
fn published(architecture: &str, name: &str) -> Option<Chat> {
    let words_of = |name: &str| -> Vec<String> {
        name.to_lowercase()
            .split(|c: char| !c.is_alphanumeric())
            .filter(|word| !word.is_empty())
            .map(Into::into)
            .collect()
    };
    let words = words_of(name);
    let is_around = |word: &String| AROUND.contains(&&**word);
    let is = |known: &&str| {
        let known = words_of(known);
        let at = words.windows(known.len()).position(|part| part == known);
        at.is_some_and(|at| words[..at].iter().chain(&words[at + known.len()..]).all(is_around))
    };
    let rows = PUBLISHED.iter().filter(|(of, ..)| *of == architecture);
    rows.filter_map(|(_, names, chat)| names.iter().any(is).then_some(*chat)).next()
}

impl Format {
    /// Tokens that stand in the format.
    pub fn tokens(&self) -> impl Iterator<Item = &'static str> + use<> {
        let words = [self.around_system[0], self.around_system[1], self.question, self.answer, self.answered];
        let in_braces = |words: &'static str| words.split('{').skip(1).filter_map(|rest| Some(rest.split_once('}')?.0));
        words.into_iter().flat_map(in_braces)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn published_models_are_known_by_their_names_alone() {
        for (architecture, name, want) in [
            ("mpt", "mpt-7b-instruct", Some(Chat::MptInstruct)),
            ("mpt", "mosaicml/mpt-7b-instruct", Some(Chat::MptInstruct)),
            ("mpt", "Mpt 7b Instruct", Some(Chat::MptInstruct)),
            ("mpt", "mpt-7b-instruct-Q4_0.gguf", Some(Chat::MptInstruct)),
            ("mpt", "mpt-7b-8k-instruct", Some(Chat::Mpt30bInstruct)),
            ("mpt", "mpt-30b-instruct", Some(Chat::Mpt30bInstruct)),
            ("mpt", "replit-code-instruct-glaive", None),
            ("mpt", "mpt-7b", None),
            ("mpt", "mpt-7b-instruct-dutch", None),
            ("bloom", "bloomz-560m", Some(Chat::Plain)),
            ("bloom", "bigscience-bloomz-7b1-mt", Some(Chat::Plain)),
            ("bloom", "bloomz-560m-sft-chat", Some(Chat::BloomzSft)),
            ("bloom", "bloomz-560m-rlhf", None),
            ("bloom", "bloom-560m", None),
            ("jais", "jais-13b-chat", Some(Chat::Jais)),
            ("jais", "jais-family-590m-chat", Some(Chat::JaisFamily)),
            ("jais", "BTLM-3B-8k-chat", None),
            ("jais", "jais-13b", None),
            ("baichuan", "Baichuan2-13B-Chat", Some(Chat::Baichuan2)),
            ("baichuan", "Baichuan-13B-Chat", Some(Chat::Baichuan)),
            ("baichuan", "baichuan-inc/Baichuan-13B-Base", None),
            ("gpt2", "mpt-7b-instruct", None),
        ] {
            assert_eq!(published(architecture, name), want, "{architecture} {name}");
        }
    }

    #[test]
    fn tokens_of_a_format_are_those_in_braces() {
        let tokens = |chat: Chat| chat.format().unwrap().tokens().collect::<Vec<_>>();
        assert_eq!(tokens(Chat::Refact), ["<empty_output>"; 3]);
        assert_eq!(tokens(Chat::BloomzSft), ["</s>", "<s>"]);
        assert!(tokens(Chat::Jais).is_empty());
    }
}
