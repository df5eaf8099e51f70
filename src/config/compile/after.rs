//! `after`: the stages that it names are in this run, and no stage comes after itself.

use std::collections::HashMap;

use super::draft::{Draft, Off};
use crate::config::diagnostic::{Diagnostic, Report, list, nearest, quote};
use crate::config::elements::StageName;

/// Names of a ring that are shown.
const MAX_SHOWN: usize = 10;

/// `is_whole`: every stage of the file could be read; else nothing can be said to be missing.
pub(super) fn check(drafts: &[Draft], is_whole: bool, report: &mut Report) {
    let places: HashMap<&str, usize> = (0..).zip(drafts).map(|(i, draft)| (draft.name.as_str(), i)).collect();
    for draft in drafts.iter().filter(|draft| draft.off.is_none()) {
        for stage in &draft.keys.after.value {
            let fault = fault(draft, stage, drafts, &places, is_whole);
            fault.into_iter().for_each(|fault| report.push(fault));
        }
    }
    rings(drafts, &places, report);
}

fn fault(
    draft: &Draft,
    stage: &StageName,
    drafts: &[Draft],
    places: &HashMap<&str, usize>,
    is_whole: bool,
) -> Option<Diagnostic> {
    let name = &stage.name;
    if *name == draft.name {
        return Some(Diagnostic::error(format!("`{name}` can't come after itself")).at(&stage.span));
    }
    let Some(&place) = places.get(name.as_str()) else {
        let names = || drafts.iter().map(|draft| draft.name.as_str()).filter(|other| *other != draft.name);
        let near = nearest(name, names()).map(|near| format!("`{near}`"));
        let fault = Diagnostic::error(format!("the file has no stage {}", quote(name))).at(&stage.span);
        let fault = fault.did_you_mean(near);
        let is_alone = names().next().is_none();
        return is_whole.then(|| match is_alone {
            true => fault.help(format!("`{}` is the only one: leave `after` out", draft.name)),
            false => fault.accepted(list(names(), "and")),
        });
    };
    let off = drafts[place].off?;
    let help = match off {
        Off::Disabled => "enable it, or leave its name out here",
        Off::NotSelected => "name it in --stages as well",
    };
    let title = format!("`{}` comes after `{name}`, which is {}", draft.name, off.words());
    Some(Diagnostic::error(title).at(&stage.span).help(help))
}

/// Reports a ring once: takes away what comes after nothing that is left, until nothing does; what remains is in a ring
/// or comes after one.
fn rings(drafts: &[Draft], places: &HashMap<&str, usize>, report: &mut Report) {
    let before: Vec<Vec<usize>> = (0..drafts.len()).map(|i| others(i, drafts, places)).collect();
    let mut later = vec![Vec::new(); drafts.len()];
    let mut open: Vec<usize> = before.iter().map(Vec::len).collect();
    for (i, stages) in before.iter().enumerate() {
        stages.iter().for_each(|stage| later[*stage].push(i));
    }
    let mut free: Vec<usize> = (0..drafts.len()).filter(|i| open[*i] == 0).collect();
    while let Some(stage) = free.pop() {
        for &next in &later[stage] {
            open[next] -= 1;
            free.extend((open[next] == 0).then_some(next));
        }
    }
    let mut seen = vec![false; drafts.len()];
    for start in (0..drafts.len()).filter(|i| open[*i] > 0) {
        let ring = walk(start, |i| before[i].iter().copied().find(|other| open[*other] > 0), &mut seen);
        let fault = ring.and_then(|ring| ring_fault(&ring, drafts));
        fault.into_iter().for_each(|fault| report.push(fault));
    }
}

/// The enabled stages that a stage comes after, but for itself.
fn others(i: usize, drafts: &[Draft], places: &HashMap<&str, usize>) -> Vec<usize> {
    if drafts[i].off.is_some() {
        return Vec::new();
    }
    let places =
        drafts[i].keys.after.value.iter().filter_map(|stage| places.get(stage.name.as_str()).copied());
    places.filter(|other| *other != i && drafts[*other].off.is_none()).collect()
}

/// The ring to which the steps from `start` lead; `None` if they come to stages seen before.
fn walk(start: usize, next: impl Fn(usize) -> Option<usize>, seen: &mut [bool]) -> Option<Vec<usize>> {
    let mut path = Vec::new();
    let mut stage = start;
    while !std::mem::replace(&mut seen[stage], true) {
        path.push(stage);
        stage = next(stage)?;
    }
    let entry = path.iter().position(|other| *other == stage)?;
    Some(path.split_off(entry))
}

fn ring_fault(ring: &[usize], drafts: &[Draft]) -> Option<Diagnostic> {
    let (first, second) = (&drafts[*ring.first()?], &drafts[*ring.get(1)?]);
    let span = first.keys.after.value.iter().find(|stage| stage.name == second.name).map(|stage| &stage.span);
    let mut names: Vec<&str> =
        ring.iter().take(MAX_SHOWN).map(|stage| drafts[*stage].name.as_str()).collect();
    names.extend((ring.len() > MAX_SHOWN).then_some("…"));
    names.push(&first.name);
    let title = format!("these stages come after each other: {}", names.join(" → "));
    Some(Diagnostic::error(title).at(span?).help("none of them could be started first"))
}
