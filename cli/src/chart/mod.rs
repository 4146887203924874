//! Line charts as SVG without a background, so that they suit light and dark pages.

mod axis;
pub mod keys;
mod style;

use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

pub use axis::Axis;
use axis::Scale;
use style::{Area, Pixel, Style};

/// Width and height of the field.
const FIELD: (i32, i32) = (560, 340);
/// Space left of and above the field.
const MARGIN: (i32, i32) = (76, 44);
/// Space below the field.
const FOOT: i32 = 52;
/// Right and lower end of the field.
const END: (i32, i32) = (MARGIN.0 + FIELD.0, MARGIN.1 + FIELD.1);
/// Width of a character of the legend, space beside the legend, length of its lines, and their height.
const LETTER: i32 = 8;
const LEGEND_MARGIN: i32 = 68;
const LEGEND_SAMPLE: i32 = 36;
const LEGEND_LINE: i32 = 22;
/// Text that is readable on white and on black.
const GRAY: RGBColor = RGBColor(0x7d, 0x85, 0x90);

/// Line chart. If all points have the same place on the horizontal axis, they stand side by side.
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

/// Places on the horizontal axis.
enum Columns {
    /// By the value.
    Scale(Scale),
    /// One for each line; all have the same value.
    Lines { value: f64, n: usize },
}

impl Columns {
    /// Place of a value of line `i`.
    fn x(&self, i: usize, value: f64) -> i32 {
        let share = match self {
            Self::Scale(scale) => scale.share(value),
            &Self::Lines { n, .. } => (i as f64 + 0.5) / n as f64,
        };
        MARGIN.0 + (share * f64::from(FIELD.0)) as i32
    }
}

impl Chart {
    /// Draws the chart.
    pub fn svg(&self) -> anyhow::Result<String> {
        let longest = self.lines.iter().map(|line| line.label.chars().count()).max().unwrap_or(0) as i32;
        let height = (END.1 + FOOT).max(MARGIN.1 + LEGEND_LINE * self.lines.len() as i32 + 8);
        let size = ((END.0 + LEGEND_MARGIN + LETTER * longest) as u32, height as u32);
        let mut svg = String::new();
        self.draw(&SVGBackend::with_string(&mut svg, size).into_drawing_area())?;
        Ok(svg)
    }

    fn draw(&self, area: &Area<'_>) -> anyhow::Result<()> {
        let y = self.y.scale(self.points().flat_map(|point| point.range));
        let columns = self.columns();
        label(area, self.y.label(), (MARGIN.0 - 60, 16), HPos::Left)?;
        label(area, self.x.label(), (END.0, END.1 + 38), HPos::Right)?;
        grid(area, &columns, &y)?;
        for (i, line) in self.lines.iter().enumerate() {
            let style = Style::of(i);
            let at = |point: &Point, value| (columns.x(i, point.x), place(&y, value));
            let points: Vec<&Point> = line.points.iter().filter(|point| self.has(point)).collect();
            let places: Vec<Pixel> = points.iter().map(|point| at(point, point.y)).collect();
            for (point, &place) in points.iter().zip(&places) {
                style.bar(area, point.range.map(|value| at(point, value)))?;
                style.marker(area, place)?;
                if let Columns::Lines { .. } = columns {
                    label(area, &short(point.y), (place.0 + 10, place.1), HPos::Left)?;
                }
            }
            if places.len() > 1 {
                style.line(area, &places)?;
            }
            let (x, y) = (END.0 + 16, MARGIN.1 + LEGEND_LINE * i as i32);
            style.line(area, &[(x, y), (x + LEGEND_SAMPLE, y)])?;
            style.marker(area, (x + LEGEND_SAMPLE / 2, y))?;
            label(area, &line.label, (x + LEGEND_SAMPLE + 8, y), HPos::Left)?;
        }
        Ok(area.present()?)
    }

    fn points(&self) -> impl Iterator<Item = &Point> {
        self.lines.iter().flat_map(|line| &line.points)
    }

    /// True if both axes have a place for the point.
    fn has(&self, point: &Point) -> bool {
        let has_range = || point.range.iter().all(|&value| self.y.has(value));
        self.x.has(point.x) && self.y.has(point.y) && has_range()
    }

