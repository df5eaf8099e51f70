//! What a new worker is started with: its spec, its descriptors, its environment.

use super::environment;
use crate::append::UndoLog;
use crate::dead_letter::Store;
use crate::logs::{LogFile, Logging, RecentLogs, Voice};
use crate::queue::{Arena, QueueId};
use crate::service as manager;
use crate::stage::Failure;
use crate::supervisor::error::SetUpError;
use crate::supervisor::machine::effect::Spawn;
use crate::supervisor::machine::ids::{StageKey, WorkerId};
use crate::supervisor::machine::restart;
use crate::supervisor::machine::wanted::Version;
use crate::supervisor::recovery::begun_files::BegunFiles;
use crate::supervisor::recovery::upgrade_state::{self, UpgradeState};
use crate::sys::mark::RunMark;
use crate::sys::process::{self, ProcessArgs, ProcessGroupMode, ProcessSpec, SpawnError};
use crate::sys::{fd, open_files};
use crate::worker::service::{self, Place, ServiceStart};
use crate::worker::{ARENA_FD, HOLDING_PIPE_FDS, Identity, SPEC_FD, UNDO_LOG_FD, WorkerSpec};
use nix::sys::signal::Signal;
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::ffi::{CString, OsStr};
use std::io::{self, IsTerminal};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;

/// Starts workers of one run.
pub(crate) struct Launcher {
    /// This run's random id.
    pub run: String,
    /// The pipeline's name.
    pub pipeline: String,
    /// Where dead letters go.
    pub dead_letters: Store,
    /// The files that it continues.
    pub begun_files: BegunFiles,
    /// Only what an earlier run has left is worked off, and what comes once in a run was in that one.
    pub works_off: bool,
    /// Of the shared queues, by a number that no other run has; `None`: there are none, or it is not known yet.
    pub shared_run: Option<u64>,
    /// The supervisor's own environment, without what it sets for workers and what is for itself alone.
    environment: Vec<CString>,
    null: OwnedFd,
    /// Standard input is a terminal, which only its foreground group may read.
    terminal: bool,
    /// The queues' memory.
    pub arena: Arena,
    /// What the workers of a run share about files that they append to.
    pub undo_log: UndoLog,
    pub logging: Logging,
    /// Where the last lines of each stage are kept.
    pub recent_logs: Option<RecentLogs>,
    /// What a worker of a stage has read of standard input and not yet made items of: it outlives the worker.
    pub holding_pipes: BTreeMap<StageKey, [OwnedFd; 2]>,
    /// Those that a program before this one has made, by the names of their stages.
    pub recovered_pipes: BTreeMap<String, [OwnedFd; 2]>,
}

impl Launcher {
    /// For the workers of one run of `pipeline`.
    pub(crate) fn new(
        pipeline: &str,
        arena: Arena,
        dead_letters: Store,
        logging: Logging,
        undo_log: UndoLog,
    ) -> io::Result<Launcher> {
        Ok(Launcher {
            run: format!("{:016x}", fastrand::u64(..)),
            pipeline: pipeline.to_owned(),
            dead_letters,
            begun_files: BegunFiles::none(),
            works_off: false,
            shared_run: None,
            environment: inherited_environment(),
            null: fd::null()?,
            terminal: io::stdin().is_terminal(),
            arena,
            undo_log,
            logging,
            recent_logs: None,
            holding_pipes: BTreeMap::new(),
            recovered_pipes: BTreeMap::new(),
        })
    }

    /// Goes on with what the program before this one had.
    pub(crate) fn resume(&mut self, state: &UpgradeState) -> Result<(), SetUpError> {
        self.run.clone_from(&state.run);
        self.begun_files = if state.continues { BegunFiles::Any } else { BegunFiles::none() };
        for (stage, [reader, writer]) in &state.holding_pipes {
            let pipe = [upgrade_state::taken(*reader)?, upgrade_state::taken(*writer)?];
            self.recovered_pipes.insert(stage.clone(), pipe);
        }
        Ok(())
    }

