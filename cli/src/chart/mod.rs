//! Line charts as SVG without a background, so that they suit light and dark pages.

pub mod keys;

use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

/// Width and height of the field.
const FIELD: (i32, i32) = (560, 340);
/// Space left of and above the field.
const MARGIN: (i32, i32) = (76, 44);
/// Space below the field.
const FOOT: i32 = 52;
/// Width of a character of the legend, space beside the legend, and height of its lines.
const LETTER: i32 = 8;
const LEGEND_MARGIN: i32 = 48;
const LEGEND_LINE: i32 = 22;
/// Text that is readable on white and on black.
const GRAY: RGBColor = RGBColor(0x7d, 0x85, 0x90);
/// Colors of the lines, readable on white and on black.
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

/// Line chart.
pub struct Chart {
    /// Horizontal axis, from left to right.
    pub x: Axis,
    /// Vertical axis, from the bottom up.
    pub y: Axis,
    /// Lines in the order of the legend.
    pub lines: Vec<Line>,
}

/// Points joined by a line.
pub struct Line {
    /// Name in the legend.
    pub label: String,
    /// Points from left to right.
    pub points: Vec<Point>,
}

/// Point with a vertical bar through it.
pub struct Point {
    /// Value on the horizontal axis.
    pub x: f64,
    /// Value on the vertical axis.
    pub y: f64,
    /// Lower and upper end of the bar.
    pub range: [f64; 2],
}

/// Axis with its label and scale.
pub struct Axis {
    label: &'static str,
    kind: Kind,
}

#[derive(Clone, Copy)]
enum Kind {
    /// Linear scale from 0.
    Linear,
    /// Logarithmic scale; ticks at powers of two.
    Log2,
    /// Logarithmic scale; ticks at 1, 2 and 5 times powers of ten.
    Log10,
}

impl Axis {
    /// Linear axis from 0.
    pub const fn linear(label: &'static str) -> Self {
        Self { label, kind: Kind::Linear }
    }

    /// Logarithmic axis with ticks at powers of two.
    pub const fn log2(label: &'static str) -> Self {
        Self { label, kind: Kind::Log2 }
    }

    /// Logarithmic axis with ticks at 1, 2 and 5 times powers of ten.
    pub const fn log10(label: &'static str) -> Self {
        Self { label, kind: Kind::Log10 }
    }

    fn scale(&self, values: impl Iterator<Item = f64>) -> Scale {
        let kind = self.kind;
        let (low, high) = values
            .filter(|value| value.is_finite())
            .fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), value| (low.min(value), high.max(value)));
        let (low, high) = match kind {
            Kind::Linear => (0.0, if high > 0.0 { high } else { 1.0 }),
            Kind::Log2 => (low.log2() - 0.2, high.log2() + 0.2),
            Kind::Log10 => (low.ln() - 0.2, high.ln() + 0.2),
        };
        Scale { kind, low, high }
    }
}

/// Position of values between the ends of the field.
struct Scale {
    kind: Kind,
    low: f64,
    high: f64,
}

impl Scale {
    /// Position of a value: 0 at the low end, 1 at the high end.
    fn share(&self, value: f64) -> f64 {
        let at = match self.kind {
            Kind::Linear => value,
            Kind::Log2 => value.log2(),
            Kind::Log10 => value.ln(),
        };
        (at - self.low) / (self.high - self.low)
    }

    fn x(&self, value: f64) -> i32 {
        MARGIN.0 + (self.share(value) * f64::from(FIELD.0)) as i32
    }

    fn y(&self, value: f64) -> i32 {
        MARGIN.1 + ((1.0 - self.share(value)) * f64::from(FIELD.1)) as i32
    }

