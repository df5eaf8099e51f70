//! What the supervisor tells a link at its start, and what it hears from it.

use super::arena::LinkSpec;
use crate::broker::link::{Role, Room};
use crate::broker::{Layout, Membership, Outage, RunOrder, SharedQueue, SharedStage};
use crate::config::pipeline::Mode;
use crate::config::{Broker, Pipeline, Stage};
use crate::logs::Logging;
use crate::model::Machines;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// In a sealed memory file: it may hold a password.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct LinkRequest {
    pub plan: LinkPlan,
    /// Where all that lies in the arena.
    pub spec: LinkSpec,
    /// The link's own, opened by the supervisor.
    pub slot: u16,
    /// A random id of the machine's state folder.
    pub machine: String,
    /// A random id of the arena.
    pub life: String,
    /// The run that this life has joined before.
    pub joined: Option<u64>,
    /// Only this run will do.
    pub only: Option<u64>,
    pub new_run: bool,
    pub log: Logging,
}

/// What there is to bring to the broker and from there.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct LinkPlan {
    pub broker: Broker,
    pub pipeline: String,
    /// The lines, in the order of their ids.
    pub lines: Vec<LineRequest>,
    /// The shared queues that this machine reads.
    pub reads: Vec<SharedQueue>,
}

/// A stage that reads or writes shared queues.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct LineRequest {
    /// The stage's name.
    pub stage: String,
    /// The shared queues that don't end before this line says so. What a stage makes of items of shared queues only ends with
    /// those, but for the last word of one that keeps a state, and what a program is still to print of what it has read.
    pub ends: Vec<SharedQueue>,
    /// Those that it reads.
    pub reads: Vec<SharedQueue>,
    /// See [`Stage::placed`].
    pub placed: Option<Machines>,
    /// A program that may still print when the items that it has read have ended.
    pub prints_late: bool,
    /// It has no input: a run that works off dead letters has none of these.
    pub is_source: bool,
    /// An earlier link of this life has let it work here.
    pub is_here: bool,
}

impl LineRequest {
    /// As the broker knows the stage.
    pub(super) fn shared(&self) -> SharedStage {
        SharedStage {
            name: self.stage.clone(),
            machines: self.placed.unwrap_or_default(),
            is_of_life: self.prints_late && self.placed.is_none(),
        }
    }

    /// Whether the broker is to know when the stage has ended: for those who read what it writes, or for the machine that would go
    /// on with it.
    pub(super) fn has_end(&self) -> bool {
        !self.ends.is_empty() || self.placed == Some(Machines::One)
    }

    /// Whether the run waits for this very machine, should it be gone: no other can say the stage's end.
    pub(crate) fn is_waited_for(&self) -> bool {
        self.placed != Some(Machines::One) && !self.ends.is_empty()
    }

    /// Whether the broker keeps a position of the stage on this very machine.
    pub(crate) fn has_own_position(&self) -> bool {
        self.placed == Some(Machines::All)
    }

    pub(super) fn role(&self) -> Role {
        Role {
            reads: self.reads.clone(),
            position_of: self.placed,
            is_here: self.is_here,
            is_source: self.is_source,
        }
    }
}

impl LinkRequest {
    pub(super) fn layout(&self) -> Layout {
        self.plan.broker.layout(&self.plan.pipeline)
    }

    /// `joined`: the run that this life has joined before.
    pub(super) fn membership(&self, joined: Option<u64>) -> Membership {
        Membership {
            machine: self.machine.clone(),
            life: self.life.clone(),
            joined,
            only: self.only,
            new_run: self.new_run,
            allow_loss: self.plan.broker.access.allow_loss,
        }
    }
}

impl LinkPlan {
    /// For a file with shared queues.
    pub(crate) fn of(pipeline: &Pipeline) -> Option<LinkPlan> {
        let broker = pipeline.broker.as_ref().filter(|broker| !broker.queues.is_empty())?;
        let shared = |name: &String| {
            let place = broker.queues.iter().position(|queue| queue.name == *name)?;
            u16::try_from(place).ok().map(SharedQueue)
        };
        let all = |names: &[String]| -> Vec<SharedQueue> { names.iter().filter_map(shared).collect() };
        let (mut reads, mut lines) = (BTreeSet::new(), Vec::new());
        for stage in &pipeline.stages {
            let (inputs, outputs) = (all(&stage.work.inputs), all(&stage.work.outputs));
            if inputs.is_empty() && outputs.is_empty() {
                continue;
            }
            let (name, placed) = (stage.name.clone(), stage.placed);
            let is_by_itself = ends_by_itself(stage, &inputs);
            let prints_late = !is_by_itself && prints_late(stage);
            let ends = if is_by_itself || prints_late { outputs } else { Vec::new() };
            let is_source = stage.work.inputs.is_empty();
            reads.extend(&inputs);
            let line = LineRequest {
                stage: name,
                ends,
                reads: inputs,
                placed,
                prints_late,
                is_source,
                is_here: false,
            };
            lines.push(line);
        }
        let reads = reads.into_iter().collect();
        Some(LinkPlan { broker: broker.clone(), pipeline: pipeline.name.clone(), lines, reads })
    }

