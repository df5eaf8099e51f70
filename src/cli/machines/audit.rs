//! `mprun audit --all`: the ledgers that the broker's scripts keep, against what lies there.

use super::SharedPipeline;
use crate::broker::MemberState;
use crate::cli::output::{self, Failure};
use crate::cli::table::{Table, terminal_width};
use crate::cli::target::OnePipeline;
use crate::exit;
use crate::machines::{QueueSum, Whole};
use crate::numbers::counted;
use crate::stage::Registry;
use serde::Serialize;

#[derive(Serialize)]
struct Audit<'a> {
    ok: bool,
    /// What differs.
    faults: Vec<String>,
    queues: &'a [QueueSum],
}

/// Shows what became of every item of the run; exit 1 if one is not accounted for.
pub(in crate::cli) fn run(pipeline: &OnePipeline, json: bool, registry: &Registry) -> Result<u8, Failure> {
    let whole = SharedPipeline::find(pipeline, registry)?.look()?;
    let faults: Vec<String> = whole.queues.iter().flat_map(faults).collect();
    let audit = Audit { ok: faults.is_empty(), faults, queues: &whole.queues };
    output::show(json, &audit, || text(&audit, &whole))?;
    Ok(if audit.ok { exit::DONE } else { exit::FAILED })
}

/// What does not add up in a queue.
fn faults(queue: &QueueSum) -> Vec<String> {
    let ends = queue.done + queue.dead + queue.dropped + queue.waiting + queue.leased;
    let mut faults = Vec::new();
    if queue.put != ends {
        let (name, put) = (&queue.name, queue.put);
        faults.push(format!(
            "queue {name}: {put} were put, and {ends} are done, dead, dropped, waiting or leased"
        ));
    }
    if queue.dead != queue.letters + queue.letters_dropped {
        let QueueSum { name, dead, letters, letters_dropped, .. } = queue;
        faults.push(format!(
            "queue {name}: {dead} became dead letters, and {letters} lie there, {letters_dropped} were dropped"
        ));
    }
    faults
}

fn text(audit: &Audit<'_>, whole: &Whole) -> String {
    let ends = ["DONE", "WAITING", "LEASED", "DROPPED", "DEAD", "LETTERS"];
    let mut table = Table::new(&[&["<QUEUE", "PUT", "="], &ends[..], &["<RESULT"]].concat());
    for queue in audit.queues {
        let numbers =
            [queue.put, queue.done, queue.waiting, queue.leased, queue.dropped, queue.dead, queue.letters];
        let [put, done, waiting, leased, dropped, dead, letters] = numbers.map(|number| number.to_string());
        let result = if faults(queue).is_empty() { "adds up" } else { "does not add up" };
        let name = queue.name.clone();
        table.push([name, put, "=".into(), done, waiting, leased, dropped, dead, letters, result.into()]);
    }
    let mut lines = match audit.faults.as_slice() {
        [] => vec![format!("every item of run {} is accounted for", whole.run.number)],
        faults => faults.to_vec(),
    };
    let silent = whole.machines.iter().filter(|machine| machine.state == MemberState::Silent);
    lines.extend(silent.filter(|machine| machine.leased > 0).map(|machine| {
        format!(
            "{} of these are leased to {}, which is silent",
            counted(machine.leased, "item"),
            machine.called()
        )
    }));
    format!("{}\n{}\n", table.render(terminal_width()), lines.join("\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn queue() -> QueueSum {
        QueueSum {
            name: "jobs".into(),
            capacity: 10,
            waiting: 2,
            leased: 3,
            oldest: None,
            put: 20,
            done: 12,
            dropped: 1,
            dead: 2,
            letters: 1,
            letters_dropped: 1,
            sealed: false,
            open_writers: Vec::new(),
        }
    }

    #[test]
    fn what_is_missing_is_said() {
        assert_eq!(faults(&queue()), Vec::<String>::new());
        assert_eq!(
            faults(&QueueSum { done: 11, letters: 0, ..queue() }),
            [
                "queue jobs: 20 were put, and 19 are done, dead, dropped, waiting or leased",
                "queue jobs: 2 became dead letters, and 0 lie there, 1 were dropped"
            ]
        );
    }
}
