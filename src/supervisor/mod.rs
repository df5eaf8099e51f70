//! The supervisor: owns the processes, their deadlines and the queues' descriptors; never reads an item but to bury it.
//!
//! One thread owns all state. It waits for one channel and the next deadline; whatever happens becomes an
//! [`event::Event`], [`state::State`] decides (pure), [`perform`] does. What is left when anybody is killed anywhere is
//! told at the head of [`perform`].
#![forbid(unsafe_code)]

pub mod action;
mod estate;
pub mod event;
#[cfg(test)]
mod fixture;
mod history;
mod ids;
mod inheritance;
mod outbox;
mod queue_state;
mod reason;
mod reload;
mod restart;
mod stage_state;
pub mod state;
mod wanted;
mod worker_state;

pub mod burial;
mod children;
mod control;
mod descriptors;
mod errand;
pub mod guardian;
mod handover;
mod inbox;
mod last_wait;
mod launch;
mod letters;
pub mod loader;
mod log_writer;
mod memory_check;
mod perform;
mod reception;
mod replacing;
pub mod report;
mod saver;
mod settings;
mod state_folder;
mod streams;
mod summary;
mod watch;

use crate::config::{self, LoadOptions, Loaded, Pipeline, Report};
use crate::control::claim::{Claim, ClaimError};
use crate::control::server::Listeners;
use crate::dead_letter::Letter;
use crate::log_file::Tails;
use crate::logging::{self, Logging};
use crate::queue::Fault;
use crate::service::{Manager, Received};
use crate::stage::Registry;
use crate::sys::process::SpawnError;
use crate::sys::{fd, memory, needs, start_signals};
use crate::{dead_letter, exit, progress};
use action::Outcome;
use children::Children;
use estate::{Estate, Site};
use event::Event;
use handover::Handover;
use inbox::Inbox;
use launch::Launcher;
use log::{Level, log};
use log_writer::LogWriter;
use nix::errno::Errno;
use nix::sys::signal::Signal;
use perform::{Performer, Tools};
use report::ReportFile;
use state::view::Identity;
use state::{Audience, State};
use std::io;
use std::io::Write;
use std::net::TcpListener;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};
use summary::Closing;
use wanted::Wanted;
use watch::Watch;

/// What to run.
#[derive(Clone, Debug)]
pub struct RunOptions {
    /// The pipeline file.
    pub file: PathBuf,
    /// What the command line adds to it.
    pub load: LoadOptions,
    /// Reload it when it changes.
    pub watch: bool,
    /// What workers log, and how.
    pub logging: Logging,
    /// When progress is shown.
    pub progress: progress::When,
    /// Where the closing summary goes, beside the log.
    pub report: Option<ReportFile>,
    /// Dead letters to try again: then the run only works off these and what is left in the queues.
    pub retries: Option<Retries>,
}

/// Which dead letters are tried again.
#[derive(Clone)]
pub struct Retries {
    /// Whether this one is.
    pub chosen: Arc<dyn Fn(&Letter) -> bool + Send + Sync>,
}

impl std::fmt::Debug for Retries {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Retries")
    }
}

/// Runs a pipeline until it is done or stopped.
///
/// Call it from the main thread, and only once per process: workers die with the thread that started them, and
/// signals and children belong to it from then on.
pub fn run(options: RunOptions, registry: &Registry) -> u8 {
    // Who is asked to stop, to reload or to upgrade before it is up does so once it is up.
    start_signals::hold();
    let received = Received::from_environment();
    let manager = reception::manager();
    let handover = match Handover::take() {
        Ok(handover) => handover,
        Err(error) => return failed(&error, &manager),
    };
    let loaded = match load(&options, handover.as_ref(), registry) {
        Ok(loaded) => loaded,
        Err(report) => {
            let report = shown(&report);
            logging::show(Level::Error, &report);
            reception::bid(&manager, report.lines().next().unwrap_or_default(), exit::USAGE);
            return exit::USAGE;
        }
    };
    if !loaded.warnings.is_empty() && handover.is_none() {
        logging::show(Level::Warn, &shown(&loaded.warnings));
    }
    warn_of_memory(&loaded.pipeline, handover.is_none());
    if let Some(missing) = streams::missing(&loaded.pipeline, registry) {
        return failed(&SetUpError::Refused(missing), &manager);
    }
    if let Err(why) = descriptors::make_room(&loaded.pipeline, registry) {
        return failed(&SetUpError::Refused(why), &manager);
    }
    let code = match supervise(&options, loaded, registry, &manager, Before { received, handover }) {
        Ok(code) => code,
        Err(error) => failed(&error, &manager),
    };
    manager.finish();
    code
}

