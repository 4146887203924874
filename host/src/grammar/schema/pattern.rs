//! Regular expressions of `pattern` (ECMA-262, without look-around and back-references) to GBNF, over the spelling of JSON strings.

use super::super::gbnf::{any_of, repeated};
use super::chars::Chars;
use crate::error::{Context, Result, bail, ensure};

/// Bytes of a pattern at most: its classes are merged letter by letter.
const MAX_PATTERN: usize = 10_000;
/// Groups in each other, at most.
const MAX_DEPTH: usize = 32;

/// Right side for the letters between the quotes of a string in which the pattern is found.
pub(super) fn to_gbnf(pattern: &str, path: &str) -> Result<String> {
    ensure!(pattern.len() <= MAX_PATTERN, "{path}/pattern: more than {MAX_PATTERN} bytes");
    let mut parser = Parser { chars: pattern.chars().collect(), pos: 0, depth: 0, path };
    let body = parser.alternatives(true)?;
    ensure!(parser.pos == parser.chars.len(), "{path}/pattern: {pattern:?} has a ) too many");
    Ok(body)
}

struct Parser<'p> {
    chars: Vec<char>,
    pos: usize,
    depth: usize,
    path: &'p str,
}

impl Parser<'_> {
    /// Alternatives; those of the whole pattern may be bound to the beginning and the end of the text.
    fn alternatives(&mut self, is_whole: bool) -> Result<String> {
        let mut alternatives = vec![self.sequence(is_whole)?];
        while self.eat('|') {
            alternatives.push(self.sequence(is_whole)?);
        }
        Ok(any_of(alternatives))
    }

    fn sequence(&mut self, is_whole: bool) -> Result<String> {
        let mut items = Vec::new();
        if is_whole && !self.eat('^') {
            items.push("char*".into());
        }
        let mut is_bound = false;
        while let Some(c) = self.peek().filter(|c| !matches!(c, '|' | ')')) {
            ensure!(!is_bound, "{}: something behind $ is not supported", self.place());
            self.pos += 1;
            match c {
                '$' if is_whole => is_bound = true,
                '^' | '$' => bail!("{}: {c} inside of a pattern is not supported", self.place()),
                c => {
                    let item = self.atom(c)?;
                    items.push(self.quantified(item)?);
                }
            }
        }
        if is_whole && !is_bound {
            items.push("char*".into());
        }
        Ok(if items.is_empty() { "\"\"".into() } else { items.join(" ") })
    }

    fn atom(&mut self, first: char) -> Result<String> {
        Ok(match first {
            '(' => return self.group(),
            '[' => self.class()?.in_json(),
            '.' => Chars::all().minus(&line_ends()).in_json(),
            '\\' => self.escape(false)?.in_json(),
            '*' | '+' | '?' => bail!("{}: nothing to repeat", self.place()),
            c => Chars::of(&[(c.into(), c.into())]).in_json(),
        })
    }

    fn group(&mut self) -> Result<String> {
        ensure!(self.depth < MAX_DEPTH, "{}: more than {MAX_DEPTH} groups in each other", self.place());
        if self.eat('?') && !self.eat(':') {
            let is_named = self.eat('<') && !matches!(self.peek(), Some('=' | '!'));
            ensure!(is_named, "{}: look-around is not supported", self.place());
            while self.peek().is_some_and(|c| c != '>') {
                self.pos += 1;
            }
            self.pos += 1;
        }
        self.depth += 1;
        let body = self.alternatives(false)?;
        self.depth -= 1;
        ensure!(self.eat(')'), "{}: a ) is missing", self.place());
        Ok(body)
    }

    fn quantified(&mut self, item: String) -> Result<String> {
        let (min, max) = match self.peek() {
            Some('*') => (0, None),
            Some('+') => (1, None),
            Some('?') => (0, Some(1)),
            Some('{') => match self.counts() {
                Some(counts) => counts,
                None => return Ok(item),
            },
            _ => return Ok(item),
        };
        self.pos += 1;
        ensure!(max.is_none_or(|max| min <= max), "{}: a repetition that ends before it begins", self.place());
        // Lazy or greedy: the texts are the same.
        self.eat('?');
        ensure!(!matches!(self.peek(), Some('*' | '+' | '?')), "{}: nothing to repeat", self.place());
        Ok(repeated(&item, min, max))
    }

    /// Reads `{m}`, `{m,}` or `{m,n}` up to the last brace; nothing if these letters are none of them.
    fn counts(&mut self) -> Option<(u64, Option<u64>)> {
        let end = self.chars.get(self.pos..)?.iter().position(|&c| c == '}')?;
        let inner: String = self.chars.get(self.pos + 1..self.pos + end)?.iter().collect();
        if !inner.chars().all(|c| c.is_ascii_digit() || c == ',') {
            return None;
        }
        let (min, max) = match inner.split_once(',') {
            None => (inner.parse().ok()?, Some(inner.parse().ok()?)),
            Some((min, "")) => (min.parse().ok()?, None),
            Some((min, max)) => (min.parse().ok()?, Some(max.parse().ok()?)),
        };
        self.pos += end;
        Some((min, max))
    }

    fn class(&mut self) -> Result<Chars> {
        let is_negated = self.eat('^');
        let mut chars = Chars::none();
        while !self.eat(']') {
            let lo = self.class_item()?;
            let is_range = self.peek() == Some('-') && self.chars.get(self.pos + 1).is_some_and(|&c| c != ']');
            chars = match (is_range, lo.only()) {
                (true, Some(from)) => {
                    self.pos += 1;
                    let to = self.class_item()?;
                    let to = to.only().with_context(|| format!("{}: a range ends with a class", self.place()))?;
                    ensure!(from <= to, "{}: a range that ends before it begins", self.place());
                    chars.with(from, to)
                }
                _ => chars.or(&lo),
            };
        }
        Ok(if is_negated { Chars::all().minus(&chars) } else { chars })
    }

    fn class_item(&mut self) -> Result<Chars> {
        let c = self.peek().with_context(|| format!("{}: a ] is missing", self.place()))?;
        self.pos += 1;
        match c {
            '\\' => self.escape(true),
            c => Ok(Chars::of(&[(c.into(), c.into())])),
        }
    }

    fn escape(&mut self, in_class: bool) -> Result<Chars> {
        let c = self.peek().with_context(|| format!("{}: a \\ at the end", self.place()))?;
        self.pos += 1;
        let one = |code: u32| Chars::of(&[(code, code)]);
        Ok(match c {
            'd' => Chars::of(&DIGITS),
            'D' => Chars::all().minus(&Chars::of(&DIGITS)),
            'w' => Chars::of(&WORD),
            'W' => Chars::all().minus(&Chars::of(&WORD)),
            's' => Chars::of(&SPACES),
            'S' => Chars::all().minus(&Chars::of(&SPACES)),
            'n' => one(0x0a),
            'r' => one(0x0d),
            't' => one(0x09),
            'f' => one(0x0c),
            'v' => one(0x0b),
            'b' if in_class => one(0x08),
            '0' if !self.peek().is_some_and(|c| c.is_ascii_digit()) => one(0),
            'x' => one(self.hex(2)?),
            'u' if self.eat('{') => {
                let n = self.chars.get(self.pos..).unwrap_or_default().iter().take_while(|&&c| c != '}').count();
                let code = self.hex(n)?;
                ensure!(self.eat('}'), "{}: a }} is missing", self.place());
                self.character(code)?
            }
            'u' => {
                let high = self.hex(4)?;
                let is_pair = (0xd800..0xdc00).contains(&high) && self.eat('\\') && self.eat('u');
                let code = if is_pair {
                    let low = self.hex(4)?.checked_sub(0xdc00).filter(|&low| low < 0x400);
                    let low = low.with_context(|| format!("{}: half of a pair is missing", self.place()))?;
                    0x10000 + ((high - 0xd800) << 10) + low
                } else {
                    high
                };
                self.character(code)?
            }
            c if !c.is_alphanumeric() => one(c.into()),
            c => bail!("{}: \\{c} is not supported", self.place()),
        })
    }

    fn character(&self, code: u32) -> Result<Chars> {
        ensure!(char::from_u32(code).is_some(), "{}: U+{code:04X} is no character", self.place());
        Ok(Chars::of(&[(code, code)]))
    }

    fn hex(&mut self, n: usize) -> Result<u32> {
        let digits: String = self.chars.get(self.pos..self.pos + n).unwrap_or_default().iter().collect();
        self.pos += n;
        let is_hex = digits.chars().all(|c| c.is_ascii_hexdigit());
        is_hex
            .then(|| u32::from_str_radix(&digits, 16).ok())
            .flatten()
            .with_context(|| format!("{}: hexadecimal digits are missing", self.place()))
    }

    fn eat(&mut self, c: char) -> bool {
        let found = self.peek() == Some(c);
        self.pos += usize::from(found);
        found
    }

    fn peek(&self) -> Option<char> {
        self.chars.get(self.pos).copied()
    }

    fn place(&self) -> String {
        format!("{}/pattern, character {}", self.path, self.pos)
    }
}

const DIGITS: [(u32, u32); 1] = [(0x30, 0x39)];
const WORD: [(u32, u32); 4] = [(0x30, 0x39), (0x41, 0x5a), (0x5f, 0x5f), (0x61, 0x7a)];
const SPACES: [(u32, u32); 10] = [
    (0x09, 0x0d),
    (0x20, 0x20),
    (0xa0, 0xa0),
    (0x1680, 0x1680),
    (0x2000, 0x200a),
    (0x2028, 0x2029),
    (0x202f, 0x202f),
    (0x205f, 0x205f),
    (0x3000, 0x3000),
    (0xfeff, 0xfeff),
];

fn line_ends() -> Chars {
    Chars::of(&[(0x0a, 0x0a), (0x0d, 0x0d), (0x2028, 0x2029)])
}
