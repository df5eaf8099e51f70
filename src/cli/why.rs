//! `mprun why [STAGE]`: which stage limits the pipeline; what happened to its workers lately, and why.

use serde::Serialize;

use super::machines::{self, AllMachines, SharedPipeline};
use super::output::{self, Failure};
use super::status;
use super::target::{self, OneOrAllStages};
use crate::exit;
use crate::numbers::time;
use crate::stage::Registry;
use crate::status::{
    Bottleneck, BrokerStatus, Fate, Snapshot, StageStatus, Transition, WorkerChange, WorkerState,
    WorkerStatus,
};
use crate::text::with_time;

#[derive(clap::Args)]
#[command(override_usage = "mprun why [OPTIONS] [NAME] [STAGE]")]
#[command(after_help = "\
Examples:
  mprun why              what limits the pipeline
  mprun why shop parse   why the workers of the stage parse restarted")]
pub(super) struct Args {
    #[command(flatten)]
    whom: OneOrAllStages,
    #[command(flatten)]
    machines: AllMachines,
    /// Print it as JSON: `bottleneck`, and `stages` with the `transitions` of each worker
    #[arg(long)]
    json: bool,
}

/// What a script gets.
#[derive(Serialize)]
struct Why {
    bottleneck: Option<Bottleneck>,
    stages: Vec<StageStatus>,
}

/// Tells what limits the pipeline, then the last transitions of every worker, each with its reason.
pub(super) fn run(args: &Args, registry: &Registry) -> Result<u8, Failure> {
    if args.machines.all {
        let (pipeline, stage) = match args.whom.words() {
            [] => (None, None),
            [name] => (Some(name.as_str()), None),
            [name, stage, ..] => (Some(name.as_str()), Some(stage.as_str())),
        };
        return machines::why::run(&SharedPipeline::named(pipeline, registry)?, stage, args.json);
    }
    let (mut client, wanted) = args.whom.find()?;
    let snapshot = status::look(&mut client, true)?;
    let bottleneck = snapshot.bottleneck.clone();
    let mut faults = snapshot.letters.faults();
    faults.extend(snapshot.unsaved());
    faults.extend(snapshot.broker.as_ref().and_then(BrokerStatus::note));
    let pipeline = snapshot.pipeline.clone();
    let stages = choose(snapshot, wanted.as_deref())?;
    if args.json {
        output::json(&Why { bottleneck, stages })?;
    } else {
        let limit = bottleneck.map(|found| found.text);
        let first = limit.into_iter().chain(faults).map(|text| text + "\n");
        let parts: Vec<String> = first.chain(stages.iter().map(|stage| text(stage, &pipeline))).collect();
        output::print(&parts.join("\n"))?;
    }
    Ok(exit::DONE)
}

fn choose(snapshot: Snapshot, wanted: Option<&str>) -> Result<Vec<StageStatus>, Failure> {
    let Some(wanted) = wanted else { return Ok(snapshot.stages) };
    let names: Vec<String> = snapshot.stages.iter().map(|stage| stage.name.clone()).collect();
    let chosen: Vec<StageStatus> = snapshot.stages.into_iter().filter(|stage| stage.name == wanted).collect();
    if chosen.is_empty() {
        return Err(target::no_such_stage(wanted, names.iter().map(String::as_str)));
    }
    Ok(chosen)
}

fn text(stage: &StageStatus, pipeline: &str) -> String {
    let by_reason: Vec<String> = stage.restarts.iter().map(|(why, n)| format!("{n} {why}")).collect();
    let restarts = match by_reason.is_empty() {
        true => "no restarts".to_owned(),
        false => format!("restarts: {}", by_reason.join(", ")),
    };
    let mut lines = vec![format!("{}: {restarts}", stage.name)];
    if stage.fate == Fate::Stopped {
        lines.push(format!("  it is stopped: `mprun start {pipeline} {}` starts it", stage.name));
    }
    lines.extend(stage.failure().map(|failure| format!("  {failure}")));
    lines.extend(stage.kills().map(|kills| format!("  {kills}")));
    let order = stage.order.as_ref().zip(stage.inputs.first()).and_then(|(order, input)| order.says(input));
    lines.extend(order.map(|order| format!("  {order}")));
    stage.workers.iter().for_each(|worker| lines.extend(of_worker(stage, worker)));
    lines.join("\n") + "\n"
}

fn of_worker(stage: &StageStatus, worker: &WorkerStatus) -> Vec<String> {
    let now = worker.reason.as_ref().or(worker.obstacle.as_ref());
    let now = now.map_or(String::new(), |why| format!(": {why}"));
    let pid = worker.pid.map_or(String::new(), |pid| format!(", process {pid}"));
    let state = state(worker.state, stage.is_service());
    let mut lines = vec![format!("  {}[{}] {state}{pid}{now}", stage.name, worker.index)];
    lines.extend(worker.transitions.iter().flat_map(of_transition));
    lines
}

/// A service works on no items: it runs.
fn state(state: WorkerState, is_service: bool) -> String {
    match state {
        WorkerState::Working if is_service => "running".to_owned(),
        WorkerState::InputEnded => "has had all its input, waits for its program to end".to_owned(),
        other => format!("{other:?}").to_lowercase(),
    }
}

fn of_transition(transition: &Transition) -> Vec<String> {
    let what = match transition.change {
        WorkerChange::Started => "started: ",
        WorkerChange::Asked => "told to end after its item: ",
        WorkerChange::Terminated => "terminated: ",
        WorkerChange::Killed => "killed: ",
        WorkerChange::Ended | WorkerChange::Failed => "",
    };
    let lived = transition.lived.map_or(String::new(), |lived| format!(" after {}", time(lived)));
    let reason = with_time(&transition.reason, &lived, "");
    let mut lines = vec![format!("    {:>8} ago  {what}{reason}", time(transition.ago))];
    if let Some(item) = &transition.item {
        let (queue, id, attempt) = (&item.queue, item.id, item.attempt);
        lines.push(format!("                  at item {id} of {queue}, try {attempt}: {}", item.text));
    }
    lines.extend(transition.stderr.iter().map(|line| format!("                  | {line}")));
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::status::fixture;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_stage_is_called_by_its_own_name(name in "[A-Za-z][A-Za-z0-9_-]{0,20}") {
            let stage = fixture::stage(&name, "", "", [1.0, 0.0, 0.0]);
            let worker = of_worker(&stage, &fixture::worker("Let.it END"));
            prop_assert!(worker[0].starts_with(&format!("  {name}[3] resting, process 77: Let.it END")), "{worker:?}");
            prop_assert!(text(&stage, "shop").starts_with(&(name + ": no restarts")));
        }
    }
}
