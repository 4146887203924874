//! Protocols: windows of a text, and the tokens that count in each.

use std::ops::Range;

use crate::count::Count;

/// Protocol for measuring a text of any length at one context length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// Pieces of the context's length, one after another; a shorter rest is dropped.
    Pieces {
        /// True if tokens count in the second half of a piece alone, so that each has at least half of the context before it,
        /// as in llama.cpp's `llama-perplexity`. False if all but the first token count (Press et al. 2021, section 2.2,
        /// "nonoverlapping").
        second_half: bool,
    },
    /// Window that moves by `stride` tokens, the last of which count: each has a nearly full context before it (ibidem,
    /// "sliding window").
    Sliding {
        /// Number of tokens from one window to the next.
        stride: usize,
    },
    /// Whole text in one run, in the memory of the context: old keys are dropped, and no token runs twice.
    Stream,
}

/// Tokens that run from an empty context.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Window {
    /// First token of the window.
    pub first: usize,
    /// Tokens that count. Each is predicted from the tokens between `first` and itself.
    pub scored: Range<usize>,
}

impl Window {
    /// Tokens that have to run: all but the last that counts, which is only predicted.
    pub fn tokens(&self) -> Range<usize> {
        self.first..self.scored.end - 1
    }

    /// Number of tokens that have to run.
    pub fn n_tokens(&self) -> usize {
        self.tokens().len()
    }
}

impl Protocol {
    /// Windows for `n` tokens and a context of `n_ctx`. Each has a token that counts.
    pub fn windows(self, n: usize, n_ctx: usize) -> Box<dyn Iterator<Item = Window>> {
        match self {
            Self::Pieces { second_half } => {
                let lead = if second_half { n_ctx / 2 } else { 0 };
                let piece = move |i: usize| Window { first: i * n_ctx, scored: i * n_ctx + lead + 1..(i + 1) * n_ctx };
                Box::new((0..n / n_ctx).map(piece).filter(|window| !window.scored.is_empty()))
            }
            Self::Sliding { stride } => {
                // The last window ends with the text, at any distance from the one before.
                let ends =
                    (n_ctx..).step_by(stride).take_while(move |&end| end < n + stride).map(move |end| end.min(n));
                let mut counted = 1;
                Box::new(ends.filter(move |_| n_ctx <= n).map(move |end| {
                    let scored = counted..end;
                    counted = end;
                    Window { first: end - n_ctx, scored }
                }))
            }
            Self::Stream => Box::new((n > 1).then_some(Window { first: 0, scored: 1..n }).into_iter()),
        }
    }

    /// Description for tables.
    pub fn describe(self) -> String {
        match self {
            Self::Pieces { second_half: true } => "pieces of the length, second halves".into(),
            Self::Pieces { second_half: false } => "pieces of the length, all but their first tokens".into(),
            Self::Sliding { stride } => format!("windows of the length, {} apart", Count(stride, "token")),
            Self::Stream => "one stream, keys of the length kept".into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn windows(protocol: Protocol, n: usize, n_ctx: usize) -> Vec<(Range<usize>, Range<usize>)> {
        protocol.windows(n, n_ctx).map(|window| (window.tokens(), window.scored)).collect()
    }

    #[test]
    fn pieces() {
        let all = Protocol::Pieces { second_half: false };
        assert_eq!(windows(all, 11, 5), [(0..4, 1..5), (5..9, 6..10)]);
        assert_eq!(windows(all, 4, 5), []);
        assert_eq!(windows(all, 4, 1), []);
        // Logits of positions n_ctx / 2 to n_ctx - 2 count in llama-perplexity.
        let half = Protocol::Pieces { second_half: true };
        assert_eq!(windows(half, 17, 8), [(0..7, 5..8), (8..15, 13..16)]);
        assert_eq!(windows(half, 17, 2), []);
    }

    #[test]
    fn sliding_windows_count_each_token_once() {
        for (n, n_ctx, stride) in [(100, 10, 1), (100, 10, 3), (101, 10, 9), (10, 10, 4), (64, 32, 16), (33, 32, 16)] {
            let windows = windows(Protocol::Sliding { stride }, n, n_ctx);
            let counted: Vec<usize> = windows.iter().flat_map(|(_, scored)| scored.clone()).collect();
            assert_eq!(counted, (1..n).collect::<Vec<_>>(), "{n}, {n_ctx}, {stride}");
            for (tokens, scored) in &windows {
                assert_eq!(tokens.len(), n_ctx - 1);
                assert!(tokens.start < scored.start && tokens.end + 1 == scored.end, "{tokens:?}, {scored:?}");
            }
        }
        assert_eq!(windows(Protocol::Sliding { stride: 4 }, 9, 10), []);
    }

    #[test]
    fn a_stream_is_one_window() {
        assert_eq!(windows(Protocol::Stream, 9, 4), [(0..8, 1..9)]);
        assert_eq!(windows(Protocol::Stream, 1, 4), []);
    }
}
