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
mod refused;

use super::saver::Saver;
use crate::config::{Pipeline, Sync};
use crate::queue::{Arena, Fault, Identity, LabelledQueue, Opened, QueueAdmin, QueueId, User};
use crate::service::{Manager, Received};
use crate::supervisor::error::SetUpError;
use crate::supervisor::machine::recovered::{self, Label, RecoveredQueue};
use crate::sys::{group, proc_table};
use crate::worker;
use log::{Level, log};
use nix::sys::signal::Signal;
use std::collections::BTreeMap;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How long the processes of an earlier run may take to be gone: they die with their supervisor.
const PREVIOUS_RUN_LIMIT: Duration = Duration::from_secs(10);

/// The one built-in whose position means nothing to another process: it reads what only the first one had.
const STDIN: &str = "stdin";

/// The queues of a run, and what there is of an earlier one.
pub struct QueueStore {
    /// The queues' memory.
    pub arena: Arena,
    /// The access to it.
    pub admin: QueueAdmin,
    /// What an earlier run has left.
    pub recovered: Vec<RecoveredQueue>,
    /// An earlier run has left something, though perhaps nothing that can be used: this one does not begin from nothing.
    pub continues: bool,
    location: Location,
    saver: Option<Saver>,
}

/// Where the queues of a run are kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Location {
    /// Nowhere: they go with the run.
    Memory,
    /// By the service manager, under this name.
    Store(String),
    File(PathBuf),
}

/// What decides about the place.
pub struct StoreOptions<'a> {
    /// What is to run.
    pub pipeline: &'a Pipeline,
    pub file: &'a Path,
    /// The pipeline's state folder.
    pub folder: &'a Path,
    /// The service manager.
    pub manager: &'a Manager,
    /// Sources are off, and stages get items that were put back.
    pub works_off: bool,
}

impl QueueStore {
    /// Finds or makes the queues' memory.
    pub fn open(options: &StoreOptions<'_>, received: &mut Received) -> Result<QueueStore, SetUpError> {
        let whose = options.identity();
        if options.pipeline.is_durable() {
            return options.open_file(&whose);
        }
        options.warn_of_interrupted_retry();
        if !options.manager.listens() {
            return Ok(QueueStore::fresh(Arena::create_for(&whose)?, Location::Memory)?);
        }
        options.open_store(&whose, received.take(&options.store_name()))
    }

    /// Goes on with the queues that a program before this one has had in this process: workers are at work in them.
    pub fn resume(options: &StoreOptions<'_>, fd: OwnedFd) -> Result<QueueStore, SetUpError> {
        let location = match (options.pipeline.is_durable(), options.manager.listens()) {
            (true, _) => Location::File(options.path()),
            (false, true) => Location::Store(options.store_name()),
            (false, false) => Location::Memory,
        };
        let mut store = QueueStore::fresh(Arena::attach(fd)?, location)?;
        for left in store.admin.queues()? {
            let Some(label) = Label::parse(&left.label) else { continue };
            let items = left.counts.waiting + left.counts.leased;
            let LabelledQueue { queue, ended, closed, .. } = left;
            store.recovered.push(RecoveredQueue { queue, label, items, ended, closed, through: false });
        }
        Ok(store)
    }

    fn fresh(arena: Arena, location: Location) -> Result<QueueStore, Fault> {
        Ok(QueueStore {
            admin: QueueAdmin::open(arena.clone())?,
            arena,
            recovered: Vec::new(),
            continues: false,
            location,
            saver: None,
        })
    }

    /// Takes over what is in an arena that is this run's alone.
    fn recover(options: &StoreOptions<'_>, arena: Arena, location: Location) -> Result<QueueStore, Fault> {
        end_processes_of(arena.user());
        arena.begin_use()?;
        let mut admin = QueueAdmin::open(arena.clone())?;
        let mut recovered = Vec::new();
        for left in admin.recover()? {
            recovered.extend(claim(&mut admin, left)?);
        }
        let reopened = match options.works_off {
            true => recovered::tokens_of(options.pipeline, &recovered),
            false => recovered::not_through(options.pipeline, &recovered),
        };
        for token in reopened {
            admin.change_first(token, worker::reopen_token)?;
        }
        let items: u64 = recovered
            .iter()
            .filter(|recovered| matches!(recovered.label, Label::Queue(_)))
            .map(|recovered| recovered.items)
            .sum();
        let text = format!(
            "goes on where an earlier run has stopped: {} in its queues",
            crate::numbers::counted(items, "item")
        );
        log!(target: "mprun", Level::Info, "{text}");
        Ok(QueueStore { arena, admin, recovered, continues: true, location, saver: None })
    }