    /// Starts a worker, and returns its pid. `continues`: what an earlier run has written is not to be emptied. `names`: how the
    /// queues are called; `stderr`: the log pipe.
    pub(crate) fn start(
        &mut self,
        spawn: &Spawn,
        (reads_stdin, continues): (bool, bool),
        names: &BTreeMap<QueueId, String>,
        stderr: BorrowedFd<'_>,
    ) -> Result<u32, SpawnError> {
        if reads_stdin {
            self.make_holding_pipe(spawn.worker.stage).map_err(|error| SpawnError::preparing(&error))?;
        }
        let spec = self
            .spec(spawn, (reads_stdin, continues), names)
            .map_err(|error| SpawnError::preparing(&error))?;
        let mut descriptors =
            vec![(self.arena.fd(), ARENA_FD), (spec.as_fd(), SPEC_FD), (self.undo_log.fd(), UNDO_LOG_FD)];
        if let Some(pipe) = self.holding_pipes.get(&spawn.worker.stage) {
            descriptors.extend(pipe.iter().map(OwnedFd::as_fd).zip(HOLDING_PIPE_FDS));
        }
        if !spawn.version.is_source() {
            // One reader of standard input is enough; a stage that doesn't expect it must not take it from another.
            descriptors.push((self.null.as_fd(), 0));
        }
        descriptors.push((stderr, 2));
        let index = spawn.worker.index.to_string();
        let environment = self.environment_of(&spawn.stage, spawn.worker);
        let process = ProcessSpec {
            // SIGCHLD: one thread of a worker with a program lets it in.
            blocked: vec![Signal::SIGUSR1, Signal::SIGCHLD],
            mark: Some(self.mark()),
            ..ProcessSpec::this_program(self.group_mode(reads_stdin))
        };
        let args = ProcessArgs {
            arguments: &[title(&spawn.stage, &index), c"__worker".to_owned()],
            environment: &environment,
            descriptors: &descriptors,
            pid_word: None,
        };
        process::spawn(process, &args)
    }

    /// By which all that descends from a process of this run is known.
    pub(crate) fn mark(&self) -> RunMark {
        RunMark::of(&self.run)
    }

    /// For a helper that starts users' programs.
    pub(crate) fn helper_environment(&self) -> Vec<CString> {
        let own = [entry("MPRUN_PIPELINE", &self.pipeline), entry("MPRUN_RUN", &self.run)];
        self.environment.iter().cloned().chain(own).collect()
    }

    fn environment_of(&self, stage: &str, worker: WorkerId) -> Vec<CString> {
        let mut environment = self.environment.clone();
        environment.extend([
            entry("MPRUN_STAGE", stage),
            entry("MPRUN_WORKER", &worker.index.to_string()),
            entry("MPRUN_PIPELINE", &self.pipeline),
            entry("MPRUN_RUN", &self.run),
        ]);
        environment
    }

    /// What a service is started with; `None`: the stage is none.
    pub(crate) fn service_start(
        &self,
        stage: &str,
        worker: WorkerId,
        version: &Version,
        identity: Option<&Identity>,
    ) -> Option<Result<ServiceStart, Failure>> {
        let (folder, soft_open_files) = (&version.folder, open_files::original());
        let mark = Some(self.mark());
        let place = Place { folder, index: worker.index, soft_open_files, identity, mark };
        let own = self.environment_of(stage, worker).into_iter().filter_map(|entry| {
            let (name, value) = split(entry.to_bytes())?;
            Some((OsStr::from_bytes(name).to_owned(), OsStr::from_bytes(value).to_owned()))
        });
        Some(service::start(version.work.command()?, &place, own))
    }

