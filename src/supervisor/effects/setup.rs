//! A performer is made ready: signals, children, the queues, the start of workers.

use super::performer::{DeadCounters, Performer, Run};
use super::service_hands::ServiceHands;
use crate::config::{Loaded, Pipeline, Watched};
use crate::control::server::Listeners;
use crate::dead_letter;
use crate::queue::QueueId;
use crate::supervisor::error::SetUpError;
use crate::supervisor::machine::observe::RunIdentity;
use crate::supervisor::notify;
use crate::supervisor::options::RunOptions;
use crate::supervisor::recovery::begun_files::BegunFiles;
use crate::supervisor::recovery::membership;
use crate::supervisor::recovery::queue_store::QueueStore;
use crate::supervisor::recovery::queue_store::open::StoreOptions;
use crate::supervisor::recovery::state_folder;
use crate::supervisor::recovery::upgrade_state::Predecessor;
use crate::supervisor::runtime::checks::QueueMemory;
use crate::supervisor::runtime::children::{Auxiliary, Children};
use crate::supervisor::runtime::control::Outlet;
use crate::supervisor::runtime::inbox::{Inbox, Notice};
use crate::supervisor::runtime::launch::Launcher;
use crate::supervisor::runtime::log_writer::LogWriter;
use crate::supervisor::runtime::watch::{FileStamp, Watch};
use crate::supervisor::runtime::{control, letters};
use crate::sys::threads::without_signals;
use crate::sys::{fd, start_signals};
use log::{Level, log};
use nix::sys::signal::Signal;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::io;
use std::path::{Path, PathBuf};

impl<'a> Performer<'a> {
    /// With nothing performed yet.
    pub(crate) fn set_up(
        run: &'a Run<'a>,
        loaded: &Loaded,
        before: &mut Predecessor,
        log_writer: &'a mut LogWriter,
        Outlet { undo_log, printing }: Outlet,
    ) -> Result<Performer<'a>, SetUpError> {
        let (options, pipeline) = (run.options, &loaded.pipeline);
        let system = |what| move |error| SetUpError::System(what, error);
        // Asked before the handlers of the inbox are there.
        let ends_with_terminal =
            (options.text.is_some() || fd::has_terminal()) && !start_signals::is_ignored(Signal::SIGHUP);
        let inbox =
            Inbox::open().map_err(system("take in signals (is `ulimit -u` or `ulimit -n` too low?)"))?;
        let children = children(before, log_writer).map_err(system("become the parent of orphans"))?;
        let folder = dead_letter::location::folder(&pipeline.name, &letters::variable);
        state_folder::check(&folder)?;
        let dead_letters = letters::store(options, &pipeline.name, pipeline.dead_letters);
        let mut store = open_store(run, pipeline, &folder, before)?;
        notify::warn_of_unknown(&before.received);
        let (arena, logging) = (store.arena.clone(), options.logging.clone());
        let mut launcher = Launcher::new(&pipeline.name, arena, dead_letters, logging, undo_log)
            .map_err(system("prepare the start of workers"))?;
        let services =
            ServiceHands::new(before, printing, &inbox).map_err(system("prepare the start of services"))?;
        // What dead letters become is more of an earlier run's work.
        launcher.begun_files =
            if options.retries.is_some() { BegunFiles::Any } else { store.begun_files.clone() };
        // The queues of an interrupted run say by themselves what was said.
        launcher.works_off = options.retries.is_some() && !store.continues;
        store.enter(before.upgrade.as_ref().map_or(&launcher.run, |state| &state.run))?;
        store.begin_saving(pipeline.sync())?;
        let is_shared = pipeline.broker.is_some();
        let continues = store.continues || before.upgrade.is_some();
        let membership = is_shared.then(|| membership::names(&folder, continues)).transpose();
        let membership = membership.map_err(system("write into the state folder"))?;
        let identity = RunIdentity {
            file: file_of(options),
            run: launcher.run.clone(),
            started: run.started,
            dead_letter_file: launcher.dead_letters.path.display().to_string(),
            machine: membership.as_ref().map(|names| names.machine.clone()),
        };
        let (names, tokens) = store.names();
        let dead = dead_at_start(options, &mut store, names.keys());
        Ok(Performer {
            run,
            inbox,
            store,
            launcher,
            log_writer,
            children,
            watch: None,
            watches_clock: false,
            status_line: Default::default(),
            guardian: None,
            names,
            unmade: BTreeSet::new(),
            tokens,
            stages: BTreeMap::new(),
            opened_stages: BTreeMap::new(),
            failing: BTreeMap::new(),
            non_leaders: Vec::new(),
            dead,
            unsettled: Vec::new(),
            dead_letter_writers: BTreeMap::new(),
            ends_with_terminal,
            replacing: Default::default(),
            identity,
            locks: Vec::new(),
            listeners: Default::default(),
            server: None,
            served: pipeline.control.clone(),
            errands: Vec::new(),
            ended_errands: Vec::new(),
            services,
            link: None,
            membership,
            is_resumed: before.upgrade.is_some(),
            requests: BTreeMap::new(),
            request_ids: 0..,
            next_program: None,
            events: VecDeque::new(),
            was_notice: false,
        })
    }
}

