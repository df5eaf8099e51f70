//! The bottleneck, said in words.

use super::verdict::{Bottleneck, Limit, Next, NoMore};
use crate::numbers::counted;
use crate::status::{Cpus, QueueStatus, Snapshot};

/// One to three sentences.
pub(super) fn of(found: &Bottleneck, now: &Snapshot, cpus: Option<Cpus>) -> String {
    let stage = found.stage.as_deref().unwrap_or("?");
    let share = percent(found.share);
    let status = now.stages.iter().find(|other| other.name == stage);
    let processes = status.map_or(1, |stage| stage.running);
    let first = match found.limit {
        Limit::Work if processes <= 1 => {
            format!("{stage} is the bottleneck: it is at work {share} of the time.")
        }
        Limit::Work => {
            format!("{stage} is the bottleneck: its {processes} processes are at work {share} of the time.")
        }
        Limit::Pauses => {
            format!("{stage} is the bottleneck, by its own pauses: with them it is busy {share} of the time.")
        }
        Limit::Rate => {
            let rate = status.and_then(|stage| stage.rate_limit.as_deref()).unwrap_or("?");
            return format!(
                "{stage} is the bottleneck: it is limited by rate = \"{rate}\", and at work or waiting for that {share} of \
                 the time.{} More processes would give nothing.",
                room(found.next.as_ref())
            );
        }
        Limit::Input => {
            return format!(
                "The pipeline waits for its input: {stage} has nothing to read {share} of the time.{}",
                room(found.next.as_ref())
            );
        }
        Limit::Output => {
            let workers = status.into_iter().flat_map(|stage| &stage.workers);
            if let Some(why) = workers.filter_map(|worker| worker.obstacle.as_ref()).next() {
                return format!("{stage} is the bottleneck: {why}. It waits, and tries it again.");
            }
            return format!(
                "The reader of standard output, or what {stage} writes to, is the bottleneck: {stage} waits for it {share} \
                 of the time.{}",
                room(found.next.as_ref())
            );
        }
        Limit::Failing => {
            let tries_single_items = status.is_some_and(|stage| stage.failing.is_some());
            let how = if tries_single_items {
                "tries one item at a time until one is done"
            } else {
                "is started again after a pause"
            };
            return format!("{stage} is the bottleneck: it is failing, and {how}.");
        }
        Limit::Nothing => return nothing(now),
        // Its own words say it.
        Limit::Missing | Limit::Unknown => return unknown(now),
    };
    format!("{first}{}{}", room(found.next.as_ref()), one_more(found, processes, cpus))
}

fn nothing(now: &Snapshot) -> String {
    if let Some(stage) = now.stages.iter().find(|stage| stage.failing.is_some() && !stage.scheduled) {
        return format!(
            "No stage is the bottleneck: {} is failing, and tries one item at a time until one is done.",
            stage.name
        );
    }
    let mut text = "No stage is the bottleneck: each of them has time left.".to_owned();
    // Little of it may be left, but less than the next item needs.
    let is_full = |queue: &&QueueStatus| queue.bytes > queue.max_bytes - queue.max_bytes / 16;
    if let Some(queue) = now.queues.iter().find(is_full) {
        text += &format!(" The max_bytes of the queue {} are used up.", queue.name);
    }
    let delayed: u64 = now.queues.iter().map(|queue| queue.delayed).sum();
    if delayed > 0 {
        let items = counted(delayed, "item");
        text += &format!(" What failed and waits for its next attempt, as `retry` says: {items}.");
    }
    text
}

fn unknown(now: &Snapshot) -> String {
    match (now.paused, now.phase) {
        (true, _) => "The pipeline is paused.".to_owned(),
        (false, crate::status::Phase::Draining | crate::status::Phase::Stopping) => {
            "The pipeline is ending.".to_owned()
        }
        (false, _) => "No stage has worked long enough to tell.".to_owned(),
    }
}

fn room(next: Option<&Next>) -> String {
    match next {
        Some(next) if next.times_as_much >= 1.05 => {
            format!(" The next limit, {}, could do {} as much.", next.stage, times(next.times_as_much))
        }
        Some(next) => format!(" {} is at its limit, too.", next.stage),
        None => String::new(),
    }
}

fn one_more(found: &Bottleneck, processes: u32, cpus: Option<Cpus>) -> String {
    match found.no_more_because {
        None => format!(
            " One process more ({}) would give about {} more.",
            processes + 1,
            percent(found.one_more)
        ),
        Some(NoMore::OnePosition) => {
            " More processes would give nothing: only one of them at a time can work.".to_owned()
        }
        Some(NoMore::OwnProgram) => " More processes would only run its program once more.".to_owned(),
        // Who keeps them busy is not known: this stage, or others while it waits for a server.
        Some(NoMore::CpusBusy) => format!(
            " {} busy: more processes help only if their work is to wait.",
            match cpus.map_or(1, |cpus| cpus.count) {
                1 => "The CPU is".to_owned(),
                2 => "Both CPUs are".to_owned(),
                many => format!("All {many} CPUs are"),
            }
        ),
        Some(NoMore::NextIsNear) => " One process more in it alone would give next to nothing.".to_owned(),
    }
}

fn percent(share: f64) -> String {
    format!("{:.0} %", share * 100.0)
}

fn times(factor: f64) -> String {
    if factor >= 10.0 { "over 10 times".to_owned() } else { format!("{factor:.1} times") }
}
