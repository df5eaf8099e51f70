//! `mprun scale STAGE=N`, or `STAGE=+1`, `STAGE=-1`: counted from what the stage has at that moment.

use super::output::Failure;
use super::request::{self, AnswerOptions};
use super::target::{self, Where};
use crate::config::diagnostic::quote;
use crate::control::protocol::{Command, Scale};

#[derive(clap::Args)]
#[command(override_usage = "mprun scale [OPTIONS] [NAME] STAGE=N|+N|-N")]
#[command(after_help = "\
Examples:
  mprun scale parse=8               eight, until the file is read again
  mprun scale shop parse=+2         two more than now
  mprun scale shop parse=2 --wait   return when it is done")]
pub(super) struct Args {
    /// The pipeline (can be left out when only one runs), and the stage with its number of processes, or how many more
    /// (+1) or fewer (-1)
    #[arg(num_args = 1..=2, value_names = ["NAME", "STAGE=N"])]
    words: Vec<String>,
    #[command(flatten)]
    answer: AnswerOptions,
    #[command(flatten)]
    place: Where,
}

/// Gives a stage another number of processes, until the file is read again.
pub(super) fn run(args: &Args) -> Result<u8, Failure> {
    let (name, amount) = match args.words.as_slice() {
        [name, amount] => (Some(name.as_str()), amount),
        [amount, ..] => (None, amount),
        [] => return Err(Failure::usage("say which stage and how many processes: `mprun scale STAGE=N`")),
    };
    let command = Command::Scale(parse(amount, args.answer.wait)?);
    request::send(&mut target::find(name, &args.place)?, &command, args.answer)
}

fn parse(amount: &str, wait: bool) -> Result<Scale, Failure> {
    let refuse =
        || Failure::usage(format!("{} is no STAGE=N, such as parse=4, parse=+1 or parse=-1", quote(amount)));
    let (stage, processes) =
        amount.split_once('=').filter(|(stage, _)| !stage.trim().is_empty()).ok_or_else(refuse)?;
    let (stage, number) = (stage.trim().to_owned(), processes.trim());
    if number.starts_with(['+', '-']) {
        let by = number.parse().map_err(|_| refuse())?;
        return Ok(Scale { stage, processes: None, by: Some(by), wait });
    }
    let processes = number.parse().map_err(|_| refuse())?;
    Ok(Scale { stage, processes: Some(processes), by: None, wait })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_amount_has_a_stage_and_a_number() {
        let scale = parse("parse=4", true).unwrap();
        assert_eq!(scale, Scale { stage: "parse".into(), processes: Some(4), by: None, wait: true });
        for (amount, by) in [("parse=+1", 1), ("parse = -20", -20)] {
            let scale = parse(amount, false).unwrap();
            assert_eq!(scale, Scale { stage: "parse".into(), processes: None, by: Some(by), wait: false });
        }
        for wrong in ["parse", "parse=", "parse=+", "parse=+-1", "parse=--1", "parse=four", "=1", " =+1"] {
            assert!(parse(wrong, false).is_err());
        }
    }
}
