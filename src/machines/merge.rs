//! What several machines do, as if one did it. Pure.

use super::snapshot;
use super::whole::{LEFT, MachineView, QueueSum, RunView, SILENT, StageSum, Whole, alive};
use crate::broker::{MemberState, Overview};
use crate::config::BrokerUrl;
use crate::model::Totals;
use crate::status::{Bottleneck, Cpus, Fate, MachineStage, QueueStatus, Rate, StageStatus, find_bottleneck};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::{Duration, SystemTime};

/// Where no machine is known to have run a stage.
pub(crate) const NOWHERE: &str = "nowhere";

/// What is known of a pipeline without its machines.
pub(crate) struct Known<'a> {
    pub name: &'a str,
    pub file: &'a Path,
    pub broker: &'a BrokerUrl,
    /// In the order of the file.
    pub stages: &'a [String],
}

/// `now`: by the clock here.
pub(crate) fn whole(pipeline: &Known<'_>, overview: Overview, now: SystemTime) -> Whole {
    let Overview { run, begun, ended, works_off, machines, queues } = overview;
    let at = |seconds| SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
    let written = |seconds| humantime::format_rfc3339_seconds(at(seconds)).to_string();
    let age = now.duration_since(at(begun)).unwrap_or_default().as_secs_f64();
    let machines: Vec<MachineView> =
        machines.into_iter().map(|member| MachineView::of(member, &queues)).collect();
    let mut whole = Whole {
        pipeline: pipeline.name.to_owned(),
        file: pipeline.file.display().to_string(),
        broker: pipeline.broker.to_string(),
        run: RunView { number: run, begun: written(begun), age, ended: ended.map(written), works_off },
        stages: stages(pipeline.stages, &machines),
        machines,
        queues: queues.into_iter().map(QueueSum::of).collect(),
        bottleneck: None,
    };
    whole.bottleneck = bottleneck(&whole);
    whole
}

/// The stages of the file, then those that only machines know, each summed.
fn stages(of_file: &[String], machines: &[MachineView]) -> Vec<StageSum> {
    let shown = machines.iter().filter_map(|machine| machine.shown.as_ref());
    let named = shown.flat_map(|shown| shown.stages.iter().map(|stage| stage.name.clone()));
    let mut names = of_file.to_vec();
    for name in named {
        if !names.contains(&name) {
            names.push(name);
        }
    }
    names.into_iter().map(|name| sum(name, machines)).collect()
}

fn sum(name: String, machines: &[MachineView]) -> StageSum {
    let known: Vec<&MachineStage> = machines.iter().filter_map(|machine| machine.stage(&name)).collect();
    let here: Vec<&MachineStage> = alive(machines).filter_map(|(machine, _)| machine.stage(&name)).collect();
    let (mut totals, mut rate) = (Totals::default(), Rate::default());
    known.iter().for_each(|stage| totals += stage.totals);
    for stage in &here {
        rate.taken += stage.rate.taken;
        rate.done += stage.rate.done;
        rate.emitted += stage.rate.emitted;
        rate.over = rate.over.max(stage.rate.over);
    }
    StageSum {
        state: state(&here, &known, machines, &name),
        machines: here.len(),
        processes: here.iter().map(|stage| stage.processes).sum(),
        running: here.iter().map(|stage| stage.running).sum(),
        totals,
        rate,
        restarts: known.iter().map(|stage| stage.restarts).sum(),
        is_source: !known.is_empty() && known.iter().all(|stage| stage.inputs.is_empty()),
        name,
    }
}

/// The words of the machines that run it; of those that did, where no machine does.
fn state(here: &[&MachineStage], known: &[&MachineStage], machines: &[MachineView], name: &str) -> String {
    let words: BTreeSet<&str> = here.iter().map(|stage| stage.state.as_str()).collect();
    if !words.is_empty() {
        return words.into_iter().collect::<Vec<_>>().join(", ");
    }
    let is_silent =
        |machine: &&MachineView| machine.state == MemberState::Silent && machine.stage(name).is_some();
    match known {
        [] => NOWHERE,
        _ if machines.iter().any(|machine| is_silent(&machine)) => SILENT,
        known if known.iter().all(|stage| stage.fate == Fate::Finished) => "finished",
        _ => LEFT,
    }
    .to_owned()
}

/// What limits the run: the stages of all machines weighed as those of one.
fn bottleneck(whole: &Whole) -> Option<Bottleneck> {
    let snapshot = snapshot::of(whole);
    if whole.run.ended.is_some() || whole.alive().next().is_none() {
        return None;
    }
    let missing = whole.stages.iter().filter(|stage| stage.is_missing());
    let waited_for = missing.filter_map(|missing| {
        let stage = snapshot.stages.iter().find(|stage| stage.name == missing.name)?;
        Some((stage, waiting_for(stage, &snapshot.queues))).filter(|(_, items)| *items > 0)
    });
    if let Some((stage, items)) = waited_for.max_by_key(|(_, items)| *items) {
        return Some(Bottleneck::missing(&stage.name, items));
    }
    let found = find_bottleneck(&snapshot, &BTreeMap::new(), None);
    let Some(stage) = found.stage.clone() else { return Some(found) };
    // Another process of it needs a CPU on a machine that runs it.
    Some(find_bottleneck(&snapshot, &BTreeMap::new(), cpus_of(whole, &stage)))
}

/// Items that wait for a stage, also those that a silent machine holds.
fn waiting_for(stage: &StageStatus, queues: &[QueueStatus]) -> u64 {
    let inputs = queues.iter().filter(|queue| stage.inputs.contains(&queue.name));
    inputs.map(|queue| queue.waiting + queue.leased).sum()
}

fn cpus_of(whole: &Whole, stage: &str) -> Option<Cpus> {
    let machines = whole.alive().filter(|(machine, _)| machine.stage(stage).is_some());
    let cpus: Vec<Cpus> = machines.filter_map(|(_, shown)| shown.cpus).collect();
    let count: u32 = cpus.iter().map(|cpus| cpus.count).sum();
    let idle: f64 = cpus.iter().map(|cpus| f64::from(cpus.count) * cpus.idle).sum();
    (count > 0).then(|| Cpus { count, idle: idle / f64::from(count) })
}
