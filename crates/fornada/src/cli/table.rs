//! Tables without lines: a header, columns that align, one row a line.

use aws_sdk_batch::types::JobStatus;
use comfy_table::{Attribute, Cell, ColumnConstraint, ContentArrangement, Row, Table};

use super::style;

const WIDTH_MIN: u16 = 60;

/// A table whose first `fixed` columns are never shortened; the others give way where the terminal is too narrow.
pub(crate) fn new(header: &[&str], fixed: usize) -> Table {
    let mut table = Table::new();
    table
        .load_style(comfy_table::presets::NOTHING)
        .set_content_arrangement(ContentArrangement::Dynamic)
        // Colour is the output stream's decision (see `style`).
        .enforce_styling()
        .set_header(header.iter().map(|name| Cell::new(name).add_attribute(Attribute::Bold)));
    // Below this a terminal (or what calls itself one) would show letters, not columns.
    if table.width().is_some_and(|width| width < WIDTH_MIN) {
        table.set_content_arrangement(ContentArrangement::Disabled);
    }
    // Blanks stay outside the styles, so that they can be cut off.
    table.style_text_only();
    for (index, column) in table.column_iter_mut().enumerate() {
        column.set_padding((0, 2));
        if index < fixed {
            column.set_constraint(ColumnConstraint::ContentWidth);
        }
    }
    table
}

/// Adds a row that keeps to one line.
pub(crate) fn add_row<I: IntoIterator<Item = Cell>>(table: &mut Table, cells: I) {
    let mut row = Row::from(cells);
    row.max_height(1);
    table.add_row(row);
}

/// The table as text, each line with its end and no blanks before it.
pub(crate) fn text(table: &Table) -> String {
    table.lines().map(|line| format!("{}\n", line.trim_end())).collect()
}

/// A status in its colour.
pub(crate) fn status_cell(status: &JobStatus) -> Cell {
    let cell = Cell::new(status.as_str());
    match style::status_color(status) {
        Some(color) => cell.fg(cell_color(color)),
        None => cell,
    }
}

fn cell_color(color: anstyle::AnsiColor) -> comfy_table::Color {
    match color {
        anstyle::AnsiColor::Green => comfy_table::Color::DarkGreen,
        anstyle::AnsiColor::Red => comfy_table::Color::DarkRed,
        anstyle::AnsiColor::Cyan => comfy_table::Color::DarkCyan,
        anstyle::AnsiColor::Blue => comfy_table::Color::DarkBlue,
        anstyle::AnsiColor::Yellow => comfy_table::Color::DarkYellow,
        _ => comfy_table::Color::Reset,
    }
}