    fn ticks(&self) -> Vec<f64> {
        let ticks: Vec<f64> = match self.kind {
            // Up to eight steps, each a power of two.
            Kind::Linear => {
                let step = (0..).map(|power| f64::from(1u32 << power)).find(|step| self.high / step <= 8.0);
                (0..=8).map(|i| f64::from(i) * step.unwrap_or(1.0)).collect()
            }
            Kind::Log2 => (0..48).map(|power| 2f64.powi(power)).collect(),
            Kind::Log10 => (-3..12).flat_map(|power| [1.0, 2.0, 5.0].map(|digit| digit * 10f64.powi(power))).collect(),
        };
        ticks.into_iter().filter(|&tick| (0.0..=1.0).contains(&self.share(tick))).collect()
    }
}

impl Chart {
    /// Draws the chart.
    pub fn svg(&self) -> anyhow::Result<String> {
        let points = || self.lines.iter().flat_map(|line| &line.points);
        let x = self.x.scale(points().map(|point| point.x));
        let y = self.y.scale(points().flat_map(|point| point.range));
        let longest = self.lines.iter().map(|line| line.label.chars().count()).max().unwrap_or(0) as i32;
        let (right, bottom) = (MARGIN.0 + FIELD.0, MARGIN.1 + FIELD.1);
        let height = (bottom + FOOT).max(MARGIN.1 + LEGEND_LINE * self.lines.len() as i32 + 8);
        let size = ((right + LEGEND_MARGIN + LETTER * longest) as u32, height as u32);
        let mut svg = String::new();
        {
            let root = SVGBackend::with_string(&mut svg, size).into_drawing_area();
            let label = |text: &str, at, (h, v), color: &RGBColor| {
                root.draw_text(text, &("sans-serif", 15).into_font().color(color).pos(Pos::new(h, v)), at)
            };
            label(self.y.label, (MARGIN.0 - 60, 16), (HPos::Left, VPos::Center), &GRAY)?;
            label(self.x.label, (right, bottom + 38), (HPos::Right, VPos::Center), &GRAY)?;
            let grid = GRAY.mix(0.3);
            for tick in y.ticks() {
                let y = y.y(tick);
                root.draw(&PathElement::new([(MARGIN.0, y), (right, y)], grid))?;
                label(&tick.to_string(), (MARGIN.0 - 8, y), (HPos::Right, VPos::Center), &GRAY)?;
            }
            for tick in x.ticks() {
                let x = x.x(tick);
                root.draw(&PathElement::new([(x, MARGIN.1), (x, bottom)], grid))?;
                label(&tick.to_string(), (x, bottom + 16), (HPos::Center, VPos::Center), &GRAY)?;
            }
            for (i, line) in self.lines.iter().enumerate() {
                let color = COLORS[i % COLORS.len()];
                for point in &line.points {
                    let at = |value| (x.x(point.x), y.y(value));
                    root.draw(&PathElement::new(point.range.map(at), color.mix(0.6)))?;
                    root.draw(&Circle::new(at(point.y), 4, color.filled()))?;
                }
                let path: Vec<_> = line.points.iter().map(|point| (x.x(point.x), y.y(point.y))).collect();
                root.draw(&PathElement::new(path, color.stroke_width(2)))?;
                let (x, y) = (right + 16, MARGIN.1 + LEGEND_LINE * i as i32);
                root.draw(&PathElement::new([(x, y), (x + 18, y)], color.stroke_width(3)))?;
                label(&line.label, (x + 26, y), (HPos::Left, VPos::Center), &GRAY)?;
            }
            root.present()?;
        }
        Ok(svg)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_lie_in_the_field() {
        let scale = |axis: Axis, values: &[f64]| axis.scale(values.iter().copied());
        assert_eq!(
            scale(Axis::linear(""), &[0.0, 8192.0]).ticks(),
            (0..=8).map(|i| f64::from(i) * 1024.0).collect::<Vec<_>>()
        );
        assert_eq!(scale(Axis::linear(""), &[0.0]).ticks(), [0.0, 1.0]);
        assert_eq!(scale(Axis::log2(""), &[256.0, 2048.0]).ticks(), [256.0, 512.0, 1024.0, 2048.0]);
        assert_eq!(scale(Axis::log10(""), &[3.0, 60.0]).ticks(), [5.0, 10.0, 20.0, 50.0]);
    }
}
