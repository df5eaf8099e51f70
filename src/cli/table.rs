//! Tables for a terminal: columns as wide as what is in them, and all of it no wider than the terminal.

use crate::terminal;
use std::io;

/// Between two columns.
const COLUMN_GAP: usize = 2;
/// Of a column that is shortened.
const MIN_WIDTH: usize = 6;

/// Lines of cells. The first column stands to the left, the others as their heads say.
#[derive(Debug)]
pub(super) struct Table {
    heads: Vec<&'static str>,
    rows: Vec<Vec<String>>,
}

impl Table {
    /// `heads`: the columns; one that starts with `<` stands to the left, the others to the right.
    pub(super) fn new(heads: &[&'static str]) -> Table {
        Table { heads: heads.to_vec(), rows: Vec::new() }
    }

    /// One more line.
    pub(super) fn push<const N: usize>(&mut self, cells: [String; N]) {
        debug_assert_eq!(N, self.heads.len());
        self.rows.push(cells.into());
    }

    /// How many lines it has, without the heads.
    pub(super) fn len(&self) -> usize {
        self.rows.len()
    }

    /// The whole table; `width`: of the terminal, in characters. `None`: as wide as it gets.
    pub(super) fn render(&self, width: Option<usize>) -> String {
        let mut widths = self.widths();
        if let Some(width) = width {
            shrink(&mut widths, width);
        }
        let heads = self.heads.iter().map(|head| head.trim_start_matches('<').to_owned()).collect();
        let mut text = String::new();
        for row in std::iter::once(&heads).chain(&self.rows) {
            let cells = row.iter().zip(&widths).enumerate();
            let line: Vec<String> = cells.map(|(i, (cell, width))| self.cell(i, cell, *width)).collect();
            text.push_str(line.join(&" ".repeat(COLUMN_GAP)).trim_end());
            text.push('\n');
        }
        text
    }

    fn widths(&self) -> Vec<usize> {
        let column = |i: usize| self.rows.iter().map(move |row| row[i].chars().count()).max().unwrap_or(0);
        let heads = self.heads.iter().map(|head| head.trim_start_matches('<').chars().count());
        heads.enumerate().map(|(i, head)| head.max(column(i))).collect()
    }

    fn cell(&self, i: usize, text: &str, width: usize) -> String {
        let text = shortened(text, width);
        if self.heads[i].starts_with('<') { format!("{text:<width$}") } else { format!("{text:>width$}") }
    }
}

/// Takes from the widest column, again and again.
fn shrink(widths: &mut [usize], limit: usize) {
    let gaps = COLUMN_GAP * widths.len().saturating_sub(1);
    while widths.iter().sum::<usize>() + gaps > limit {
        let Some(widest) = widths.iter_mut().max().filter(|width| **width > MIN_WIDTH) else { return };
        *widest -= 1;
    }
}

/// With its end cut off, and a sign for that, if it is too long.
pub(super) fn shortened(text: &str, width: usize) -> String {
    if text.chars().count() <= width {
        return text.to_owned();
    }
    let mut short: String = text.chars().take(width.saturating_sub(1)).collect();
    short.push('…');
    short
}

/// The width of the terminal on standard output; `None`: it is none, and lines may be of any length.
pub(super) fn terminal_width() -> Option<usize> {
    let is_terminal = terminal::stdout().is_terminal;
    is_terminal.then(|| usize::from(terminal::size(io::stdout()).columns).max(20))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_is_as_wide_as_it_must_and_no_wider_than_it_may() {
        let mut table = Table::new(&["<STAGE", "TAKEN", "<WHY"]);
        table.push(["parse".into(), "12".into(), "a long story".into()]);
        assert_eq!(table.render(None), "STAGE  TAKEN  WHY\nparse     12  a long story\n");
        assert_eq!(table.render(Some(22)), "STAGE  TAKEN  WHY\nparse     12  a long …\n");
        assert_eq!(table.render(Some(3)).lines().count(), 2);
    }
}
