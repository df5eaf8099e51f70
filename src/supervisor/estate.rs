//! Where the queues of a run are kept, and how one run goes on from what another has left there.
//!
//! | place | survives | taken over by |
//! |---|---|---|
//! | memory | nothing | – |
//! | memory, in the service manager's descriptor store | the supervisor, however it ends | the next start of the unit |
//! | a file in the state folder (`durable`) | every process | the next start |
//!
//! An arena is one run's alone ([`Arena::claim`]). Before this run does anything in it, nobody of the last one is left;
//! then what that one's workers held goes back. All of that may be killed anywhere and be done again.

mod refused;

use super::SetUpError;
use super::inheritance::{self, Kept, Label};
use super::saver::{LastSaver, Saver};
use crate::config::{Pipeline, Sync};
use crate::queue::{Arena, Fault, Identity, Opened, QueueAdmin, QueueId, RecoveredQueue, User};
use crate::service::{Manager, Received};
use crate::sys::{group, proc_table};
use crate::worker;
use log::{Level, log};
use nix::sys::signal::Signal;
use std::collections::BTreeMap;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How long the processes of an earlier run may take to be gone: they die with their supervisor.
const PATIENCE: Duration = Duration::from_secs(10);

/// The one built-in whose position means nothing to another process: it reads what only the first one had.
const STDIN: &str = "stdin";

/// The queues of a run, and what there is of an earlier one.
pub struct Estate {
    /// The queues' memory.
    pub arena: Arena,
    /// The hand on it.
    pub steward: QueueAdmin,
    /// What an earlier run has left.
    pub kept: Vec<Kept>,
    /// An earlier run has left something, though perhaps nothing that can be used: this one does not begin from nothing.
    pub continues: bool,
    place: Place,
    saver: Option<Saver>,
}

/// Where the queues of a run are kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// Nowhere: they go with the run.
    Memory,
    /// By the service manager, under this name.
    Store(String),
    /// In this file.
    File(PathBuf),
}

/// What decides about the place.
pub struct Site<'a> {
    /// What is to run.
    pub pipeline: &'a Pipeline,
    /// Its file.
    pub file: &'a Path,
    /// The pipeline's state folder.
    pub folder: &'a Path,
    /// The service manager.
    pub manager: &'a Manager,
    /// Sources are off, and stages get items that were put back.
    pub works_off: bool,
}

impl Estate {
    /// Finds or makes the queues' memory.
    pub fn open(site: &Site<'_>, received: &mut Received) -> Result<Estate, SetUpError> {
        let whose = site.identity();
        if site.pipeline.is_durable() {
            return site.open_file(&whose);
        }
        site.tell_of_interrupted_retry();
        if !site.manager.listens() {
            return Ok(Estate::fresh(Arena::create_for(&whose)?, Place::Memory)?);
        }
        site.open_store(&whose, received.take(&site.store_name()))
    }

    /// Goes on with the queues that a program before this one has had in this process: workers are at work in them.
    pub fn take_over(site: &Site<'_>, fd: OwnedFd) -> Result<Estate, SetUpError> {
        let place = match (site.pipeline.is_durable(), site.manager.listens()) {
            (true, _) => Place::File(site.path()),
            (false, true) => Place::Store(site.store_name()),
            (false, false) => Place::Memory,
        };
        let mut estate = Estate::fresh(Arena::attach(fd)?, place)?;
        for left in estate.steward.queues()? {
            let Some(label) = Label::parse(&left.label) else { continue };
            let items = left.counts.waiting + left.counts.leased;
            let RecoveredQueue { queue, ended, closed, .. } = left;
            estate.kept.push(Kept { queue, label, items, ended, closed, through: false });
        }
        Ok(estate)
    }

    fn fresh(arena: Arena, place: Place) -> Result<Estate, Fault> {
        Ok(Estate {
            steward: QueueAdmin::open(arena.clone())?,
            arena,
            kept: Vec::new(),
            continues: false,
            place,
            saver: None,
        })
    }

    /// Takes over what is in an arena that is this run's alone.
    fn inherit(site: &Site<'_>, arena: Arena, place: Place) -> Result<Estate, Fault> {
        end_processes_of(arena.user());
        arena.begin_use()?;
        let mut steward = QueueAdmin::open(arena.clone())?;
        let mut kept = Vec::new();
        for left in steward.recover()? {
            kept.extend(claim(&mut steward, left)?);
        }
        let reopened = match site.works_off {
            true => inheritance::tokens_of(site.pipeline, &kept),
            false => inheritance::not_through(site.pipeline, &kept),
        };
        for token in reopened {
            steward.change_first(token, worker::reopen_token)?;
        }
        let items: u64 =
            kept.iter().filter(|kept| matches!(kept.label, Label::Queue(_))).map(|kept| kept.items).sum();
        let text = format!(
            "goes on where an earlier run has stopped: {} in its queues",
            crate::numbers::counted(items, "item")
        );
        log!(target: "mprun", Level::Info, "{text}");
        Ok(Estate { arena, steward, kept, continues: true, place, saver: None })
    }

