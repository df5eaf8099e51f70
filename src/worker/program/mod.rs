//! Command stages: the worker starts a program, feeds it, reads its output, and outlives it.
//!
//! ```text
//! queues ─take─> worker ─stdin─> program ─stdout─> worker ─commit─> queues
//!                                   └──stderr──> log, and the last lines to the cause of a failure
//! ```
//!
//! - [`modes::each`]: a program per item (or batch); its outputs count only if it ends well.
//! - [`modes::reply`]: one program that answers each item; with framing "mprun" ([`io::helper_protocol`]) it says how it went.
//! - [`modes::stream`]: one program; what it reads and what it writes are unrelated.
//!
//! One thread, and one wait for everything ([`io::session`]). Outputs are kept back until they count ([`io::outputs`]), and
//! come out exactly once ([`spill`]). The program leads a session of its own: it and all that it starts is ended with
//! the worker, by the worker itself, by the kernel (`PR_SET_PDEATHSIG`), or by the supervisor, which finds the group's
//! number in the worker's slot.

mod advice;
mod arguments;
mod conversation;
mod dry_run;
mod error;
mod identity;
mod io;
pub(crate) mod job_log;
mod modes;
mod pause;
mod run;
pub(crate) mod service;
mod spec;
mod spill;
mod surroundings;

pub(crate) use dry_run::DryRun;
pub(crate) use identity::Identity;
pub(crate) use io::stderr::StderrRelay;

use super::context::WorkerContext;
use super::stop::Stop;
use crate::config::pipeline::{Command, Mode, Reply};
use crate::control::python;
use crate::queue::Ending;
use crate::stage::{Context, Failure, Reach};
use crate::sys::{process, readiness};
use job_log::JobRows;
use spec::{CommandSpec, NotStarted};
use std::path::PathBuf;

/// The life of a worker with a program.
pub(super) fn serve(worker: &mut WorkerContext, command: Command, context: &Context) -> Stop {
    let spec = match prepare(worker, &command, context) {
        Ok(spec) => spec,
        Err(failure) => return no_spec(worker, failure),
    };
    let stop = live(worker, spec, command, context);
    if stop.0 == Ending::Ordered
        && !readiness::is_terminated()
        && let Err(stop) = spill::drain_at_exit(worker)
    {
        return stop;
    }
    stop
}

/// What the command names is not there, and won't be at the next start.
fn no_spec(worker: &mut WorkerContext, failure: Failure) -> Stop {
    match failure.reach() {
        Reach::Worker | Reach::Never => NotStarted::Never(failure).stop(worker),
        Reach::Item
        | Reach::Later
        | Reach::Rejected
        | Reach::NotYet
        | Reach::OutputClosed
        | Reach::Ordered => failure.into(),
    }
}

fn prepare(worker: &mut WorkerContext, command: &Command, context: &Context) -> Result<CommandSpec, Failure> {
    if !matches!(command.mode, Mode::Each { .. }) {
        // Else only while there is a program to pass it on to.
        readiness::hold_termination()?;
        io::waker::probe()?;
    }
    process::adopt_orphans()?;
    if let Some(spill_queue) = spill::of(worker) {
        // What goes there is not out yet: it counts when it is.
        worker.queues.add_hidden_queue(spill_queue);
    }
    let module = if command.mode == Mode::Reply(Reply::Protocol) { module(worker, command) } else { None };
    CommandSpec::new(command, context, !worker.spec.inputs.is_empty(), module.as_deref())
}

/// Where a program in Python finds the module that speaks framing "mprun", if it brings none of its own.
fn module(worker: &WorkerContext, command: &Command) -> Option<PathBuf> {
    let for_another_user = command.user.is_some() || command.group.is_some();
    let put = match &worker.spec.recent_logs {
        Some(recent_logs) => python::put(recent_logs, worker.spec.supervisor_pid, for_another_user),
        None => Err(std::io::Error::other("the run has no runtime folder")),
    };
    let failed = |error: &std::io::Error| {
        log::warn!("mprun's own Python module is not at hand, an installed one may be: {error}");
    };
    put.inspect_err(failed).ok()
}

fn live(worker: &mut WorkerContext, spec: CommandSpec, command: Command, context: &Context) -> Stop {
    worker.report_ready();
    match command.mode {
        Mode::Each { collect, batch } => {
            let rows = command.joblog.as_ref().map(|log| JobRows::open(log, context)).transpose();
            match rows {
                Ok(rows) => modes::each::serve(worker, (spec, rows), command, collect, batch),
                Err(failure) => failure.into(),
            }
        }
        Mode::Reply(reply) => {
            modes::reply::serve(worker, &spec, &command, reply).map_or_else(|stop| stop, Stop)
        }
        Mode::Stream => modes::stream::serve(worker, &spec, &command).unwrap_or_else(|stop| stop),
    }
}
