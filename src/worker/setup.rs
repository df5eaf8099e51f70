//! From a fresh process to one that can begin to work.

use super::desk::Desk;
use super::ticket::{ARENA_FD, HOLDING_PIPE_FDS, TICKET_FD, Ticket, UNDO_LOG_FD};
use crate::append::UndoLog;
use crate::log_file::{LogFile, Tails};
use crate::logging;
use crate::queue::{Arena, Port, SlotId};
use crate::stage::{Context, Orders, Pipe};
use crate::sys::{inherited, memory, readiness};
use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, getppid};
use std::cell::RefCell;
use std::ffi::CString;
use std::fs::File;
use std::io::{Read, Seek};

/// Takes what the supervisor has passed, and finds its place. An error is a text for the log.
pub(super) fn set_up() -> Result<(Desk, Context), String> {
    logging::sink::use_stderr_as_pipe();
    let ticket = read_ticket()?;
    name_process(&ticket);
    memory::go_before_parent();
    logging::set_pipeline(&ticket.pipeline);
    ticket.log.start(Some((&ticket.stage, ticket.worker)));
    copy_log(&ticket);
    super::guard::install_panic_log();
    // Between the fork and the request to die with the parent (PDEATHSIG) the parent may have gone already.
    if getppid() != supervisor(&ticket) {
        return Err("the supervisor is gone".to_owned());
    }
    readiness::prepare().map_err(|error| format!("signals can't be set up: {error}"))?;
    let memory = inherited::take(ARENA_FD).map_err(|error| format!("no queue memory was passed: {error}"))?;
    let arena = Arena::attach(memory).map_err(|fault| fault.to_string())?;
    let port = Port::open(arena.clone(), SlotId(ticket.slot)).map_err(|fault| fault.to_string())?;
    let log = inherited::take(UNDO_LOG_FD).map_err(|error| format!("no undo log was passed: {error}"))?;
    let log = UndoLog::from(log);
    let context = Context {
        pipeline: ticket.pipeline.clone(),
        stage: ticket.stage.clone(),
        worker: ticket.worker,
        folder: ticket.folder.clone(),
        holding_pipe: RefCell::new(holding_pipe(&ticket)?),
        undo_log: Some(log.clone()),
        soft_open_files: ticket.soft_open_files,
        run: ticket.run.clone(),
        continues: ticket.continues,
        orders: Some(Orders::new(arena.clone(), SlotId(ticket.slot))),
    };
    Ok((Desk::new(ticket, arena, log, port), context))
}

/// What `top` shows; else it would be `exe`, the last part of the path that was executed.
fn name_process(ticket: &Ticket) {
    if let Ok(name) = CString::new(format!("mprun:{}", ticket.stage)) {
        let _ = nix::sys::prctl::set_name(&name); // cut to 15 bytes; without it, it works as well
    }
}

/// To the file that the pipeline's asks for (a relative path starts at its folder), and to the stage's tail.
fn copy_log(ticket: &Ticket) {
    if let Some(file) = &ticket.log_file {
        let path = ticket.folder.join(&file.path);
        logging::copy_to_log_file(&LogFile { path, ..file.clone() });
    }
    if let Some(folder) = &ticket.tails {
        logging::keep_in_tail(Tails::new(folder).of_stage(&ticket.stage));
    }
}

fn read_ticket() -> Result<Ticket, String> {
    let fd = inherited::take(TICKET_FD).map_err(|_| "this command is for mprun's own use".to_owned())?;
    let mut text = String::new();
    let mut file = File::from(fd);
    // Who wrote it left the offset, which is shared, at its end.
    file.rewind()
        .and_then(|()| file.read_to_string(&mut text))
        .map_err(|error| format!("no ticket: {error}"))?;
    serde_json::from_str(&text).map_err(|error| format!("the ticket makes no sense: {error}"))
}

fn holding_pipe(ticket: &Ticket) -> Result<Option<Pipe>, String> {
    if !ticket.holding_pipe {
        return Ok(None);
    }
    let take = |fd| inherited::take(fd).map_err(|error| format!("no holding pipe was passed: {error}"));
    let [reader, writer] = HOLDING_PIPE_FDS;
    Ok(Some(Pipe { reader: take(reader)?, writer: take(writer)? }))
}

fn supervisor(ticket: &Ticket) -> Pid {
    Pid::from_raw(ticket.supervisor_pid.cast_signed())
}

/// Leaves word that the stage is built, and rings for the supervisor to see it.
pub(super) fn say_ready(desk: &Desk) {
    desk.port.ready();
    ring(&desk.ticket);
}

/// There is something in the slot for the supervisor to see.
pub(super) fn ring(ticket: &Ticket) {
    // If it is gone this worker dies with it anyway.
    let _ = kill(supervisor(ticket), Signal::SIGUSR1);
}
