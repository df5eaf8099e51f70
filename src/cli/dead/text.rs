//! Dead letters for people.

use super::find::looked_in;
use crate::cli::output::Failure;
use crate::cli::table::{Table, shortened};
use crate::dead_letter::Letter;
use crate::numbers::counted;
use crate::status::Glimpse;
use std::path::Path;

/// Without any in a file.
pub(super) fn none_in(dropped: u64, path: &Path) -> String {
    format!("{} ({})\n", none(dropped).trim_end(), looked_in(path))
}

/// The same in a broker.
pub(super) fn none(dropped: u64) -> String {
    match dropped {
        0 => "no dead letters\n".to_owned(),
        _ => format!("no dead letters ({dropped} were dropped to make room)\n"),
    }
}

/// An empty list.
pub(super) fn table() -> Table {
    Table::new(&["LINE", "<TIME", "<RUN", "<STAGE", "<QUEUE", "TRIES", "<CAUSE", "<ITEM"])
}

/// Its line in the list.
pub(super) fn row(table: &mut Table, letter: &Letter) {
    let text = &letter.text;
    let run = text.run.chars().take(8).collect();
    table.push([
        letter.line.to_string(),
        text.time.clone(),
        run,
        text.stage.clone(),
        text.queue.clone(),
        text.attempts.to_string(),
        shortened(&shown(&in_short(letter)), 40),
        shortened(&item(letter), 60),
    ]);
}

/// An exit code says little: the program's last word on standard error says why.
fn in_short(letter: &Letter) -> String {
    let headline = letter.headline();
    match letter.text.stderr.last() {
        Some(last) if headline.starts_with("exit-code") => format!("{headline}: {last}"),
        _ => headline,
    }
}

/// Blocks of lines, of which only the first has a head.
pub(super) struct Rows {
    width: Option<usize>,
    first: bool,
}

impl Rows {
    /// For a terminal of this width.
    pub(super) fn new(width: Option<usize>) -> Rows {
        Rows { width, first: true }
    }

    /// The next block.
    pub(super) fn lay_out(&mut self, table: Table) -> String {
        let text = table.render(self.width);
        match std::mem::take(&mut self.first) {
            true => text,
            false => text.split_once('\n').map_or(String::new(), |(_, rest)| rest.to_owned()),
        }
    }
}

/// Without what a terminal would obey.
pub(super) fn shown(text: &str) -> String {
    Glimpse::text_of(text.as_bytes())
}

fn item(letter: &Letter) -> String {
    match letter.bytes() {
        Some(bytes) => Glimpse::text_of(&bytes[..bytes.len().min(Glimpse::MAX_BYTES)]),
        None => letter.beginning().map_or_else(
            || "(no item: it can't be tried again)".to_owned(),
            |bytes| Glimpse::text_of(&bytes[..bytes.len().min(Glimpse::MAX_BYTES)]),
        ),
    }
}

/// All that the file says of it.
pub(super) fn json(letter: &Letter) -> Result<String, Failure> {
    let text = serde_json::to_string_pretty(&letter.value());
    let text = text.map_err(|error| Failure::io("write JSON", &error.into()))?;
    Ok(text.lines().map(|line| format!("  {line}")).collect::<Vec<_>>().join("\n"))
}

/// All that is known, for people.
pub(super) fn show(letter: &Letter) -> String {
    let text = &letter.text;
    let mut lines = vec![
        format!("dead letter {} of {}", letter.line, text.stage),
        format!(
            "  given up   {} by {}[{}], after {}",
            text.time,
            text.stage,
            text.worker,
            counted(text.attempts.into(), "try")
        ),
        format!("  run        {}", text.run),
    ];
    let mut cause = letter.cause();
    if cause.is_empty() {
        cause = "unknown".to_owned();
    }
    let mut causes = cause.lines();
    lines.extend(causes.next().map(|line| format!("  cause      {}", shown(line))));
    lines.extend(causes.map(|line| format!("             {}", shown(line))));
    if letter.marked {
        lines.push(
            "  retrying   its item is being put back, or that was interrupted: `mprun dead retry` finishes that"
                .to_owned(),
        );
    }
    match letter.bytes() {
        Some(bytes) => {
            lines.push(format!("  from       queue {}, item {}", text.queue, text.id));
            lines.push(format!(
                "  item       {}: {}",
                counted(bytes.len() as u64, "byte"),
                Glimpse::text_of(&bytes)
            ));
        }
        None => {
            lines.push("  from       no queue: it holds no whole item, and can't be tried again".to_owned());
            lines
                .extend(letter.beginning().map(|bytes| format!("  begins     {}", Glimpse::text_of(&bytes))));
        }
    }
    lines.extend(text.stderr.iter().map(|line| format!("  stderr     {}", shown(line))));
    lines.join("\n") + "\n"
}