    /// The queues before one, see [`Broker::before`].
    pub(super) fn before(&self, queue: SharedQueue) -> Vec<SharedQueue> {
        let before = self.broker.before.get(usize::from(queue.0));
        before.into_iter().flatten().map(|&queue| SharedQueue(queue)).collect()
    }
}

/// Whether something comes of the stage that comes of no item of a shared queue.
fn ends_by_itself(stage: &Stage, shared_inputs: &[SharedQueue]) -> bool {
    let has_last_word = stage.placed.is_some() && stage.work.command().is_none();
    shared_inputs.len() < stage.work.inputs.len() || stage.work.inputs.is_empty() || has_last_word
}

/// Whether an item may have ended before all is there that comes of it.
fn prints_late(stage: &Stage) -> bool {
    stage.work.command().is_some_and(|command| command.mode == Mode::Stream)
}

/// What a link has to tell, a line of JSON each.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum LinkNews {
    /// The run is joined: its number, whether it only works off dead letters, and what the broker's settings don't protect from.
    Up { run: u64, begun: u64, works_off: bool, warnings: Vec<String> },
    /// The broker takes nothing of this machine for now: a sentence says why.
    Away { outage: Outage, why: String },
    /// Whether it has room for what the stage has for it.
    Room { stage: String, room: Room },
    /// The run has ended at that time, in seconds since 1970.
    Ended { at: u64 },
    /// The stage may work on this machine, with the token that it has now.
    Here { stage: String },
    /// It may not, any more.
    Elsewhere { stage: String },
    /// The stage, a source without a position, has ended in this run before.
    Over { stage: String },
    /// The broker has taken back that an input of the stage has ended.
    WorkAgain { stage: String },
    /// Leases are another machine's: this one was out of touch for too long, or they were deleted.
    Lost { queue: String, items: usize },
    /// Commits did not happen, for that reason.
    Refused { stage: String },
    /// The broker has lost commits that it had acknowledged.
    Forgotten { stage: String, commits: u64 },
    /// No try helps.
    Hopeless { why: String },
    /// What all machines of the run are told.
    Ordered { order: RunOrder },
    /// A snapshot is wanted, for those who look at the whole run.
    Look,
}

/// What a supervisor tells a running link, a line of JSON each.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum LinkOrder {
    /// The machine is to give back what it has not begun, and to leave once the rest is in the broker.
    Finish,
    /// The same, without waiting for room for what sources have emitted: they emit it again from their positions in the broker.
    Stop,
    /// The supervisor has heard one [`LinkNews::Elsewhere`]: orders before this one to finish or to stop did not know of it.
    WorkOn,
    /// No worker of the stage is there, and none comes before [`LinkNews::Here`].
    Stopped { stage: String },
    /// A snapshot is there, as [`LinkNews::Look`] has asked for it.
    Show,
    /// The whole run is to be looked at.
    Overview,
    /// The stage is not wanted on this machine, or wanted again.
    Switch { stage: String, is_off: bool },
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{LoadOptions, Texts, load_texts};
    use crate::stage::Registry;

    const FILE: &str = "broker = 'redis://db'\n[queues.jobs]\nshared = true\n[queues.done]\nshared = true\n[queues.mix]\n\
        shared = true\n[stages.read]\nuse = 'count'\noutput = ['jobs', 'local']\n[stages.work]\nuse = 'words'\ninput = 'jobs'\n\
        output = ['done', 'mix']\n[stages.both]\nuse = 'words'\ninput = ['local', 'done']\noutput = 'mix'\n[stages.end]\n\
        use = 'discard'\ninput = 'mix'\n";

    #[test]
    fn only_what_is_fed_on_this_machine_says_that_a_queue_ends() {
        let texts = Texts { main: FILE.to_owned(), ..Texts::default() };
        let loaded =
            load_texts("p.toml".as_ref(), texts, &LoadOptions::default(), &Registry::builtin()).unwrap();
        let LinkPlan { broker, lines, reads, .. } = LinkPlan::of(&loaded.pipeline).unwrap();
        let names: Vec<&str> = broker.queues.iter().map(|queue| queue.name.as_str()).collect();
        assert_eq!(names, ["done", "jobs", "mix"]);
        // `done` comes from `jobs`; `mix` from `jobs` by `work`, and from `done` by `both`.
        assert_eq!(broker.before, [vec![1], vec![], vec![0, 1]]);
        let ends: Vec<(&str, &[SharedQueue])> =
            lines.iter().map(|line| (&*line.stage, &*line.ends)).collect();
        let (jobs, mix) = (SharedQueue(1), SharedQueue(2));
        assert_eq!(ends, [("read", &[jobs][..]), ("work", &[]), ("both", &[mix]), ("end", &[])]);
        assert_eq!(reads, [SharedQueue(0), jobs, mix]);
    }
}
