//! Which dead letters are meant.

use crate::cli::output::Failure;
use crate::config::diagnostic::quote;
use crate::dead_letter::Letter;

/// Some of them, by their lines or by what they have in common.
#[derive(clap::Args)]
#[command(override_usage = "mprun dead show|retry|drop [OPTIONS] [NAME] <LINE…|--all|--stage STAGE>")]
pub struct Selection {
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

impl Selection {
    /// The pipeline's name, if it is said.
    pub fn name(&self) -> Option<&str> {
        self.words.first().filter(|word| word.parse::<u64>().is_err()).map(String::as_str)
    }

    /// Those that are meant. A line that isn't there is an error: nothing is done by mistake.
    pub fn choose(&self, letters: Vec<Letter>) -> Result<Vec<Letter>, Failure> {
        let lines = &self.words[usize::from(self.name().is_some())..];
        if lines.is_empty() && !self.all && self.stage.is_none() {
            return Err(Failure::usage("say which: their lines, --stage STAGE, or --all"));
        }
        let mut numbers = Vec::new();
        for word in lines {
            let number: u64 =
                word.parse().map_err(|_| Failure::usage(format!("{} is no line", quote(word))))?;
            if !letters.iter().any(|letter| letter.line == number) {
                return Err(Failure::usage(format!("there is no dead letter {number}")));
            }
            numbers.push(number);
        }
        let of_stage = |letter: &Letter| self.stage.as_ref().is_none_or(|stage| letter.text.stage == *stage);
        let is_meant =
            |letter: &Letter| of_stage(letter) && (lines.is_empty() || numbers.contains(&letter.line));
        Ok(letters.into_iter().filter(is_meant).collect())
    }
}
