//! One run from its start to its end: everything is made ready, the event loop turns, and what is left is put away.

use super::closing::contents::Frame;
use super::closing::report;
use super::closing::summary::Closing;
use super::effects::performer::{Performer, Tools};
use super::error::SetUpError;
use super::machine::effect::Outcome;
use super::machine::event::Event;
use super::machine::notifier::NotifyCapabilities;
use super::machine::observe::RunIdentity;
use super::machine::state::State;
use super::machine::wanted::Wanted;
use super::notify;
use super::options::RunOptions;
use super::recovery::queue_store::{QueueStore, StoreOptions};
use super::recovery::upgrade_state::{self as upgrade_state, UpgradeState};
use super::recovery::{replacing, state_folder};
use super::runtime::children::Children;
use super::runtime::inbox::Inbox;
use super::runtime::launch::Launcher;
use super::runtime::log_writer::LogWriter;
use super::runtime::watch::Watch;
use super::runtime::{control, descriptors, last_wait, letters, memory_check, streams};
use crate::config::{self, Loaded, Pipeline, Report};
use crate::control::claim::Claim;
use crate::control::server::Listeners;
use crate::log_file::Tails;
use crate::logging;
use crate::service::{Manager, Received};
use crate::stage::Registry;
use crate::sys::{fd, memory, needs, start_signals};
use crate::{dead_letter, exit};
use log::{Level, log};
use nix::sys::signal::Signal;
use std::io;
use std::io::Write;
use std::net::TcpListener;
use std::time::{Duration, Instant, SystemTime};

