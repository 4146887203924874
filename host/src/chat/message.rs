//! Messages of a conversation.

/// Writer of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Instructions that stand before the conversation.
    System,
    /// Person, or program, that asks.
    User,
    /// Model.
    Assistant,
    /// Function whose result the model reads.
    Tool,
}

impl Role {
    /// Name of the role, as chat templates and HTTP interfaces spell it.
    pub fn name(self) -> &'static str {
        match self {
            Self::System => "system",
            Self::User => "user",
            Self::Assistant => "assistant",
            Self::Tool => "tool",
        }
    }

    /// Role of that name; `developer` is a newer name of `system`. `None` for any other.
    pub fn of_name(name: &str) -> Option<Self> {
        match name {
            "developer" => Some(Self::System),
            _ => [Self::System, Self::User, Self::Assistant, Self::Tool].into_iter().find(|role| role.name() == name),
        }
    }
}

/// Message of a conversation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Message<'m> {
    /// Writer of the message.
    pub role: Role,
    /// Text: any bytes. None of them becomes a special token, whatever they spell.
    pub content: &'m [u8],
}

/// Message whose words may be known as tokens already.
#[derive(Clone, Copy, Debug)]
pub(super) struct Part<'m> {
    pub(super) role: Role,
    pub(super) words: Words<'m>,
}

/// Words of a message.
#[derive(Clone, Copy, Debug)]
pub(super) enum Words<'m> {
    /// Text, which is encoded.
    Text(&'m [u8]),
    /// Answer of this model.
    Answer {
        /// White space that stood before the answer when the model wrote it, at the end of the prompt; `None` if it is what the
        /// format writes there.
        lead: Option<&'m str>,
        /// Tokens that the model chose.
        tokens: &'m [u32],
        /// Last letters of the answer, if they share a token with the stop.
        rest: &'m str,
    },
}

impl Words<'_> {
    /// The same words behind the text as it stands: formats of the table write the same before each answer.
    pub(super) fn without_lead(&self) -> Self {
        match *self {
            Self::Answer { tokens, rest, .. } => Self::Answer { lead: None, tokens, rest },
            words => words,
        }
    }
}

impl<'m> From<Message<'m>> for Part<'m> {
    fn from(message: Message<'m>) -> Self {
        Self { role: message.role, words: Words::Text(message.content) }
    }
}
