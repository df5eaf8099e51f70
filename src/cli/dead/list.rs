//! `mprun dead list`.

use std::collections::BTreeMap;
use std::path::Path;

use clap::ValueEnum;

use super::find::Source;
use super::letters::each;
use super::text::{self, Rows};
use crate::cli::output::{self, Failure};
use crate::cli::table::{Table, terminal_width};
use crate::dead_letter::Letter;
use crate::exit;
use crate::item::Shown;

/// Rows that are laid out together.
const ROWS_AT_ONCE: usize = 1000;
/// Where each letter has another cause, there would be as many groups as letters.
const MAX_GROUPS: usize = 10_000;

#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  mprun dead list
  mprun dead list shop --by cause                                how many each
  mprun dead list shop --stage parse --json | jq -r '.[].item'   their items")]
pub(super) struct Args {
    /// The pipeline: its name or its file. Can be left out when only one runs, or only one has dead letters
    name: Option<String>,
    /// Only those of a stage
    #[arg(long, value_name = "STAGE")]
    stage: Option<String>,
    /// Count them by what they have in common
    #[arg(long, value_name = "WHAT")]
    by: Option<By>,
    /// Print them as JSON, whole
    #[arg(long)]
    pub json: bool,
}

impl Args {
    pub(super) fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    /// Letters in a broker say less.
    pub(super) fn check_for_broker(&self) -> Result<(), Failure> {
        match (&self.stage, self.by) {
            (None, None) => Ok(()),
            _ => Err(Failure::usage("--stage and --by are for dead letters in files: leave them out")),
        }
    }
}

/// What they have in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum By {
    Cause,
    Stage,
    Run,
}

/// Lists them.
pub(super) fn run(source: &Source, list: &Args) -> Result<u8, Failure> {
    let found = source.find(list.name.as_deref())?;
    let is_meant = |letter: &Letter| list.stage.as_ref().is_none_or(|stage| letter.text.stage == *stage);
    match (list.by, list.json) {
        (Some(by), json) => groups(&found.path, by, json, is_meant)?,
        (None, true) => as_json(&found.path, is_meant)?,
        (None, false) => as_table(&found.path, is_meant)?,
    }
    Ok(exit::DONE)
}

fn as_table(path: &Path, is_meant: impl Fn(&Letter) -> bool) -> Result<(), Failure> {
    let (mut rows, mut any) = (Rows::new(terminal_width()), false);
    let mut table = text::table();
    let letters = each(path, |letter| {
        if is_meant(&letter) {
            any = true;
            text::row(&mut table, &letter);
            if table.len() == ROWS_AT_ONCE {
                return output::print_on(&rows.lay_out(std::mem::replace(&mut table, text::table())));
            }
        }
        Ok(true)
    })?;
    if !any {
        return output::print(&text::none_in(letters.dropped, path));
    }
    if table.len() > 0 {
        output::print(&rows.lay_out(table))?;
    }
    Ok(())
}

/// One by one, so that a million of them take no memory.
fn as_json(path: &Path, is_meant: impl Fn(&Letter) -> bool) -> Result<(), Failure> {
    let (mut text, mut first) = ("[".to_owned(), true);
    each(path, |letter| {
        if is_meant(&letter) {
            text.push_str(if first { "\n" } else { ",\n" });
            first = false;
            text.push_str(&text::json(&letter)?);
        }
        if text.len() < 1 << 16 {
            return Ok(true);
        }
        let goes_on = output::print_on(&text)?;
        text.clear();
        Ok(goes_on)
    })?;
    text.push_str(if first { "]\n" } else { "\n]\n" });
    output::print(&text)
}

/// One group of letters.
#[derive(Default, serde::Serialize)]
struct Group {
    letters: u64,
    first: String,
    last: String,
    stages: std::collections::BTreeSet<String>,
}

fn groups(path: &Path, by: By, json: bool, is_meant: impl Fn(&Letter) -> bool) -> Result<(), Failure> {
    let mut groups: BTreeMap<String, Group> = BTreeMap::new();
    each(path, |letter| {
        if is_meant(&letter) {
            let what = match by {
                By::Cause => without_item(&letter.headline(), &letter.beginning().unwrap_or_default()),
                By::Stage => letter.text.stage.clone(),
                By::Run => letter.text.run.clone(),
            };
            let is_new = !groups.contains_key(&what) && groups.len() >= MAX_GROUPS;
            let group = groups.entry(if is_new { "(others)".to_owned() } else { what }).or_default();
            group.letters += 1;
            if group.first.is_empty() {
                group.first.clone_from(&letter.text.time);
            }
            group.last.clone_from(&letter.text.time);
            group.stages.insert(letter.text.stage);
        }
        Ok(true)
    })?;
    if json {
        return output::json(&groups);
    }
    if groups.is_empty() {
        return output::print(&text::none_in(0, path));
    }
    let mut sorted: Vec<(String, Group)> = groups.into_iter().collect();
    sorted.sort_by_key(|(_, group)| std::cmp::Reverse(group.letters));
    let mut table = Table::new(&["LETTERS", "<FIRST", "<LAST", "<STAGES", by.head()]);
    for (what, group) in sorted {
        let stages: Vec<String> = group.stages.into_iter().collect();
        table.push([
            group.letters.to_string(),
            group.first,
            group.last,
            stages.join(", "),
            text::shown(&what),
        ]);
    }
    output::print(&table.render(terminal_width()))
}

/// A cause that quotes its item would be a group of its own.
fn without_item(headline: &str, item: &[u8]) -> String {
    headline.replace(&format!("`{}`", Shown(item)), "`…`")
}

impl By {
    fn head(self) -> &'static str {
        match self {
            By::Cause => "<CAUSE",
            By::Stage => "<STAGE",
            By::Run => "<RUN",
        }
    }
}
