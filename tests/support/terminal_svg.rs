//! Pictures of a terminal as SVG: one screen, or a recording that plays by itself, without a script.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::time::Duration;

const LINE_HEIGHT: usize = 18;
const COLUMN_WIDTH: f64 = 8.4;
const MARGIN: usize = 14;
const BACKGROUND: &str = "#16181d";
const FOREGROUND: &str = "#d7dae0";
/// The colours 0 to 15 of a terminal.
const COLOURS: [&str; 16] = [
    "#16181d", "#e06c75", "#8fc379", "#e5c07b", "#61afef", "#c678dd", "#56b6c2", "#abb2bf", "#7f848e",
    "#ff7b86", "#a5e075", "#f0d399", "#7fc1ff", "#d99bf0", "#6fd0dc", "#ffffff",
];

/// Cells of one line that look the same.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Piece {
    column: usize,
    text: String,
    colour: String,
    /// Behind the text.
    back: Option<String>,
    bold: bool,
}

/// A line as it is shown.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Line(Vec<Piece>);

impl Line {
    pub fn plain(text: &str) -> Line {
        Line::coloured(text, FOREGROUND)
    }

    /// What somebody types.
    pub fn typed(text: &str) -> Line {
        Line::coloured(text, COLOURS[10])
    }

    fn coloured(text: &str, colour: &str) -> Line {
        let piece =
            Piece { column: 0, text: text.to_owned(), colour: colour.to_owned(), back: None, bold: false };
        Line(if text.is_empty() { Vec::new() } else { vec![piece] })
    }

    fn svg(&self, row: usize) -> String {
        let mut svg = String::new();
        let top = MARGIN + row * LINE_HEIGHT;
        for piece in &self.0 {
            let x = MARGIN as f64 + piece.column as f64 * COLUMN_WIDTH;
            let width = piece.text.chars().count() as f64 * COLUMN_WIDTH;
            if let Some(back) = &piece.back {
                let size = format!("width=\"{width:.1}\" height=\"{LINE_HEIGHT}\"");
                write!(svg, "<rect x=\"{x:.1}\" y=\"{top}\" {size} fill=\"{back}\"/>").unwrap();
            }
            if piece.text.trim().is_empty() {
                continue;
            }
            let bold = if piece.bold { " font-weight=\"bold\"" } else { "" };
            let fill = if piece.colour == FOREGROUND {
                String::new()
            } else {
                format!(" fill=\"{}\"", piece.colour)
            };
            let text = piece.text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
            let y = top + 13;
            write!(svg, "<text x=\"{x:.1}\" y=\"{y}\" textLength=\"{width:.1}\"{fill}{bold}>{text}</text>")
                .unwrap();
        }
        svg
    }
}

/// The lines of a screen.
pub fn lines(screen: &vt100::Screen) -> Vec<Line> {
    let (rows, columns) = screen.size();
    (0..rows.get()).map(|row| Line(pieces(screen, row, columns.get()))).collect()
}

fn pieces(screen: &vt100::Screen, row: u16, columns: u16) -> Vec<Piece> {
    let mut pieces: Vec<Piece> = Vec::new();
    for column in 0..columns {
        let Some(cell) = screen.cell(row, column) else { continue };
        let text = if cell.has_contents() { cell.contents() } else { " " };
        let (mut fore, mut back) = (colour(cell.fgcolor()), colour(cell.bgcolor()));
        if cell.inverse() {
            (fore, back) = (Some(back.unwrap_or(BACKGROUND.into())), Some(fore.unwrap_or(FOREGROUND.into())));
        }
        let colour = match (fore, cell.dim()) {
            (Some(colour), _) => colour,
            (None, true) => COLOURS[8].to_owned(),
            (None, false) => FOREGROUND.to_owned(),
        };
        let next = Piece { column: column.into(), text: text.into(), colour, back, bold: cell.bold() };
        match pieces.last_mut() {
            Some(last) if (&last.colour, &last.back, last.bold) == (&next.colour, &next.back, next.bold) => {
                last.text += text;
            }
            _ => pieces.push(next),
        }
    }
    for piece in &mut pieces {
        if piece.back.is_none() {
            piece.text.truncate(piece.text.trim_end().len());
        }
    }
    pieces.retain(|piece| !piece.text.is_empty());
    pieces
}

