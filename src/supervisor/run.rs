//! One run from its start to its end: everything is made ready, the event loop turns, and what is left is put away.

use super::closing::contents::Frame;
use super::closing::report;
use super::closing::summary::Closing;
use super::effects::performer::{Ended, Performer, Run};
use super::effects::setup::AfterStart;
use super::error::{SetUpError, shown};
use super::machine::effect::Outcome;
use super::machine::event::Event;
use super::machine::notifier::NotifyCapabilities;
use super::machine::reason::StopCause;
use super::machine::state::State;
use super::machine::wanted::Wanted;
use super::notify;
use super::options::RunOptions;
use super::recovery::queue_store::Room;
use super::recovery::replacing::RunEnd;
use super::recovery::upgrade_state::{PREFLIGHT_OK, Predecessor, UpgradeState};
use super::runtime::checks::QueueMemory;
use super::runtime::control::Outlet;
use super::runtime::log_writer::LogWriter;
use super::runtime::watch::FileStamp;
use super::runtime::{checks, control, last_wait, letters};
use crate::config::{self, Loaded, Report, Texts};
use crate::control::claim::{Claim, RunLock};
use crate::control::server::{Listeners, Server};
use crate::exit;
use crate::logs::{self, RecentLogs};
use crate::model::HaltOf;
use crate::service::{NotifySocket, Received};
use crate::stage::Registry;
use crate::sys::{fd, needs, start_signals};
use log::{Level, log};
use std::io::{self, Write};
use std::time::{Duration, Instant, SystemTime};

/// Runs a pipeline until it is done or stopped.
///
/// Call it from the main thread, and only once per process: workers die with the thread that started them, and
/// signals and children belong to it from then on.
pub(crate) fn run(options: RunOptions, registry: &Registry) -> u8 {
    // A request to stop, reload or upgrade that comes before it is up is served once it is up.
    start_signals::hold();
    let received = Received::from_environment();
    let manager = notify::manager();
    let upgrade = match UpgradeState::take() {
        Ok(upgrade) => upgrade,
        Err(error) => return failed(&error, &manager),
    };
    let loaded = match load(&options, upgrade.as_ref(), registry) {
        Ok(loaded) => loaded,
        Err(report) => {
            let report = shown(&report);
            logs::show(Level::Error, &report);
            notify::send_exit(&manager, report.lines().next().unwrap_or_default(), exit::USAGE);
            return exit::USAGE;
        }
    };
    if !loaded.warnings.is_empty() && upgrade.is_none() {
        logs::show(Level::Warn, &shown(&loaded.warnings));
    }
    if let Err(why) = checks::check(&loaded.pipeline, registry) {
        return failed(&SetUpError::Refused(why), &manager);
    }
    let over = supervise(&options, loaded, registry, &manager, Predecessor { received, upgrade });
    let over = over.map_err(|error| failed(&error, &manager));
    manager.flush();
    match over {
        Ok(over) => over.end(),
        Err(code) => code,
    }
}

/// A run that is over for all that had to do with it: its locks are free, and what there was to say is said.
struct Finished {
    code: u8,
    /// Where its last lines were kept.
    recent_logs: Option<RecentLogs>,
    room: Room,
    /// Clients that wait for the end of the process.
    server: Option<Server>,
}

impl Finished {
    /// The exit code, once all that remains is to exit.
    fn end(self) -> u8 {
        let Finished { code, room, server, .. } = self;
        room.free(move || {
            log!(target: "mprun", Level::Info, "removing the queues of the run: the system frees their room, and may take a minute");
            drop(server); // these clients wait no longer
        });
        code
    }
}

fn failed(error: &SetUpError, manager: &NotifySocket) -> u8 {
    log!(target: "mprun", Level::Error, "{error}");
    notify::send_failure(manager, error);
    exit::FAILED
}

/// Whether this program could resume from the state of another one, which has started this process to find out.
pub(crate) fn preflight(options: &RunOptions, registry: &Registry) -> u8 {
    let read = UpgradeState::preflight();
    let good = read.and_then(|upgrade_state| {
        load(options, Some(&upgrade_state), registry).map(drop).map_err(|report| shown(&report))
    });
    match good {
        Ok(()) => {
            // A reader that does not get it does not take this program for a good one.
            let _ = writeln!(io::stdout(), "mprun {} {}", env!("CARGO_PKG_VERSION"), PREFLIGHT_OK);
            exit::DONE
        }
        Err(why) => {
            let why = why.lines().next().unwrap_or_default();
            let _ = writeln!(io::stderr(), "mprun {}: {why}", env!("CARGO_PKG_VERSION"));
            exit::FAILED
        }
    }
}

