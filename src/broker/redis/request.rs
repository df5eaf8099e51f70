//! A request of commits as the arguments of `commit.lua`.

use super::keys::RunKeys;
use crate::broker::{Commit, SharedQueue};
use redis::ScriptInvocation;

/// The queues that the commits name, in the order in which the script has their keys.
pub(super) fn queues_of(commits: &[Commit]) -> Vec<SharedQueue> {
    let named = commits.iter().flat_map(|commit| {
        let ends = commit.ends.iter().map(|end| end.queue);
        ends.chain(commit.outputs.iter().map(|output| output.queue)).chain(commit.marks.iter().copied())
    });
    let mut queues: Vec<SharedQueue> = named.collect();
    queues.sort_unstable();
    queues.dedup();
    queues
}

pub(super) fn add_keys(script: &mut ScriptInvocation<'_>, keys: &RunKeys, queues: &[SharedQueue]) {
    script.key(keys.machines()).key(keys.lines()).key(keys.positions());
    for queue in queues.iter().map(|&queue| keys.queue(queue)) {
        script.key(&queue.stream).key(&queue.about).key(&queue.letters).key(&queue.attempts);
        script.key(&queue.writers);
    }
}

pub(super) fn add_commits(script: &mut ScriptInvocation<'_>, commits: &[Commit], queues: &[SharedQueue]) {
    script.arg(commits.len());
    for commit in commits {
        add_commit(script, commit, queues);
    }
}

fn add_commit(script: &mut ScriptInvocation<'_>, commit: &Commit, queues: &[SharedQueue]) {
    let place = |queue: SharedQueue| queues.binary_search(&queue).unwrap_or(queues.len());
    script.arg(commit.number);
    script.arg(commit.ends.len());
    for end in &commit.ends {
        let (cause, attempts) = end.dead.as_ref().map_or(("", 0), |(cause, tried)| (cause.as_str(), *tried));
        script.arg(place(end.queue)).arg(end.sequence.to_string()).arg(cause).arg(attempts);
    }
    script.arg(commit.outputs.len());
    for output in &commit.outputs {
        script.arg(place(output.queue)).arg(&output.item[..]);
    }
    script.arg(usize::from(commit.step.is_some()));
    if let Some(step) = &commit.step {
        script.arg(&step.from[..]).arg(&step.to[..]);
    }
    script.arg(commit.marks.len());
    for &mark in &commit.marks {
        script.arg(place(mark));
    }
}
