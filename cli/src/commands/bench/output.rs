//! Results as tables, and as JSON and CSV for programs.

use std::fmt::Write;

use super::args::Format;
use super::noise;
use super::row::{Row, Test};
use super::table::Table;
use crate::args::rings;
use crate::terminal::Bytes;

/// Formats the rows, with a line end.
pub fn render(rows: &[Row], format: Format) -> String {
    match format {
        Format::Table => Table::new(rows).text(),
        Format::Md => markdown(rows),
        Format::Csv => csv(rows),
        Format::Json => json(rows),
    }
}

/// Field of a row, for programs.
enum Field {
    Text(String),
    Number(Option<f64>),
    Count(u64),
    Numbers(Vec<Option<f64>>),
}

/// Names and values of the fields. Scripts depend on the names, so they never change.
fn fields(row: &Row) -> Vec<(&'static str, Field)> {
    use Field::{Count, Number, Numbers, Text};
    let (s, rate) = (&row.setting, row.tokens_per_second());
    let peak = |of: fn(&super::row::Peaks) -> f64| Number(row.peaks.as_ref().map(of));
    let macs = row.macs_per_token();
    vec![
        ("model", Text(s.model.name.clone())),
        ("weights", Text(s.model.weights.clone())),
        ("layout", Text(s.model.layout.into())),
        ("size_bytes", Count(s.model.size)),
        ("parameters", Count(s.model.params)),
        ("isa", Text(s.isa.into())),
        ("threads", Count(s.threads as u64)),
        ("kv", Text(s.kv.to_string())),
        ("batch_tokens", Count(s.batch as u64)),
        ("sequences", Count(s.n_sequences as u64)),
        ("ring", Text(rings::word(&s.ring))),
        ("horizon_eps", Number(Some(s.horizon_eps.into()))),
        ("text", Text(s.text.clone())),
        ("depth_tokens", Count(s.depth as u64)),
        ("test", Text(s.test.to_string())),
        ("test_tokens", Count(s.test.n_tokens() as u64)),
        ("repetitions", Count(row.samples.len() as u64)),
        ("tokens_per_second", Number(Some(rate.median))),
        ("tokens_per_second_min", Number(Some(rate.min))),
        ("tokens_per_second_max", Number(Some(rate.max))),
        ("texts_per_second", Number(row.texts_per_second())),
        ("bytes_per_token", Number(row.bytes_per_token())),
        ("weight_bytes_per_token", Count(s.model.bytes_per_token)),
        ("kv_bytes_per_token", Number(Some(row.kv_bytes_per_token()))),
        ("read_bandwidth_bytes_per_second", peak(|peaks| peaks.read_bandwidth)),
        ("read_bandwidth_buffer_bytes", peak(|peaks| peaks.buffer_bytes as f64)),
        ("read_bandwidth_share", Number(row.bandwidth_share())),
        ("weight_macs_per_token", Number(macs.map(|[weights, _]| weights))),
        ("attention_macs_per_token", Number(macs.map(|[_, attention]| attention))),
        ("macs_per_second", Number(row.macs_per_second())),
        ("int8_peak_macs_per_second", peak(|peaks| peaks.int8)),
        ("int8_peak_share", Number(row.int8_share())),
        ("keys_visited", Count(row.keys.visited)),
        ("keys_held", Count(row.keys.held)),
        ("keys_visited_by_head", Numbers(row.keys.by_head.iter().map(|&n| Some(n as f64)).collect())),
        ("others_core_share_max", Number(row.others())),
        ("disturbed_repetitions", Count(row.n_disturbed() as u64)),
        ("samples_tokens_per_second", Numbers(row.rates().map(Some).collect())),
        ("samples_others_core_share", Numbers(row.samples.iter().map(|seen| seen.others).collect())),
    ]
}

fn json(rows: &[Row]) -> String {
    let number = |x: Option<f64>| x.filter(|x| x.is_finite()).map_or("null".into(), |x| x.to_string());
    let value = |field: Field| match field {
        Field::Text(text) => json_string(&text),
        Field::Number(x) => number(x),
        Field::Count(n) => n.to_string(),
        Field::Numbers(all) => format!("[{}]", all.into_iter().map(number).collect::<Vec<_>>().join(", ")),
    };
    let object = |row: &Row| {
        let fields = fields(row).into_iter().map(|(name, field)| format!("    \"{name}\": {}", value(field)));
        format!("  {{\n{}\n  }}", fields.collect::<Vec<_>>().join(",\n"))
    };
    format!("[\n{}\n]\n", rows.iter().map(object).collect::<Vec<_>>().join(",\n"))
}

/// String as JSON, RFC 8259.
fn json_string(text: &str) -> String {
    let mut out = String::from('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            '\0'..='\x1f' => write!(out, "\\u{:04x}", u32::from(c)).expect("strings take all"),
            _ => out.push(c),
        }
    }
    out.push('"');
    out
}

/// CSV of RFC 4180 with plain line ends; several numbers in a field have spaces between them.
fn csv(rows: &[Row]) -> String {
    let number = |x: Option<f64>| x.map_or(String::new(), |x| x.to_string());
    let value = |field: Field| match field {
        Field::Text(text) if text.contains(['"', ',', '\n', '\r']) => format!("\"{}\"", text.replace('"', "\"\"")),
        Field::Text(text) => text,
        Field::Number(x) => number(x),
        Field::Count(n) => n.to_string(),
        Field::Numbers(all) => all.into_iter().map(number).collect::<Vec<_>>().join(" "),
    };
    let mut out = String::new();
    for (i, row) in rows.iter().enumerate() {
        let (names, values): (Vec<_>, Vec<_>) = fields(row).into_iter().map(|(name, f)| (name, value(f))).unzip();
        if i == 0 {
            out += &names.join(",");
            out.push('\n');
        }
        out += &values.join(",");
        out.push('\n');
    }
    out
}