/// The file on the disk, or what another program has made of it earlier.
fn load(options: &RunOptions, before: Option<&UpgradeState>, registry: &Registry) -> Result<Loaded, Report> {
    let from_disk = || config::load(&options.file, &options.load, registry).and_then(config::surveyed);
    match before {
        Some(upgrade_state) => {
            let machine = &upgrade_state.machine;
            let texts = Texts { main: machine.text.clone(), included: machine.included.clone() };
            let mut loaded = config::load_texts(&options.file, texts, &options.load, registry)?;
            loaded.pipeline.set_file_variables(&machine.file_variables);
            // A program before this one may not have known of them.
            if loaded.pipeline.lacks_file_variables() { config::surveyed(loaded) } else { Ok(loaded) }
        }
        None if let Some(text) = &options.text => {
            config::load_line(&options.file, text.clone(), &options.load, registry).and_then(config::surveyed)
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
    manager: &NotifySocket,
    before: Predecessor,
) -> Result<Finished, SetUpError> {
    let name = loaded.pipeline.name.clone();
    logs::set_pipeline(&name);
    // Before there is any thread: signals reach this one only, which can hold them back once more.
    start_signals::block_all().map_err(|error| SetUpError::System("hold signals back", error))?;
    needs::check().map_err(SetUpError::Missing)?;
    let now = Instant::now();
    let age = before.upgrade.as_ref().map_or(Duration::ZERO, |upgrade_state| upgrade_state.age);
    let started = now.checked_sub(age).unwrap_or(now);
    // First of all: a second run of the same pipeline must leave the first one alone.
    let mut inherited = before.upgrade.as_ref().map(UpgradeState::listeners).transpose()?.unwrap_or_default();
    let locks = before.upgrade.as_ref().map(UpgradeState::locks).transpose()?.unwrap_or_default();
    let (claim, run_lock) = control::claim(options, &loaded.pipeline, &inherited, &locks)?;
    drop(locks);
    // The claim has a copy, or clients look elsewhere now: one that waits at the old socket must not wait for ever.
    drop(inherited.control.take());
    let begun = control::begin_log(options, &loaded.pipeline, registry, before.upgrade.as_ref());
    let (mut log_writer, outlet, progress) = begun?;
    let run = Run { options, registry, manager, started, progress };
    let ended = live(run, loaded, before, (claim, run_lock, inherited), (&mut log_writer, outlet));
    log_writer.end();
    // Not before the log writer has ended: it keeps the supervisor's own lines there.
    ended.inspect(|over| {
        if let Some(recent_logs) = &over.recent_logs {
            recent_logs.remove();
            crate::control::python::forget(recent_logs.folder());
        }
    })
}

/// From here to the end.
fn live(
    mut run: Run<'_>,
    loaded: Loaded,
    mut before: Predecessor,
    (mut claim, run_lock, inherited): (Option<Claim>, Option<RunLock>, Listeners),
    (log_writer, outlet): (&mut LogWriter, Outlet),
) -> Result<Finished, SetUpError> {
    let name = loaded.pipeline.name.clone();
    let stamp = FileStamp::of(&run.options.file, &loaded.watched);
    let mut performer = Performer::set_up(&run, &loaded, &mut before, log_writer, outlet)?;
    // Without them the locks are free for a moment during an upgrade.
    let locks = claim.iter().flat_map(Claim::locks).chain(run_lock.iter().map(RunLock::descriptor));
    performer.locks = locks.filter_map(Result::ok).collect();
    let is_resumed = before.upgrade.is_some();
    let recent_logs = claim.as_ref().and_then(|claim| control::keep_recent_logs(claim, is_resumed));
    performer.launcher.recent_logs.clone_from(&recent_logs);
    let (listeners, socket) = performer.listen(&loaded.pipeline, claim.as_mut(), inherited);
    let mut state = State::new(fastrand::u64(..), capabilities(run.manager));
    state.recover(std::mem::take(&mut performer.store.recovered), performer.store.keeps_items());
    state.note_perhaps_lost(std::mem::take(&mut performer.store.perhaps_lost));
    begin_retries(&run, &mut state, &performer)?;
    if !performer.launcher.begun_files.is_none() {
        performer.replacing.add_all(run.registry, &loaded.pipeline);
    }
    let memory = if is_resumed { None } else { QueueMemory::of(&loaded.pipeline) };
    let after_start = AfterStart { memory, listeners, socket, watched: loaded.watched.clone(), stamp };
    let wanted = Wanted::new(loaded, run.registry, fd::is_file(io::stdout()));
    let outcome = turn(state, &mut performer, wanted, before, after_start)?;
    let mut ended = performer.close();
    drop(run.progress.take());
    let server = ended.server.take();
    let (code, room) = conclude(&run, &name, &outcome, ended);
    if let Some(server) = &server {
        server.say_end(code);
    }
    Ok(Finished { code, recent_logs, room, server })
}

/// Everything is counted, put away and reported: the exit code, and the memory that is left.
fn conclude(run: &Run<'_>, name: &str, outcome: &Outcome, ended: Ended) -> (u8, Room) {
    let Ended { closing, store, replacing, inbox, .. } = ended;
    let lines = closing.lines(name, outcome, run.started.elapsed());
    lines.iter().for_each(|line| log!(target: "mprun", Level::Info, "{line}"));
    if let Some(warning) = closing.warning() {
        log!(target: "mprun", Level::Warn, "{warning}");
    }
    let keeps = store.keeps_queues();
    let has_not_drained = outcome.is_drain() && !keeps && closing.left + closing.unsent > 0;
    if let Some(left) = closing.left_text(outcome, keeps) {
        let is_meant = keeps || matches!(outcome.stopped, Some(StopCause::Halted { .. }));
        let level = match () {
            () if outcome.failed || has_not_drained => Level::Error,
            () if is_meant => Level::Info,
            () => Level::Warn,
        };
        log!(target: "mprun", level, "{left}");
    }
    if let Some(unsent) = closing.unsent_text(keeps) {
        let level = if keeps { Level::Info } else { Level::Warn };
        log!(target: "mprun", level, "{unsent}");
    }
    let end = match (outcome.is_through(), closing.exit_code(outcome)) {
        (true, exit::DONE) => RunEnd::Well,
        (true, _) => RunEnd::ToGoOn,
        (false, _) if store.keeps_queues() => RunEnd::ToGoOn,
        (false, _) => RunEnd::Failed,
    };
    // Before the queues are put away: a run killed between the two is gone on with from them.
    let replaced = replacing.conclude(end);
    let mut waits = last_wait::for_room(&inbox);
    let (put_away, room) = store.conclude(outcome.is_through(), run.manager, &mut waits);
    let written = write_report(run, name, outcome, &closing);
    let code = if replaced && put_away && written { closing.exit_code(outcome) } else { exit::FAILED };
    let code = if code == exit::DONE && has_not_drained { exit::FAILED } else { code };
    let code = if code == exit::DONE { of_a_line(run, outcome, closing.left) } else { code };
    notify::send_exit(run.manager, &lines[0], code);
    (code, room)
}

/// What comes after a line (`mprun do … && …`) relies on all of its items.
fn of_a_line(run: &Run<'_>, outcome: &Outcome, left: u64) -> u8 {
    let is_enough = outcome.halted_by(HaltOf::Success) || outcome.halted_by(HaltOf::Done);
    if run.options.text.is_none() || outcome.is_through() && left == 0 || is_enough {
        return exit::DONE;
    }
    log!(target: "mprun", Level::Error, "stopped before all items were tried");
    exit::FAILED
}

fn begin_retries(run: &Run<'_>, state: &mut State, performer: &Performer<'_>) -> Result<(), SetUpError> {
    let Some(retries) = &run.options.retries else { return Ok(()) };
    log!(
        target: "mprun",
        Level::Info,
        "no run was under way: this one only works off dead letters and what is left in the queues; its sources are off"
    );
    state.begin_retries();
    letters::begin_retries(retries, &performer.inbox, &performer.launcher.dead_letters)
        .map_err(|error| SetUpError::System("start a thread", error))
}

/// The event loop. What the first workers do not need is there once they are started.
fn turn(
    mut state: State,
    performer: &mut Performer<'_>,
    wanted: Wanted,
    before: Predecessor,
    after_start: AfterStart,
) -> Result<Outcome, SetUpError> {
    let mut after_start = Some(after_start);
    let mut events = vec![match before.upgrade {
        None => Event::Begin(wanted),
        Some(upgrade) => {
            after_start.take().into_iter().for_each(|rest| performer.complete(rest));
            performer.resume(&upgrade)?;
            Event::Resume(wanted, Box::new(upgrade.machine))
        }
    }];
    start_signals::unblock_all().map_err(|error| SetUpError::System("let signals in", error))?;
    loop {
        let effects = state.handle_all(events, Instant::now());
        if let Some(outcome) = performer.perform(effects) {
            return Ok(outcome);
        }
        after_start.take().into_iter().for_each(|rest| performer.complete(rest));
        events = performer.next(&state);
    }
}

/// Whether the report is written, if one is wanted.
fn write_report(run: &Run<'_>, pipeline: &str, outcome: &Outcome, closing: &Closing) -> bool {
    let Some(to) = &run.options.report else { return true };
    let took = run.started.elapsed();
    let began = SystemTime::now().checked_sub(took).unwrap_or(SystemTime::UNIX_EPOCH);
    let frame = Frame { pipeline, file: &run.options.file, started: began, took };
    let written = report::write(to, &frame, outcome, closing);
    if let Err(error) = &written {
        log!(target: "mprun", Level::Error, "failed to write the report {to}: {error}");
    }
    written.is_ok()
}

fn capabilities(manager: &NotifySocket) -> NotifyCapabilities {
    NotifyCapabilities {
        listens: manager.listens(),
        watchdog: manager.watchdog(),
        main_pid: manager.main_pid(),
    }
}
