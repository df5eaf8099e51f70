//! `mprun forget FILE MACHINE`: a machine that is gone for good is struck off the run.
//!
//! One script of the broker does it: killed before, nothing has happened; after it, all has, and the same command finds it done.

use super::SharedPipeline;
use crate::broker::{Forgotten, MachineName, Member};
use crate::cli::output::{self, Failure};
use crate::config::diagnostic::quote;
use crate::exit;
use crate::numbers::{counted, time};
use crate::stage::Registry;
use serde::Serialize;

#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  mprun forget shop.toml 3f2a   `mprun status shop.toml --all` shows the ids")]
pub(in crate::cli) struct Args {
    /// The pipeline: its file, or its name where it runs here
    #[arg(value_name = "FILE")]
    pipeline: String,
    /// The machine: the beginning of its id, as `mprun status --all` shows it
    machine: String,
    /// Print it as JSON
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Answer {
    machine: String,
    given_back: Vec<GivenBack>,
    ended: Vec<Ended>,
}

#[derive(Serialize)]
struct GivenBack {
    queue: String,
    items: u64,
}

/// A stage that counts as ended.
#[derive(Serialize)]
struct Ended {
    queue: String,
    stage: String,
}

/// Strikes it off, unless it is alive.
pub(in crate::cli) fn run(args: &Args, registry: &Registry) -> Result<u8, Failure> {
    let pipeline = SharedPipeline::named(Some(&args.pipeline), registry)?;
    let members = pipeline.ask(async |visitor| visitor.machines().await)?;
    let machine = choose(&members, &args.machine)?.machine.clone();
    match pipeline.ask(async |visitor| visitor.forget(&machine).await)? {
        Forgotten::Unknown => Err(unknown(&args.machine)),
        Forgotten::Alive(age) => Err(Failure::failed(format!(
            "{} is alive: it has shown itself {} ago; stop it there, or wait until it has been silent for 15 s",
            MachineName(&machine),
            time(age.as_secs_f64())
        ))),
        Forgotten::Struck { items, writers } => {
            let given_back = items.into_iter().map(|(queue, items)| GivenBack { queue, items }).collect();
            let ended = writers.into_iter().map(|(queue, stage)| Ended { queue, stage }).collect();
            let answer = Answer { machine, given_back, ended };
            output::show(args.json, &answer, || text(&answer))?;
            Ok(exit::DONE)
        }
    }
}

fn unknown(word: &str) -> Failure {
    Failure::usage(format!(
        "no machine of the run is called {}: `mprun status --all` lists them",
        quote(word)
    ))
}

fn choose<'a>(members: &'a [Member], word: &str) -> Result<&'a Member, Failure> {
    let found: Vec<&Member> = members.iter().filter(|member| member.machine.starts_with(word)).collect();
    match found.as_slice() {
        _ if word.is_empty() => Err(Failure::usage(
            "the machine's id is empty: write the beginning of one that `mprun status --all` lists",
        )),
        [only] => Ok(only),
        [] => Err(unknown(word)),
        several => {
            let ids: Vec<&str> = several.iter().map(|member| member.machine.as_str()).collect();
            Err(Failure::usage(format!("several machines are called {}: {}", quote(word), ids.join(", "))))
        }
    }
}

fn text(answer: &Answer) -> String {
    let mut lines = vec![format!("{} is struck off", MachineName(&answer.machine))];
    for GivenBack { queue, items } in &answer.given_back {
        lines.push(format!("  {} of {queue} given back", counted(*items, "item")));
    }
    for Ended { queue, stage } in &answer.ended {
        lines.push(format!(
            "  its stage {stage} counts as ended for {queue}: what it had not sent is not in the run"
        ));
    }
    lines.join("\n") + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::broker::MemberState;

    #[test]
    fn a_machine_is_named_by_the_beginning_of_its_id_if_that_is_the_only_one() {
        let member = |id: &str| Member {
            machine: id.into(),
            life: "1".into(),
            state: MemberState::Silent,
            shown: None,
        };
        let members = ["3fa0", "3fb0", "77"].map(member);
        assert_eq!(choose(&members, "3fa").unwrap().machine, "3fa0");
        assert!(choose(&members, "3f").unwrap_err().to_string().contains("3fa0, 3fb0"));
        assert!(choose(&members[2..], "").unwrap_err().to_string().contains("is empty"));
        for word in ["x", "", "770"] {
            assert_eq!(choose(&members, word).unwrap_err().code(), exit::USAGE, "{word}");
        }
    }
}
