//! What the supervisor holds of the helper that makes checks.

use super::link::Link;
use super::message::{Report, Request, Task};
use super::process::SOCKET_FD;
use crate::queue::SlotId;
use crate::supervisor::machine::condition::Finding;
use crate::supervisor::machine::ids::Pid;
use crate::supervisor::runtime::inbox::Sender;
use crate::sys::fd;
use crate::sys::group;
use crate::sys::mark::RunMark;
use crate::sys::process::{ProcessArgs, ProcessGroupMode, ProcessSpec, SpawnError, spawn};
use nix::sys::signal::Signal;
use std::collections::BTreeMap;
use std::ffi::CString;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;

/// What is wanted, and the helper that does it.
pub(crate) struct Checker {
    wanted: BTreeMap<SlotId, Wanted>,
    numbers: u64,
    helper: Option<Helper>,
    to: Sender,
}

/// What is to be found out about a process.
struct Wanted {
    pid: Pid,
    number: u64,
    /// As it is sent.
    line: Vec<u8>,
}

struct Helper {
    pid: u32,
    link: Link,
}

impl Checker {
    pub(crate) fn new(to: Sender) -> Checker {
        Checker { wanted: BTreeMap::new(), numbers: 0, helper: None, to }
    }

    /// Starts the helper, and has it told all that is wanted.
    pub(crate) fn start(
        &mut self,
        environment: &[CString],
        mark: RunMark,
        stderr: BorrowedFd<'_>,
    ) -> Result<u32, SpawnError> {
        let preparing = |error: io::Error| SpawnError::preparing(&error);
        let (ours, theirs) = UnixStream::pair().map_err(preparing)?;
        let null = fd::null().map_err(preparing)?;
        let link = Link::new(ours, self.to.clone()).map_err(preparing)?;
        let args = ProcessArgs {
            arguments: &[c"mprun".to_owned(), CString::new(super::VERB).unwrap_or_default()],
            environment,
            descriptors: &[(null.as_fd(), 0), (null.as_fd(), 1), (stderr, 2), (theirs.as_fd(), SOCKET_FD)],
            pid_word: None,
        };
        let spec =
            ProcessSpec { mark: Some(mark), ..ProcessSpec::this_program(ProcessGroupMode::OwnSession) };
        let pid = spawn(spec, &args)?;
        self.wanted.iter().for_each(|(slot, wanted)| link.send(slot.0, wanted.line.clone()));
        self.helper = Some(Helper { pid, link });
        Ok(pid)
    }

    /// It has nothing more to do.
    pub(crate) fn end(&mut self) {
        self.helper = None;
    }

    /// Whether the process that has ended was the helper of now.
    pub(crate) fn ended(&mut self, pid: u32) -> bool {
        self.helper.take_if(|helper| helper.pid == pid).is_some()
    }

    /// SIGSTOP or SIGCONT, with the services: one that stands still is not unhealthy.
    pub(crate) fn signal(&self, signal: Signal) {
        if let Some(helper) = &self.helper {
            let _ = group::signal_process(helper.pid, signal); // it may be dead
        }
    }

    /// Has something found out about a process, in place of what was before.
    pub(crate) fn check(&mut self, slot: SlotId, pid: Pid, task: Task) {
        self.numbers += 1;
        let number = self.numbers;
        let line = encode(&Request { slot: slot.0, number, task: Some(task) });
        if let Some(helper) = &self.helper {
            helper.link.send(slot.0, line.clone());
        }
        self.wanted.insert(slot, Wanted { pid, number, line });
    }

    /// Nothing more is to be found out about this process.
    pub(crate) fn uncheck(&mut self, slot: SlotId, pid: Pid) {
        if self.wanted.get(&slot).is_none_or(|wanted| wanted.pid != pid) {
            return;
        }
        if let (Some(wanted), Some(helper)) = (self.wanted.remove(&slot), &self.helper) {
            let request = Request { slot: slot.0, number: wanted.number, task: None };
            helper.link.send(slot.0, encode(&request));
        }
    }

    /// About which process a report is; `None`: about none that is still of interest.
    pub(crate) fn found(&self, report: Report) -> Option<(SlotId, Pid, Finding)> {
        let slot = SlotId(report.slot);
        let wanted = self.wanted.get(&slot).filter(|wanted| wanted.number == report.number)?;
        Some((slot, wanted.pid, report.finding))
    }
}

fn encode(request: &Request) -> Vec<u8> {
    // All of it has a form in JSON: keys are strings, and numbers are whole.
    let mut line = serde_json::to_vec(request).unwrap_or_default();
    line.push(b'\n');
    line
}
