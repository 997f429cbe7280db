//! Plain text tables: aligned by columns of a terminal, sanitised, and cut only where there is a width to keep.

use crate::base::text::{fit, safe, width};

/// Narrowest that a column is cut to, in columns.
const NARROWEST: usize = 8;
/// Columns between two columns.
const GAP: usize = 2;

/// Which side a column's cells stand on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// Words that must be whole: names and states.
    Left,
    /// Words that may be cut where the line is too long: images, addresses, sentences.
    Cut,
    /// Numbers.
    Right,
}

/// A table that is being filled.
#[derive(Clone, Debug)]
pub struct Table {
    heads: Vec<(&'static str, Side)>,
    rows: Vec<Vec<String>>,
}

impl Table {
    /// An empty table with these columns.
    pub fn new(heads: &[(&'static str, Side)]) -> Table {
        Table { heads: heads.to_vec(), rows: Vec::new() }
    }

    /// Adds a row. Cells are sanitised here, so that what is measured is what is shown. Missing cells are empty, surplus
    /// ones are dropped.
    pub fn row<S: AsRef<str>>(&mut self, cells: impl IntoIterator<Item = S>) {
        let mut row: Vec<String> =
            cells.into_iter().take(self.heads.len()).map(|c| safe(c.as_ref()).into_owned()).collect();
        row.resize(self.heads.len(), String::new());
        self.rows.push(row);
    }

    /// True when no row was added.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// The lines, header first. With `columns`, the widest of the columns that may be cut are cut until a line fits, but
    /// none below 8: a line that is too long even so wraps, and no name is lost.
    pub fn lines(&self, columns: Option<usize>) -> Vec<String> {
        let widths = self.widths(columns);
        let heads = self.heads.iter().map(|(head, _)| (*head).to_owned()).collect();
        std::iter::once(&heads).chain(&self.rows).map(|row| self.line(row, &widths)).collect()
    }

    fn widths(&self, columns: Option<usize>) -> Vec<usize> {
        let widest = |i: usize| self.rows.iter().map(|row| width(&row[i])).max().unwrap_or(0);
        let mut widths: Vec<usize> =
            self.heads.iter().enumerate().map(|(i, (head, _))| width(head).max(widest(i))).collect();
        let Some(columns) = columns else { return widths };
        let gaps = GAP * widths.len().saturating_sub(1);
        let mut over = (widths.iter().sum::<usize>() + gaps).saturating_sub(columns);
        while over > 0 {
            let cut = widths
                .iter_mut()
                .zip(&self.heads)
                .filter(|(w, (_, side))| *side == Side::Cut && **w > NARROWEST);
            let Some((widest, _)) = cut.max_by_key(|(w, _)| **w) else { break };
            *widest -= 1;
            over -= 1;
        }
        widths
    }

    fn line(&self, row: &[String], widths: &[usize]) -> String {
        let mut line = String::new();
        for ((cell, wide), (_, side)) in row.iter().zip(widths).zip(&self.heads) {
            let cell = fit(cell, *wide);
            let fill = " ".repeat(wide.saturating_sub(width(&cell)));
            match side {
                Side::Left | Side::Cut => line.extend([&*cell, &fill]),
                Side::Right => line.extend([&*fill, &cell]),
            }
            line.push_str(&" ".repeat(GAP));
        }
        line.truncate(line.trim_end().len());
        line
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::text::is_hostile;
    use proptest::prelude::*;

    #[test]
    fn wide_characters_keep_the_columns_straight() {
        let mut table = Table::new(&[("NAME", Side::Left), ("WANT", Side::Right), ("IMAGE", Side::Left)]);
        table.row(["中文池", "3", "a"]);
        table.row(["web", "1200", "b\u{1b}[2J"]);
        assert_eq!(table.lines(None), ["NAME    WANT  IMAGE", "中文池     3  a", r"web     1200  b\e[2J"]);
    }

    #[test]
    fn a_width_cuts_what_may_be_cut_and_no_name() {
        let mut table = Table::new(&[("NAME", Side::Left), ("IMAGE", Side::Cut)]);
        table.row(["web", &"x".repeat(50)]);
        assert_eq!(table.lines(Some(20))[1], format!("web   {}…", "x".repeat(13)));
        assert_eq!(width(&table.lines(None)[1]), 56);
        table.row([&"a-very-long-name".repeat(2), "x"]);
        assert_eq!(table.lines(Some(20))[2], format!("{}  x", "a-very-long-name".repeat(2)));
    }

    proptest! {
        #[test]
        fn every_cell_starts_in_its_column(
            cells in proptest::collection::vec((any::<String>(), "[a-z]{1,3}"), 1..6),
            columns in proptest::option::of(12usize..60),
        ) {
            let mut table = Table::new(&[("A", Side::Cut), ("B", Side::Left)]);
            for (a, b) in &cells {
                table.row([a, b]);
            }
            let lines = table.lines(columns);
            let text = |line: &String| line.rfind(' ').map(|at| width(&line[..=at]));
            let at = text(&lines[0]);
            for line in &lines {
                prop_assert!(!line.chars().any(is_hostile));
                prop_assert_eq!(text(line), at);
            }
        }
    }
}