fn warn_of_memory(pipeline: &Pipeline, is_first: bool) {
    let bound = memory::bound().filter(|_| is_first);
    if let Some(warning) = bound.and_then(|bound| memory_check::warning(pipeline, &bound)) {
        log!(target: "mprun", Level::Warn, "{warning}");
    }
}

fn failed(error: &SetUpError, manager: &Manager) -> u8 {
    log!(target: "mprun", Level::Error, "{error}");
    reception::bid_after(manager, error);
    exit::FAILED
}

/// Whether this program could go on from where another one is, that has started this process to find out.
pub fn rehearse(options: &RunOptions, registry: &Registry) -> u8 {
    let read = Handover::rehearse();
    let good = read.and_then(|handover| {
        load(options, Some(&handover), registry).map(drop).map_err(|report| shown(&report))
    });
    match good {
        Ok(()) => {
            // Who does not read it, does not take this program for a good one.
            let _ = writeln!(io::stdout(), "mprun {} {}", env!("CARGO_PKG_VERSION"), handover::WORD);
            exit::DONE
        }
        Err(why) => {
            let why = why.lines().next().unwrap_or_default();
            let _ = writeln!(io::stderr(), "mprun {}: {why}", env!("CARGO_PKG_VERSION"));
            exit::FAILED
        }
    }
}

/// What was there before this program.
struct Before {
    /// Descriptors that the service manager has kept.
    received: Received,
    /// What another program leaves to this one in this process.
    handover: Option<Handover>,
}

/// The file on the disk, or what another program has made of it earlier.
fn load(options: &RunOptions, before: Option<&Handover>, registry: &Registry) -> Result<Loaded, Report> {
    let from_disk = || config::load(&options.file, &options.load, registry).and_then(config::surveyed);
    match before {
        Some(handover) => {
            let text = handover.left.text.clone();
            let mut loaded = config::load_text(&options.file, text, &options.load, registry)?;
            loaded.pipeline.set_file_variables(&handover.left.file_variables);
            // A program before this one may not have known of them.
            if loaded.pipeline.lacks_file_variables() { config::surveyed(loaded) } else { Ok(loaded) }
        }
        // Its writer may take its time, or never come.
        None if !options.file.is_file() => start_signals::interruptible(from_disk),
        None => from_disk(),
    }
}

/// The world could not be made ready for a run.
#[derive(Debug)]
enum SetUpError {
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

impl From<Fault> for SetUpError {
    fn from(fault: Fault) -> SetUpError {
        SetUpError::Queue(fault)
    }
}

fn supervise(
    options: &RunOptions,
    loaded: Loaded,
    registry: &Registry,
    manager: &Manager,
    before: Before,
) -> Result<u8, SetUpError> {
    let name = loaded.pipeline.name.clone();
    logging::set_pipeline(&name);
    // Before there is any thread: signals reach this one only, which can hold them back once more.
    start_signals::block_all().map_err(|error| SetUpError::System("hold signals back", error))?;
    needs::look_up().map_err(SetUpError::Missing)?;
    let now = Instant::now();
    let age = before.handover.as_ref().map_or(Duration::ZERO, |handover| handover.age);
    let started = now.checked_sub(age).unwrap_or(now);
    // First of all: a second run of the same pipeline must leave the first one alone.
    let inherited = before.handover.as_ref().map(Handover::listeners).transpose()?.unwrap_or_default();
    let claim = control::claim(options, &loaded.pipeline, &inherited)?;
    // The claim has a copy, or clients look elsewhere now: one that waits at the old socket must not wait for ever.
    drop(inherited.control);
    let begun = control::begin_log(options, &loaded.pipeline, registry, before.handover.as_ref());
    let (mut log_writer, progress) = begun?;
    let run = Run { options, registry, manager, started, progress };
    let ended = run.live(loaded, before, (claim, inherited.metrics), &mut log_writer);
    log_writer.end();
    // Not before the log writer has ended: it keeps the supervisor's own lines there.
    ended.map(|(code, tails)| {
        if let Some(tails) = tails {
            tails.end();
            crate::control::python::forget(tails.folder());
        }
        code
    })
}

/// What a run is made of before there is anything of the pipeline.
struct Run<'a> {
    options: &'a RunOptions,
    registry: &'a Registry,
    manager: &'a Manager,
    started: Instant,
    progress: Option<control::Progress>,
}

