//! Commits of one line (a stage of a machine), in order: each happens as a whole or not at all.
//!
//! * A commit happens only while each of its inputs is leased to this life, and its end takes them away: so the outputs of an item are
//!   published once, by one machine.
//! * A commit with a step happens only where its stage is at the step's beginning.
//! * A number that is not greater than the line's last one was judged before: the answer is that of before, and nothing happens. One
//!   request a line is under way and starts at the oldest without an answer, so the line keeps the verdicts from the first number
//!   of the last request on.
//! * While the server's store is full, or the reserve too small, what adds waits: see `room.rs`.
//! * A commit that does not fit stops the line: those behind it are not looked at, so outputs keep their order.

use super::blobs::Span;
use super::request::{StoredCommit, Who};
use super::run::{Line, News, Run, Step};
use crate::broker::{Full, Judged, SharedQueue, Verdict, WriterState};
use crate::model::WhenFull;
use std::collections::BTreeSet;

impl Run {
    pub(super) fn commit(
        &mut self,
        who: &Who,
        line: &str,
        place: &str,
        commits: &[StoredCommit],
        step: &mut Step<'_>,
    ) -> Judged {
        let field = format!("{}:{}/{line}", who.machine, who.life);
        let before = self.lines.get(&field).cloned().unwrap_or_default();
        let asked_from = commits.first().map_or(1, |commit| commit.number);
        let (mut last, mut verdicts, mut full) = (before.last, Vec::new(), None);
        for commit in commits {
            if commit.number <= before.last {
                verdicts.push(judged_before(&before, commit.number));
                continue;
            }
            let is_allowed = commit.begins_at(self.position(place)) && self.is_allowed(who, commit);
            if is_allowed {
                let room = self.look_for_memory(commit, step.room, |_| 0);
                match room.and_then(|()| self.look_for_room(commit, |_| 0).map_err(Full::Queue)) {
                    Ok(dropped) => self.happen(place, commit, &dropped, step),
                    Err(by) => {
                        full = Some(by);
                        break;
                    }
                }
            }
            verdicts.push(is_allowed);
            last = commit.number;
        }
        let judged = Judged {
            verdicts: verdicts.iter().map(|&done| verdict(done)).collect(),
            full,
            before: before.last,
        };
        if last > before.last {
            self.lines.insert(field, Line { last, first: asked_from, verdicts });
        }
        judged
    }

    pub(super) fn is_allowed(&self, who: &Who, commit: &StoredCommit) -> bool {
        let is_held = |end: &super::request::StoredEnd| {
            self.queue(end.queue).is_some_and(|queue| queue.is_held(end.sequence, who))
        };
        let is_open =
            |(queue, _): &(SharedQueue, _)| self.queue(*queue).is_some_and(|queue| !queue.is_sealed);
        commit.ends.iter().all(is_held) && commit.outputs.iter().all(is_open)
    }

    /// The queues whose outputs are dropped, or the first that has no room. A queue in which nothing waits takes any number:
    /// items that fail on their machines keep no fresh one out, which tells whether they are at fault.
    /// `added`: items more than there are, by commits that are still to happen.
    pub(super) fn look_for_room(
        &self,
        commit: &StoredCommit,
        added: impl Fn(&SharedQueue) -> i64,
    ) -> Result<BTreeSet<SharedQueue>, SharedQueue> {
        let mut dropped = BTreeSet::new();
        for (n, (name, _)) in commit.outputs.iter().enumerate() {
            let is_of_it = |output: &&(SharedQueue, Span)| output.0 == *name;
            // Mostly all are for one queue.
            if n > 0 && commit.outputs[..n].iter().any(|output| is_of_it(&output)) {
                continue;
            }
            let Some(queue) = self.queue(*name) else { continue };
            let wanted = commit.outputs[n..].iter().filter(is_of_it).count() as u64;
            let len = queue.len().saturating_add_signed(added(name));
            let is_full = len > 0 && len + wanted > queue.settings.capacity;
            if is_full && (added(name) > 0 || queue.has_waiting()) {
                if queue.settings.when_full == WhenFull::Block {
                    return Err(*name);
                }
                dropped.insert(*name);
            }
        }
        Ok(dropped)
    }

    /// The greatest length of a queue at which a commit that found no room has some. What found no memory may find it once anything
    /// has left the queue.
    pub(super) fn fits_at(&self, name: SharedQueue, commit: &StoredCommit) -> u64 {
        let Some(queue) = self.queue(name) else { return u64::MAX };
        let wanted = commit.outputs.iter().filter(|(to, _)| *to == name).count() as u64;
        let fits_at = queue.settings.capacity.saturating_sub(wanted);
        if queue.len() <= fits_at || !queue.has_waiting() { u64::MAX } else { fits_at }
    }

    fn happen(
        &mut self,
        place: &str,
        commit: &StoredCommit,
        dropped: &BTreeSet<SharedQueue>,
        step: &mut Step<'_>,
    ) {
        let now = step.now;
        step.room.took(commit);
        for end in &commit.ends {
            let Some(queue) = self.queue_mut(end.queue) else { continue };
            match &end.dead {
                None => queue.end(end.sequence, step.blobs),
                Some((cause, attempts)) => queue.dead_letter(end.sequence, cause, *attempts, now),
            }
            step.tell(News::Room { queue: end.queue, len: queue.len() });
        }
        for (name, span) in &commit.outputs {
            let Some(queue) = self.queue_mut(*name) else { continue };
            if dropped.contains(name) {
                queue.drop_new();
            } else {
                queue.put(step.source.item(*span), now, step.blobs);
                step.tell(News::Items(*name));
            }
        }
        if let Some((_, to)) = &commit.step {
            self.positions.insert(place.to_owned(), to.clone());
        }
        for mark in &commit.marks {
            if let Some(queue) = self.queue_mut(*mark) {
                queue.writers.insert(place.to_owned(), WriterState::Ended);
            }
        }
    }
}

fn verdict(is_done: bool) -> Verdict {
    if is_done { Verdict::Done } else { Verdict::Refused }
}

fn judged_before(line: &Line, number: u64) -> bool {
    let place = number.checked_sub(line.first).and_then(|place| usize::try_from(place).ok());
    place.and_then(|place| line.verdicts.get(place)).copied().unwrap_or(true)
}
