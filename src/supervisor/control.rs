//! The supervisor's side of the control socket: taken before anything else, served until the end.

use super::inbox::{Inbox, Notice};
use super::perform::Tools;
use super::{RunOptions, SetUpError};
use crate::config::Pipeline;
use crate::control::claim::{Claim, ClaimError, Wish};
use crate::control::place;
use crate::control::protocol::{Answer, Request, Status};
use crate::control::server::{self, Listeners};
use crate::dead_letter::Store;
use crate::log_file::Tails;
use crate::logging::{self, Copied};
use crate::progress::{self, Form, Show, Terminals, Voices};
use crate::stage::Registry;
use log::{Level, log};
use std::net::TcpListener;
use std::path::PathBuf;
use std::sync::Arc;
use tokio::sync::oneshot;

/// The pipeline file by which a run is known: absolute, its folder without links. The last link stays: what it points
/// to may change.
pub fn file(options: &RunOptions) -> PathBuf {
    let absolute = std::path::absolute(&options.file).unwrap_or_else(|_| options.file.clone());
    let folder = absolute.parent().and_then(|folder| folder.canonicalize().ok());
    match (folder, absolute.file_name()) {
        (Some(folder), Some(name)) => folder.join(name),
        _ => absolute,
    }
}

/// The socket for a run; none if it does without.
///
/// # Errors
/// When the same pipeline runs already, or the socket that its file names can't be made. A missing runtime folder
/// only takes the socket away.
pub fn claim(options: &RunOptions, pipeline: &Pipeline) -> Result<Option<Claim>, SetUpError> {
    if !pipeline.control.enabled {
        return Ok(None);
    }
    let (file, socket) = (file(options), pipeline.control.socket.as_deref());
    let wish = Wish { name: &pipeline.name, pid: std::process::id(), file: &file, socket };
    match Claim::take(&wish, &place::folders_here()) {
        Ok(claim) => Ok(Some(claim)),
        Err(error @ ClaimError::Failed(..)) if socket.is_none() => {
            log!(target: "mprun", Level::Warn, "no control socket: {error}");
            Ok(None)
        }
        Err(error) => Err(SetUpError::Control(error)),
    }
}

/// The listener for Prometheus, if the file wants one. That it can't be had is no reason not to run.
pub fn metrics(pipeline: &Pipeline) -> Option<TcpListener> {
    let address = pipeline.metrics?;
    let bound = TcpListener::bind(address).and_then(|listener| {
        listener.set_nonblocking(true)?;
        Ok(listener)
    });
    match bound {
        Ok(listener) => {
            let address = listener.local_addr().unwrap_or(address);
            log!(target: "mprun", Level::Info, "metrics on http://{address}/metrics");
            Some(listener)
        }
        Err(error) => {
            log!(target: "mprun", Level::Warn, "no metrics: failed to listen on {address}: {error}");
            None
        }
    }
}

/// Answers from now on.
pub fn serve(listeners: Listeners, inbox: &Inbox, dead_letters: &Store) {
    if listeners.control.is_none() && listeners.metrics.is_none() {
        return;
    }
    let sender = inbox.sender();
    let ask: server::Ask = Arc::new(move |request, reply| {
        // If nobody waits for notices any more, the reply is dropped, and that is the answer.
        sender.send(Notice::Asked(Box::new(request), reply));
    });
    if let Err(error) = server::start(listeners, ask, dead_letters) {
        log!(target: "mprun", Level::Warn, "nothing is served: {error}");
    }
}

/// Shows how far the run is, until that is dropped. Without it the run goes on.
pub fn show_progress(
    options: &RunOptions,
    pipeline: &Pipeline,
    registry: &Registry,
    tools: &mut Tools<'_>,
) -> Option<Show> {
    let form = progress::form(options.progress, pipeline, registry, Terminals::here())?;
    let sender = tools.inbox.sender();
    let ask = move || {
        let (reply, answer) = oneshot::channel();
        if !sender.send(Notice::Asked(Box::new(Request::Status(Status::default())), reply)) {
            return None;
        }
        match answer.blocking_recv() {
            Ok(Ok(Answer::Status(snapshot))) => Some(*snapshot),
            Ok(_) | Err(_) => None,
        }
    };
    let begun = match form {
        Form::Bars => Voices::open().map(|voices| tools.launcher.voices = Some(voices)),
        Form::Lines(_) => Ok(()),
    };
    let shown = begun.and_then(|()| Show::start(form, Box::new(ask)));
    shown.map_err(|error| log!(target: "mprun", Level::Warn, "no progress is shown: {error}")).ok()
}

/// The last lines of the run, beside its socket. Without them the run goes on. `goes_on`: those of a program before
/// this one stay.
pub fn keep_tails(claim: &Claim, goes_on: bool) -> Option<Tails> {
    let tails = Tails::beside(&claim.path);
    match if goes_on && tails.folder().is_dir() { Ok(()) } else { tails.begin() } {
        Ok(()) => {
            logging::copy_to(tails.own(), Copied::All);
            Some(tails)
        }
        Err(error) => {
            let folder = tails.folder().display();
            log!(target: "mprun", Level::Warn, "no lines are kept for `mprun logs`: {folder}: {error}");
            None
        }
    }
}
