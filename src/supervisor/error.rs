//! Why there is no run at all.

use crate::config::Report;
use crate::control::claim::ClaimError;
use crate::queue::Fault;
use crate::sys::needs;
use crate::sys::process::SpawnError;
use nix::errno::Errno;
use std::io;

/// The world could not be made ready for a run.
#[derive(Debug)]
pub(crate) enum SetUpError {
    Queue(Fault),
    /// What is there of an earlier run must not be touched; why, and what to do.
    Refused(String),
    Control(ClaimError),
    Missing(needs::Missing),
    System(&'static str, io::Error),
    /// A helper process could not be started.
    Start(SpawnError),
}

impl std::fmt::Display for SetUpError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            SetUpError::Queue(fault) => {
                fault.fmt(f)?;
                f.write_str(&hint(fault.errno()))
            }
            SetUpError::Refused(why) => f.write_str(why),
            SetUpError::Control(error) => error.fmt(f),
            SetUpError::Missing(missing) => missing.fmt(f),
            SetUpError::System(what, error) => {
                write!(f, "failed to {what}: {error}{}", hint(error.raw_os_error()))
            }
            SetUpError::Start(error) => error.fmt(f),
        }
    }
}

/// Of a system call that is not there, or not allowed.
fn hint(errno: Option<i32>) -> String {
    match errno.map(Errno::from_raw) {
        Some(Errno::EPERM | Errno::ENOSYS) => format!("; {}", needs::DENIED),
        _ => String::new(),
    }
}

impl From<ClaimError> for SetUpError {
    fn from(error: ClaimError) -> SetUpError {
        SetUpError::Control(error)
    }
}

impl From<Fault> for SetUpError {
    fn from(fault: Fault) -> SetUpError {
        SetUpError::Queue(fault)
    }
}

/// A report on a pipeline file, as standard error shows it.
pub(super) fn shown(report: &Report) -> String {
    report.render(crate::terminal::stderr().colour)
}