fn colour(colour: vt100::Color) -> Option<String> {
    match colour {
        vt100::Color::Default => None,
        vt100::Color::Idx(n) => Some(COLOURS[usize::from(n) % 16].to_owned()),
        vt100::Color::Rgb(r, g, b) => Some(format!("#{r:02x}{g:02x}{b:02x}")),
    }
}

fn frame(title: &str, rows: usize, columns: usize, style: &str, body: &str) -> String {
    let (width, height) =
        (2 * MARGIN + (columns as f64 * COLUMN_WIDTH) as usize, 2 * MARGIN + rows * LINE_HEIGHT);
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" width=\"{width}\" height=\"{height}\" role=\"img\" \
         font-family=\"ui-monospace,Menlo,Consolas,'DejaVu Sans Mono',monospace\" font-size=\"14\" fill=\"{FOREGROUND}\">\
         <title>{title}</title><style>text{{white-space:pre}}{style}</style>\
         <rect width=\"100%\" height=\"100%\" rx=\"8\" fill=\"{BACKGROUND}\"/>\n{body}</svg>\n"
    )
}

/// One screen.
pub fn still(title: &str, columns: usize, lines: &[Line]) -> String {
    let body: String = lines.iter().enumerate().map(|(row, line)| line.svg(row) + "\n").collect();
    frame(title, lines.len(), columns, "", &body)
}

/// Screens one after the other, each with the time until the next one.
#[derive(Default)]
pub struct Recording(Vec<(Vec<Line>, Duration)>);

impl Recording {
    pub fn add(&mut self, lines: Vec<Line>, time: Duration) {
        self.0.push((lines, time));
    }

    /// It plays again and again; where nothing is to move, the last screen is shown.
    pub fn svg(&self, title: &str, columns: usize) -> String {
        let rows = self.0.iter().map(|(lines, _)| lines.len()).max().unwrap_or(0);
        let total: Duration = self.0.iter().map(|(_, time)| *time).sum();
        let mut begins = vec![Duration::ZERO];
        begins.extend(self.0.iter().scan(Duration::ZERO, |sum, (_, time)| {
            *sum += *time;
            Some(*sum)
        }));
        let percent = |n: usize| begins[n].as_secs_f64() / total.as_secs_f64() * 100.0;
        let mut groups: BTreeMap<(usize, usize), String> = BTreeMap::new();
        for row in 0..rows {
            for (first, end, line) in self.spans(row) {
                *groups.entry((first, end)).or_default() += &line.svg(row);
            }
        }
        let seconds = total.as_secs_f64();
        let (mut style, mut body) = (String::new(), String::new());
        for (n, ((first, end), svg)) in groups.iter().enumerate() {
            let is_last = *end == self.0.len();
            if *first == 0 && is_last {
                writeln!(body, "<g>{svg}</g>").unwrap();
                continue;
            }
            let (from, to) = (percent(*first), percent(*end));
            write!(style, "@keyframes k{n}{{0%{{visibility:hidden}}{from:.2}%{{visibility:visible}}")
                .unwrap();
            let until = if is_last { String::new() } else { format!("{to:.2}%{{visibility:hidden}}") };
            writeln!(style, "{until}}}.k{n}{{animation:k{n} {seconds:.1}s step-end infinite}}").unwrap();
            let hidden = if is_last { "" } else { " visibility=\"hidden\"" };
            writeln!(body, "<g class=\"k{n}\"{hidden}>{svg}</g>").unwrap();
        }
        style += "@media (prefers-reduced-motion:reduce){g{animation:none!important}}";
        frame(title, rows, columns, &style, &body)
    }

    /// What stands in a row: from which screen up to which one, for as long as it is the same.
    fn spans(&self, row: usize) -> Vec<(usize, usize, Line)> {
        let mut spans: Vec<(usize, usize, Line)> = Vec::new();
        for (n, (lines, _)) in self.0.iter().enumerate() {
            let line = lines.get(row).cloned().unwrap_or_default();
            match spans.last_mut() {
                Some((_, end, last)) if *last == line => *end = n + 1,
                _ => spans.push((n, n + 1, line)),
            }
        }
        spans.retain(|(_, _, line)| *line != Line::default());
        spans
    }
}
