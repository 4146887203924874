//! A slow reading of a grammar, by another way than the automaton's: sets of ends, character by character.

extern crate std;

use std::boxed::Box;
use std::collections::{BTreeMap, BTreeSet};
use std::format;
use std::string::{String, ToString};
use std::vec::Vec;

/// Right side of a rule.
#[derive(Clone, Debug)]
pub(super) enum Node {
    Literal(String),
    /// Characters, or all but these.
    Class(Vec<(char, char)>, bool),
    Any,
    Sequence(Vec<Node>),
    Choice(Vec<Node>),
    /// Least and greatest count; `None` for no greatest.
    Repeat(Box<Node>, u32, Option<u32>),
    Rule(usize),
}

/// Rules; the first is the root.
#[derive(Clone, Debug)]
pub(super) struct Rules(pub Vec<Node>);

/// Ends of a reading, and true if it ran into the end of the input where more may follow.
#[derive(Clone, Debug, Default)]
struct Ends {
    ends: BTreeSet<usize>,
    more: bool,
}

impl Rules {
    /// The rules in GBNF.
    pub fn gbnf(&self) -> String {
        let name = |i: usize| if i == 0 { "root".into() } else { format!("r{i}") };
        self.0.iter().enumerate().map(|(i, node)| format!("{} ::= {}\n", name(i), node.gbnf())).collect()
    }

    /// True if the text is one of the grammar, and true if it begins one. All rules have texts.
    pub fn read(&self, text: &[u8]) -> (bool, bool) {
        let ends = self.rule(0, text, 0, &mut BTreeMap::new());
        (ends.ends.contains(&text.len()), ends.more || ends.ends.contains(&text.len()))
    }

    fn rule(&self, rule: usize, text: &[u8], at: usize, known: &mut BTreeMap<(usize, usize), Ends>) -> Ends {
        if let Some(ends) = known.get(&(rule, at)) {
            return ends.clone();
        }
        let ends = self.node(&self.0[rule], text, at, known);
        known.insert((rule, at), ends.clone());
        ends
    }

    fn node(&self, node: &Node, text: &[u8], at: usize, known: &mut BTreeMap<(usize, usize), Ends>) -> Ends {
        match node {
            Node::Literal(literal) => {
                let rest = &text[at..];
                let n = rest.len().min(literal.len());
                let fits = rest[..n] == literal.as_bytes()[..n];
                let whole = n == literal.len();
                let ends = if fits && whole { BTreeSet::from([at + n]) } else { BTreeSet::new() };
                Ends { ends, more: fits && !whole }
            }
            Node::Class(ranges, negated) => character(&text[at..], at, ranges, |c| {
                ranges.iter().any(|&(lo, hi)| (lo..=hi).contains(&c)) != *negated
            }),
            Node::Any => character(&text[at..], at, &[], |_| true),
            Node::Sequence(nodes) => {
                let mut ends = Ends { ends: BTreeSet::from([at]), more: false };
                for node in nodes {
                    ends = self.after(&ends, node, text, known);
                }
                ends
            }
            Node::Choice(nodes) => {
                let mut all = Ends::default();
                for node in nodes {
                    let ends = self.node(node, text, at, known);
                    all.ends.extend(ends.ends);
                    all.more |= ends.more;
                }
                all
            }
            Node::Repeat(node, min, max) => {
                let mut ends = Ends { ends: BTreeSet::from([at]), more: false };
                let mut all = Ends::default();
                let mut seen = BTreeSet::new();
                for n in 0.. {
                    if n >= *min {
                        all.ends.extend(ends.ends.iter().copied());
                    }
                    // Without a greatest count, the same ends again bring nothing new once the least is reached.
                    let is_new = seen.insert((n.min(*min), ends.ends.clone()));
                    if max.is_some_and(|max| n >= max) || ends.ends.is_empty() || (n > *min && max.is_none() && !is_new)
                    {
                        break;
                    }
                    ends = self.after(&ends, node, text, known);
                }
                all.more = ends.more;
                all
            }
            Node::Rule(rule) => self.rule(*rule, text, at, known),
        }
    }

