//! The state of a pipeline's shared queues, which every machine makes for itself from the log: pure, the same everywhere, for the log
//! has one order and the times in it are the server's.
//!
//! Invariants:
//! * [`State::apply`] is the only way to change it, and depends on nothing but the message.
//! * The rules are those of `redis/scripts/*.lua`. `tests/broker/same.rs` asks both the same and compares the answers.
//! * `put = done + dead + dropped + waiting + leased`, for each queue.
//! * Time never goes back, whatever the server's clock does.

mod blobs;
mod commit;
mod queue;
mod request;
mod reserved;
mod room;
mod run;
#[cfg(test)]
mod tests;

pub(super) use blobs::{Blobs, ItemRef, Source, Span};
pub(super) use queue::{StoredLetter, StoredQueue};
pub(super) use request::{Action, Answer, Line, Request, StoredCommit, Taken, Visit, Who};
pub(super) use reserved::{REQUESTS, Reserved, SHARE};
pub(super) use room::Fitting;
pub(super) use run::{Machine, News, Run, Standing};

use crate::broker::{QueueSettings, Retried, Sequence, SharedQueue};
use run::{Admission, Step};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct State {
    /// The server's time of the last message, in milliseconds since 1970.
    pub now: u64,
    /// The number of the last run that was begun: none is used twice.
    last_run: u64,
    pub runs: BTreeMap<u64, Run>,
    /// The server's store is full.
    pub is_short: bool,
    /// Beyond this nothing grows.
    pub reserved: Reserved,
    pub blobs: Blobs,
}

/// A message of the log.
pub(super) enum Message<'a> {
    /// A part of a later request.
    Part,
    Request(&'a Request, Source<'a>),
}

/// What a message has changed for those who wait: the run, and what there is.
pub(super) struct Applied {
    pub answer: Answer,
    pub run: u64,
    pub news: Vec<News>,
}

impl State {
    /// The message at this place of the log, stored by the server at that time (ms).
    pub(super) fn apply(&mut self, sequence: u64, time: u64, message: &Message<'_>) -> Applied {
        self.now = self.now.max(time);
        self.blobs.begin(sequence, self.now);
        match message {
            Message::Part => {
                self.blobs.add_part(self.now);
                Applied { answer: Answer::Done, run: 0, news: Vec::new() }
            }
            Message::Request(request, source) => self.request(request, *source),
        }
    }

    fn request(&mut self, request: &Request, source: Source<'_>) -> Applied {
        if !self.blobs.has_parts(source.parts) {
            return Applied { answer: Answer::Nothing, run: 0, news: Vec::new() };
        }
        self.blobs.claim(&source);
        let mut news = Vec::new();
        let (run, answer) = self.answer(request, source, &mut news);
        if source.has_data {
            self.blobs.settle();
        }
        Applied { answer, run, news }
    }

    fn answer(&mut self, request: &Request, source: Source<'_>, news: &mut Vec<News>) -> (u64, Answer) {
        let room = self.room();
        if let Request::Reserved(reserved) = request {
            self.has_reserved(*reserved);
            return (0, Answer::Done);
        }
        let State { now, blobs, runs, last_run, is_short, .. } = self;
        let now = *now;
        let mut step = Step { blobs, news, source, now, room };
        match request {
            Request::Join { who, queues, ack_wait, joined, only, new_run } => {
                let has_shape =
                    |run: &Run| run.queues.iter().map(|queue| &queue.settings.name).eq(names(queues));
                if let Some(only) = only {
                    match runs.get(only) {
                        None => return (0, Answer::NoRun),
                        Some(run) if !has_shape(run) => return (0, Answer::Foreign),
                        Some(_) => {}
                    }
                }
                let known = only.or(joined.filter(|run| runs.contains_key(run)));
                // The answer may have got lost, and each new connection asks again.
                let begun = || runs.iter().find(|(_, run)| run.begun_by.as_ref() == Some(who));
                let known = known.or_else(|| begun().filter(|_| *new_run).map(|(number, _)| *number));
                // It was killed, as it has not left: what it had begun is there.
                let is_own = |run: &Run| run.ended.is_none() && run.has(&who.machine) && has_shape(run);
                let own = || runs.iter().rev().find(|(_, run)| is_own(run)).map(|(number, _)| *number);
                let own = if known.is_none() && !new_run { own() } else { None };
                let known = known.or(own);
                if known.is_none() && !new_run && runs.get(last_run).is_some_and(|run| !has_shape(run)) {
                    return (0, Answer::Foreign);
                }
                let is_open = |number: &u64| runs.get(number).is_some_and(|run| run.ended.is_none());
                let mut other =
                    Some(*last_run).filter(|latest| own.is_some_and(|own| own != *latest) && is_open(latest));
                if known.is_none() && (*new_run || !runs.contains_key(last_run)) {
                    other = Some(*last_run).filter(is_open);
                    *last_run += 1;
                    let begun_by = new_run.then(|| who.clone());
                    runs.insert(*last_run, Run::new(now, begun_by));
                }
                let number = known.unwrap_or(*last_run);
                let Some(run) = runs.get_mut(&number) else { return (0, Answer::Nothing) };
                let (begun, ended, works_off) = (run.begun, run.ended, run.works_off);
                let answer = match run.join(who, queues, *ack_wait, &mut step) {
                    Admission::In { is_back } => {
                        let queues = run.settings(queues);
                        Answer::Joined { run: number, begun, ended, is_back, works_off, queues, other }
                    }
                    Admission::Struck => Answer::Struck,
                    Admission::Differs(queue) => Answer::Differs(queue),
                };
                (number, answer)
            }
            Request::Machine { run, who, action } => match (runs.get_mut(run), action) {
                (None, _) => (*run, Answer::Superseded),
                (Some(state), Action::Commit { .. }) if !state.is_present(who) => (*run, Answer::Superseded),
                (Some(state), Action::Commit { line, place, commits }) => {
                    (*run, Answer::Judged(state.commit(who, line, place, commits, &mut step)))
                }
                (Some(state), action) => (*run, state.act(who, action, &mut step)),
            },
            Request::Visitor { run, visit: Visit::Retry { queue, letters, into } } => {
                (into.0, retry(runs, *last_run, (*run, *queue), letters, *into, &mut step))
            }
            Request::Visitor { run, visit } => match runs.get_mut(run) {
                None => (*run, Answer::Nothing),
                Some(state) => (*run, state.visit(visit, &mut step)),
            },
            Request::Drop { shown_for, alive_for } => {
                if let Some(machine) = alive_for.and_then(|time| alive(runs, *shown_for, time, now)) {
                    return (0, Answer::Alive(machine));
                }
                std::mem::take(runs).into_values().for_each(|run| run.forget_all(step.blobs));
                (0, Answer::Dropped)
            }
            Request::Short => {
                *is_short = true;
                (0, Answer::Done)
            }
            Request::Reserved(_) => (0, Answer::Done),
            Request::WorkOff { run, queues, sealed } => match runs.get(run) {
                Some(latest) if run == last_run && latest.ended.is_some() => {
                    *last_run += 1;
                    runs.insert(*last_run, Run::working_off(now, queues, sealed));
                    (*last_run, Answer::RetryRun(*last_run, true))
                }
                Some(other) => (*run, Answer::RetryRun(*run, other.works_off)),
                None => (*run, Answer::Nothing),
            },
            Request::Abandon { parts } => {
                step.blobs.abandon(parts);
                (0, Answer::Done)
            }
            Request::Cleaned { through, deletes_through } => {
                step.blobs.cleaned(*through, *deletes_through);
                (0, Answer::Done)
            }
        }
    }