    /// Whether a stop may leave items where they are.
    pub fn keeps_items(&self) -> bool {
        matches!(self.place, Place::File(_))
    }

    /// How the queues that are there already are called, the file's and the hidden ones.
    pub fn names(&self) -> (BTreeMap<QueueId, String>, BTreeMap<QueueId, Label>) {
        let (mut names, mut hidden) = (BTreeMap::new(), BTreeMap::new());
        for Kept { queue, label, .. } in &self.kept {
            match label {
                Label::Queue(name) => drop(names.insert(*queue, name.clone())),
                label => drop(hidden.insert(*queue, label.clone())),
            }
        }
        (names, hidden)
    }

    /// Notes whose the arena is from now on.
    pub fn enter(&self, run: &str) -> Result<(), Fault> {
        let pid = std::process::id();
        let since = proc_table::started(pid).unwrap_or(0);
        self.arena.enter(User { pid, since, run: u64::from_str_radix(run, 16).unwrap_or(0) })
    }

    /// From now on the queues are saved, if they are to be.
    pub fn begin_saving(&mut self, sync: Sync) -> Result<(), SetUpError> {
        if let Place::File(path) = &self.place {
            self.saver = Saver::start(&self.arena, path, sync)?;
        }
        Ok(())
    }

    /// What is needed to end it.
    pub fn deed(&mut self) -> Deed {
        Deed { arena: self.arena.clone(), place: self.place.clone(), saver: self.saver.take() }
    }
}

/// The end of a run's queues.
pub struct Deed {
    arena: Arena,
    place: Place,
    saver: Option<Saver>,
}

impl Deed {
    /// Whether another run can go on from what is left.
    pub fn keeps_queues(&self) -> bool {
        self.place != Place::Memory
    }

    /// Nobody is at work any more. `through`: nothing is left to go on with, the next run starts anew. `waits`: the disk has
    /// no room, for this reason; whether to try it again. Whether all could be put away.
    pub fn conclude(self, through: bool, manager: &Manager, waits: &mut dyn FnMut(&str) -> bool) -> bool {
        let saver = self.saver.map(Saver::end);
        let result = match (&self.place, through) {
            (Place::Memory, _) | (Place::Store(_), false) => Ok(()),
            (Place::Store(name), true) => manager.remove(name).map_err(|error| error.to_string()),
            (Place::File(path), true) => {
                // What was saved goes first: alone it would be of no use.
                Arena::forget_saved(path)
                    .and_then(|()| std::fs::remove_file(path))
                    .map_err(|error| format!("{}: {error}", path.display()))
            }
            (Place::File(_), false) => put_away(&self.arena, saver.as_ref(), waits),
        };
        match (&result, &self.place) {
            (Err(why), _) => log!(target: "mprun", Level::Error, "failed to put the queues away: {why}"),
            (Ok(()), Place::File(path)) if !through => {
                log!(target: "mprun", Level::Info, "the next start goes on from {}", path.display());
            }
            (Ok(()), _) => {}
        }
        result.is_ok()
    }
}

/// Writes what the queues hold to the disk, for the next run and for a power cut, and waits for room as long as `waits`
/// says. What could not be written is in the file all the same, unless the power fails.
fn put_away(
    arena: &Arena,
    saver: Option<&LastSaver>,
    waits: &mut dyn FnMut(&str) -> bool,
) -> Result<(), String> {
    loop {
        let saved = saver.map_or(Ok(()), LastSaver::save).and_then(|()| arena.leave());
        let Err(fault) = saved else { return Ok(()) };
        let why = fault.to_string();
        if !fault.is_no_room() || !waits(&why) {
            // It counts as left in good order, as far as that can be.
            let left = arena.leave();
            let cost = if left.is_ok() { "a power cut loses what came last" } else { "a power cut loses it" };
            return Err(format!("{why}; the next start goes on from the file all the same, but {cost}"));
        }
    }
}

