//! Share of the held keys that each head visited, as a table and as a picture.

use super::GRAY;
use std::fmt;

use nearfield::{Shape, alibi};
use nearfield_host::generate::Generated;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

/// Keys visited by each head of each layer.
#[derive(Clone, Debug)]
pub struct Keys {
    shape: Shape,
    /// `[n_layer, n_head]`
    visited: Vec<u64>,
    /// Keys that each head would have visited without a horizon.
    held: u64,
}

impl Keys {
    /// Counts of a generated text.
    pub fn new(shape: &Shape, text: &Generated) -> Self {
        Self { shape: *shape, visited: text.visited.clone(), held: text.held }
    }

    /// Shape of the model.
    pub fn shape(&self) -> &Shape {
        &self.shape
    }

    /// Share of the keys that one head visited.
    fn share(&self, layer: usize, head: usize) -> f64 {
        self.visited[layer * self.shape.n_head + head] as f64 / self.held.max(1) as f64
    }

    /// Share of the keys that all heads visited.
    pub fn total_share(&self) -> f64 {
        self.visited.iter().map(|&n| n as f64).sum::<f64>() / (self.held.max(1) as f64 * self.visited.len() as f64)
    }

    /// Heads with their slopes, the steepest first.
    fn heads(&self) -> Vec<(usize, f32)> {
        let s = &self.shape;
        let slope = |head| alibi::slope(head, s.n_head, s.max_alibi_bias) * s.bias_scale();
        let mut heads: Vec<_> = (0..s.n_head).map(|head| (head, slope(head))).collect();
        heads.sort_by(|a, b| b.1.total_cmp(&a.1));
        heads
    }
}

/// Heads in a line of 100 columns.
const HEADS_PER_LINE: usize = 13;

/// Prints one line for each layer, one column for each head; heads that have no room follow in further lines.
impl fmt::Display for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("keys visited, % of those held; heads from steep to flat")?;
        for heads in self.heads().chunks(HEADS_PER_LINE) {
            f.write_str("\n   slope")?;
            heads.iter().try_for_each(|(_, slope)| write!(f, " {:>6}", short(*slope)))?;
            for layer in 0..self.shape.n_layer {
                write!(f, "\nlayer {layer:>2}")?;
                heads.iter().try_for_each(|&(head, _)| write!(f, " {:>6.1}", 100.0 * self.share(layer, head)))?;
            }
        }
        Ok(())
    }
}

/// Formats a slope in six characters.
fn short(slope: f32) -> String {
    if slope >= 0.001 { format!("{slope:.4}") } else { format!("{slope:.0e}") }
}

/// Width and height of a cell.
const CELL: (i32, i32) = (52, 30);
/// Space left of and above the cells.
const MARGIN: (i32, i32) = (78, 62);
/// Space right of and below the cells.
const EDGE: i32 = 12;
/// Colors of heads that visited none and all of their keys; others are mixed.
const NONE_TO_ALL: [RGBColor; 2] = [RGBColor(0x23, 0x3b, 0x5e), RGBColor(0xf2, 0xc1, 0x4e)];

impl Keys {
    /// Draws the table in SVG: a cell for each layer and head, without a background, so that it suits light and dark pages.
    pub fn plot(&self) -> anyhow::Result<String> {
        let heads = self.heads();
        let size = |margin, cell, n| (margin + cell * n as i32 + EDGE) as u32;
        let size = (size(MARGIN.0, CELL.0, heads.len()), size(MARGIN.1, CELL.1, self.shape.n_layer));
        let mut svg = String::new();
        {
            let root = SVGBackend::with_string(&mut svg, size).into_drawing_area();
            // The backend writes 0.8 of the size.
            let label = |text: &str, at, align, size, color: &RGBColor| {
                let style = ("sans-serif", size).into_font().color(color).pos(align);
                root.draw_text(text, &style, at)
            };
            let left = Pos::new(HPos::Left, VPos::Center);
            let right = Pos::new(HPos::Right, VPos::Center);
            let center = Pos::new(HPos::Center, VPos::Center);
            label("Keys visited, % of the keys held", (EDGE, 16), left, 18, &GRAY)?;
            label("slope", (MARGIN.0 - 8, 46), right, 15, &GRAY)?;
            for (column, &(_, slope)) in heads.iter().enumerate() {
                let x = MARGIN.0 + CELL.0 * column as i32;
                label(&short(slope), (x + CELL.0 / 2, 46), center, 15, &GRAY)?;
            }
            for layer in 0..self.shape.n_layer {
                let y = MARGIN.1 + CELL.1 * layer as i32;
                label(&format!("layer {layer}"), (MARGIN.0 - 8, y + CELL.1 / 2), right, 15, &GRAY)?;
                for (column, &(head, _)) in heads.iter().enumerate() {
                    let x = MARGIN.0 + CELL.0 * column as i32;
                    let share = self.share(layer, head);
                    let corners = [(x + 1, y + 1), (x + CELL.0 - 1, y + CELL.1 - 1)];
                    root.draw(&Rectangle::new(corners, color_of(share).filled()))?;
                    let text = if share > 0.4 { &BLACK } else { &WHITE };
                    label(&format!("{:.0}", 100.0 * share), (x + CELL.0 / 2, y + CELL.1 / 2), center, 16, text)?;
                }
            }
            root.present()?;
        }
        Ok(svg)
    }
}

fn color_of(share: f64) -> RGBColor {
    let mix = |a: u8, b: u8| (f64::from(a) + share * (f64::from(b) - f64::from(a))).round() as u8;
    let [none, all] = NONE_TO_ALL;
    RGBColor(mix(none.0, all.0), mix(none.1, all.1), mix(none.2, all.2))
}
