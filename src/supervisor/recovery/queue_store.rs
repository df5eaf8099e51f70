//! Where the queues of a run are kept, and how one run recovers what another has left there.
//!
//! | place | survives | taken over by |
//! |---|---|---|
//! | memory | nothing | – |
//! | memory, in the service manager's descriptor store | the supervisor, however it ends | the next start of the unit |
//! | a file in the state folder (`durable`) | every process | the next start |
//!
//! An arena is one run's alone ([`Arena::claim`]). Before this run does anything in it, no process of the last one is left;
//! then what that one's workers held goes back. All of that may be killed anywhere and be done again.

mod end;
pub(crate) mod open;
mod refused;

pub(crate) use end::Room;

use super::begun_files::BegunFiles;
use super::saver::Saver;
use crate::config::pipeline::{Mode, Work};
use crate::config::{Pipeline, Stage, Sync};
use crate::item;
use crate::queue::{Arena, Fault, LabelledQueue, QueueAdmin, QueueId, User};
use crate::stage::Registry;
use crate::supervisor::error::SetUpError;
use crate::supervisor::machine::recovered::{Label, RecoveredQueue};
use crate::sys::{group, proc_table};
use crate::worker;
use log::{Level, log};
use nix::sys::signal::Signal;
use serde_json::Map;
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};

/// The queues of a run, and what there is of an earlier one.
pub(crate) struct QueueStore {
    /// The queues' memory.
    pub arena: Arena,
    /// The access to it.
    pub admin: QueueAdmin,
    /// What an earlier run has left.
    pub recovered: Vec<RecoveredQueue>,
    /// About how many items of an earlier run programs had in hand when it was killed, by stage.
    pub perhaps_lost: BTreeMap<String, u64>,
    /// An earlier run has left something, though perhaps nothing that can be used: this one does not begin from nothing.
    pub continues: bool,
    /// The files that are not to be emptied for that.
    pub begun_files: BegunFiles,
    location: Location,
    saver: Option<Saver>,
}

/// Where the queues of a run are kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Location {
    /// Nowhere: they go with the run.
    Memory,
    /// By the service manager, under this name.
    Store(String),
    File(PathBuf),
}

impl QueueStore {
    fn fresh(arena: Arena, location: Location) -> Result<QueueStore, Fault> {
        Ok(QueueStore {
            admin: QueueAdmin::open(arena.clone())?,
            arena,
            recovered: Vec::new(),
            perhaps_lost: BTreeMap::new(),
            continues: false,
            begun_files: BegunFiles::none(),
            location,
            saver: None,
        })
    }

    /// Empty, as what an earlier run has left can't be used, if it has left something.
    fn anew(arena: Arena, location: Location, refused: bool) -> Result<QueueStore, Fault> {
        let begun_files = if refused { BegunFiles::Any } else { BegunFiles::none() };
        Ok(QueueStore { continues: refused, begun_files, ..QueueStore::fresh(arena, location)? })
    }

    /// Recovers what is in an arena that is this run's alone. `reopens`: the tokens of stages that are not through after all.
    fn recover(
        arena: Arena,
        location: Location,
        (registry, pipeline, works_off): (&Registry, &Pipeline, bool),
        reopens: impl Fn(&[RecoveredQueue]) -> Vec<QueueId>,
    ) -> Result<QueueStore, Fault> {
        end_processes_of(arena.user());
        arena.begin_use()?;
        let mut admin = QueueAdmin::open(arena.clone())?;
        let handed_over = admin.handed_over();
        let in_hand = handed_over.iter().fold(0, |sum: u64, (_, items)| sum.saturating_add(*items));
        if in_hand > 0 {
            log!(target: "mprun", Level::Warn, "the run before was killed: {}", item::may_be_lost(in_hand));
        }
        let mut recovered = Vec::new();
        for left in admin.recover()? {
            recovered.extend(recover_queue(&mut admin, left, (registry, works_off))?);
        }
        let begun_files = match pipeline.broker {
            None => BegunFiles::of(&begun_stages(&mut admin, &recovered, registry)?, pipeline, registry),
            // A token may be on another machine, and not say here that its stage has begun.
            Some(_) => BegunFiles::Any,
        };
        let perhaps_lost = perhaps_lost(&handed_over, &recovered, pipeline);
        for token in reopens(&recovered) {
            admin.change_first(token, worker::reopen_token)?;
        }
        let items: u64 = recovered
            .iter()
            .filter(|recovered| matches!(recovered.label, Label::Queue(_)))
            .map(|recovered| recovered.items)
            .sum();
        let text = match pipeline.has_services_only() {
            true => "continues where an earlier run stopped".to_owned(),
            false => {
                let items = crate::numbers::counted(items, "item");
                format!("continues where an earlier run stopped: {items} in its queues")
            }
        };
        log!(target: "mprun", Level::Info, "{text}");
        Ok(QueueStore {
            arena,
            admin,
            recovered,
            perhaps_lost,
            continues: true,
            begun_files,
            location,
            saver: None,
        })
    }

    /// Whether a stop may leave items where they are.
    pub(crate) fn keeps_items(&self) -> bool {
        matches!(self.location, Location::File(_))
    }

