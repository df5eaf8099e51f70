//! A request of commits as the arguments of `commit.lua`, and what goes beside it.

use super::keys::RunKeys;
use super::transaction::Transaction;
use crate::broker::values::NOWHERE;
use crate::broker::{Commit, Output, Sequence, SharedQueue};
use redis::Cmd;
use std::ops::Range;

/// An output as long as this comes beside the script: Lua takes some nanoseconds for each byte.
const APART_BYTES: usize = 4 << 10;

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

/// Whether the outputs of a commit come beside the script, for one of them is long.
pub(super) fn is_apart(commit: &Commit) -> bool {
    commit.outputs.iter().any(|output| output.item.len() >= APART_BYTES)
}

/// The commits of each script: one whose outputs come beside it is the last.
pub(super) fn parts(commits: &[Commit]) -> impl Iterator<Item = Range<usize>> {
    let mut from = 0;
    std::iter::from_fn(move || {
        let rest = commits.get(from..).filter(|rest| !rest.is_empty())?;
        let count = rest.iter().position(is_apart).map_or(rest.len(), |last| last + 1);
        from += count;
        Some(from - count..from)
    })
}

pub(super) fn keys_of(keys: &RunKeys, queues: &[SharedQueue]) -> Vec<String> {
    let mut all = vec![keys.machines(), keys.lines(), keys.positions()];
    for queue in queues.iter().map(|&queue| keys.queue(queue)) {
        all.extend(
            [&queue.stream, &queue.about, &queue.letters, &queue.attempts, &queue.writers].map(Clone::clone),
        );
    }
    all
}

/// Commits of a request whose first commit is `first`. `is_apart`: outputs of the last one come beside the script.
pub(super) fn add_commits(
    script: &mut Cmd,
    first: u64,
    commits: &[Commit],
    queues: &[SharedQueue],
    is_apart: bool,
) {
    script.arg(first).arg(commits.len());
    let runs = runs(commits);
    script.arg(runs.len());
    let place = |queue: SharedQueue| queues.binary_search(&queue).unwrap_or(queues.len());
    for (queue, runs) in runs {
        script.arg(place(queue)).arg(runs.len());
        for Run { commits, first, behind } in runs {
            script.arg(commits).arg(first.to_string()).arg(behind.to_string());
        }
    }
    for (n, commit) in commits.iter().enumerate() {
        add_commit(script, commit, queues, is_apart && n + 1 == commits.len());
    }
}

/// Entries of a stream that end, with none between them: ids of one millisecond rise by one.
#[derive(Debug, PartialEq, Eq)]
struct Run {
    /// The number of leading commits of the script that end all entries of the run.
    commits: usize,
    first: Sequence,
    /// The id behind the last one.
    behind: Sequence,
}

/// The commits whose entries may be in one run. A run is of no use where one of its commits finds no room.
const COMMITS_OF_RUN: usize = 16;

/// Those of each queue, in their order in the stream.
fn runs(commits: &[Commit]) -> Vec<(SharedQueue, Vec<Run>)> {
    let ends = commits.iter().enumerate().flat_map(|(n, commit)| {
        let happened = (n / COMMITS_OF_RUN + 1) * COMMITS_OF_RUN;
        let done = commit.ends.iter().filter(|end| end.dead.is_none());
        done.map(move |end| (end.queue, (end.sequence, happened.min(commits.len()))))
    });
    let queues = grouped(ends).into_iter();
    queues.map(|(queue, ends)| (queue, runs_of(ends))).collect()
}

fn runs_of(mut ends: Vec<(Sequence, usize)>) -> Vec<Run> {
    ends.sort_unstable();
    let mut runs: Vec<Run> = Vec::new();
    for (first, commits) in ends {
        let behind = Sequence(first.0, first.1.saturating_add(1));
        match runs.last_mut() {
            Some(run) if run.commits == commits && run.behind == first => run.behind = behind,
            _ => runs.push(Run { commits, first, behind }),
        }
    }
    runs
}

fn add_commit(script: &mut Cmd, commit: &Commit, queues: &[SharedQueue], is_apart: bool) {
    let place = |queue: SharedQueue| queues.binary_search(&queue).unwrap_or(queues.len());
    script.arg(commit.number);
    let done = commit.ends.iter().filter(|end| end.dead.is_none());
    let mut text = String::new();
    let groups = grouped(done.map(|end| (end.queue, end.sequence)));
    script.arg(groups.len());
    for (queue, mut sequences) in groups {
        sequences.sort_unstable();
        script.arg(place(queue)).arg(sequences.len());
        for sequence in sequences {
            write_sequence(&mut text, sequence);
            script.arg(&text);
        }
    }
    let dead: Vec<_> = commit.ends.iter().filter_map(|end| Some((end, end.dead.as_ref()?))).collect();
    script.arg(dead.len());
    for (end, (cause, attempts)) in dead {
        script.arg(place(end.queue)).arg(end.sequence.to_string()).arg(cause).arg(attempts);
    }
    script.arg(usize::from(is_apart));
    let groups = grouped(commit.outputs.iter().map(|output| (output.queue, &output.item[..])));
    script.arg(groups.len());
    for (queue, items) in groups {
        script.arg(place(queue)).arg(items.len());
        for item in items.into_iter().filter(|_| !is_apart) {
            script.arg(item);
        }
    }
    let step = commit.step.as_ref().map(|step| (&step.from[..], &step.to[..]));
    let step = if commit.ends_one_twice() { Some((NOWHERE, NOWHERE)) } else { step };
    script.arg(usize::from(step.is_some()));
    if let Some((from, to)) = step {
        script.arg(from).arg(to);
    }
    script.arg(commit.marks.len());
    for &mark in &commit.marks {
        script.arg(place(mark));
    }
}

