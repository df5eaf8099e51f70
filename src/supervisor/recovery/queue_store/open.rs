//! The queue store is found or made: in memory, with the service manager, or in a file.

use super::{Location, QueueStore, end_processes_of, no_room, refused};
use crate::config::Pipeline;
use crate::queue::{Arena, Fault, Identity, LabelledQueue, Opened, User};
use crate::service::{NotifySocket, Received};
use crate::stage::Registry;
use crate::supervisor::error::SetUpError;
use crate::supervisor::machine::recovered::{self, Label, RecoveredQueue};
use crate::sys::proc_table;
use log::{Level, log};
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How long the processes of an earlier run may take to be gone: they die with their supervisor.
const PREVIOUS_RUN_LIMIT: Duration = Duration::from_secs(10);

/// What decides about the place.
pub(crate) struct StoreOptions<'a> {
    /// What is to run.
    pub pipeline: &'a Pipeline,
    /// The stages that it names.
    pub registry: &'a Registry,
    pub file: &'a Path,
    /// The pipeline's state folder.
    pub folder: &'a Path,
    /// The service manager.
    pub manager: &'a NotifySocket,
    /// Sources are off, and stages get items that were put back.
    pub works_off: bool,
}

impl QueueStore {
    /// Finds or makes the queues' memory.
    pub(crate) fn open(
        options: &StoreOptions<'_>,
        received: &mut Received,
    ) -> Result<QueueStore, SetUpError> {
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
    pub(crate) fn resume(options: &StoreOptions<'_>, fd: OwnedFd) -> Result<QueueStore, SetUpError> {
        let location = match (options.pipeline.is_durable(), options.manager.listens()) {
            (true, _) => Location::File(options.path()),
            (false, true) => Location::Store(options.store_name()),
            (false, false) => Location::Memory,
        };
        let mut store = QueueStore::fresh(Arena::attach(fd)?, location)?;
        for left in store.admin.queues()? {
            let Some(label) = Label::parse(&left.label) else { continue };
            let items = left.counts.items();
            let LabelledQueue { queue, ended, closed, .. } = left;
            store.recovered.push(RecoveredQueue { queue, label, items, ended, closed, through: false });
        }
        Ok(store)
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
        let (mut refused, mut restored) = (false, false);
        loop {
            let location = Location::File(path.clone());
            let Opened { arena, kept, migrated_from, replaced, restored: taken } =
                Arena::open_file(&path, whose, PREVIOUS_RUN_LIMIT, &mut lives)
                    .map_err(|fault| self.refusal(&path, fault))?;
            if let Some(replaced) = replaced {
                refused = true;
                restored |= replaced.saved.is_some();
                refused::tell(&path.display().to_string(), &replaced);
            }
            if let Some(taken) = taken {
                restored = true;
                refused::tell_of_missing(&path, taken);
            }
            if let Some(version) = migrated_from {
                let text = format!(
                    "the queues in {} were made by an earlier version of mprun, with another layout ({version}): they are \
                     migrated to that of this one",
                    path.display()
                );
                log!(target: "mprun", Level::Info, "{text}");
            }
            if !kept {
                return Ok(QueueStore::anew(arena, location, refused)?);
            }
            refused::refuse_other_pipeline(&arena, whose, &path)?;
            match self.recover(arena.clone(), location) {
                Err(fault @ (Fault::Foreign(_) | Fault::Damaged { .. })) if restored => {
                    let _ = arena.leave();
                    return Err(refused::unusable(&path, &fault));
                }
                Err(fault @ (Fault::Foreign(_) | Fault::Damaged { .. })) => {
                    (refused, restored) = (true, true);
                    let replaced =
                        arena.replace(&path, whose, fault).map_err(|fault| self.refusal(&path, fault))?;
                    refused::tell(&path.display().to_string(), &replaced);
                }
                other => return Ok(other?),
            }
        }
    }

    fn refusal(&self, path: &Path, fault: Fault) -> SetUpError {
        match fault {
            Fault::InUse => refused::in_use(path),
            Fault::Unusable(_) => refused::unusable(path, &fault),
            Fault::Version { .. } => refused::version(path, &fault),
            Fault::OtherPipeline(other) => refused::other_pipeline(&other, path),
            Fault::DiskFull(_, error) => no_room(path, error).into(),
            other => other.into(),
        }
    }

    fn open_store(&self, whose: &Identity, recovered: Vec<OwnedFd>) -> Result<QueueStore, SetUpError> {
        let location = Location::Store(self.store_name());
        let refused = !recovered.is_empty();
        for fd in recovered {
            match self.recover_stored(&fd, whose, location.clone()) {
                Ok(store) => return Ok(store),
                Err(fault) => refused::save(&fd, self.folder, fault),
            }
        }
        let arena = Arena::create_for(whose)?;
        if let Err(why) = self.store(&arena) {
            let text = format!("the service manager can't keep the queues, they go with this process: {why}");
            log!(target: "mprun", Level::Warn, "{text}");
        }
        Ok(QueueStore::anew(arena, location, refused)?)
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
        self.recover(arena, location)
    }

    fn recover(&self, arena: Arena, location: Location) -> Result<QueueStore, Fault> {
        let of = (self.registry, self.pipeline, self.works_off);
        QueueStore::recover(arena, location, of, |queues| match self.works_off {
            true => recovered::tokens_of(self.pipeline, queues),
            false => recovered::not_through(self.pipeline, queues),
        })
    }

    /// The old one of the name, if there is any, is of no use any more.
    fn store(&self, arena: &Arena) -> Result<(), String> {
        let spare = arena.share().map_err(|fault| fault.to_string())?;
        let name = self.store_name();
        let stored = self.manager.remove_fd(&name).and_then(|()| self.manager.store_fd(&name, spare.as_fd()));
        stored.map_err(|error| error.to_string())
    }
}

/// Whether a supervisor lives; if not, what is left of its run is ended: the arena's last users are about to go.
fn lives(user: User) -> bool {
    let lives = user.pid != std::process::id() && proc_table::started(user.pid) == Some(user.since);
    if !lives {
        end_processes_of(user);
    }
    lives
}
