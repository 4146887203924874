//! Pieces of GBNF.

/// A text as a literal.
pub(super) fn literal(text: &str) -> String {
    format!("\"{}\"", text.chars().map(|c| escaped(c, &['"', '\\'])).collect::<String>())
}

/// A class of these ranges of code points without surrogates; one that matches nothing if there are none.
pub(super) fn class(ranges: &[(u32, u32)]) -> String {
    let ranges: Vec<(char, char)> =
        ranges.iter().filter_map(|&(lo, hi)| char::from_u32(lo).zip(char::from_u32(hi))).collect();
    if ranges.is_empty() {
        return NOTHING.into();
    }
    let of = |c| escaped(c, &['[', ']', '\\', '-', '^']);
    let range = |&(lo, hi): &(char, char)| if lo == hi { of(lo) } else { format!("{}-{}", of(lo), of(hi)) };
    format!("[{}]", ranges.iter().map(range).collect::<String>())
}

/// Matches no text: a branch with it is left out.
pub(super) const NOTHING: &str = r"[^\x00-\U0010FFFF]";

/// Alternatives as one group.
pub(super) fn any_of(alternatives: impl IntoIterator<Item = String>) -> String {
    let alternatives: Vec<String> = alternatives.into_iter().collect();
    match &alternatives[..] {
        [] => NOTHING.into(),
        _ => format!("({})", alternatives.join(" | ")),
    }
}

/// An item that comes `min` to `max` times; `None` for no greatest number.
pub(super) fn repeated(item: &str, min: u64, max: Option<u64>) -> String {
    match (min, max) {
        (_, Some(0)) => "\"\"".into(),
        (0, None) => format!("({item})*"),
        (1, None) => format!("({item})+"),
        (0, Some(1)) => format!("({item})?"),
        (1, Some(1)) => format!("({item})"),
        (min, None) => format!("({item}){{{min},}}"),
        (min, Some(max)) => format!("({item}){{{min},{max}}}"),
    }
}

fn escaped(c: char, marks: &[char]) -> String {
    let mut out = String::new();
    match c {
        '\n' => out.push_str("\\n"),
        '\r' => out.push_str("\\r"),
        '\t' => out.push_str("\\t"),
        // `^` has no escape of its own.
        '^' if marks.contains(&'^') => out.push_str("\\x5E"),
        c if marks.contains(&c) => out.extend(['\\', c]),
        '\0'..' ' | '\x7f' => out.push_str(&format!("\\x{:02X}", u32::from(c))),
        c => out.push(c),
    }
    out
}
