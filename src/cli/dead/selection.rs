//! Which dead letters are meant.

use std::collections::BTreeSet;
use std::path::Path;

use super::letters::each;
use crate::cli::output::{self, Failure};
use crate::config::diagnostic::quote;
use crate::dead_letter::Letter;
use crate::numbers::counted_are;

/// Some of them, by their lines or by what they have in common.
#[derive(clap::Args)]
#[command(override_usage = "mprun dead show|retry|drop [OPTIONS] [NAME] <LINE…|--all|--stage STAGE>")]
pub(super) struct Selection {
    /// The pipeline (can be left out as in `list`), and the lines, as `list` shows them
    #[arg(value_names = ["NAME", "LINE"], num_args = 0..)]
    words: Vec<String>,
    /// All of them
    #[arg(long)]
    all: bool,
    /// Those of a stage
    #[arg(long, value_name = "STAGE")]
    stage: Option<String>,
    /// Print the answer as JSON, where there is more to say than a number
    #[arg(long)]
    pub json: bool,
}

/// What was said, checked.
#[derive(Clone, Debug)]
pub(super) struct Chosen {
    lines: BTreeSet<u64>,
    stage: Option<String>,
    /// Those that name no pipeline file are meant, too.
    with_nameless: bool,
}

impl Selection {
    /// The pipeline's name, if it is said.
    pub(super) fn name(&self) -> Option<&str> {
        self.words.first().filter(|word| word.parse::<u64>().is_err()).map(String::as_str)
    }

    /// The names of letters in a broker; none: all are meant.
    pub(super) fn ids(&self) -> Result<&[String], Failure> {
        if self.stage.is_some() {
            return Err(Failure::usage("dead letters in the broker name no stage: leave --stage out"));
        }
        let words = self.words.get(1..).unwrap_or_default();
        if words.is_empty() && !self.all {
            return Err(Failure::usage(
                "say which: FILE and their ids, as `mprun dead list --shared` shows them, or --all",
            ));
        }
        Ok(words)
    }

    /// Those that are meant. A line that isn't there is an error: nothing is done by mistake.
    pub(super) fn choose(&self, path: &Path) -> Result<Chosen, Failure> {
        let words = &self.words[usize::from(self.name().is_some())..];
        if words.is_empty() && !self.all && self.stage.is_none() {
            return Err(Failure::usage("say which: their lines, --stage STAGE, or --all"));
        }
        let mut lines = BTreeSet::new();
        for word in words {
            lines.insert(word.parse().map_err(|_| {
                Failure::usage(format!(
                    "{} is no line: write its number, as `mprun dead list` shows it",
                    quote(word)
                ))
            })?);
        }
        let chosen = Chosen { lines, stage: self.stage.clone(), with_nameless: true };
        let mut missing = chosen.lines.clone();
        if !missing.is_empty() {
            each(path, |letter| {
                missing.remove(&letter.line);
                Ok(!missing.is_empty())
            })?;
        }
        match missing.first() {
            None => Ok(chosen),
            Some(line) => Err(Failure::usage(format!(
                "there is no dead letter {line}: `mprun dead list` shows those that there are"
            ))),
        }
    }
}

impl Chosen {
    /// Whether this one is meant.
    pub(super) fn is_meant(&self, letter: &Letter) -> bool {
        let of_stage = self.stage.as_ref().is_none_or(|stage| letter.text.stage == *stage);
        let named = !self.lines.is_empty();
        let is_ours = named || self.with_nameless || letter.text.pipeline.is_some();
        of_stage && is_ours && (!named || self.lines.contains(&letter.line))
    }

    /// Where letters belong to a file by its path, those that name none (mprun 0.1.0 did not note it) may be another
    /// file's: they are tried again only where they are named by their lines.
    pub(super) fn leave_nameless(mut self, path: &Path) -> Result<Chosen, Failure> {
        let mut left = 0_u64;
        each(path, |letter| {
            left += u64::from(letter.text.pipeline.is_none() && self.is_meant(&letter));
            Ok(true)
        })?;
        if self.lines.is_empty() && left > 0 {
            self.with_nameless = false;
            output::report_error(&format!(
                "{} left out: letters of mprun 0.1.0 don't say which file of this name they are of, and are tried again \
                 only by their lines (`mprun dead list` shows them)",
                counted_are(left, "letter")
            ));
        }
        Ok(self)
    }
}
