//! `mprun stop --all FILE` and `mprun drain --all FILE`: what all machines of a run are told, through the broker.
//!
//! | killed … | what is left | what follows |
//! |---|---|---|
//! | before an order | nothing | the same command |
//! | the drain, after its first order | sources that are stopped, and a run that works off what there is | the same command, or `mprun start` of the sources |
//! | after the last order | machines that stop | nothing: each has its order in the broker |

use super::SharedPipeline;
use crate::broker::{MachineName, MemberState, RunOrder};
use crate::cli::output::{self, Failure};
use crate::exit;
use crate::machines::Whole;
use crate::numbers::counted;
use crate::stage::Registry;
use serde::Serialize;
use std::collections::BTreeSet;
use std::thread;
use std::time::{Duration, Instant};

const LOOK_AGAIN: Duration = Duration::from_millis(500);
/// By then a machine that is there has heard of an order; what it shows after that, it shows as one that obeys.
const HEARD_WITHIN: Duration = Duration::from_millis(1500);

#[derive(Serialize)]
struct Answer {
    pipeline: String,
    /// That were told to stop.
    machines: u64,
    /// Those of them that have shown nothing for a while, by their ids.
    silent: Vec<String>,
}

/// Every machine stops, as by `mprun stop` there.
pub(in crate::cli) fn stop(
    name: Option<&str>,
    (waits, json): (bool, bool),
    registry: &Registry,
) -> Result<u8, Failure> {
    let pipeline = SharedPipeline::named(name, registry)?;
    let machines = tell(&pipeline, RunOrder::Stop)?;
    if waits {
        wait_until_all_have_left(&pipeline)?;
    }
    answer(&pipeline, machines, json)
}

/// The sources of all machines end; once nothing is left in any queue, the machines stop.
pub(in crate::cli) fn drain(name: Option<&str>, json: bool, registry: &Registry) -> Result<u8, Failure> {
    let (pipeline, mut silent) = (SharedPipeline::named(name, registry)?, BTreeSet::new());
    tell(&pipeline, RunOrder::Drain)?;
    let since = Instant::now();
    output::say(
        "the sources end; the machines stop once nothing is left (Ctrl-C leaves the sources stopped)",
    );
    loop {
        let whole = pipeline.watch()?;
        if is_drained(&whole, since.elapsed()) {
            break;
        }
        name_the_silent(&whole, &mut silent);
        thread::sleep(LOOK_AGAIN);
    }
    let machines = tell(&pipeline, RunOrder::Stop)?;
    wait_until_all_have_left(&pipeline)?;
    answer(&pipeline, machines, json)
}

fn tell(pipeline: &SharedPipeline, order: RunOrder) -> Result<u64, Failure> {
    match pipeline.ask(async |visitor| visitor.order(order).await)? {
        0 => Err(Failure::failed(why_no_machine(&pipeline.look()?))),
        machines => Ok(machines),
    }
}

/// There was no machine to tell.
fn why_no_machine(whole: &Whole) -> String {
    let (name, number) = (&whole.pipeline, whole.run.number);
    match &whole.run.ended {
        Some(at) => format!("run {number} of {name} has ended, at {at}: no machine is left to stop"),
        None => {
            format!(
                "no machine of {name} is there: all have left run {number}, which has not ended (`mprun run` continues it)"
            )
        }
    }
}

/// What such a machine holds is waited for, until it is back or another has it.
fn name_the_silent(whole: &Whole, named: &mut BTreeSet<String>) {
    let silent = whole.machines.iter().filter(|machine| machine.state == MemberState::Silent);
    for machine in silent.filter(|machine| named.insert(machine.id.clone())) {
        let (id, items) = (MachineName(&machine.id), counted(machine.leased, "item"));
        output::say(&format!(
            "{id} has fallen silent and holds {items}: `mprun forget` gives them to the others"
        ));
    }
}

/// Whether no machine has a source or a commit under way, nor a queue an item. `since` the sources were told to end.
fn is_drained(whole: &Whole, since: Duration) -> bool {
    let is_empty = whole.queues.iter().all(|queue| queue.waiting + queue.leased == 0);
    let is_late =
        |age: Option<f64>| age.is_none_or(|age| age + HEARD_WITHIN.as_secs_f64() > since.as_secs_f64());
    let has_work = whole.alive().any(|(machine, shown)| {
        let is_source = |name: &str| whole.stages.iter().any(|stage| stage.name == name && stage.is_source);
        let has_source = shown.stages.iter().any(|stage| is_source(&stage.name) && stage.running > 0);
        let has_items = shown.queues.iter().any(|queue| queue.waiting + queue.leased > 0);
        is_late(machine.age) || has_source || has_items || shown.commits > 0
    });
    is_empty && !has_work
}

/// A machine that has fallen silent is not waited for.
fn wait_until_all_have_left(pipeline: &SharedPipeline) -> Result<(), Failure> {
    while pipeline.watch()?.alive().next().is_some() {
        thread::sleep(LOOK_AGAIN);
    }
    Ok(())
}

fn answer(pipeline: &SharedPipeline, machines: u64, json: bool) -> Result<u8, Failure> {
    let members = pipeline.ask(async |visitor| visitor.machines().await)?;
    let silent = members.into_iter().filter(|member| member.state == MemberState::Silent);
    let silent = silent.map(|member| member.machine).collect();
    let answer = Answer { pipeline: pipeline.name.clone(), machines, silent };
    output::show(json, &answer, || text(&answer))?;
    Ok(exit::DONE)
}

fn text(answer: &Answer) -> String {
    let machines = counted(answer.machines, "machine");
    let mut lines = format!("{machines} of {} told to stop\n", answer.pipeline);
    for machine in &answer.silent {
        let machine = MachineName(machine);
        lines.push_str(&format!("  {machine} has fallen silent: it stops when it is there again\n"));
    }
    lines
}