    /// The run that machines join.
    pub(super) fn latest(&self) -> Option<(u64, &Run)> {
        self.runs.get(&self.last_run).map(|run| (self.last_run, run))
    }
}

fn names(queues: &[QueueSettings]) -> impl Iterator<Item = &String> {
    queues.iter().map(|queue| &queue.name)
}

/// Dead letters become items of the latest run. One of an earlier run leaves that one, as if it was dropped there.
fn retry(
    runs: &mut BTreeMap<u64, Run>,
    latest: u64,
    (run, queue): (u64, SharedQueue),
    letters: &[Sequence],
    into: (u64, SharedQueue),
    step: &mut Step<'_>,
) -> Answer {
    let mut answers = Vec::new();
    for letter in letters {
        let holds = runs.get(&run).and_then(|run| run.queue(queue)).filter(|queue| queue.has_letter(*letter));
        let Some(target) = runs.get(&into.0).and_then(|run| Some((run, run.queue(into.1)?))) else {
            return Answer::Nothing;
        };
        let (is_unjoined, has_ended) = (target.0.is_unjoined(), target.1.is_finished());
        answers.push(match holds {
            None => Retried::Missing,
            Some(_) if into.0 != latest => Retried::Outrun,
            Some(_) if has_ended && !is_unjoined => Retried::Ended,
            Some(_) => {
                let is_same = run == into.0;
                let from = runs.get_mut(&run).and_then(|run| run.queue_mut(queue));
                let item = from.and_then(|from| from.take_letter(*letter, is_same));
                let to = runs.get_mut(&into.0).and_then(|run| run.queue_mut(into.1));
                to.into_iter().zip(item).for_each(|(to, item)| to.put_back(item, is_same, step.now));
                Retried::Put
            }
        });
    }
    step.tell(News::Items(into.1));
    Answer::Retried(answers)
}

/// A machine of any run that has shown itself within that time.
fn alive(runs: &BTreeMap<u64, Run>, shown_for: u64, time: u64, now: u64) -> Option<String> {
    let mut all = runs.values().flat_map(|run| run.machines.keys().map(move |machine| (run, machine)));
    let is_alive =
        |run: &Run, machine: &str| run.shown_before(machine, shown_for, now).is_some_and(|age| age < time);
    all.find(|(run, machine)| is_alive(run, machine)).map(|(_, machine)| machine.clone())
}

impl Run {
    fn visit(&mut self, visit: &Visit, step: &mut Step<'_>) -> Answer {
        match visit {
            Visit::Watch { time } => {
                self.watched_until = step.now + time;
                Answer::Done
            }
            Visit::Order { order } => Answer::Ordered(self.order(*order)),
            Visit::Forget { machine, shown_for, silent_after } => {
                Answer::Forgotten(self.forget(machine, *shown_for, *silent_after, step))
            }
            // It is about two runs.
            Visit::Retry { .. } => Answer::Nothing,
            Visit::Discard { queue, letters } => match self.queues.get_mut(usize::from(queue.0)) {
                None => Answer::Nothing,
                Some(queue) => Answer::Discarded(queue.discard(letters, step.blobs)),
            },
        }
    }
}
