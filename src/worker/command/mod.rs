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

use super::context::WorkerContext;
use super::setup;
use super::stop::Stop;
use crate::config::pipeline::{Command, Mode, Reply};
use crate::control::python;
use crate::framing;
use crate::queue::{Ending, Waiting, WorkerHandle};
use crate::stage::{Context, Failure, Reach};
use crate::sys::{program, readiness};
use each::EachLoop;
use recipe::{NotStarted, Recipe};
use reply::ReplyLoop;
use std::io;
use std::path::PathBuf;
use stream::StreamLoop;

/// The life of a worker with a program.
pub(super) fn run(worker: &mut WorkerContext, command: Command, context: &Context) -> Stop {
    let recipe = match prepare(worker, &command, context) {
        Ok(recipe) => recipe,
        Err(failure) => return no_recipe(worker, failure),
    };
    let stop = live(worker, recipe, command);
    if stop.0 == Ending::Ordered
        && !readiness::is_terminated()
        && let Err(stop) = outbox::leave_empty(worker)
    {
        return stop;
    }
    stop
}

/// What the command names is not there, and won't be at the next start.
fn no_recipe(worker: &mut WorkerContext, failure: Failure) -> Stop {
    match failure.reach() {
        Reach::Worker | Reach::Never => NotStarted::Never(failure).stop(worker),
        Reach::Item | Reach::NotYet | Reach::OutputClosed | Reach::Ordered => failure.into(),
    }
}

fn prepare(worker: &mut WorkerContext, command: &Command, context: &Context) -> Result<Recipe, Failure> {
    if !matches!(command.mode, Mode::Each { .. }) {
        // Else only while there is a program to pass it on to.
        readiness::hold_termination()?;
        waker::probe()?;
    }
    program::adopt_orphans()?;
    // One of ours would end the worker, and take its word with it.
    worker.time_limit.leave_to_others();
    if let Some(outbox) = outbox::of(worker) {
        // What goes there is not out yet: it counts when it is.
        worker.queues.set_hidden_queue(outbox);
    }
    let module = if command.mode == Mode::Reply(Reply::Told) { module(worker, command) } else { None };
    Recipe::new(command, context, !worker.inputs.is_empty(), module.as_deref())
}

/// Where a program in Python finds the module that speaks framing "mprun", if it brings none of its own.
fn module(worker: &WorkerContext, command: &Command) -> Option<PathBuf> {
    let for_another_user = command.user.is_some() || command.group.is_some();
    let put = match &worker.spec.tails {
        Some(tails) => python::put(tails, worker.spec.supervisor_pid, for_another_user),
        None => Err(io::Error::other("the run has no runtime folder")),
    };
    let failed = |error: &io::Error| {
        log::warn!("mprun's own Python module is not at hand, an installed one may be: {error}");
    };
    put.inspect_err(failed).ok()
}

fn live(worker: &mut WorkerContext, recipe: Recipe, command: Command) -> Stop {
    setup::say_ready(worker);
    match command.mode {
        Mode::Each { collect, batch } => EachLoop::new(worker, recipe, command, collect, batch).run(),
        Mode::Reply(reply) => match ReplyLoop::new(worker, recipe, command, reply) {
            Ok(reply) => reply.run(),
            Err(failure) => failure.into(),
        },
        Mode::Stream => match StreamLoop::new(worker, recipe, &command) {
            Ok(stream) => stream.run(),
            Err(failure) => failure.into(),
        },
    }
}

/// Does it, and counts the time as waited if it is.
fn waiting<T>(queues: &WorkerHandle, why: Option<Waiting>, wait: impl FnOnce() -> T) -> T {
    let Some(why) = why else { return wait() };
    queues.begin_wait(why);
    let result = wait();
    queues.end_wait(why);
    result
}

/// `log_items`: what was taken.
fn log_taken(worker: &WorkerContext, before: u64, after: u64) -> Result<(), Stop> {
    log_taken_from(worker, 0, before, after)
}

fn log_taken_from(worker: &WorkerContext, first: usize, before: u64, after: u64) -> Result<(), Stop> {
    for i in (first..worker.queues.len()).filter(|_| worker.item_log.is_on) {
        let lease = worker.queues.item(i)?;
        worker.item_log.took(worker.name_of(lease.queue), lease.bytes, before, after);
    }
    Ok(())
}