    /// How the queues that are there already are called, the file's and the hidden ones.
    pub(crate) fn names(&self) -> (BTreeMap<QueueId, String>, BTreeMap<QueueId, Label>) {
        let (mut names, mut hidden) = (BTreeMap::new(), BTreeMap::new());
        for RecoveredQueue { queue, label, .. } in &self.recovered {
            match label {
                Label::Queue(name) => drop(names.insert(*queue, name.clone())),
                label => drop(hidden.insert(*queue, label.clone())),
            }
        }
        (names, hidden)
    }

    /// Notes whose the arena is from now on.
    pub(crate) fn enter(&self, run: &str) -> Result<(), Fault> {
        let pid = std::process::id();
        let since = proc_table::started(pid).unwrap_or(0);
        self.arena.enter(User { pid, since, run: u64::from_str_radix(run, 16).unwrap_or(0) })
    }

    /// Why the queues can't be saved now, if they are to be.
    pub(crate) fn save_fault(&self) -> Option<String> {
        self.saver.as_ref().and_then(Saver::failure)
    }

    /// The fault, with the file that has no room instead of a number of bytes.
    pub(crate) fn with_place(&self, fault: Fault) -> Fault {
        match (fault, &self.location) {
            (Fault::DiskFull(_, error), Location::File(path)) => no_room(path, error),
            (fault, _) => fault,
        }
    }

    /// From now on the queues are saved, if they are to be.
    pub(crate) fn begin_saving(&mut self, sync: Sync) -> Result<(), SetUpError> {
        if let Location::File(path) = &self.location {
            self.saver = Saver::start(&self.arena, path, sync)?;
        }
        Ok(())
    }
}

fn no_room(path: &Path, error: io::Error) -> Fault {
    Fault::File("no room on the disk for", path.to_owned(), error)
}

/// One queue of an earlier run; `None`: it is of no use to another process.
fn recover_queue(
    admin: &mut QueueAdmin,
    left: LabelledQueue,
    (registry, works_off): (&Registry, bool),
) -> Result<Option<RecoveredQueue>, Fault> {
    let Some(label) = Label::parse(&left.label) else {
        return Err(Fault::Foreign(format!("a queue is called {:?}", left.label)));
    };
    let queue = left.queue;
    let mut through = false;
    if let Label::Token { uses, .. } = &label {
        // Its position means nothing to another process: it reads what only the first one had.
        if registry.reads_stdin(uses) {
            admin.remove_queue(queue)?;
            return Ok(None);
        }
        match admin.first(queue)? {
            Some(token) => through = worker::says_end(&token),
            // Killed between the queue and its first token, or in the middle of its removal.
            None => admin.seed(queue, first_token(&label, registry, works_off))?,
        }
    }
    if matches!(label, Label::Print | Label::Held(_)) && admin.first(queue)?.is_none() {
        admin.seed(queue, b"")?;
    }
    let (items, ended, closed) = (left.counts.items(), left.ended, left.closed);
    Ok(Some(RecoveredQueue { queue, label, items, ended, closed, through }))
}

/// What programs had in hand, by the stage whose program reads the same queues now.
fn perhaps_lost(
    handed_over: &[(Vec<QueueId>, u64)],
    recovered: &[RecoveredQueue],
    pipeline: &Pipeline,
) -> BTreeMap<String, u64> {
    let name = |queue: &QueueId| {
        recovered.iter().find_map(|it| match &it.label {
            Label::Queue(name) if it.queue == *queue => Some(name),
            _ => None,
        })
    };
    let mut lost = BTreeMap::new();
    for (queues, items) in handed_over {
        let inputs: BTreeSet<&String> = queues.iter().filter_map(name).collect();
        let streams = |work: &Work| work.command().is_some_and(|command| command.mode == Mode::Stream);
        let reads = |stage: &&Stage| {
            streams(&stage.work) && stage.work.inputs.iter().collect::<BTreeSet<_>>() == inputs
        };
        if let Some(stage) = pipeline.stages.iter().find(reads) {
            *lost.entry(stage.name.clone()).or_default() += items;
        }
    }
    lost
}

/// What a new token says. `works_off`: the run only works off what an earlier one has left. What a stage says once in a run was
/// said in that one, so its stage has begun, whatever is killed before it starts.
pub(crate) fn first_token(label: &Label, registry: &Registry, works_off: bool) -> &'static [u8] {
    match label {
        Label::Token { uses, .. } if works_off && registry.comes_once(uses) => worker::BEGUN,
        _ => b"",
    }
}

/// The stages that write files and have begun to.
fn begun_stages(
    admin: &mut QueueAdmin,
    recovered: &[RecoveredQueue],
    registry: &Registry,
) -> Result<BTreeSet<String>, Fault> {
    let mut begun = BTreeSet::new();
    for RecoveredQueue { queue, label, .. } in recovered {
        if let Label::Token { stage, uses } = label
            && registry.writes_file(uses, &Map::new())
            && admin.first(*queue)?.is_some_and(|token| !worker::state_of(&token).is_empty())
        {
            begun.insert(stage.clone());
        }
    }
    Ok(begun)
}

/// The guardian has done that, unless it was killed too.
fn end_processes_of(user: User) {
    let entry = format!("MPRUN_RUN={:016x}", user.run).into_bytes();
    for pid in proc_table::with_environment(&entry) {
        let _ = group::signal_process(pid, Signal::SIGKILL);
    }
}