/// Runs a pipeline until it is done or stopped.
///
/// Call it from the main thread, and only once per process: workers die with the thread that started them, and
/// signals and children belong to it from then on.
pub fn run(options: RunOptions, registry: &Registry) -> u8 {
    // Who is asked to stop, to reload or to upgrade before it is up does so once it is up.
    start_signals::hold();
    let received = Received::from_environment();
    let manager = notify::manager();
    let upgrade_state = match UpgradeState::take() {
        Ok(upgrade_state) => upgrade_state,
        Err(error) => return failed(&error, &manager),
    };
    let loaded = match load(&options, upgrade_state.as_ref(), registry) {
        Ok(loaded) => loaded,
        Err(report) => {
            let report = shown(&report);
            logging::show(Level::Error, &report);
            notify::send_exit(&manager, report.lines().next().unwrap_or_default(), exit::USAGE);
            return exit::USAGE;
        }
    };
    if !loaded.warnings.is_empty() && upgrade_state.is_none() {
        logging::show(Level::Warn, &shown(&loaded.warnings));
    }
    warn_of_memory(&loaded.pipeline, upgrade_state.is_none());
    if let Some(missing) = streams::missing(&loaded.pipeline, registry) {
        return failed(&SetUpError::Refused(missing), &manager);
    }
    if let Err(why) = descriptors::make_room(&loaded.pipeline) {
        return failed(&SetUpError::Refused(why), &manager);
    }
    let code = match supervise(&options, loaded, registry, &manager, Predecessor { received, upgrade_state })
    {
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
    notify::send_failure(manager, error);
    exit::FAILED
}

/// Whether this program could go on from where another one is, that has started this process to find out.
pub fn preflight(options: &RunOptions, registry: &Registry) -> u8 {
    let read = UpgradeState::preflight();
    let good = read.and_then(|upgrade_state| {
        load(options, Some(&upgrade_state), registry).map(drop).map_err(|report| shown(&report))
    });
    match good {
        Ok(()) => {
            // Who does not read it, does not take this program for a good one.
            let _ =
                writeln!(io::stdout(), "mprun {} {}", env!("CARGO_PKG_VERSION"), upgrade_state::PREFLIGHT_OK);
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
struct Predecessor {
    /// Descriptors that the service manager has kept.
    received: Received,
    /// What another program leaves to this one in this process.
    upgrade_state: Option<UpgradeState>,
}

/// The file on the disk, or what another program has made of it earlier.
fn load(options: &RunOptions, before: Option<&UpgradeState>, registry: &Registry) -> Result<Loaded, Report> {
    let from_disk = || config::load(&options.file, &options.load, registry).and_then(config::surveyed);
    match before {
        Some(upgrade_state) => {
            let text = upgrade_state.machine.text.clone();
            let mut loaded = config::load_text(&options.file, text, &options.load, registry)?;
            loaded.pipeline.set_file_variables(&upgrade_state.machine.file_variables);
            // A program before this one may not have known of them.
            if loaded.pipeline.lacks_file_variables() { config::surveyed(loaded) } else { Ok(loaded) }
        }
        // Its writer may take its time, or never come.
        None if !options.file.is_file() => start_signals::interruptible(from_disk),
        None => from_disk(),
    }
}

fn supervise(
    options: &RunOptions,
    loaded: Loaded,
    registry: &Registry,
    manager: &Manager,
    before: Predecessor,
) -> Result<u8, SetUpError> {
    let name = loaded.pipeline.name.clone();
    logging::set_pipeline(&name);
    // Predecessor there is any thread: signals reach this one only, which can hold them back once more.
    start_signals::block_all().map_err(|error| SetUpError::System("hold signals back", error))?;
    needs::look_up().map_err(SetUpError::Missing)?;
    let now = Instant::now();
    let age = before.upgrade_state.as_ref().map_or(Duration::ZERO, |upgrade_state| upgrade_state.age);
    let started = now.checked_sub(age).unwrap_or(now);
    // First of all: a second run of the same pipeline must leave the first one alone.
    let inherited =
        before.upgrade_state.as_ref().map(UpgradeState::listeners).transpose()?.unwrap_or_default();
    let claim = control::claim(options, &loaded.pipeline, &inherited)?;
    // The claim has a copy, or clients look elsewhere now: one that waits at the old socket must not wait for ever.
    drop(inherited.control);
    let begun = control::begin_log(options, &loaded.pipeline, registry, before.upgrade_state.as_ref());
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
    progress: Option<control::ProgressDisplay>,
}

impl Run<'_> {
    /// From here to the end: the exit code, and where its last lines were kept.
    fn live(
        mut self,
        loaded: Loaded,
        mut before: Predecessor,
        (mut claim, metrics): (Option<Claim>, Option<TcpListener>),
        log_writer: &mut LogWriter,
    ) -> Result<(u8, Option<Tails>), SetUpError> {
        let Run { options, registry, manager, started, .. } = self;
        let name = loaded.pipeline.name.clone();
        let mut tools = tools(&self, &loaded.pipeline, &mut before, log_writer)?;
        let tails =
            claim.as_ref().and_then(|claim| control::keep_recent_logs(claim, before.upgrade_state.is_some()));
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
        let mut state = State::new(fastrand::u64(..), capabilities(manager));
        state.recover(tools.estate.recovered.clone(), tools.estate.keeps_items());
        let continued = tools.launcher.continues.then(|| loaded.pipeline.clone());
        if let Some(retries) = &options.retries {
            log!(
                target: "mprun",
                Level::Info,
                "no run was under way: this one only works off dead letters and what is left in the queues; its sources \
                 are off"
            );
            state.begin_retries();
            letters::begin_retries(retries, &tools.inbox, &tools.launcher.dead_letters)
                .map_err(|error| SetUpError::System("start a thread", error))?;
        }
        let mut performer = Performer::new(options, registry, tools);
        performer.keep(copies);
        if let Some(pipeline) = continued {
            performer.replacing.add_all(registry, &pipeline);
        }
        let wanted = Wanted::new(loaded, registry);
        let mut event = match before.upgrade_state {
            None => Event::Begin(wanted),
            Some(upgrade_state) => {
                performer.resume(&upgrade_state)?;
                Event::Resume(wanted, Box::new(upgrade_state.machine))
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
        let (closing, disposition, replacing, inbox) = performer.close();
        drop(self.progress.take());
        let lines = closing.lines(&name, &outcome, started.elapsed());
        for line in &lines {
            log!(target: "mprun", Level::Info, "{line}");
        }
        if let Some(warning) = closing.warning() {
            log!(target: "mprun", Level::Warn, "{warning}");
        }
        let end = match (outcome.is_through(), closing.exit_code(&outcome)) {
            (true, exit::DONE) => replacing::RunEnd::Well,
            (true, _) => replacing::RunEnd::ToGoOn,
            (false, _) if disposition.keeps_queues() => replacing::RunEnd::ToGoOn,
            (false, _) => replacing::RunEnd::Failed,
        };
        // Predecessor the queues are put away: who is killed between the two goes on from them.
        let replaced = replacing.conclude(end);
        let put_away = disposition.conclude(outcome.is_through(), manager, &mut last_wait::for_room(&inbox));
        let written = write_report(options, &name, started, &outcome, &closing);
        let code = if replaced && put_away && written { closing.exit_code(&outcome) } else { exit::FAILED };
        notify::send_exit(manager, &lines[0], code);
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
    let frame = Frame { pipeline, file: &options.file, started: began, took };
    let written = report::write(to, &frame, outcome, closing);
    if let Err(error) = &written {
        log!(target: "mprun", Level::Error, "failed to write the report {to}: {error}");
    }
    written.is_ok()
}

fn capabilities(manager: &Manager) -> NotifyCapabilities {
    NotifyCapabilities {
        listens: manager.listens(),
        watchdog: manager.watchdog(),
        main_pid: manager.main_pid(),
    }
}

fn tools<'a>(
    run: &'a Run<'_>,
    pipeline: &Pipeline,
    before: &mut Predecessor,
    log_writer: &'a mut LogWriter,
) -> Result<Tools<'a>, SetUpError> {
    let Run { options, manager, started, .. } = *run;
    let system = |what| move |error| SetUpError::System(what, error);
    // Asked before the handlers of the inbox are there.
    let ends_with_terminal = fd::has_terminal() && !start_signals::is_ignored(Signal::SIGHUP);
    let inbox = Inbox::open().map_err(system("take in signals (is `ulimit -u` or `ulimit -n` too low?)"))?;
    let children = match &before.upgrade_state {
        None => Children::adopt(),
        Some(upgrade_state) => Children::resume(&upgrade_state.preexisting),
    };
    let children = children.map_err(system("become the parent of orphans"))?;
    let folder = dead_letter::place::folder(&pipeline.name, &letters::variable);
    state_folder::check(&folder)?;
    let dead_letters = letters::store(options, pipeline);
    let works_off = options.retries.is_some();
    let store_options = StoreOptions { pipeline, file: &options.file, folder: &folder, manager, works_off };
    let mut estate = match &before.upgrade_state {
        None => QueueStore::open(&store_options, &mut before.received)?,
        Some(upgrade_state) => QueueStore::resume(&store_options, upgrade_state.arena()?)?,
    };
    notify::warn_of_unknown(&before.received);
    let mut launcher =
        Launcher::new(&pipeline.name, estate.arena.clone(), dead_letters, options.logging.clone())
            .map_err(system("prepare the start of workers"))?;
    // What dead letters become is more of an earlier run's work.
    launcher.continues = estate.continues || options.retries.is_some();
    estate.enter(before.upgrade_state.as_ref().map_or(&launcher.run, |upgrade_state| &upgrade_state.run))?;
    estate.begin_saving(pipeline.sync())?;
    let watch = if options.watch { watch_file(options, &inbox) } else { None };
    let identity = RunIdentity {
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

pub fn shown(report: &Report) -> String {
    report.render(crate::terminal::stderr().colour)
}