    fn columns(&self) -> Columns {
        let mut values = self.points().map(|point| point.x);
        match values.next() {
            Some(value) if values.all(|other| other == value) => Columns::Lines { value, n: self.lines.len() },
            _ => Columns::Scale(self.x.scale(self.points().map(|point| point.x))),
        }
    }
}

/// Place on the vertical axis.
fn place(scale: &Scale, value: f64) -> i32 {
    MARGIN.1 + ((1.0 - scale.share(value)) * f64::from(FIELD.1)) as i32
}

fn grid(area: &Area<'_>, columns: &Columns, scale: &Scale) -> anyhow::Result<()> {
    let line = |ends: [Pixel; 2], is_labelled: bool| {
        area.draw(&PathElement::new(ends, GRAY.mix(if is_labelled { 0.3 } else { 0.12 })))
    };
    for tick in scale.ticks() {
        let y = place(scale, tick.value);
        line([(MARGIN.0, y), (END.0, y)], tick.label.is_some())?;
        if let Some(text) = tick.label {
            label(area, &text, (MARGIN.0 - 8, y), HPos::Right)?;
        }
    }
    match columns {
        Columns::Lines { value, .. } => {
            [MARGIN.0, END.0].iter().try_for_each(|&x| line([(x, MARGIN.1), (x, END.1)], true))?;
            label(area, &value.to_string(), (MARGIN.0 + FIELD.0 / 2, END.1 + 16), HPos::Center)?;
        }
        Columns::Scale(scale) => {
            for tick in scale.ticks() {
                let x = columns.x(0, tick.value);
                line([(x, MARGIN.1), (x, END.1)], tick.label.is_some())?;
                if let Some(text) = tick.label {
                    label(area, &text, (x, END.1 + 16), HPos::Center)?;
                }
            }
        }
    }
    Ok(())
}

fn label(area: &Area<'_>, text: &str, at: Pixel, side: HPos) -> anyhow::Result<()> {
    let style = ("sans-serif", 15).into_font().color(&GRAY).pos(Pos::new(side, VPos::Center));
    Ok(area.draw_text(text, &style, at)?)
}

/// Number with three digits or more.
fn short(value: f64) -> String {
    let decimals = (2.0 - value.abs().log10().floor()).clamp(0.0, 9.0) as usize;
    format!("{value:.decimals$}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chart(lines: &[&[(f64, f64)]]) -> String {
        let point = |&(x, y): &(f64, f64)| Point { x, y, range: [0.9 * y, 1.1 * y] };
        let line = |(i, points): (usize, &&[(f64, f64)])| Line {
            label: format!("line {i}"),
            points: points.iter().map(point).collect(),
        };
        let lines = lines.iter().enumerate().map(line).collect();
        Chart { x: Axis::linear("depth"), y: Axis::log10("rate"), lines }.svg().unwrap()
    }

    #[test]
    fn one_depth_is_no_line_but_a_column_for_each_line() {
        let svg = chart(&[&[(512.0, 20.0)], &[(512.0, 1000.0)]]);
        let has = |text: &str| svg.contains(&format!("\n{text}\n"));
        assert!(has("512") && has("20.0") && has("1000") && has("line 1"), "{svg}");
        // Columns at a quarter and at three quarters of the field; the second line has squares.
        assert!(svg.contains("<circle cx=\"216\"") && svg.contains("points=\"492,"), "{svg}");
        let several = chart(&[&[(0.0, 20.0), (512.0, 15.0)], &[(512.0, 1000.0)]]);
        assert!(several.contains("<circle cx=\"76\"") && several.contains("<circle cx=\"636\""), "{several}");
    }

    #[test]
    fn points_without_a_place_are_left_out() {
        let svg = chart(&[&[(0.0, 20.0), (512.0, f64::INFINITY), (1024.0, 0.0)]]);
        // The point, and that of the legend.
        assert_eq!(svg.matches("<circle").count(), 2, "{svg}");
        assert!(chart(&[]).ends_with("</svg>\n"));
    }

    #[test]
    fn numbers_have_three_digits() {
        let cases = [(12345.6, "12346"), (123.4, "123"), (99.96, "100.0"), (1.2345, "1.23"), (0.012345, "0.0123")];
        cases.iter().for_each(|&(value, want)| assert_eq!(short(value), want));
    }
}