impl Run<'_> {
    /// From here to the end: the exit code, and where its last lines were kept.
    fn live(
        mut self,
        loaded: Loaded,
        mut before: Before,
        (mut claim, metrics): (Option<Claim>, Option<TcpListener>),
        log_writer: &mut LogWriter,
    ) -> Result<(u8, Option<Tails>), SetUpError> {
        let Run { options, registry, manager, started, .. } = self;
        let name = loaded.pipeline.name.clone();
        let mut tools = tools(&self, &loaded.pipeline, &mut before, log_writer)?;
        let tails = claim.as_ref().and_then(|claim| control::keep_tails(claim, before.handover.is_some()));
        tools.launcher.tails.clone_from(&tails);
        let metrics = control::metrics(&loaded.pipeline, metrics);
        let listener = claim.as_mut().and_then(Claim::listener);
        let listeners = Listeners { control: listener, metrics };
        // Without copies, clients that come during an upgrade are refused.
        let copies = listeners.try_clone().unwrap_or_default();
        control::serve(listeners, &tools.inbox, &tools.launcher.dead_letters);
        if let Some(progress) = &self.progress {
            control::show_progress(progress, &tools.inbox);
        }
        let mut state = State::new(fastrand::u64(..), audience(manager));
        state.inherit(tools.estate.kept.clone(), tools.estate.keeps_items());
        let continued = tools.launcher.continues.then(|| loaded.pipeline.clone());
        if let Some(retries) = &options.retries {
            log!(
                target: "mprun",
                Level::Info,
                "no run was under way: this one only works off dead letters and what is left in the queues; its sources \
                 are off"
            );
            state.feed();
            letters::feed(retries, &tools.inbox, &tools.launcher.dead_letters)
                .map_err(|error| SetUpError::System("start a thread", error))?;
        }
        let mut performer = Performer::new(options, registry, tools);
        performer.keep(copies);
        if let Some(pipeline) = continued {
            performer.replacing.add_all(registry, &pipeline);
        }
        let wanted = Wanted::new(loaded, registry);
        let mut event = match before.handover {
            None => Event::Begin(wanted),
            Some(handover) => {
                performer.resume(&handover)?;
                Event::TakeOver(wanted, Box::new(handover.left))
            }
        };
        start_signals::unblock_all().map_err(|error| SetUpError::System("let signals in", error))?;
        let outcome = loop {
            let actions = state.handle(event, Instant::now());
            if let Some(outcome) = performer.perform(actions) {
                break outcome;
            }
            event = performer.next(&state);
        };
        let (closing, deed, replacing, inbox) = performer.close();
        drop(self.progress.take());
        let lines = closing.lines(&name, &outcome, started.elapsed());
        for line in &lines {
            log!(target: "mprun", Level::Info, "{line}");
        }
        if let Some(warning) = closing.warning() {
            log!(target: "mprun", Level::Warn, "{warning}");
        }
        let end = match (outcome.is_through(), closing.exit_code(&outcome)) {
            (true, exit::DONE) => replacing::End::Well,
            (true, _) => replacing::End::ToGoOn,
            (false, _) if deed.keeps_queues() => replacing::End::ToGoOn,
            (false, _) => replacing::End::Failed,
        };
        // Before the queues are put away: who is killed between the two goes on from them.
        let replaced = replacing.conclude(end);
        let put_away = deed.conclude(outcome.is_through(), manager, &mut last_wait::for_room(&inbox));
        let written = write_report(options, &name, started, &outcome, &closing);
        let code = if replaced && put_away && written { closing.exit_code(&outcome) } else { exit::FAILED };
        reception::bid(manager, &lines[0], code);
        Ok((code, tails))
    }
}

