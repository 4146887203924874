//! Tokens per second against depth, as a picture.

use std::collections::BTreeSet;

use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use super::row::Row;

/// Width and height of the field.
const FIELD: (i32, i32) = (560, 340);
/// Left of and above it.
const MARGIN: (i32, i32) = (76, 44);
/// Below it.
const FOOT: i32 = 52;
/// For each character of the legend, and beside it.
const LETTER: i32 = 8;
const LEGEND_MARGIN: i32 = 48;
const LEGEND_LINE: i32 = 22;
/// Text that is readable on white and on black.
const GRAY: RGBColor = RGBColor(0x7d, 0x85, 0x90);
/// So are these lines.
const COLORS: [RGBColor; 8] = [
    RGBColor(0x4c, 0x8e, 0xda),
    RGBColor(0xe0, 0x80, 0x3a),
    RGBColor(0x3f, 0xa6, 0x6b),
    RGBColor(0xc6, 0x5b, 0x9b),
    RGBColor(0x8b, 0x7f, 0xd6),
    RGBColor(0xb8, 0x91, 0x2b),
    RGBColor(0x45, 0xa5, 0xab),
    RGBColor(0xd1, 0x60, 0x5e),
];

/// One line of the picture: rows that differ in nothing but their depth.
struct Line<'r> {
    label: String,
    rows: Vec<&'r Row>,
}

/// The rows by line, in the order of their first rows.
fn lines(rows: &[Row]) -> Vec<Line<'_>> {
    let attributes = |row: &Row| {
        let s = &row.setting;
        let threads = format!("{} {}", s.threads, if s.threads == 1 { "thread" } else { "threads" });
        let batch = format!("batch {}", s.batch);
        [s.model.name.clone(), s.test.to_string(), s.isa.into(), threads, s.kv.to_string(), batch]
    };
    let all: Vec<_> = rows.iter().map(attributes).collect();
    // What is the same everywhere need not be said; the test always is.
    let varies = |i: usize| i == 1 || all.iter().map(|attributes| &attributes[i]).collect::<BTreeSet<_>>().len() > 1;
    let mut lines: Vec<Line<'_>> = Vec::new();
    for (row, attributes) in rows.iter().zip(&all) {
        let said = attributes.iter().enumerate().filter(|&(i, _)| varies(i)).map(|(_, attribute)| attribute.as_str());
        let label = said.collect::<Vec<_>>().join(", ");
        match lines.iter_mut().find(|line| line.label == label) {
            Some(line) => line.rows.push(row),
            None => lines.push(Line { label, rows: vec![row] }),
        }
    }
    lines.iter_mut().for_each(|line| line.rows.sort_by_key(|row| row.setting.depth));
    lines
}

/// Where numbers lie in the field: depth evenly, rates by their logarithm, since a prompt is read tens of times as fast.
struct Scale {
    max_depth: f64,
    /// Logarithms of the lowest and highest rate.
    rates: [f64; 2],
}

impl Scale {
    fn new(rows: &[Row]) -> Self {
        let rates = || rows.iter().flat_map(|row| [row.rate().min, row.rate().max]).map(f64::ln);
        let (low, high) = (rates().fold(f64::INFINITY, f64::min), rates().fold(f64::NEG_INFINITY, f64::max));
        let max_depth = rows.iter().map(|row| row.setting.depth).max().unwrap_or(0);
        Self { max_depth: max_depth.max(1) as f64, rates: [low - 0.2, high + 0.2] }
    }

    fn x(&self, depth: f64) -> i32 {
        MARGIN.0 + (depth / self.max_depth * f64::from(FIELD.0)) as i32
    }

    fn y(&self, rate: f64) -> i32 {
        let [low, high] = self.rates;
        MARGIN.1 + ((high - rate.ln()) / (high - low) * f64::from(FIELD.1)) as i32
    }

    /// 1, 2 and 5 times powers of ten.
    fn rate_ticks(&self) -> Vec<f64> {
        let ticks = (-3..8).flat_map(|power| [1.0, 2.0, 5.0].map(|digit| digit * 10f64.powi(power)));
        ticks.filter(|tick| (self.rates[0]..self.rates[1]).contains(&tick.ln())).collect()
    }

    /// Up to eight steps, each a power of two.
    fn depth_ticks(&self) -> Vec<f64> {
        let step = (0..).map(|power| f64::from(1u32 << power)).find(|step| self.max_depth / step <= 8.0).unwrap_or(1.0);
        (0..=8).map(|i| f64::from(i) * step).filter(|&tick| tick <= self.max_depth).collect()
    }
}

/// A line for each model, test, ISA, number of threads, cache and batch; bars from the slowest to the fastest repetition.
/// In SVG, on no background, so that any page may show it.
pub fn plot(rows: &[Row]) -> anyhow::Result<String> {
    let (lines, scale) = (lines(rows), Scale::new(rows));
    let longest = lines.iter().map(|line| line.label.chars().count()).max().unwrap_or(0) as i32;
    let (right, bottom) = (MARGIN.0 + FIELD.0, MARGIN.1 + FIELD.1);
    let height = (bottom + FOOT).max(MARGIN.1 + LEGEND_LINE * lines.len() as i32 + 8);
    let size = ((right + LEGEND_MARGIN + LETTER * longest) as u32, height as u32);
    let mut svg = String::new();
    {
        let root = SVGBackend::with_string(&mut svg, size).into_drawing_area();
        let label = |text: &str, at, (h, v), color: &RGBColor| {
            root.draw_text(text, &("sans-serif", 15).into_font().color(color).pos(Pos::new(h, v)), at)
        };
        label("tokens/s", (MARGIN.0 - 60, 16), (HPos::Left, VPos::Center), &GRAY)?;
        label("tokens in the context", (right, bottom + 38), (HPos::Right, VPos::Center), &GRAY)?;
        let grid = GRAY.mix(0.3);
        for tick in scale.rate_ticks() {
            let y = scale.y(tick);
            root.draw(&PathElement::new([(MARGIN.0, y), (right, y)], grid))?;
            label(&tick.to_string(), (MARGIN.0 - 8, y), (HPos::Right, VPos::Center), &GRAY)?;
        }
        for tick in scale.depth_ticks() {
            let x = scale.x(tick);
            root.draw(&PathElement::new([(x, MARGIN.1), (x, bottom)], grid))?;
            label(&tick.to_string(), (x, bottom + 16), (HPos::Center, VPos::Center), &GRAY)?;
        }
        for (i, line) in lines.iter().enumerate() {
            let color = COLORS[i % COLORS.len()];
            let at = |row: &Row, rate| (scale.x(row.setting.depth as f64), scale.y(rate));
            let medians: Vec<_> = line.rows.iter().map(|row| at(row, row.rate().median)).collect();
            for (row, &median) in line.rows.iter().zip(&medians) {
                let (slowest, fastest) = (at(row, row.rate().min), at(row, row.rate().max));
                root.draw(&PathElement::new([slowest, fastest], color.mix(0.6)))?;
                root.draw(&Circle::new(median, 4, color.filled()))?;
            }
            root.draw(&PathElement::new(medians, color.stroke_width(2)))?;
            let (x, y) = (right + 16, MARGIN.1 + LEGEND_LINE * i as i32);
            root.draw(&PathElement::new([(x, y), (x + 18, y)], color.stroke_width(3)))?;
            label(&line.label, (x + 26, y), (HPos::Left, VPos::Center), &GRAY)?;
        }
        root.present()?;
    }
    Ok(svg)
}