/// What no worker waits for: it is made ready once the first workers are started.
pub(crate) struct AfterStart {
    /// Of the queues, if it is to be compared with what there is.
    pub memory: Option<QueueMemory>,
    pub listeners: Listeners,
    /// Where the control socket is.
    pub socket: Option<PathBuf>,
    /// What the pipeline file is made of, beside itself.
    pub watched: Watched,
    /// What all of these were like when they were read.
    pub stamp: FileStamp,
}

impl Performer<'_> {
    /// From here on the file is watched, clients answered and progress shown.
    pub(crate) fn complete(&mut self, rest: AfterStart) {
        if self.run.options.watch {
            self.watch_file(&rest);
        }
        if let Some(warning) = rest.memory.and_then(|memory| memory.warning()) {
            log!(target: "mprun", Level::Warn, "{warning}");
        }
        // The exec of an upgrade ends these threads, and with them a stop that one of them has just taken in.
        without_signals(|| {
            self.serve(rest.listeners, rest.socket);
            if let Some(progress) = &self.run.progress {
                control::show_progress(progress, &self.inbox);
            }
        });
    }

    /// Not worth failing for: a signal reloads as well. What is no regular file was read once, and that was all.
    fn watch_file(&mut self, AfterStart { watched, stamp, .. }: &AfterStart) {
        let file = &self.run.options.file;
        if std::fs::metadata(file).is_ok_and(|about| !about.is_file()) {
            let file = file.display();
            log!(target: "mprun", Level::Warn, "{file} is no regular file and can't be read again: there is no reload");
            return;
        }
        match Watch::new(file, watched.clone(), self.inbox.sender()) {
            Ok(watch) => self.watch = Some(watch),
            Err(error) => {
                log!(target: "mprun", Level::Warn, "the file can't be watched ({error}); SIGHUP reloads it");
            }
        }
        // Nothing was told of what has changed before there was a watch.
        if self.watch.is_some() && FileStamp::of(file, watched) != *stamp {
            self.inbox.put_back(Notice::FileTouched);
        }
    }
}

fn children(before: &Predecessor, log_writer: &LogWriter) -> io::Result<Children> {
    let mut children = match &before.upgrade {
        None => Children::adopt()?,
        Some(state) => Children::resume(&state.preexisting)?,
    };
    if let Some(pid) = log_writer.process() {
        children.add_auxiliary(pid, Auxiliary::LogWriter);
    }
    Ok(children)
}

fn dead_at_start<'a>(
    options: &RunOptions,
    store: &mut QueueStore,
    queues: impl Iterator<Item = &'a QueueId>,
) -> DeadCounters {
    let counted = |queue: &QueueId| store.admin.counts(*queue).map_or(0, |counts| counts.dead);
    let at_start = if options.retries.is_some() { queues.map(counted).sum() } else { 0 };
    DeadCounters { at_start, ..DeadCounters::default() }
}

fn open_store(
    run: &Run<'_>,
    pipeline: &Pipeline,
    folder: &Path,
    before: &mut Predecessor,
) -> Result<QueueStore, SetUpError> {
    let options = StoreOptions {
        pipeline,
        registry: run.registry,
        file: &run.options.file,
        folder,
        manager: run.manager,
        works_off: run.options.retries.is_some(),
    };
    match &before.upgrade {
        None => QueueStore::open(&options, &mut before.received),
        Some(state) => QueueStore::resume(&options, state.arena()?),
    }
}

/// Empty for a line of `mprun do`: it has none.
fn file_of(options: &RunOptions) -> String {
    if options.text.is_some() { String::new() } else { control::file(options).display().to_string() }
}