    /// As whom a service speaks.
    pub(crate) fn voice(&self, stage: &str, worker: WorkerId, version: &Version) -> Voice {
        let path = |file: &LogFile| LogFile { path: version.folder.join(&file.path), ..file.clone() };
        let recent = self.recent_logs.as_ref().map(|logs| logs.of_stage(stage));
        let log_file = version.log_file.as_ref().map(path);
        Voice::new(restart::name(stage, worker), log_file.as_ref(), recent.as_ref())
    }

    /// The kernel stops a process that reads a terminal from outside the foreground group.
    pub(crate) fn group_mode(&self, reads_stdin: bool) -> ProcessGroupMode {
        let types = self.terminal && reads_stdin;
        if types { ProcessGroupMode::ParentsGroup } else { ProcessGroupMode::OwnGroup }
    }

    /// What a worker of this stage has read for it under the program before this one is not lost.
    pub(crate) fn reuse_pipes(&mut self, stage: StageKey, name: &str) {
        if let Some(pipes) = self.recovered_pipes.remove(name) {
            self.holding_pipes.insert(stage, pipes);
        }
    }

    fn make_holding_pipe(&mut self, stage: StageKey) -> io::Result<()> {
        if let Entry::Vacant(none) = self.holding_pipes.entry(stage) {
            let (reader, writer) = nix::unistd::pipe2(nix::fcntl::OFlag::O_CLOEXEC)?;
            none.insert([reader, writer]);
        }
        Ok(())
    }

    fn spec(
        &self,
        spawn: &Spawn,
        (reads_stdin, continues): (bool, bool),
        names: &BTreeMap<QueueId, String>,
    ) -> io::Result<OwnedFd> {
        let named = |ids: &[QueueId]| {
            ids.iter().map(|id| (id.0, names.get(id).cloned().unwrap_or_default())).collect()
        };
        let version = &spawn.version;
        let spec = WorkerSpec {
            pipeline: self.pipeline.clone(),
            stage: spawn.stage.clone(),
            worker: spawn.worker.index,
            slot: spawn.slot.0,
            stage_id: spawn.stage_id.map(|id| id.0),
            run: self.run.clone(),
            continues,
            works_off: self.works_off,
            shared_run: self.shared_run,
            supervisor_pid: std::process::id(),
            folder: version.folder.clone(),
            work: version.work.clone(),
            recycle: version.recycle,
            inputs: named(&version.inputs),
            outputs: named(&version.outputs),
            shared: version.shared.clone(),
            token: version.token.map(|token| token.0),
            print_token: version.print_token.map(|token| token.0),
            spill_queue: version.spill.map(|spill| spill.0),
            stop_timeout: spawn.stop_timeout,
            dead_letters: self.dead_letters.clone(),
            log: self.logging.clone(),
            log_file: version.log_file.clone(),
            recent_logs: self.recent_logs.as_ref().map(|logs| logs.folder().to_owned()),
            soft_open_files: open_files::original(),
            holding_pipe: reads_stdin,
        };
        fd::sealed(c"mprun-spec", &serde_json::to_vec(&spec)?)
    }
}

/// What `ps` shows instead of the program's name.
fn title(stage: &str, index: &str) -> CString {
    CString::new(format!("mprun:{stage}[{index}]")).unwrap_or_else(|_| c"mprun".to_owned())
}

fn inherited_environment() -> Vec<CString> {
    let ours = ["MPRUN_STAGE", "MPRUN_WORKER", "MPRUN_PIPELINE", "MPRUN_RUN", upgrade_state::VARIABLE];
    let is_kept = |name: &OsStr| {
        !ours.iter().any(|own| name == *own) && !manager::is_for_this_process_only(name.as_bytes())
    };
    environment::kept(is_kept).collect()
}

fn split(entry: &[u8]) -> Option<(&[u8], &[u8])> {
    let at = entry.iter().position(|byte| *byte == b'=')?;
    Some((&entry[..at], &entry[at + 1..]))
}

fn entry(name: &str, value: &str) -> CString {
    // A name in a pipeline file can't hold a zero byte: its characters are checked.
    CString::new(format!("{name}={value}")).unwrap_or_default()
}
