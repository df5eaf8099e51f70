//! `mprun scale STAGE=N`.

use super::output::Failure;
use super::target::{self, Where};
use super::tell::{self, Form};
use crate::config::diagnostic::quote;
use crate::control::protocol::Scale;

/// What `scale` takes.
#[derive(clap::Args)]
#[command(override_usage = "mprun scale [OPTIONS] [NAME] STAGE=N")]
pub struct Args {
    /// The pipeline (can be left out when only one runs), and the stage with its number of processes
    #[arg(required = true, num_args = 1..=2, value_names = ["NAME", "STAGE=N"])]
    words: Vec<String>,
    #[command(flatten)]
    form: Form,
    #[command(flatten)]
    place: Where,
}

/// Gives a stage another number of processes, until the file is read again.
pub fn run(args: &Args) -> Result<u8, Failure> {
    let (name, wish) = match args.words.as_slice() {
        [name, wish] => (Some(name.as_str()), wish),
        [wish, ..] => (None, wish),
        [] => return Err(Failure::usage("say STAGE=N")),
    };
    let scale = parse(wish, args.form.wait)?;
    tell::tell(&mut target::find(name, &args.place)?, "/v1/scale", &scale, args.form)
}

fn parse(wish: &str, wait: bool) -> Result<Scale, Failure> {
    let refuse = || Failure::usage(format!("{} is no STAGE=N, such as parse=4", quote(wish)));
    let (stage, processes) = wish.split_once('=').ok_or_else(refuse)?;
    let processes = processes.trim().parse().map_err(|_| refuse())?;
    Ok(Scale { stage: stage.trim().to_owned(), processes, wait })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wish_has_a_stage_and_a_number() {
        let scale = parse("parse=4", true).unwrap();
        assert_eq!(scale, Scale { stage: "parse".into(), processes: 4, wait: true });
        for wrong in ["parse", "parse=", "parse=-1", "parse=four"] {
            assert!(parse(wrong, false).is_err());
        }
    }
}
