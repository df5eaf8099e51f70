//! Dead letters for people.

use crate::cli::table::{Table, shortened};
use crate::dead_letter::Letter;
use crate::status::Glimpse;

/// A line for each.
pub fn list(letters: &[Letter], width: Option<usize>) -> String {
    if letters.is_empty() {
        return "no dead letters\n".to_owned();
    }
    let mut table = Table::new(&["LINE", "<TIME", "<STAGE", "<QUEUE", "TRIES", "<CAUSE", "<ITEM"]);
    for letter in letters {
        let text = &letter.text;
        table.push([
            letter.line.to_string(),
            text.time.clone(),
            text.stage.clone(),
            text.queue.clone(),
            text.attempts.to_string(),
            shortened(&letter.cause(), 40),
            shortened(&shown(letter), 60),
        ]);
    }
    table.render(width)
}

fn shown(letter: &Letter) -> String {
    let bytes = letter.bytes();
    Glimpse::text_of(&bytes[..bytes.len().min(Glimpse::MOST)])
}

/// All that is known.
pub fn show(letters: &[Letter]) -> String {
    letters.iter().map(show_one).collect::<Vec<_>>().join("\n")
}

fn show_one(letter: &Letter) -> String {
    let text = &letter.text;
    let mut lines = vec![
        format!("dead letter {} of {}", letter.line, text.stage),
        format!(
            "  given up   {} by {}[{}], after {} tries",
            text.time, text.stage, text.worker, text.attempts
        ),
        format!("  cause      {}", letter.cause()),
        match text.queue.is_empty() {
            true => "  from       no queue: it was too long to be an item".to_owned(),
            false => format!("  from       queue {}, item {}", text.queue, text.id),
        },
        match text.queue.is_empty() {
            true => format!("  begins     {}", Glimpse::text_of(&letter.bytes())),
            false => {
                format!("  item       {} bytes: {}", letter.bytes().len(), Glimpse::text_of(&letter.bytes()))
            }
        },
    ];
    lines.extend(text.stderr.iter().map(|line| format!("  stderr     {line}")));
    lines.join("\n") + "\n"
}
