//! Life inside a worker process: one loop for every stage that takes items, one for every source.
//!
//! ```text
//! take (lease items) ─> for each: begin, process, rest ─> write outside (stdout, files) ─> commit (outputs + leases)
//! ```
//!
//! - Effects outside come before the commit, so they happen at least once; effects in the queues come with it, so they
//!   happen exactly once ([`crate::queue`]).
//! - Only between `begin` and `rest` is a crash the item's fault.
//! - How many items are taken at once follows the work ([`batch`]): a slow stage takes one at a time.
//! - A source with a position, and a stage with a state, keep it in the stage's token ([`token`]).
#![forbid(unsafe_code)]

mod batch;
mod command;
mod console;
mod desk;
mod failed;
mod guard;
mod item_log;
mod outlet;
mod patience;
mod recycle;
mod setup;
mod source_loop;
mod stage_loop;
mod stop;
mod ticket;
mod time_limit;
mod token;
mod too_long;

#[cfg(test)]
mod tests;

pub use ticket::{ARENA_FD, HOLDING_PIPE_FDS, TICKET_FD, Ticket, UNDO_LOG_FD};
pub use token::{reopen as reopen_token, says_end};

use crate::config::Task;
use crate::exit;
use crate::logging::Logging;
use crate::queue::Ending;
use crate::stage::{Memory, Opened, Reach, Registry};
use crate::sys::readiness;
use desk::Desk;
use source_loop::SourceLoop;
use stage_loop::StageLoop;
use std::process::ExitCode;
use stop::Stop;

/// A worker's whole life, from its ticket to its exit code.
pub fn run(registry: &Registry) -> ExitCode {
    let (mut desk, context) = match setup::set_up() {
        Ok(ready) => ready,
        Err(why) => {
            Logging::from_environment(0).start(None); // unless it was started already
            log::error!("can't start: {why}");
            return exit::code(exit::FAILED);
        }
    };
    let stop = match desk.ticket.work.task.clone() {
        Task::Command(command) => command::run(&mut desk, *command, &context),
        Task::Use { name, with } => match registry.open(&name, &with, &context) {
            Ok(opened) => live(&mut desk, opened, registry.memory(&name, &with)),
            Err(failure) => {
                if failure.reach() == Reach::Never {
                    desk.exit_code = Some(exit::CANNOT_START);
                }
                Stop::from(failure)
            }
        },
    };
    leave(&mut desk, stop)
}

fn live(desk: &mut Desk, opened: Opened, memory: Memory) -> Stop {
    setup::say_ready(desk);
    match opened {
        Opened::Source(source) => SourceLoop::new(desk, source, memory).run(),
        Opened::Stage(stage) => StageLoop::new(desk, stage, memory).run(),
    }
}

/// Everything goes back that is not done, and word is left of how it ended.
fn leave(desk: &mut Desk, stop: Stop) -> ExitCode {
    let ending = match desk.port.give_back_all() {
        Ok(()) => stop.0,
        Err(fault) => Ending::Failed(fault.to_string()),
    };
    desk.port.ended(&ending);
    match ending {
        // The supervisor tells of it, once for all workers of the stage.
        Ending::Failed(why) if desk.exit_code == Some(exit::CANNOT_START) => {
            log::debug!("{why}");
            exit::code(exit::CANNOT_START)
        }
        Ending::Failed(why) | Ending::Lost(why) => {
            log::error!("{why}");
            exit::code(desk.exit_code.unwrap_or(exit::FAILED))
        }
        Ending::Ordered if readiness::is_terminated() => exit::code(exit::TERMINATED),
        Ending::TimedOut => exit::code(exit::FAILED),
        Ending::Finished | Ending::InputEnded | Ending::OutputClosed | Ending::Ordered | Ending::Recycled => {
            log::debug!("ends: {ending:?}");
            exit::code(exit::DONE)
        }
    }
}
