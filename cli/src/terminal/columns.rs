//! Text in at most [`WIDTH`] columns.

/// Columns of a table or a line at most.
pub const WIDTH: usize = 100;

/// Number of columns of a text.
pub fn width(text: &str) -> usize {
    text.chars().count()
}

/// Text in at most `n` columns, at least 8: what is too much is cut out of the middle, nearer to the beginning, since names of model
/// files differ at their ends.
pub fn shortened(text: &str, n: usize) -> String {
    let length = width(text);
    if length <= n {
        return text.to_owned();
    }
    let (n_begin, n_end) = (n / 3, n - n / 3 - 1);
    let begin = text.chars().take(n_begin);
    let end = text.chars().skip(length - n_end);
    begin.chain(['\u{2026}']).chain(end).collect()
}

/// Text in lines of at most [`WIDTH`] columns, broken at spaces; lines after the first begin with `indent` spaces. Words that are
/// longer stay whole.
pub fn wrapped(text: &str, indent: usize) -> String {
    let mut out = String::new();
    let mut column = 0;
    for (i, word) in text.split(' ').enumerate() {
        let length = width(word);
        if column > indent && column + 1 + length > WIDTH {
            out.push('\n');
            out.extend(std::iter::repeat_n(' ', indent));
            column = indent;
        } else if i > 0 {
            out.push(' ');
            column += 1;
        }
        out.push_str(word);
        column += length;
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_name_is_cut_in_the_middle() {
        assert_eq!(shortened("model.gguf", 10), "model.gguf");
        assert_eq!(shortened("some-long-model-Q4_K_M.gguf", 20), "some-l\u{2026}l-Q4_K_M.gguf");
        assert_eq!(width(&shortened("some-long-model-Q4_K_M.gguf", 20)), 20);
    }

    #[test]
    fn long_lines_are_broken_at_spaces() {
        let word = "a".repeat(30);
        let text = [word.as_str(); 4].join(" ");
        assert_eq!(wrapped(&text, 2), format!("{word} {word} {word}\n  {word}"));
        assert_eq!(wrapped("  indented text", 4), "  indented text");
        let long = "b".repeat(120);
        assert_eq!(wrapped(&format!("  --ring {long}"), 4), format!("  --ring\n    {long}"));
        assert_eq!(wrapped(&long, 4), long);
    }
}
