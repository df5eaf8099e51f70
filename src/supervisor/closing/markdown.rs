//! The report for people.

use super::contents::{QueueReport as Queue, Report, StageReport as Stage};
use super::summary::dead_letters;
use crate::model::DeadLetterCounts;
use crate::supervisor::machine::reason::spoken;
use std::fmt::Write;
use std::time::Duration;

pub(super) fn render(report: &Report) -> String {
    let mut text = format!("# {}\n\n{}\n", report.pipeline, verdict(report));
    let (services, stages): (Vec<&Stage>, Vec<&Stage>) =
        report.stages.iter().partition(|stage| stage.service);
    if !stages.is_empty() {
        add_stages(&mut text, &stages);
    }
    if !services.is_empty() {
        text += "\n## Services\n\n| service | restarts |\n|---|--:|\n";
        let lines = services.iter().map(|service| format!("| {} | {} |\n", service.name, service.restarts));
        text.extend(lines);
    }
    if !report.queues.is_empty() {
        text +=
            "\n## Queues\n\n| queue | put | done | waiting | delayed | leased | dropped | dead | adds up |\n";
        text += "|---|--:|--:|--:|--:|--:|--:|--:|---|\n";
        report.queues.iter().for_each(|queue| add_queue(&mut text, queue));
        text += "\nput = done + waiting + delayed + leased + dropped + dead: ";
        text += if report.adds_up { "every item is accounted for.\n" } else { "**it does not add up.**\n" };
    }
    let dead = DeadLetterCounts { items: report.dead_letters, too_long: report.too_long };
    if let Some(dead) = dead_letters(dead) {
        // Writing to a string can't fail.
        let _ = match report.dead_letter_file.as_str() {
            "" => writeln!(text, "\n{dead}, not kept."),
            file => writeln!(text, "\n{dead}, in `{file}`."),
        };
    }
    text
}

fn verdict(report: &Report) -> String {
    let how = match (&report.cause, report.outcome) {
        (Some(cause), "stopped") => format!("Stopped ({cause})"),
        (_, "failed") => "Ended, not all of it well,".to_owned(),
        (_, _) => "Done".to_owned(),
    };
    let took = spoken(Duration::from_secs_f64(report.seconds));
    let Report { started, exit_code, file, version, .. } = report;
    format!(
        "{how} after {took}, exit code {exit_code}. Started {started}, from `{file}`, by mprun {version}."
    )
}

fn add_stages(text: &mut String, stages: &[&Stage]) {
    *text += "\n## Stages\n\n";
    *text +=
        "| stage | done | dead | emitted | restarts | working | starved | blocked | paused | mean item |\n";
    *text += "|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|\n";
    stages.iter().for_each(|stage| add_stage(text, stage));
}

fn add_stage(text: &mut String, stage: &Stage) {
    let all = stage.seconds.all();
    let share = |part: f64| if all > 0.0 { format!("{:.0} %", part / all * 100.0) } else { "–".to_owned() };
    let done = stage.done.map_or("–".to_owned(), |done| done.to_string());
    let mean = stage.mean_item_seconds.map_or("–".to_owned(), |mean| spoken(Duration::from_secs_f64(mean)));
    let times = &stage.seconds;
    let shares = [times.working, times.starved, times.blocked, times.paused].map(share).join(" | ");
    let Stage { name, dead, emitted, restarts, .. } = stage;
    let _ = writeln!(text, "| {name} | {done} | {dead} | {emitted} | {restarts} | {shares} | {mean} |");
}

fn add_queue(text: &mut String, queue: &Queue) {
    let Queue { name, put, done, waiting, delayed, leased, dropped, dead, adds_up } = queue;
    let adds_up = if *adds_up { "yes" } else { "**no**" };
    let counts = [put, done, waiting, delayed, leased, dropped, dead].map(u64::to_string).join(" | ");
    let _ = writeln!(text, "| {name} | {counts} | {adds_up} |");
}
