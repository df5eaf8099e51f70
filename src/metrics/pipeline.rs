//! What concerns the whole pipeline.

use super::family::Families;
use crate::status::{ConfigState, Phase, Snapshot, StageStatus};
use std::fmt;

pub(super) fn encode(seen: &Snapshot, out: &mut Families<'_, '_>) -> fmt::Result {
    out.gauge(
        "build_info",
        "The version that runs the pipeline",
        [([("version", seen.version.as_str())], 1_i64)],
    )?;
    out.gauge("uptime_seconds", "Since the run was started", [([], seen.uptime)])?;
    let phases = [
        ("starting", Phase::Starting),
        ("running", Phase::Running),
        ("reloading", Phase::Reloading),
        ("draining", Phase::Draining),
        ("stopping", Phase::Stopping),
    ];
    let phases = phases.map(|(name, phase)| (name, phase == seen.phase));
    out.states("phase", "How far the pipeline is: 1 for the phase that it is in", "phase", &phases)?;
    out.gauge("paused", "Whether all of the pipeline is paused", [([], i64::from(seen.paused))])?;
    let states = [
        ("current", ConfigState::Current),
        ("pending", ConfigState::Pending),
        ("refused", ConfigState::Refused),
    ];
    let states = states.map(|(name, state)| (name, state == seen.config.state));
    out.states(
        "config_state",
        "Whether the pipeline file is what runs: 1 for the state that holds",
        "state",
        &states,
    )?;
    let generation = i64::try_from(seen.config.generation).unwrap_or(i64::MAX);
    out.gauge(
        "config_generation",
        "Grows by one with each pipeline file that is taken over",
        [([], generation)],
    )?;
    let by_hand = i64::try_from(seen.config.changed.len()).unwrap_or(i64::MAX);
    out.gauge("config_changes_by_hand", "Changes by hand since the file was read", [([], by_hand)])?;
    // Only items become dead letters.
    let has_services_only = !seen.stages.is_empty() && seen.stages.iter().all(StageStatus::is_service);
    if has_services_only && seen.dead_letters + seen.letters.letters == 0 {
        Ok(())
    } else {
        dead_letters(seen, out)
    }
}

fn dead_letters(seen: &Snapshot, out: &mut Families<'_, '_>) -> fmt::Result {
    out.counter("dead_letters", "Items that never went through", [([], seen.dead_letters)])?;
    let gauge = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
    let kept = &seen.letters;
    out.gauge(
        "dead_letters_kept",
        "Dead letters that are kept, those of earlier runs included",
        [([], gauge(kept.letters))],
    )?;
    out.gauge("dead_letters_kept_bytes", "Bytes of their file", [([], gauge(kept.bytes))])?;
    out.gauge(
        "dead_letters_max_bytes",
        "What `[dead_letters] max_size` allows",
        [([], gauge(kept.max_size))],
    )?;
    out.gauge(
        "dead_letters_dropped",
        "Kept dead letters that were dropped to make room, since there were none",
        [([], gauge(kept.dropped))],
    )?;
    let waiting = u64::try_from(kept.waiting.len()).unwrap_or(u64::MAX);
    out.gauge(
        "dead_letters_unwritten",
        "Items of dead workers whose letters can't be written yet",
        [([], gauge(waiting))],
    )
}