/// Column that only tables with encoders have.
const TEXTS: &str = "texts/s";

/// Names of the columns of a table, and true for numbers. `keys`: share of the held keys that was visited; `others`: largest
/// share of a core that other processes took during a repetition.
pub const COLUMNS: [(&str, bool); 17] = [
    ("model", false),
    ("weights", false),
    ("layout", false),
    ("size", true),
    ("params", true),
    ("isa", false),
    ("threads", true),
    ("kv", false),
    ("batch", true),
    ("depth", true),
    ("test", false),
    ("tokens/s (min..max)", true),
    (TEXTS, true),
    ("moved or done", true),
    ("of the peak", true),
    ("keys", true),
    ("others", true),
];

pub fn cells(row: &Row) -> [String; COLUMNS.len()] {
    let s = &row.setting;
    let rate = row.tokens_per_second();
    let mark = if row.n_disturbed() > 0 { "*" } else { "" };
    let (done, share) = match s.test {
        Test::Prompt(_) | Test::Embed { .. } => {
            let peak = row.peaks.map(|peaks| format!(" of {}MAC/s", scaled(peaks.int8)));
            (row.macs_per_second().map(|macs| format!("{}MAC/s", scaled(macs))), row.int8_share().zip(peak))
        }
        Test::Generate(_) => {
            let peak = row.peaks.map(|peaks| format!(" of {}B/s", scaled(peaks.read_bandwidth)));
            (row.bytes_per_token().map(|bytes| format!("{}B/token", scaled(bytes))), row.bandwidth_share().zip(peak))
        }
    };
    [
        s.model.name.clone(),
        s.model.weights.clone(),
        s.model.layout.into(),
        Bytes(s.model.size).to_string(),
        scaled(s.model.params as f64),
        s.isa.into(),
        s.threads.to_string(),
        s.kv.to_string(),
        s.batch.to_string(),
        s.depth.to_string(),
        s.name(),
        format!("{}{mark} ({}..{})", digits(rate.median), digits(rate.min), digits(rate.max)),
        row.texts_per_second().map(digits).unwrap_or_default(),
        done.unwrap_or_default(),
        share.map(|(share, peak)| format!("{:.0} %{peak}", 100.0 * share)).unwrap_or_default(),
        format!("{:.1} %", 100.0 * row.keys.share()),
        row.others().map(|others| format!("{:.1} %", 100.0 * others)).unwrap_or_default(),
    ]
}

/// Formats a number with three digits or more.
fn digits(x: f64) -> String {
    let decimals = if x < 10.0 { 2 } else { usize::from(x < 100.0) };
    format!("{x:.decimals$}")
}

/// Formats a number with the prefix of a power of a thousand.
pub fn scaled(x: f64) -> String {
    let prefixes = [(1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")];
    match prefixes.into_iter().find(|(unit, _)| x >= *unit) {
        Some((unit, prefix)) => format!("{} {prefix}", digits(x / unit)),
        None => format!("{} ", digits(x)),
    }
}

/// Columns that the rows have, in order: their number among all, and true for numbers.
fn columns(rows: &[Row]) -> Vec<(usize, bool)> {
    let has_texts = rows.iter().any(|row| row.texts_per_second().is_some());
    let all = COLUMNS.iter().enumerate().filter(|(_, (name, _))| has_texts || *name != TEXTS);
    all.map(|(column, &(_, is_number))| (column, is_number)).collect()
}

fn markdown(rows: &[Row]) -> String {
    let columns = columns(rows);
    let rules = COLUMNS.map(|(_, is_number)| if is_number { "---:" } else { "---" });
    let line = |cells: &[&str]| {
        let cells: Vec<&str> = columns.iter().map(|&(column, _)| cells[column]).collect();
        format!("| {} |\n", cells.join(" | "))
    };
    let mut out = line(&COLUMNS.map(|(name, _)| name)) + &line(&rules);
    for row in rows {
        let cells = cells(row).map(|cell| cell.replace('|', "\\|"));
        out += &line(&cells.each_ref().map(String::as_str));
    }
    out
}

/// Note on the columns that a table leaves out, if there are any.
pub fn note_on_columns(rows: &[Row], format: Format) -> Option<String> {
    matches!(format, Format::Table).then(|| Table::new(rows).note()).flatten()
}

/// Explanation of the marks, if there are any.
pub fn note_on_marks(rows: &[Row]) -> Option<String> {
    let marked: Vec<&Row> = rows.iter().filter(|row| row.n_disturbed() > 0).collect();
    let (n, of) = marked.iter().fold((0, 0), |(n, of), row| (n + row.n_disturbed(), of + row.samples.len()));
    let most = marked.iter().filter_map(|row| row.others()).max_by(f64::total_cmp)?;
    let (limit, most) = (100.0 * noise::LIMIT, 100.0 * most);
    Some(format!(
        "* other processes took more than {limit:.0} % of a core in {n} of {of} repetitions, {most:.0} % at the most"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_as_people_read_them() {
        assert_eq!([scaled(0.5), scaled(12.34), scaled(1234.0)], ["0.50 ", "12.3 ", "1.23 k"]);
        assert_eq!([scaled(123_456_789.0), scaled(2.5e9), scaled(3e14)], ["123 M", "2.50 G", "300 T"]);
    }

    #[test]
    fn strings_of_json_are_escaped() {
        assert_eq!(json_string("a\"b\\c\nd\u{e9}"), "\"a\\\"b\\\\c\\u000ad\u{e9}\"");
    }
}
