//! Looks of lines: color, marker and dashes, so that lines differ in print and for people who are blind to some colors.

use plotters::coord::Shift;
use plotters::prelude::*;

/// Drawing area of an SVG file.
pub type Area<'s> = DrawingArea<SVGBackend<'s>, Shift>;
/// Place in pixels.
pub type Pixel = (i32, i32);

/// Colors that people with any kind of color blindness tell apart. Source: Okabe and Ito, Color Universal Design, 2008; black and
/// yellow are left out, since pages are black or white.
const COLORS: [RGBColor; 6] = [
    RGBColor(0x00, 0x72, 0xb2),
    RGBColor(0xd5, 0x5e, 0x00),
    RGBColor(0x00, 0x9e, 0x73),
    RGBColor(0xcc, 0x79, 0xa7),
    RGBColor(0xe6, 0x9f, 0x00),
    RGBColor(0x56, 0xb4, 0xe9),
];

/// Lengths of dashes and of the gaps behind them, in pixels.
const DASHES: [&[f64]; 4] = [&[], &[8.0, 5.0], &[2.0, 4.0], &[10.0, 4.0, 2.0, 4.0]];

/// Half of the size of a marker.
const SIZE: i32 = 5;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Marker {
    Disk,
    Square,
    Up,
    Diamond,
    Cross,
    Circle,
    Down,
    Plus,
}

const MARKERS: [Marker; 8] = [
    Marker::Disk,
    Marker::Square,
    Marker::Up,
    Marker::Diamond,
    Marker::Cross,
    Marker::Circle,
    Marker::Down,
    Marker::Plus,
];

/// Look of a line.
#[derive(Clone, Copy, Debug)]
pub struct Style {
    color: RGBColor,
    marker: Marker,
    dashes: &'static [f64],
}

impl Style {
    /// Look of line `i`. Without colors, 32 lines differ.
    pub fn of(i: usize) -> Self {
        Self {
            color: COLORS[i % COLORS.len()],
            marker: MARKERS[i % MARKERS.len()],
            dashes: DASHES[i / MARKERS.len() % DASHES.len()],
        }
    }

    /// Draws a vertical bar between two places.
    pub fn bar(&self, area: &Area<'_>, ends: [Pixel; 2]) -> anyhow::Result<()> {
        Ok(area.draw(&PathElement::new(ends, self.color.mix(0.6)))?)
    }

    /// Draws a line through the places.
    pub fn line(&self, area: &Area<'_>, points: &[Pixel]) -> anyhow::Result<()> {
        for dash in dashes(points, self.dashes) {
            area.draw(&PathElement::new(dash, self.color.stroke_width(2)))?;
        }
        Ok(())
    }

    /// Draws the marker.
    pub fn marker(&self, area: &Area<'_>, (x, y): Pixel) -> anyhow::Result<()> {
        let (fill, stroke) = (self.color.filled(), self.color.stroke_width(2));
        let at = |corners: &[Pixel]| corners.iter().map(|(dx, dy)| (x + dx, y + dy)).collect::<Vec<_>>();
        let polygon = |corners: &[Pixel]| area.draw(&Polygon::new(at(corners), fill));
        let strokes =
            |ends: [[Pixel; 2]; 2]| ends.iter().try_for_each(|ends| area.draw(&PathElement::new(at(ends), stroke)));
        let n = SIZE;
        match self.marker {
            Marker::Disk => area.draw(&Circle::new((x, y), n - 1, fill)),
            Marker::Circle => area.draw(&Circle::new((x, y), n - 1, stroke)),
            Marker::Square => polygon(&[(1 - n, 1 - n), (n - 1, 1 - n), (n - 1, n - 1), (1 - n, n - 1)]),
            Marker::Diamond => polygon(&[(0, -n), (n, 0), (0, n), (-n, 0)]),
            Marker::Up => polygon(&[(0, -n), (n, n - 1), (-n, n - 1)]),
            Marker::Down => polygon(&[(0, n), (n, 1 - n), (-n, 1 - n)]),
            Marker::Cross => strokes([[(1 - n, 1 - n), (n - 1, n - 1)], [(1 - n, n - 1), (n - 1, 1 - n)]]),
            Marker::Plus => strokes([[(0, -n), (0, n)], [(-n, 0), (n, 0)]]),
        }?;
        Ok(())
    }
}

/// Cuts the line through `points` into dashes: `pattern` has the lengths of dashes and gaps in turn. Without one the line is whole.
fn dashes(points: &[Pixel], pattern: &[f64]) -> Vec<Vec<Pixel>> {
    if pattern.is_empty() || points.len() < 2 {
        return vec![points.to_vec()];
    }
    let mut lengths = pattern.iter().copied().enumerate().cycle();
    let (mut phase, mut rest) = lengths.next().unwrap_or_default();
    let mut all = vec![vec![points[0]]];
    for ends in points.windows(2) {
        let [from, to] = [ends[0], ends[1]].map(|(x, y)| (f64::from(x), f64::from(y)));
        let length = (to.0 - from.0).hypot(to.1 - from.1);
        let mut at = 0.0;
        while at + rest <= length {
            at += rest;
            let share = at / length;
            let place = |from: f64, to: f64| (from + share * (to - from)).round() as i32;
            let point = (place(from.0, to.0), place(from.1, to.1));
            let is_dash = phase.is_multiple_of(2);
            match all.last_mut().filter(|_| is_dash) {
                Some(dash) => dash.push(point),
                None => all.push(vec![point]),
            }
            (phase, rest) = lengths.next().unwrap_or_default();
        }
        rest -= length - at;
        if let Some(dash) = all.last_mut().filter(|_| phase.is_multiple_of(2)) {
            dash.push(ends[1]);
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn lines_differ_without_colors() {
        let looks: BTreeSet<_> = (0..32).map(|i| (Style::of(i).marker, Style::of(i).dashes.len())).collect();
        assert_eq!(looks.len(), 8 * 3, "two patterns have as many lengths");
        let looks: BTreeSet<_> = (0..32).map(|i| (Style::of(i).marker, format!("{:?}", Style::of(i).dashes))).collect();
        assert_eq!(looks.len(), 32);
    }

    #[test]
    fn a_line_is_cut_into_dashes() {
        let line = [(0, 0), (10, 0), (10, 10)];
        assert_eq!(dashes(&line, &[]), [line.to_vec()]);
        assert_eq!(dashes(&line[..1], &[4.0, 2.0]), [vec![(0, 0)]]);
        let cut = [vec![(0, 0), (4, 0)], vec![(6, 0), (10, 0)], vec![(10, 2), (10, 6)], vec![(10, 8), (10, 10)]];
        assert_eq!(dashes(&line, &[4.0, 2.0]), cut);
        // A dash goes around a corner.
        assert_eq!(dashes(&line, &[12.0, 3.0]), [vec![(0, 0), (10, 0), (10, 2)], vec![(10, 5), (10, 10)]]);
    }
}
