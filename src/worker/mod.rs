//! Life inside a worker process: one loop for every stage that takes items, one for every source.
//!
//! ```text
//! take (lease items) ─> for each: begin, process, rest ─> write outside (stdout, files) ─> commit (outputs + leases)
//! ```
//!
//! - Effects outside come before the commit, so they happen at least once; effects in the queues come with it, so they
//!   happen exactly once ([`crate::queue`]).
//! - Only between `begin` and `rest` is a crash the item's fault.
//! - How many items are taken at once follows the work ([`builtin::batch`]): a slow stage takes one at a time.
//! - A source with a position, and a stage with a state, keep it in the stage's token ([`builtin::token`]).
#![forbid(unsafe_code)]

mod builtin;
mod console;
mod context;
mod dead_letters;
mod item_log;
mod outlet;
mod print_turn;
mod printing;
mod program;
mod rate;
mod recycle;
mod retry;
mod setup;
mod spec;
mod stop;

#[cfg(test)]
mod tests;

pub(crate) use builtin::token::{BEGUN, reopen as reopen_token, says_end, state_of};
pub(crate) use program::{DryRun, Identity, StderrRelay};
pub(crate) use program::{job_log, service};
pub(crate) use spec::{ARENA_FD, HOLDING_PIPE_FDS, SPEC_FD, UNDO_LOG_FD, WorkerSpec};

use crate::config::Task;
use crate::exit;
use crate::logs::Logging;
use crate::queue::Ending;
use crate::stage::{Opened, Persistence, Reach, Registry};
use crate::sys::readiness;
use builtin::delivery_loop::DeliveryLoop;
use builtin::source_loop::SourceLoop;
use builtin::stage_loop::StageLoop;
use context::WorkerContext;

use std::process::ExitCode;
use stop::Stop;

/// A worker's whole life, from its spec to its exit code.
pub(crate) fn run(registry: &Registry) -> ExitCode {
    let (mut worker, context) = match setup::set_up() {
        Ok(ready) => ready,
        Err(why) => {
            Logging::from_environment(0).start(None); // unless it was started already
            log::error!("can't start: {why}");
            return exit::code(exit::FAILED);
        }
    };
    if let Err(stop) = worker.begin_printing() {
        return leave(&mut worker, stop);
    }
    let stop = match worker.spec.work.task.clone() {
        Task::Command(command) => program::serve(&mut worker, *command, &context),
        Task::Use { name, with } => match registry.open(&name, &with, &context) {
            Ok(opened) => {
                if registry.prints_as_it_is(&name, &with) {
                    worker.console.leave_out_line_ends();
                }
                live(&mut worker, opened, registry.memory(&name, &with))
            }
            Err(failure) => {
                if failure.reach() == Reach::Never {
                    worker.exit_code = Some(exit::CANNOT_START);
                }
                Stop::from(failure)
            }
        },
    };
    leave(&mut worker, stop)
}

fn live(worker: &mut WorkerContext, opened: Opened, memory: Persistence) -> Stop {
    worker.report_ready();
    match opened {
        Opened::Source(source) => SourceLoop::new(worker, source, memory).run(),
        Opened::Delivery(sink) => DeliveryLoop::new(worker, sink).run(),
        Opened::Stage(stage) => StageLoop::new(worker, stage, memory).run(),
    }
}

/// Gives back the items that are not done, and leaves the ending in the slot.
fn leave(worker: &mut WorkerContext, stop: Stop) -> ExitCode {
    let ending = match worker.queues.give_back_all() {
        Ok(()) => stop.0,
        Err(fault) => Ending::Failed(fault.to_string()),
    };
    worker.queues.ended(&ending);
    match ending {
        // The supervisor tells of it, once for all workers of the stage.
        Ending::Failed(why) if worker.exit_code == Some(exit::CANNOT_START) => {
            log::debug!("{why}");
            exit::code(exit::CANNOT_START)
        }
        Ending::Failed(why) | Ending::Lost(why) => {
            log::error!("{why}");
            exit::code(worker.exit_code.unwrap_or(exit::FAILED))
        }
        Ending::Ordered if readiness::is_terminated() => exit::code(exit::TERMINATED),
        Ending::TimedOut => exit::code(exit::FAILED),
        Ending::Finished
        | Ending::InputEnded
        | Ending::OutputClosed
        | Ending::Ordered
        | Ending::Recycled
        | Ending::Halted => {
            log::debug!("ends: {ending:?}");
            exit::code(exit::DONE)
        }
    }
}
