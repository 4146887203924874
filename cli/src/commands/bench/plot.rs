//! Chart of tokens per second against depth.

use std::collections::BTreeSet;

use super::row::Row;
use crate::chart::{Axis, Chart, Line, Point};

/// Rows that differ in nothing but their depth.
struct Series<'r> {
    label: String,
    rows: Vec<&'r Row>,
}

/// Groups the rows by everything but their depth, in the order of their first rows.
fn series(rows: &[Row]) -> Vec<Series<'_>> {
    let attributes = |row: &Row| {
        let s = &row.setting;
        let threads = format!("{} {}", s.threads, if s.threads == 1 { "thread" } else { "threads" });
        let batch = format!("batch {}", s.batch);
        [s.model.name.clone(), s.name(), s.isa.into(), threads, s.kv.to_string(), batch]
    };
    let all: Vec<_> = rows.iter().map(attributes).collect();
    // Attributes that are the same everywhere are left out of the labels, except the test.
    let varies = |i: usize| i == 1 || all.iter().map(|attributes| &attributes[i]).collect::<BTreeSet<_>>().len() > 1;
    let mut all_series: Vec<Series<'_>> = Vec::new();
    for (row, attributes) in rows.iter().zip(&all) {
        let said = attributes.iter().enumerate().filter(|&(i, _)| varies(i)).map(|(_, attribute)| attribute.as_str());
        let label = said.collect::<Vec<_>>().join(", ");
        match all_series.iter_mut().find(|series| series.label == label) {
            Some(series) => series.rows.push(row),
            None => all_series.push(Series { label, rows: vec![row] }),
        }
    }
    all_series.iter_mut().for_each(|series| series.rows.sort_by_key(|row| row.setting.depth));
    all_series
}

/// Draws a line for each model, test, number of sequences, ISA, number of threads, cache and batch, with bars from the slowest to the fastest
/// repetition. The rates have a logarithmic axis, since prompts run tens of times as fast.
pub fn plot(rows: &[Row]) -> anyhow::Result<String> {
    let point = |row: &&Row| {
        let rate = row.tokens_per_second();
        Point { x: row.setting.depth as f64, y: rate.median, range: [rate.min, rate.max] }
    };
    let lines =
        series(rows).into_iter().map(|Series { label, rows }| Line { label, points: rows.iter().map(point).collect() });
    Chart { x: Axis::linear("tokens in the context"), y: Axis::log10("tokens/s"), lines: lines.collect() }.svg()
}
