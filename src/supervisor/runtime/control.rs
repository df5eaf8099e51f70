//! The supervisor's side of the control socket: taken before anything else, served until the end.

use super::inbox::{Inbox, Notice};
use super::letters;
use super::log_writer::LogWriter;
use super::services::printer::Printing;
use crate::append::UndoLog;
use crate::config::{Control, Pipeline};
use crate::control::claim::{Claim, ClaimError, ClaimRequest, RunLock};
use crate::control::protocol::{Answer, Request, Status};
use crate::control::python;
use crate::control::runtime_folder;
use crate::control::server::{self, Listeners, Place, Server, Settings};
use crate::dead_letter::Store;
use crate::logs::{self, RecentLogs};
use crate::progress::{self, Form, Show, Terminals};
use crate::stage::Registry;
use crate::supervisor::error::SetUpError;
use crate::supervisor::options::RunOptions;
use crate::supervisor::recovery::upgrade_state::{self, UpgradeState};
use log::{Level, log};
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio::sync::oneshot;

/// The pipeline file by which a run is known: absolute, its folder without links. The last link stays: what it points
/// to may change.
pub(crate) fn file(options: &RunOptions) -> PathBuf {
    let absolute = std::path::absolute(&options.file).unwrap_or_else(|_| options.file.clone());
    let folder = absolute.parent().and_then(|folder| folder.canonicalize().ok());
    match (folder, absolute.file_name()) {
        (Some(folder), Some(name)) => folder.join(name),
        _ => absolute,
    }
}

/// The right to run, and the socket; none if the run does without. A line of `mprun do` that keeps nothing has no file that
/// could run twice.
///
/// # Errors
/// When the same pipeline runs already, or the socket that its file names can't be made. A missing runtime folder
/// only takes the socket away.
pub(crate) fn claim(
    options: &RunOptions,
    pipeline: &Pipeline,
    inherited: &Listeners,
    inherited_locks: &[OwnedFd],
) -> Result<(Option<Claim>, Option<RunLock>), SetUpError> {
    let (file, socket) = (file(options), pipeline.control.socket.as_deref());
    let inherited = inherited.control.as_ref();
    let (name, pid) = (pipeline.name.as_str(), std::process::id());
    let request = ClaimRequest { name, pid, file: &file, socket, inherited, inherited_locks };
    let claim = if pipeline.control.enabled { socket_of(&request)? } else { None };
    let has_state = options.text.is_none() || pipeline.dead_letters.keep;
    let socket = claim.as_ref().map_or(Path::new(""), |claim| claim.path.as_path());
    let lock = match has_state {
        true => RunLock::take(&request.holder(socket), inherited_locks, &letters::variable),
        false => Ok(None),
    };
    Ok((claim, lock.map_err(ClaimError::Running)?))
}

fn socket_of(request: &ClaimRequest<'_>) -> Result<Option<Claim>, SetUpError> {
    match Claim::take(request, &runtime_folder::folders_here()) {
        Ok(claim) => Ok(Some(claim)),
        Err(error @ ClaimError::Failed(..)) if request.socket.is_none() => {
            log!(target: "mprun", Level::Warn, "no control socket: {error}; `mprun status` and the other verbs do not reach this run");
            Ok(None)
        }
        Err(error) => Err(error.into()),
    }
}

/// The listener for Prometheus, if the file wants one. That it can't be had is no reason not to run.
pub(crate) fn metrics(pipeline: &Pipeline, inherited: Option<TcpListener>) -> Option<TcpListener> {
    let (listener, address) = listen(pipeline.metrics?, inherited, "no metrics until this works")?;
    log!(target: "mprun", Level::Info, "metrics on http://{address}/metrics");
    Some(listener)
}

/// The same for the control API over TCP.
pub(crate) fn web(control: &Control, inherited: Option<TcpListener>) -> Option<TcpListener> {
    let (listener, address) = listen(control.listen?, inherited, "no control over TCP until this works")?;
    log!(target: "mprun", Level::Info, "control over TCP on http://{address}/, for clients with a token");
    Some(listener)
}

fn listen(
    address: SocketAddr,
    inherited: Option<TcpListener>,
    without: &str,
) -> Option<(TcpListener, SocketAddr)> {
    let is_at = |listener: &TcpListener| {
        let has = listener.local_addr().ok();
        has.is_some_and(|has| has.ip() == address.ip() && [0, has.port()].contains(&address.port()))
    };
    let bound = match inherited.filter(is_at) {
        Some(listener) => Ok(listener),
        None => TcpListener::bind(address),
    };
    let bound = bound.and_then(|listener| {
        listener.set_nonblocking(true)?;
        Ok(listener)
    });
    let failed = |error: &io::Error| {
        log!(target: "mprun", Level::Warn, "{without}: failed to listen on {address}: {error}");
    };
    let listener = bound.inspect_err(failed).ok()?;
    let address = listener.local_addr().unwrap_or(address);
    Some((listener, address))
}

