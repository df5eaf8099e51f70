//! `mprun audit`: does the ledger add up?

use super::machines::{self, AllMachines};
use super::output::{self, Failure};
use super::table::{Table, terminal_width};
use super::target::OnePipeline;
use crate::control::protocol::Audit;
use crate::exit;
use crate::stage::Registry;

#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  mprun audit shop
  mprun audit shop --json | jq .   for a script")]
pub(super) struct Args {
    #[command(flatten)]
    pipeline: OnePipeline,
    #[command(flatten)]
    machines: AllMachines,
    /// Print it as JSON
    #[arg(long)]
    json: bool,
}

/// Shows what became of every item; exit 1 if one is not accounted for.
pub(super) fn run(args: &Args, registry: &Registry) -> Result<u8, Failure> {
    if args.machines.all {
        return machines::audit::run(&args.pipeline, args.json, registry);
    }
    let mut client = args.pipeline.find()?;
    let audit = client.audit()?;
    output::show(args.json, &audit, || text(&audit, terminal_width()))?;
    Ok(if audit.ok { exit::DONE } else { exit::FAILED })
}

fn text(audit: &Audit, width: Option<usize>) -> String {
    let ends = ["DONE", "WAITING", "DELAYED", "LEASED", "DROPPED", "DEAD"];
    let mut table = Table::new(&[&["<QUEUE", "PUT", "="], &ends[..], &["<RESULT"]].concat());
    for queue in &audit.queues {
        let result = match queue.unaccounted() {
            0 => "adds up".to_owned(),
            missing => format!("{missing} not accounted for"),
        };
        let numbers =
            [queue.put, queue.done, queue.waiting, queue.delayed, queue.leased, queue.dropped, queue.dead];
        let [put, done, waiting, delayed, leased, dropped, dead] = numbers.map(|number| number.to_string());
        let name = queue.name.clone();
        table.push([name, put, "=".into(), done, waiting, delayed, leased, dropped, dead, result]);
    }
    let verdict = match &audit.fault {
        None if audit.queues.is_empty() => return "there are no queues, and no items\n".to_owned(),
        None => "every item is accounted for".to_owned(),
        Some(fault) => format!("the ledger does not add up: {fault}"),
    };
    format!("{}\n{verdict}\n", table.render(width))
}
