//! Command stages: the worker is the shepherd of a program, which it starts, feeds, listens to and outlives.
//!
//! ```text
//! queues ─take─> worker ─stdin─> program ─stdout─> worker ─commit─> queues
//!                                   └──stderr──> log, and the last lines to the cause of a failure
//! ```
//!
//! - [`each`]: a program per item (or batch); its outputs count only if it ends well.
//! - [`reply`]: one program that answers each item; with framing "mprun" ([`told`]) it says how it went.
//! - [`stream`]: one program; what it reads and what it writes are unrelated.
//!
//! One thread, and one wait for everything ([`session`]). Outputs are kept back until they count ([`outputs`]), and
//! come out exactly once ([`outbox`]). The program leads a session of its own: it and all that it starts is ended with
//! the worker, by the worker itself, by the kernel (`PR_SET_PDEATHSIG`), or by the supervisor, who finds the group's
//! number in the worker's slot.

mod defeat;
mod each;
mod errors;
mod feed;
mod lingering;
mod outbox;
mod outputs;
mod recipe;
mod reply;
mod rest;
mod session;
mod stream;
mod told;
mod waker;

use super::desk::Desk;
use super::setup;
use super::stop::Stop;
use crate::config::pipeline::{Command, Mode, Reply};
use crate::control::python;
use crate::framing;
use crate::queue::{Ending, Port, Waiting};
use crate::stage::{Context, Failure, Reach};
use crate::sys::{program, readiness};
use each::EachLoop;
use recipe::{NotStarted, Recipe};
use reply::ReplyLoop;
use std::io;
use std::path::PathBuf;
use stream::StreamLoop;

/// The life of a worker with a program.
pub(super) fn run(desk: &mut Desk, command: Command, context: &Context) -> Stop {
    let recipe = match prepare(desk, &command, context) {
        Ok(recipe) => recipe,
        Err(failure) => return no_recipe(desk, failure),
    };
    let stop = live(desk, recipe, command);
    if stop.0 == Ending::Ordered
        && !readiness::is_terminated()
        && let Err(stop) = outbox::leave_empty(desk)
    {
        return stop;
    }
    stop
}

/// What the command names is not there, and won't be at the next start.
fn no_recipe(desk: &mut Desk, failure: Failure) -> Stop {
    match failure.reach() {
        Reach::Worker | Reach::Never => NotStarted::Never(failure).stop(desk),
        Reach::Item | Reach::NotYet | Reach::OutputClosed | Reach::Ordered => failure.into(),
    }
}

fn prepare(desk: &mut Desk, command: &Command, context: &Context) -> Result<Recipe, Failure> {
    if !matches!(command.mode, Mode::Each { .. }) {
        // Else only while there is a program to pass it on to.
        readiness::hold_termination()?;
        waker::probe()?;
    }
    program::adopt_orphans()?;
    // One of ours would end the worker, and take its word with it.
    desk.time_limit.leave_to_others();
    if let Some(outbox) = outbox::of(desk) {
        // What goes there is not out yet: it counts when it is.
        desk.port.set_memory(outbox);
    }
    let module = if command.mode == Mode::Reply(Reply::Told) { module(desk, command) } else { None };
    Recipe::new(command, context, !desk.inputs.is_empty(), module.as_deref())
}

/// Where a program in Python finds the module that speaks framing "mprun", if it brings none of its own.
fn module(desk: &Desk, command: &Command) -> Option<PathBuf> {
    let for_another_user = command.user.is_some() || command.group.is_some();
    let put = match &desk.ticket.tails {
        Some(tails) => python::put(tails, desk.ticket.supervisor_pid, for_another_user),
        None => Err(io::Error::other("the run has no runtime folder")),
    };
    let failed = |error: &io::Error| {
        log::warn!("mprun's own Python module is not at hand, an installed one may be: {error}");
    };
    put.inspect_err(failed).ok()
}

fn live(desk: &mut Desk, recipe: Recipe, command: Command) -> Stop {
    setup::say_ready(desk);
    match command.mode {
        Mode::Each { collect, batch } => EachLoop::new(desk, recipe, command, collect, batch).run(),
        Mode::Reply(reply) => match ReplyLoop::new(desk, recipe, command, reply) {
            Ok(reply) => reply.run(),
            Err(failure) => failure.into(),
        },
        Mode::Stream => match StreamLoop::new(desk, recipe, &command) {
            Ok(stream) => stream.run(),
            Err(failure) => failure.into(),
        },
    }
}

/// Does it, and counts the time as waited if it is.
fn waiting<T>(port: &Port, why: Option<Waiting>, wait: impl FnOnce() -> T) -> T {
    let Some(why) = why else { return wait() };
    port.begin_wait(why);
    let result = wait();
    port.end_wait(why);
    result
}

/// `log_items`: what was taken.
fn log_taken(desk: &Desk, before: u64, after: u64) -> Result<(), Stop> {
    log_taken_from(desk, 0, before, after)
}

fn log_taken_from(desk: &Desk, first: usize, before: u64, after: u64) -> Result<(), Stop> {
    for i in (first..desk.port.len()).filter(|_| desk.item_log.is_on) {
        let lease = desk.port.item(i)?;
        desk.item_log.took(desk.name_of(lease.queue), lease.bytes, before, after);
    }
    Ok(())
}
