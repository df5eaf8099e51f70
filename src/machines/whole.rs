//! A run over all its machines, as scripts get it.

use crate::broker::{MachineName, Member, MemberState, QueueView, WriterState};
use crate::model::Totals;
use crate::status::{Bottleneck, MachineStage, MachineStatus, Rate};
use serde::Serialize;

/// A stage whose machines are not heard of.
pub(super) const SILENT: &str = "silent";
/// A stage whose machines have left the run before its end.
pub(super) const LEFT: &str = "left";

#[derive(Debug, Serialize)]
pub(crate) struct Whole {
    pub pipeline: String,
    /// Empty where only the link knows the pipeline.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub file: String,
    /// Without its password.
    pub broker: String,
    pub run: RunView,
    pub machines: Vec<MachineView>,
    /// Summed over machines, in the order of the file.
    pub stages: Vec<StageSum>,
    /// The shared queues.
    pub queues: Vec<QueueSum>,
    /// What limits the run, lately.
    pub bottleneck: Option<Bottleneck>,
}

#[derive(Debug, Serialize)]
pub(crate) struct RunView {
    pub number: u64,
    pub begun: String,
    /// Seconds since then, by the clock here.
    pub age: f64,
    pub ended: Option<String>,
    /// It only works off dead letters of earlier runs.
    pub works_off: bool,
}

#[derive(Debug, Serialize)]
pub(crate) struct MachineView {
    pub id: String,
    pub state: MemberState,
    /// Seconds since it has shown itself.
    pub age: Option<f64>,
    /// Items that the broker has leased to it.
    pub leased: u64,
    /// What it has shown last.
    pub shown: Option<MachineStatus>,
}

#[derive(Debug, Serialize)]
pub(crate) struct StageSum {
    pub name: String,
    pub state: String,
    /// That run it now.
    pub machines: usize,
    pub processes: u32,
    pub running: u32,
    /// Of all machines that are known, each since its start.
    pub totals: Totals,
    pub rate: Rate,
    pub restarts: u64,
    pub is_source: bool,
}

#[derive(Debug, Serialize)]
pub(crate) struct QueueSum {
    pub name: String,
    pub capacity: u64,
    pub waiting: u64,
    pub leased: u64,
    /// For how many seconds the oldest item waits.
    pub oldest: Option<f64>,
    pub put: u64,
    pub done: u64,
    pub dropped: u64,
    pub dead: u64,
    /// Dead letters that lie in the broker.
    pub letters: u64,
    pub letters_dropped: u64,
    /// No more items come.
    pub sealed: bool,
    /// Stages on machines that have not said the end of what they write.
    pub open_writers: Vec<OpenWriter>,
}

#[derive(Debug, Serialize)]
pub(crate) struct OpenWriter {
    pub machine: String,
    pub stage: String,
}

impl Whole {
    pub(crate) fn alive(&self) -> impl Iterator<Item = (&MachineView, &MachineStatus)> {
        alive(&self.machines)
    }
}

/// The machines that are there, with what they show.
pub(crate) fn alive(machines: &[MachineView]) -> impl Iterator<Item = (&MachineView, &MachineStatus)> {
    let alive = machines.iter().filter(|machine| machine.state == MemberState::Alive);
    alive.filter_map(|machine| Some((machine, machine.shown.as_ref()?)))
}

impl MachineView {
    pub(crate) fn of(member: Member, queues: &[QueueView]) -> MachineView {
        let Member { machine: id, state, shown, .. } = member;
        let leases = queues.iter().flat_map(|queue| &queue.leased);
        let leased = leases.filter(|(machine, _)| *machine == id).map(|(_, count)| count).sum();
        let age = shown.as_ref().map(|(age, _)| age.as_secs_f64());
        // A later version may say it otherwise.
        let shown = shown.and_then(|(_, text)| serde_json::from_slice(&text).ok());
        MachineView { id, state, age, leased, shown }
    }

    /// A stage as it is there.
    pub(crate) fn stage(&self, name: &str) -> Option<&MachineStage> {
        self.shown.as_ref()?.stages.iter().find(|stage| stage.name == name)
    }

    /// Enough of its id to name it.
    pub(crate) fn short(&self) -> String {
        MachineName(&self.id).to_string()
    }

    /// For people: the id, and the name of its host.
    pub(crate) fn called(&self) -> String {
        match self.shown.as_ref().map(|shown| shown.host.as_str()) {
            None | Some("") => self.short(),
            Some(host) => format!("{} ({host})", self.short()),
        }
    }
}

impl StageSum {
    /// Machines have run it, and none that is there does.
    pub(super) fn is_missing(&self) -> bool {
        [SILENT, LEFT].contains(&self.state.as_str())
    }
}

impl QueueSum {
    pub(crate) fn of(view: QueueView) -> QueueSum {
        let open = view.writers.into_iter().filter(|writer| writer.state == WriterState::Open);
        let open_writers = open.map(|writer| OpenWriter { machine: writer.machine, stage: writer.stage });
        QueueSum {
            name: view.name,
            capacity: view.capacity,
            waiting: view.ledger.waiting,
            leased: view.ledger.leased,
            oldest: view.oldest.map(|age| age.as_secs_f64()),
            put: view.ledger.put,
            done: view.ledger.done,
            dropped: view.ledger.dropped,
            dead: view.ledger.dead,
            letters: view.letters,
            letters_dropped: view.letters_dropped,
            sealed: view.sealed,
            open_writers: open_writers.collect(),
        }
    }

    pub(crate) fn has_ended(&self) -> bool {
        self.sealed && self.waiting + self.leased == 0
    }
}
