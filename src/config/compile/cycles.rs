//! Rings of stages that only wait for each other: no item can ever enter.

use super::draft::Draft;
use super::wiring::{End, Wiring};
use crate::config::diagnostic::{Diagnostic, Report};

/// Reports each ring once.
pub(super) fn check(drafts: &[Draft], wiring: &Wiring, report: &mut Report) {
    let fed = fed(drafts, wiring);
    let mut seen = vec![false; drafts.len()];
    for start in (0..drafts.len()).filter(|stage| !fed[*stage]) {
        // A stage that reads what it writes is reported as such.
        if let Some(ring) = ring_behind(start, drafts, wiring, &mut seen).filter(|ring| ring.len() > 1) {
            report.push(diagnostic(&ring, drafts));
        }
    }
}

/// Which stages some item can reach. Those that are off count: nothing is to be said about them. So do those whose
/// queue has no writer: that is reported already.
fn fed(drafts: &[Draft], wiring: &Wiring) -> Vec<bool> {
    let mut fed: Vec<bool> = drafts.iter().map(|draft| is_source(draft, wiring)).collect();
    let mut work: Vec<usize> = (0..drafts.len()).filter(|stage| fed[*stage]).collect();
    while let Some(stage) = work.pop() {
        let outputs = drafts[stage].keys.output.value.iter().filter_map(|queue| wiring.get(&queue.name));
        for reader in outputs.flat_map(|wire| &wire.readers) {
            if !std::mem::replace(&mut fed[reader.stage], true) {
                work.push(reader.stage);
            }
        }
    }
    fed
}

fn is_source(draft: &Draft, wiring: &Wiring) -> bool {
    let inputs = &draft.keys.input.value;
    let unwritten = |name: &str| writer(name, wiring).is_none();
    draft.off.is_some() || inputs.is_empty() || inputs.iter().any(|queue| unwritten(&queue.name))
}

fn writer<'a>(queue: &str, wiring: &'a Wiring) -> Option<&'a End> {
    wiring.get(queue)?.writers.iter().find(|end| end.off.is_none())
}

/// Goes up the stream from an unfed stage, where every stage has a writer before it, until one comes round again.
/// `None` if it comes to stages seen before: their ring is reported already.
fn ring_behind(start: usize, drafts: &[Draft], wiring: &Wiring, seen: &mut [bool]) -> Option<Vec<usize>> {
    let mut path = Vec::new();
    let mut stage = start;
    while !std::mem::replace(&mut seen[stage], true) {
        path.push(stage);
        let queue = drafts[stage].keys.input.value.first()?;
        stage = writer(&queue.name, wiring)?.stage;
    }
    let entry = path.iter().position(|other| *other == stage)?;
    let mut ring = path.split_off(entry);
    // Downstream, from the stage that stands first in the file.
    ring.reverse();
    let first = ring.iter().enumerate().min_by_key(|(_, stage)| **stage).map_or(0, |(at, _)| at);
    ring.rotate_left(first);
    Some(ring)
}

fn diagnostic(ring: &[usize], drafts: &[Draft]) -> Diagnostic {
    let first = &drafts[ring[0]];
    let span = first.keys.input.value.first().map_or(&first.span, |queue| &queue.span);
    const MAX_SHOWN: usize = 10;
    let mut names: Vec<&str> =
        ring.iter().take(MAX_SHOWN).map(|stage| drafts[*stage].name.as_str()).collect();
    names.extend((ring.len() > MAX_SHOWN).then_some("…"));
    names.push(&first.name);
    Diagnostic::error(format!("these stages only wait for each other: {}", names.join(" → "))).at(span).help(
        "no item can ever enter the ring: one of its stages must also read a queue that comes from a source",
    )
}
