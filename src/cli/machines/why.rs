//! `mprun why --all`: what limits the run, and how busy each stage is on each machine.

use super::SharedPipeline;
use crate::broker::MachineName;
use crate::cli::output::{self, Failure};
use crate::cli::table::{Table, terminal_width};
use crate::exit;
use crate::machines::{MachineView, StageSum, Whole};
use crate::numbers::rate;
use crate::status::{Bottleneck, MachineStage};
use serde::Serialize;

#[derive(Serialize)]
struct Why<'a> {
    bottleneck: &'a Option<Bottleneck>,
    stages: Vec<Share<'a>>,
}

/// How the processes of a stage on a machine spent their time lately, in shares of it.
#[derive(Serialize)]
struct Share<'a> {
    stage: &'a str,
    machine: &'a str,
    running: u32,
    working: f64,
    starved: f64,
    blocked: f64,
    paused: f64,
    done_a_second: f64,
}

/// Tells what limits the run.
pub(in crate::cli) fn run(pipeline: &SharedPipeline, stage: Option<&str>, json: bool) -> Result<u8, Failure> {
    let whole = pipeline.look_afresh()?;
    if let Some(stage) = stage.filter(|stage| whole.stages.iter().all(|known| known.name != **stage)) {
        let names = whole.stages.iter().map(|stage| stage.name.as_str());
        return Err(crate::cli::target::no_such_stage(stage, names));
    }
    let is_meant = |known: &&StageSum| stage.is_none_or(|stage| known.name == stage);
    let stages = whole.stages.iter().filter(is_meant).flat_map(|stage| shares(&whole, &stage.name)).collect();
    let why = Why { bottleneck: &whole.bottleneck, stages };
    output::show(json, &why, || text(&why, &whole))?;
    Ok(exit::DONE)
}

fn shares<'a>(whole: &'a Whole, name: &'a str) -> Vec<Share<'a>> {
    let on = |(machine, _): (&'a MachineView, _)| Some((machine, machine.stage(name)?));
    let at_work = whole.alive().filter_map(on).filter(|(_, stage)| stage.running > 0);
    at_work.map(|(machine, stage)| share(name, &machine.id, stage)).collect()
}

fn share<'a>(name: &'a str, machine: &'a str, stage: &MachineStage) -> Share<'a> {
    let times = stage.recent;
    let all = (times.working + times.starved + times.blocked + times.paused + times.for_turn).max(1e-9);
    Share {
        stage: name,
        machine,
        running: stage.running,
        working: times.working / all,
        starved: times.starved / all,
        blocked: times.blocked / all,
        paused: times.paused / all,
        done_a_second: stage.rate.done,
    }
}

fn text(why: &Why<'_>, whole: &Whole) -> String {
    let limit = match (why.bottleneck, &whole.run.ended) {
        (Some(found), _) => found.text.clone(),
        (None, Some(at)) => format!("The run has ended, at {at}."),
        (None, None) => "No machine of the run is there.".to_owned(),
    };
    let heads = ["<STAGE", "<MACHINE", "PROCESSES", "AT WORK", "NO ITEM", "NO ROOM", "PAUSED", "DONE/S"];
    let mut table = Table::new(&heads);
    let percent = |share: f64| format!("{:.0} %", share * 100.0);
    for share in &why.stages {
        table.push([
            share.stage.to_owned(),
            MachineName(share.machine).to_string(),
            share.running.to_string(),
            percent(share.working),
            percent(share.starved),
            percent(share.blocked),
            percent(share.paused),
            rate(share.done_a_second),
        ]);
    }
    let table = if table.len() > 0 { format!("\n{}", table.render(terminal_width())) } else { String::new() };
    let full = super::table::full_broker(whole).map_or(String::new(), |full| full + "\n");
    format!("{full}{limit}\n{table}")
}
