//! What a new worker is started with: its ticket, its descriptors, its environment.

use super::action::Spawn;
use crate::queue::{Arena, QueueId};
use crate::sys::fd;
use crate::sys::process::{self, Company, Launch, SpawnError};
use crate::worker::Ticket;
use nix::sys::signal::Signal;
use std::collections::BTreeMap;
use std::ffi::CString;
use std::io::{self, IsTerminal};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::PathBuf;

/// The numbers at which a worker finds what it is given.
const ARENA: i32 = 3;
const TICKET: i32 = 4;

/// Starts workers of one run.
pub struct Launcher {
    /// This run's random id.
    pub run: String,
    /// The pipeline's name.
    pub pipeline: String,
    /// Where dead letters go.
    pub dead_letters: PathBuf,
    /// The supervisor's own environment, without what it sets for workers.
    environment: Vec<CString>,
    null: OwnedFd,
    /// Standard input is a terminal, which only its foreground group may read.
    terminal: bool,
    arena: Arena,
}

impl Launcher {
    /// For the workers of one run of `pipeline`.
    pub fn new(pipeline: &str, arena: Arena, dead_letters: PathBuf) -> io::Result<Launcher> {
        Ok(Launcher {
            run: format!("{:016x}", fastrand::u64(..)),
            pipeline: pipeline.to_owned(),
            dead_letters,
            environment: inherited_environment(),
            null: fd::null()?,
            terminal: io::stdin().is_terminal(),
            arena,
        })
    }

    /// Starts a worker, and returns its pid. `names`: how the queues are called.
    pub fn start(&self, spawn: &Spawn, names: &BTreeMap<QueueId, String>) -> Result<u32, SpawnError> {
        let ticket = self.ticket(spawn, names).map_err(|error| SpawnError::preparing(&error))?;
        let mut descriptors = vec![(self.arena.fd(), ARENA), (ticket.as_fd(), TICKET)];
        if !spawn.version.is_source() {
            // One reader of standard input is enough; a stage that doesn't expect it must not take it from another.
            descriptors.push((self.null.as_fd(), 0));
        }
        let index = spawn.worker.index.to_string();
        let mut environment = self.environment.clone();
        environment.extend([
            entry("MPRUN_STAGE", &spawn.stage),
            entry("MPRUN_WORKER", &index),
            entry("MPRUN_PIPELINE", &self.pipeline),
            entry("MPRUN_RUN", &self.run),
        ]);
        process::spawn(&Launch {
            program: c"/proc/self/exe",
            arguments: &[title(&spawn.stage, &index), c"__worker".to_owned()],
            environment: &environment,
            descriptors: &descriptors,
            company: self.company(spawn),
            dies_with_parent: true,
            blocked: &[Signal::SIGUSR1],
        })
    }

    /// The kernel stops a process that reads a terminal from outside the foreground group.
    pub fn company(&self, spawn: &Spawn) -> Company {
        let types = self.terminal && spawn.version.work.uses == "stdin";
        if types { Company::ParentsGroup } else { Company::OwnGroup }
    }

    fn ticket(&self, spawn: &Spawn, names: &BTreeMap<QueueId, String>) -> io::Result<OwnedFd> {
        let named = |ids: &[QueueId]| {
            ids.iter().map(|id| (id.0, names.get(id).cloned().unwrap_or_default())).collect()
        };
        let version = &spawn.version;
        let ticket = Ticket {
            pipeline: self.pipeline.clone(),
            stage: spawn.stage.clone(),
            worker: spawn.worker.index,
            slot: spawn.slot.0,
            run: self.run.clone(),
            supervisor_pid: std::process::id(),
            folder: version.folder.clone(),
            work: version.work.clone(),
            recycle: version.recycle,
            inputs: named(&version.inputs),
            outputs: named(&version.outputs),
            token: version.token.map(|token| token.0),
            dead_letters: self.dead_letters.clone(),
            log: log::max_level().to_string(),
        };
        fd::sealed(c"mprun-ticket", &serde_json::to_vec(&ticket)?)
    }
}

/// What `ps` shows instead of the program's name.
fn title(stage: &str, index: &str) -> CString {
    CString::new(format!("mprun:{stage}[{index}]")).unwrap_or_else(|_| c"mprun".to_owned())
}

fn inherited_environment() -> Vec<CString> {
    let ours: [&[u8]; 4] = [b"MPRUN_STAGE", b"MPRUN_WORKER", b"MPRUN_PIPELINE", b"MPRUN_RUN"];
    let kept = std::env::vars_os().filter(|(name, _)| !ours.contains(&name.as_bytes()));
    let entries = kept.map(|(name, value)| [name.into_vec(), value.into_vec()].join(&b'='));
    entries.filter_map(|entry| CString::new(entry).ok()).collect()
}

fn entry(name: &str, value: &str) -> CString {
    // A name in a pipeline file can't hold a zero byte: its characters are checked.
    CString::new(format!("{name}={value}")).unwrap_or_default()
}