/// Answers from now on.
pub(crate) fn serve(
    mut listeners: Listeners,
    control: &Control,
    inbox: &Inbox,
    dead_letters: &Store,
    socket: Option<PathBuf>,
) -> Option<Server> {
    let has_metrics = listeners.metrics.is_some() || listeners.missing_metrics.is_some();
    if !control.enabled && !has_metrics {
        return None;
    }
    let sender = inbox.sender();
    let ask: server::Ask = Arc::new(move |request, reply| {
        // Once the run is over the reply is dropped, and that is the answer.
        sender.send(Notice::Asked(Box::new(request), reply));
    });
    let state_folder = dead_letters.path.parent().map(Path::to_owned).unwrap_or_default();
    let place = Place { socket, state_folder };
    let web = listeners.web.take();
    let started = server::start(listeners, place, ask, dead_letters);
    let failed = |error: &io::Error| log!(target: "mprun", Level::Warn, "no control socket, no page and no metrics are served: {error}");
    let server = started.inspect_err(failed).ok()?;
    server.set(Settings { control: control.clone(), listener: web });
    Some(server)
}

/// Begins to log through the log pipe, and prepares to show progress: above bars it is another thread that writes.
pub(crate) fn begin_log(
    options: &RunOptions,
    pipeline: &Pipeline,
    registry: &Registry,
    upgrade_state: Option<&UpgradeState>,
) -> Result<(LogWriter, Outlet, Option<ProgressDisplay>), SetUpError> {
    let system = |error| SetUpError::System("start the log writer", error);
    let form = progress::form(options.progress, pipeline, registry, Terminals::here());
    let progress = match form {
        None => None,
        Some(form) => Some(ProgressDisplay { show: Show::prepare(&form).map_err(system)?, form }),
    };
    let outlet = Outlet::new(upgrade_state)?;
    let (printing, undo_log) = (&outlet.printing, outlet.undo_log.clone());
    let mut log_writer =
        match upgrade_state.and_then(|upgrade_state| Some((upgrade_state.log_pipe?, upgrade_state))) {
            None => LogWriter::open(printing, undo_log).map_err(system)?,
            Some((ends, upgrade_state)) => {
                let [reader, end] = ends.map(upgrade_state::taken);
                let process = upgrade_state.helper();
                LogWriter::resume([reader?, end?], process, printing, undo_log).map_err(system)?
            }
        };
    // Before this process's own lines go into the pipe: why nothing reads it could not be said there.
    match progress.as_ref().and_then(|progress| progress.show.terminal()) {
        Some(terminal) => log_writer.start_thread(terminal.clone()).map_err(system)?,
        None if log_writer.process().is_some() => {}
        None => drop(log_writer.start_process().map_err(SetUpError::Start)?),
    }
    log_writer
        .use_it(upgrade_state.map_or_else(Vec::new, |upgrade_state| upgrade_state.log_backlog.clone()))
        .map_err(system)?;
    Ok((log_writer, outlet, progress))
}

/// Standard output, as all processes of a run share it.
pub(crate) struct Outlet {
    /// What keeps lines of several processes apart.
    pub undo_log: UndoLog,
    /// Through it services print.
    pub printing: Printing,
}

impl Outlet {
    fn new(before: Option<&UpgradeState>) -> Result<Outlet, SetUpError> {
        let system = |error| SetUpError::System("prepare standard output (memfd_create, socketpair)", error);
        let undo_log = match before {
            Some(state) => UndoLog::from(upgrade_state::taken(state.undo_log)?),
            None => UndoLog::create().map_err(system)?,
        };
        let printing = match before.and_then(|state| state.services.as_ref()) {
            Some(services) => {
                let [ours, theirs] = services.printing.ends.map(upgrade_state::taken);
                Printing::resume([ours?, theirs?], &services.printing)
            }
            None => Printing::new().map_err(system)?,
        };
        Ok(Outlet { undo_log, printing })
    }
}

/// How far the run is, and how that is shown.
pub(crate) struct ProgressDisplay {
    form: Form,
    /// As long as it is there it may be shown.
    pub show: Show,
}

impl ProgressDisplay {
    /// Whether it has a row of the terminal for itself.
    pub(crate) fn is_one_line(&self) -> bool {
        matches!(self.form, Form::OneLine(_))
    }
}

/// Shows progress from here on. A failure does not end the run.
pub(crate) fn show_progress(progress: &ProgressDisplay, inbox: &Inbox) {
    let sender = inbox.sender();
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
    if let Err(error) = progress.show.begin(&progress.form, Box::new(ask)) {
        log!(target: "mprun", Level::Warn, "no progress is shown: {error}");
    }
}

/// The last lines of the run, beside its socket. A failure does not end the run. `is_resumed`: those of a program before
/// this one stay.
pub(crate) fn keep_recent_logs(claim: &Claim, is_resumed: bool) -> Option<RecentLogs> {
    let recent_logs = RecentLogs::beside(&claim.path);
    if !is_resumed {
        python::forget_killed(recent_logs.folder()); // what a killed run has left
    }
    match if is_resumed && recent_logs.folder().is_dir() { Ok(()) } else { recent_logs.create() } {
        Ok(()) => {
            logs::keep_recent_of_supervisor(&recent_logs.of_supervisor());
            Some(recent_logs)
        }
        Err(error) => {
            let folder = recent_logs.folder().display();
            log!(target: "mprun", Level::Warn, "no lines are kept for `mprun logs`: {folder}: {error}");
            None
        }
    }
}