    /// Whether a stop may leave items where they are.
    pub fn keeps_items(&self) -> bool {
        matches!(self.location, Location::File(_))
    }

    /// How the queues that are there already are called, the file's and the hidden ones.
    pub fn names(&self) -> (BTreeMap<QueueId, String>, BTreeMap<QueueId, Label>) {
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
    pub fn enter(&self, run: &str) -> Result<(), Fault> {
        let pid = std::process::id();
        let since = proc_table::started(pid).unwrap_or(0);
        self.arena.enter(User { pid, since, run: u64::from_str_radix(run, 16).unwrap_or(0) })
    }

    /// From now on the queues are saved, if they are to be.
    pub fn begin_saving(&mut self, sync: Sync) -> Result<(), SetUpError> {
        if let Location::File(path) = &self.location {
            self.saver = Saver::start(&self.arena, path, sync)?;
        }
        Ok(())
    }
}

impl StoreOptions<'_> {
    /// Two pipelines may have the same name if that is only their files': then the file is part of it.
    fn identity(&self) -> Identity {
        let file = crate::config::file_without_name(&self.pipeline.name, self.file).unwrap_or_default();
        Identity { pipeline: self.pipeline.name.clone(), file: file.to_string_lossy().into_owned() }
    }

    fn store_name(&self) -> String {
        format!("mprun-queues-{}", self.pipeline.name)
    }

    /// Queues in memory know nothing of those that a run of `mprun dead retry` has kept.
    fn warn_of_interrupted_retry(&self) {
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

    fn open_file(&self, whose: &Identity) -> Result<QueueStore, SetUpError> {
        let path = self.path();
        let mut refused = false;
        loop {
            let location = Location::File(path.clone());
            let Opened { arena, kept, set_aside, saved } =
                Arena::open_file(&path, whose, PREVIOUS_RUN_LIMIT, &mut lives)
                    .map_err(|fault| self.refusal(&path, fault))?;
            refused |= set_aside.is_some();
            if let Some((aside, fault)) = set_aside {
                refused::tell(&path.display().to_string(), &aside, &fault, &saved);
            }
            if !kept {
                return Ok(QueueStore { continues: refused, ..QueueStore::fresh(arena, location)? });
            }
            refused::refuse_other_pipeline(&arena, whose, &path)?;
            match QueueStore::recover(self, arena.clone(), location) {
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

    fn open_store(&self, whose: &Identity, recovered: Vec<OwnedFd>) -> Result<QueueStore, SetUpError> {
        let location = Location::Store(self.store_name());
        let refused = !recovered.is_empty();
        for fd in recovered {
            match self.recover_stored(&fd, whose, location.clone()) {
                Ok(store) => return Ok(store),
                Err(fault) => refused::save(&fd, self.folder, &fault),
            }
        }
        let arena = Arena::create_for(whose)?;
        if let Err(why) = self.store(&arena) {
            let text = format!("the service manager can't keep the queues, they go with this process: {why}");
            log!(target: "mprun", Level::Warn, "{text}");
        }
        Ok(QueueStore { continues: refused, ..QueueStore::fresh(arena, location)? })
    }

    fn recover_stored(
        &self,
        fd: &OwnedFd,
        whose: &Identity,
        location: Location,
    ) -> Result<QueueStore, Fault> {
        let arena = Arena::claim(fd.as_fd(), PREVIOUS_RUN_LIMIT, &mut lives)?;
        if !arena.identity()?.is(whose) {
            return Err(Fault::Foreign("it belongs to another pipeline".to_owned()));
        }
        QueueStore::recover(self, arena, location)
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
fn claim(admin: &mut QueueAdmin, left: LabelledQueue) -> Result<Option<RecoveredQueue>, Fault> {
    let Some(label) = Label::parse(&left.label) else {
        return Err(Fault::Foreign(format!("a queue is called {:?}", left.label)));
    };
    let queue = left.queue;
    let mut through = false;
    if let Label::Token { uses, .. } = &label {
        if uses == STDIN {
            admin.remove_queue(queue)?;
            return Ok(None);
        }
        match admin.first(queue)? {
            Some(token) => through = worker::says_end(&token),
            // Killed between the queue and its first token, or in the middle of its removal.
            None => admin.seed(queue, b"")?,
        }
    }
    let (items, ended, closed) = (left.counts.waiting, left.ended, left.closed);
    Ok(Some(RecoveredQueue { queue, label, items, ended, closed, through }))
}

/// Whether a supervisor lives; if not, what is left of its run is ended: the arena's last users are about to go.
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