    /// Ends of `node` behind each of `before`.
    fn after(&self, before: &Ends, node: &Node, text: &[u8], known: &mut BTreeMap<(usize, usize), Ends>) -> Ends {
        let mut all = Ends { ends: BTreeSet::new(), more: before.more };
        for &at in &before.ends {
            let ends = self.node(node, text, at, known);
            all.ends.extend(ends.ends);
            all.more |= ends.more;
        }
        all
    }
}

/// Reads one character that `has` accepts; of one that is not whole, completions at the bounds of ranges are tried: `bounds` has those of
/// the class.
fn character(rest: &[u8], at: usize, bounds: &[(char, char)], has: impl Fn(char) -> bool) -> Ends {
    let n = match rest.first() {
        None => 0,
        Some(0..0x80) => 1,
        Some(0xc2..0xe0) => 2,
        Some(0xe0..0xf0) => 3,
        Some(0xf0..0xf5) => 4,
        Some(_) => return Ends::default(),
    };
    if n > 0 && rest.len() >= n {
        let c = core::str::from_utf8(&rest[..n]).ok().and_then(|text| text.chars().next());
        let ends = c.filter(|&c| has(c)).map(|_| at + n).into_iter().collect();
        return Ends { ends, more: false };
    }
    // A set of ranges meets the characters with these first bytes only if it has one of these.
    let known = rest.iter().fold(0, |code, &byte| match byte {
        0x80..0xc0 => code << 6 | u32::from(byte & 0x3f),
        byte => u32::from(byte) & (0x7f >> n),
    });
    let shift = 6 * (n - rest.len().min(n)) as u32;
    let ends = [known << shift, ((known + 1) << shift).saturating_sub(1)];
    let lengths = [0, 0x7f, 0x80, 0x7ff, 0x800, 0xd7ff, 0xe000, 0xffff, 0x10000, 0x10_ffff];
    let bounds = bounds.iter().flat_map(|&(lo, hi)| [u32::from(lo), u32::from(hi)]);
    let near = bounds.flat_map(|code| [code.saturating_sub(1), code, code + 1]);
    let more = ends
        .into_iter()
        .chain(lengths)
        .chain(near)
        .filter_map(char::from_u32)
        .any(|c| c.encode_utf8(&mut [0; 4]).as_bytes().starts_with(rest) && has(c));
    Ends { ends: BTreeSet::new(), more }
}

impl Node {
    fn gbnf(&self) -> String {
        let joined = |nodes: &[Node], between: &str| nodes.iter().map(Node::gbnf).collect::<Vec<_>>().join(between);
        match self {
            Node::Literal(text) => format!("\"{}\"", text.chars().map(escaped).collect::<String>()),
            Node::Class(ranges, negated) => {
                let ranges = ranges.iter().map(|&(lo, hi)| match lo == hi {
                    true => escaped(lo),
                    false => format!("{}-{}", escaped(lo), escaped(hi)),
                });
                format!("[{}{}]", if *negated { "^" } else { "" }, ranges.collect::<String>())
            }
            Node::Any => ".".into(),
            Node::Sequence(nodes) => format!("({})", joined(nodes, " ")),
            Node::Choice(nodes) => format!("({})", joined(nodes, " | ")),
            Node::Repeat(node, min, max) => {
                let count = match (min, max) {
                    (0, None) => "*".into(),
                    (1, None) => "+".into(),
                    (0, Some(1)) => "?".into(),
                    (min, None) => format!("{{{min},}}"),
                    (min, Some(max)) if min == max => format!("{{{min}}}"),
                    (min, Some(max)) => format!("{{{min},{max}}}"),
                };
                format!("({}){count}", node.gbnf())
            }
            Node::Rule(0) => "root".into(),
            Node::Rule(rule) => format!("r{rule}"),
        }
    }
}

/// A character as GBNF spells it.
fn escaped(c: char) -> String {
    match c {
        '"' | '\\' | ']' | '-' | '[' => format!("\\{c}"),
        '\n' => "\\n".into(),
        '\u{80}'.. => format!("\\U{:08X}", u32::from(c)),
        '\0'..' ' | '^' => format!("\\x{:02X}", u32::from(c)),
        c => c.to_string(),
    }
}