/// How long the words of these commits are, about, and how many there are: a request that grows is copied each time.
pub(super) fn size_of(commits: &[Commit]) -> (usize, usize) {
    const OTHERS: usize = 16;
    const WORD_BYTES: usize = 20;
    let (mut words, mut bytes) = (0, 0);
    for commit in commits {
        words += OTHERS + commit.ends.len() + commit.outputs.len();
        bytes += commit.outputs.iter().map(|output| output.item.len()).sum::<usize>();
        bytes += commit.step.as_ref().map_or(0, |step| step.from.len() + step.to.len());
    }
    (words, bytes + words * WORD_BYTES)
}

/// As its `Display` does, which would take as much time as all the rest of a word.
fn write_sequence(to: &mut String, sequence: Sequence) {
    let mut digits = itoa::Buffer::new();
    to.clear();
    to.push_str(digits.format(sequence.0));
    to.push('-');
    to.push_str(digits.format(sequence.1));
}

/// The outputs of a commit beside its script: where that has let them, the stream has this name until it gets its own back.
pub(super) fn add_outputs(transaction: &mut Transaction, keys: &RunKeys, outputs: &[Output]) {
    for Output { queue, item } in outputs {
        let mut add = Cmd::with_capacity(6, item.len() + 200);
        add.arg("XADD").arg(&keys.queue(*queue).open).arg("NOMKSTREAM").arg("*").arg("item").arg(&item[..]);
        transaction.add(add);
    }
    for (queue, _) in grouped(outputs.iter().map(|output| (output.queue, ()))) {
        transaction.close(keys.queue(queue));
    }
}

/// What belongs to each queue, in the order in which queues and things come.
fn grouped<T>(all: impl Iterator<Item = (SharedQueue, T)>) -> Vec<(SharedQueue, Vec<T>)> {
    let mut groups: Vec<(SharedQueue, Vec<T>)> = Vec::new();
    for (queue, thing) in all {
        match groups.iter_mut().find(|(known, _)| *known == queue) {
            Some((_, things)) => things.push(thing),
            None => groups.push((queue, vec![thing])),
        }
    }
    groups
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::broker::End;

    #[test]
    fn a_sequence_is_written_as_it_is_shown() {
        let mut text = String::from("what was there before");
        for sequence in [Sequence(0, 0), Sequence(1_795_939_800_123, 7), Sequence(u64::MAX, u64::MAX)] {
            write_sequence(&mut text, sequence);
            assert_eq!(text, sequence.to_string());
        }
    }

    #[test]
    fn entries_with_none_between_them_are_a_run() {
        let ending = |sequences: &[Sequence]| {
            let end = |&sequence| End { queue: SharedQueue(0), sequence, dead: None };
            Commit { ends: sequences.iter().map(end).collect(), ..Commit::default() }
        };
        let of = |commits: &[Commit]| {
            let all = runs(commits).pop().map(|(_, runs)| runs).unwrap_or_default();
            all.iter().map(|run| (run.commits, run.first, run.behind)).collect::<Vec<_>>()
        };
        assert!(of(&[]).is_empty() && of(&[ending(&[])]).is_empty());
        // Of two commits, each with what the other one lacks; another millisecond; one that stays.
        let commits = [
            ending(&[Sequence(7, 2), Sequence(7, 0)]),
            ending(&[Sequence(8, 0), Sequence(7, 1), Sequence(8, 2)]),
        ];
        let expected = [
            (2, Sequence(7, 0), Sequence(7, 3)),
            (2, Sequence(8, 0), Sequence(8, 1)),
            (2, Sequence(8, 2), Sequence(8, 3)),
        ];
        assert_eq!(of(&commits), expected);
        // What ends as a dead letter leaves the stream by itself.
        let mut dead = ending(&[Sequence(7, 0), Sequence(7, 1)]);
        dead.ends[0].dead = Some(("failed".into(), 1));
        assert_eq!(of(&[dead]), [(1, Sequence(7, 1), Sequence(7, 2))]);
        // The first sixteen may have happened without the last.
        let many: Vec<Commit> = (0..17).map(|n| ending(&[Sequence(7, n)])).collect();
        assert_eq!(
            of(&many),
            [(16, Sequence(7, 0), Sequence(7, 16)), (17, Sequence(7, 16), Sequence(7, 17))]
        );
    }

    #[test]
    fn a_commit_with_a_long_output_is_the_last_of_its_script() {
        let commit = |len: usize| Commit {
            outputs: vec![Output { queue: SharedQueue(0), item: vec![0; len].into() }],
            ..Commit::default()
        };
        let of = |lengths: &[usize]| {
            let commits: Vec<Commit> = lengths.iter().map(|len| commit(*len)).collect();
            parts(&commits).map(|part| (part.start, part.end)).collect::<Vec<_>>()
        };
        assert!(of(&[]).is_empty());
        assert_eq!(of(&[1, APART_BYTES - 1]), [(0, 2)]);
        assert_eq!(of(&[1, APART_BYTES, 1, 1]), [(0, 2), (2, 4)]);
        assert_eq!(of(&[APART_BYTES, APART_BYTES]), [(0, 1), (1, 2)]);
    }
}
