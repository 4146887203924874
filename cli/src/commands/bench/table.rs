//! Results as a table of at most 100 columns: models and settings that all rows share stand above it, and if it is still too wide,
//! columns are left out. The other formats have all of them.

use super::output::{COLUMNS, cells, scaled};
use super::row::Row;
use crate::terminal::Bytes;
use crate::terminal::columns::{WIDTH, shortened, width, wrapped};

/// Settings that stand above the table if all rows share them.
const SETTINGS: [&str; 5] = ["isa", "threads", "kv", "batch", "depth"];
/// Columns that always stand above the table.
const OF_MODEL: [&str; 4] = ["weights", "layout", "size", "params"];
/// Columns that are left out of a table that is too wide, in this order; the peaks are those of the column "of the peak".
const LEFT_OUT: [&str; 5] = ["others", "moved or done", PEAKS, "keys", "texts/s"];
const PEAKS: &str = "peaks";
/// Columns of a model's name in the table, and in one that is still too wide.
const NAME_WIDTH: usize = 24;
const NARROW_NAME: usize = 12;
/// Space between columns.
const GAP: &str = "  ";

/// Column with its title.
struct Column {
    name: &'static str,
    is_number: bool,
    cells: Vec<String>,
}

impl Column {
    fn new(i: usize, rows: &[Row]) -> Self {
        let (name, is_number) = COLUMNS[i];
        let cell = |row: &Row| {
            let cell = std::mem::take(&mut cells(row)[i]);
            if name == "model" { shortened(&cell, NAME_WIDTH) } else { cell }
        };
        Self { name, is_number, cells: rows.iter().map(cell).collect() }
    }

    fn is_shared(&self) -> bool {
        self.cells.iter().all(|cell| *cell == self.cells[0])
    }

    fn width(&self) -> usize {
        self.cells.iter().map(|cell| width(cell)).chain([width(self.name)]).max().unwrap_or_default()
    }

    fn padded(&self, cell: &str) -> String {
        let width = self.width();
        if self.is_number { format!("{cell:>width$}") } else { format!("{cell:<width$}") }
    }
}

/// Table, and the names of the columns that it leaves out.
pub struct Table {
    above: Vec<String>,
    columns: Vec<Column>,
    left_out: Vec<&'static str>,
}

impl Table {
    /// Table of at least one row.
    pub fn new(rows: &[Row]) -> Self {
        let all = (0..COLUMNS.len()).map(|i| Column::new(i, rows));
        let (mut shared, mut columns) = (Vec::new(), Vec::new());
        for column in all.filter(|column| !OF_MODEL.contains(&column.name)) {
            match column.is_shared() {
                true if SETTINGS.contains(&column.name) => shared.push(setting(&column)),
                true if column.name == "model" || column.cells[0].is_empty() => {}
                _ => columns.push(column),
            }
        }
        let mut above = models(rows);
        above.extend((!shared.is_empty()).then(|| wrapped(&shared.join(", "), 2)));
        let mut table = Self { above, columns, left_out: Vec::new() };
        table.fit();
        table
    }

    fn width(&self) -> usize {
        self.columns.iter().map(Column::width).sum::<usize>() + GAP.len() * (self.columns.len() - 1)
    }

    /// Leaves out columns until the table fits.
    fn fit(&mut self) {
        for name in LEFT_OUT {
            let before = self.width();
            if before <= WIDTH {
                return;
            }
            match name {
                PEAKS => self.shorten("of the peak", |cell| cell.split(" of ").next().unwrap_or_default().into()),
                name => self.columns.retain(|column| column.name != name),
            }
            self.left_out.extend((self.width() < before).then_some(name));
        }
        if self.width() > WIDTH {
            self.shorten("model", |cell| shortened(cell, NARROW_NAME));
        }
    }

    fn shorten(&mut self, name: &str, shorter: impl Fn(&str) -> String) {
        let column = self.columns.iter_mut().find(|column| column.name == name);
        column.into_iter().flat_map(|column| &mut column.cells).for_each(|cell| *cell = shorter(cell));
    }

    /// Sentence on the columns that are left out, if there are any.
    pub fn note(&self) -> Option<String> {
        let names = self.left_out.join(", ");
        (!names.is_empty())
            .then(|| format!("left out, since lines end after {WIDTH} columns: {names} (-o md has them)"))
    }

    /// Lines of the table, with a line end.
    pub fn text(&self) -> String {
        let mut out = self.above.join("\n") + "\n\n";
        let header: Vec<&str> = self.columns.iter().map(|column| column.name).collect();
        let n_rows = self.columns.first().map_or(0, |column| column.cells.len());
        let row = |i: usize| self.columns.iter().map(|column| column.cells[i].as_str()).collect();
        for line in std::iter::once(header).chain((0..n_rows).map(row)) {
            let padded: Vec<String> = self.columns.iter().zip(line).map(|(column, cell)| column.padded(cell)).collect();
            out += padded.join(GAP).trim_end();
            out.push('\n');
        }
        out
    }
}

/// Setting that all rows share.
fn setting(column: &Column) -> String {
    let value = &column.cells[0];
    match column.name {
        "isa" => value.clone(),
        "threads" => format!("{value} {}", if value == "1" { "thread" } else { "threads" }),
        name => format!("{name} {value}"),
    }
}

/// A line for each model.
fn models(rows: &[Row]) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for row in rows {
        let model = &row.setting.model;
        let (size, params) = (Bytes(model.size), scaled(model.params as f64));
        let params = params.trim_end();
        let facts = format!("{}, {}, {size}, {params} parameters", model.weights, model.layout);
        let name = shortened(&model.name, (WIDTH - 2).saturating_sub(width(&facts)).max(NAME_WIDTH));
        let line = wrapped(&format!("{name}: {facts}"), 2);
        if !lines.contains(&line) {
            lines.push(line);
        }
    }
    lines
}