/// Whether the report is written, if one is wanted.
fn write_report(
    options: &RunOptions,
    pipeline: &str,
    started: Instant,
    outcome: &Outcome,
    closing: &Closing,
) -> bool {
    let Some(to) = &options.report else { return true };
    let took = started.elapsed();
    let began = SystemTime::now().checked_sub(took).unwrap_or(SystemTime::UNIX_EPOCH);
    let frame = report::Frame { pipeline, file: &options.file, started: began, took };
    let written = report::write(to, &frame, outcome, closing);
    if let Err(error) = &written {
        log!(target: "mprun", Level::Error, "failed to write the report {to}: {error}");
    }
    written.is_ok()
}

fn audience(manager: &Manager) -> Audience {
    Audience { listens: manager.listens(), watchdog: manager.watchdog(), main_pid: manager.main_pid() }
}

fn tools<'a>(
    run: &'a Run<'_>,
    pipeline: &Pipeline,
    before: &mut Before,
    log_writer: &'a mut LogWriter,
) -> Result<Tools<'a>, SetUpError> {
    let Run { options, registry, manager, started, .. } = *run;
    let system = |what| move |error| SetUpError::System(what, error);
    // Asked before the handlers of the inbox are there.
    let ends_with_terminal = fd::has_terminal() && !start_signals::is_ignored(Signal::SIGHUP);
    let inbox = Inbox::open().map_err(system("take in signals (is `ulimit -u` or `ulimit -n` too low?)"))?;
    let children = match &before.handover {
        None => Children::adopt(),
        Some(handover) => Children::resume(&handover.strangers),
    };
    let children = children.map_err(system("become the parent of orphans"))?;
    let folder = dead_letter::place::folder(&pipeline.name, &letters::variable);
    state_folder::check(&folder)?;
    let dead_letters = letters::store(options, pipeline);
    let works_off = options.retries.is_some();
    let site = Site { pipeline, registry, file: &options.file, folder: &folder, manager, works_off };
    let mut estate = match &before.handover {
        None => Estate::open(&site, &mut before.received)?,
        Some(handover) => Estate::take_over(&site, handover.arena()?)?,
    };
    reception::tell_of_strangers(&before.received);
    let mut launcher =
        Launcher::new(&pipeline.name, estate.arena.clone(), dead_letters, options.logging.clone())
            .map_err(system("prepare the start of workers"))?;
    // What dead letters become is more of an earlier run's work.
    launcher.continues = estate.continues || options.retries.is_some();
    estate.enter(before.handover.as_ref().map_or(&launcher.run, |handover| &handover.run))?;
    estate.begin_saving(pipeline.sync())?;
    let watch = if options.watch { watch_file(options, &inbox) } else { None };
    let identity = Identity {
        file: control::file(options).display().to_string(),
        run: launcher.run.clone(),
        started,
        dead_letter_file: launcher.dead_letters.path.display().to_string(),
    };
    let show = run.progress.as_ref().map(|progress| &progress.show);
    Ok(Tools {
        inbox,
        estate,
        launcher,
        log_writer,
        show,
        children,
        watch,
        manager,
        ends_with_terminal,
        identity,
    })
}

/// Not worth failing for: a signal reloads as well. What is no regular file was read once, and that was all.
fn watch_file(options: &RunOptions, inbox: &Inbox) -> Option<Watch> {
    if std::fs::metadata(&options.file).is_ok_and(|about| !about.is_file()) {
        let file = options.file.display();
        log!(target: "mprun", Level::Warn, "{file} is no regular file and can't be read again: there is no reload");
        return None;
    }
    match Watch::new(&options.file, inbox.sender()) {
        Ok(watch) => Some(watch),
        Err(error) => {
            log!(target: "mprun", Level::Warn, "the file can't be watched ({error}); SIGHUP reloads it");
            None
        }
    }
}

fn shown(report: &Report) -> String {
    report.render(crate::terminal::stderr().colour)
}