impl Site<'_> {
    /// Two pipelines may have the same name if that is only their files': then the file is part of it.
    fn identity(&self) -> Identity {
        let file = crate::config::file_without_name(&self.pipeline.name, self.file).unwrap_or_default();
        Identity { pipeline: self.pipeline.name.clone(), file: file.to_string_lossy().into_owned() }
    }

    fn store_name(&self) -> String {
        format!("mprun-queues-{}", self.pipeline.name)
    }

    /// Queues in memory know nothing of those that a run of `mprun dead retry` has kept.
    fn tell_of_interrupted_retry(&self) {
        let path = self.path();
        if path.exists() {
            log!(
                target: "mprun",
                Level::Warn,
                "{} holds items of a run that was interrupted: this run leaves them there; `mprun dead retry {} --all` \
                 works them off",
                path.display(), self.file.display()
            );
        }
    }

    fn path(&self) -> PathBuf {
        self.folder.join("queues")
    }

    fn open_file(&self, whose: &Identity) -> Result<Estate, SetUpError> {
        let path = self.path();
        let mut refused = false;
        loop {
            let place = Place::File(path.clone());
            let Opened { arena, kept, set_aside, saved } =
                Arena::open_file(&path, whose, PATIENCE, &mut lives)
                    .map_err(|fault| self.refusal(&path, fault))?;
            refused |= set_aside.is_some();
            if let Some((aside, fault)) = set_aside {
                refused::tell(&path.display().to_string(), &aside, &fault, &saved);
            }
            if !kept {
                return Ok(Estate { continues: refused, ..Estate::fresh(arena, place)? });
            }
            refused::unless_stranger(&arena, whose, &path)?;
            match Estate::inherit(self, arena.clone(), place) {
                Err(fault @ (Fault::Foreign(_) | Fault::Damaged { .. })) => {
                    refused = true;
                    let (aside, saved) = arena.put_aside(&path, whose, &saved)?;
                    refused::tell(&path.display().to_string(), &aside, &fault, &saved);
                }
                other => return Ok(other?),
            }
        }
    }

    fn refusal(&self, path: &Path, fault: Fault) -> SetUpError {
        match fault {
            Fault::InUse => refused::in_use(path),
            Fault::Version { .. } => refused::version(path, &fault),
            Fault::DiskFull(_, error) => {
                Fault::File("no room on the disk for", path.to_owned(), error).into()
            }
            other => other.into(),
        }
    }

    fn open_store(&self, whose: &Identity, kept: Vec<OwnedFd>) -> Result<Estate, SetUpError> {
        let place = Place::Store(self.store_name());
        let refused = !kept.is_empty();
        for fd in kept {
            match self.inherit_stored(&fd, whose, place.clone()) {
                Ok(estate) => return Ok(estate),
                Err(fault) => refused::save(&fd, self.folder, &fault),
            }
        }
        let arena = Arena::create_for(whose)?;
        if let Err(why) = self.store(&arena) {
            let text = format!("the service manager can't keep the queues, they go with this process: {why}");
            log!(target: "mprun", Level::Warn, "{text}");
        }
        Ok(Estate { continues: refused, ..Estate::fresh(arena, place)? })
    }

    fn inherit_stored(&self, fd: &OwnedFd, whose: &Identity, place: Place) -> Result<Estate, Fault> {
        let arena = Arena::claim(fd.as_fd(), PATIENCE, &mut lives)?;
        if !arena.identity()?.is(whose) {
            return Err(Fault::Foreign("it belongs to another pipeline".to_owned()));
        }
        Estate::inherit(self, arena, place)
    }

    /// The old one of the name, if there is any, is of no use any more.
    fn store(&self, arena: &Arena) -> Result<(), String> {
        let spare = arena.share().map_err(|fault| fault.to_string())?;
        let name = self.store_name();
        let stored = self.manager.remove(&name).and_then(|()| self.manager.put(&name, spare.as_fd()));
        stored.map_err(|error| error.to_string())
    }
}

/// What to make of one queue.
fn claim(steward: &mut QueueAdmin, left: RecoveredQueue) -> Result<Option<Kept>, Fault> {
    let Some(label) = Label::parse(&left.label) else {
        return Err(Fault::Foreign(format!("a queue is called {:?}", left.label)));
    };
    let queue = left.queue;
    let mut through = false;
    if let Label::Token { uses, .. } = &label {
        if uses == STDIN {
            steward.remove_queue(queue)?;
            return Ok(None);
        }
        match steward.first(queue)? {
            Some(token) => through = worker::says_end(&token),
            // Killed between the queue and its first token, or in the middle of its removal.
            None => steward.seed(queue, b"")?,
        }
    }
    let (items, ended, closed) = (left.counts.waiting, left.ended, left.closed);
    Ok(Some(Kept { queue, label, items, ended, closed, through }))
}

/// Whether a supervisor lives; if not, what is left of its run is ended: whoever holds the arena is about to go.
fn lives(user: User) -> bool {
    let lives = user.pid != std::process::id() && proc_table::started(user.pid) == Some(user.since);
    if !lives {
        end_processes_of(user);
    }
    lives
}

/// The guardian has done that, unless it was killed too.
fn end_processes_of(user: User) {
    let entry = format!("MPRUN_RUN={:016x}", user.run).into_bytes();
    for pid in proc_table::with_environment(&entry) {
        let _ = group::signal_process(pid, Signal::SIGKILL);
    }
}
