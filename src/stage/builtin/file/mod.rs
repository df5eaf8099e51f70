//! `file`: writes each item as a line to a file.
//!
//! The workers take turns to write, and the stage's token says how much of the file counts: so each item is in the file
//! once, whoever is killed when ([`append::turn`](crate::append)). Where that can't be (a pipe, a device, a file that another
//! stage or pipeline writes too, one that can't be read) an item is written at least once.
//!
//! What can't be written yet waits here, in the worker, while its items are still leased: whatever happens then, they
//! are in a file or they come again.
//!
//! | what happens | what becomes of the lines |
//! |---|---|
//! | the disk is full, the folder is gone or can't be written | they wait; a part that was written is taken back |
//! | the file is renamed | within a second a new one is made; what was written is in the old one |
//! | the file is removed | what was written into it meanwhile is written again, into a new one |
//! | with `replace`, the new file is renamed or removed | a part is missing, so nothing is replaced: the stage gives up |
//! | a named pipe has no reader, or a slow one | they wait |
//! | the run stops while the pipe has no reader | the stage ends; what is left stays in the queue |
//! | the worker gets an order to finish in such a wait, or is killed | their items go back |
//! | the path changes with the time | lines go to the new file from the next write on |

mod counted;
mod outlet;

use crate::append::{Beginning, Begun, Counts, UndoLog, Written};
use crate::numbers::counted;
use crate::stage::path_template::PathTemplate;
use crate::stage::{
    Context, Emitter, Failure, Item, Orders, Persistence, Reach, Replacement, Settings, Stage, TokenNotes,
};
use outlet::{Outlet, explain, is_passing};
use std::path::{Path, PathBuf};
use std::time::SystemTime;
use std::{fs, io};

/// What a run does with a file that is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    /// Empties it, if the run begins from nothing.
    Empty,
    /// Adds to it.
    Append,
    /// Writes another one beside it.
    Replace,
}

pub(super) fn build(with: &mut Settings<'_>) -> impl FnOnce(&Context) -> Result<ToFile, Failure> + use<> {
    with.about("Writes each item as a line to a file.");
    let doc = "The file; it is created if it isn't there. {stage}, {worker}, {date} and {time:FORMAT} are filled in, \
               {{ and }} are braces.";
    let path: PathTemplate = with.key("path", doc).required();
    let doc = "Adds to what is in the file; otherwise it is emptied, once, by a new run (not by one that \
               continues with kept queues).";
    let append = with.key("append", doc).or(false);
    let doc = "Writes beside the file and renames the new one over it when a run has succeeded; until then readers see \
               the old one.";
    let replace = with.key("replace", doc).or(false);
    if with.is_good() {
        check(with, &path, append, replace);
    }
    with.path_of_machine();
    with.remember(Persistence::Turns);
    let mode = match (append, replace) {
        (_, true) => Mode::Replace,
        (true, false) => Mode::Append,
        (false, false) => Mode::Empty,
    };
    with.writes(path.clone());
    if replace {
        with.replaces(path.clone());
    }
    move |context| ToFile::open(context, path, mode)
}

fn check(with: &mut Settings<'_>, path: &PathTemplate, append: bool, replace: bool) {
    if path.written().is_empty() {
        with.fault("path", "`path` can't be empty", None);
    }
    if append && replace {
        let help = "leave one of them out: `replace` begins with an empty file, `append` with what is there";
        with.fault("append", "`append` and `replace` can't go together", Some(help.to_owned()));
    }
    if replace && !path.is_constant() {
        let help = "with `replace` the path may hold {stage}, and no {worker}, {date} or {time:FORMAT}";
        with.fault("path", "`replace` is for one file of the whole run", Some(help.to_owned()));
    }
}

/// See [`build`].
pub(super) struct ToFile {
    template: PathTemplate,
    mode: Mode,
    folder: PathBuf,
    stage: String,
    worker: u32,
    run: String,
    continues: bool,
    shared_run: Option<u64>,
    orders: Option<Orders>,
    log: UndoLog,
    notes: Option<TokenNotes>,
    outlet: Option<Outlet>,
    /// Of the items since the last turn, and how many bytes of them are out.
    lines: Vec<u8>,
    out: usize,
    /// What the token says, and what this turn has written since.
    counts: Counts,
    written: Option<Written>,
    /// That items are written at least once was said.
    said_shared: bool,
}

impl ToFile {
    fn open(context: &Context, template: PathTemplate, mode: Mode) -> Result<ToFile, Failure> {
        let log = context.undo_log().map_err(|error| Failure::fatal(format!("no undo log: {error}")))?;
        let mut file = ToFile {
            template,
            mode,
            folder: context.folder.clone(),
            stage: context.stage.clone(),
            worker: context.worker,
            run: context.run.clone(),
            continues: context.continues,
            shared_run: context.shared_run,
            orders: context.orders.clone(),
            log,
            notes: context.notes.clone(),
            outlet: None,
            lines: Vec::new(),
            out: 0,
            counts: Counts::default(),
            written: None,
            said_shared: false,
        };
        let path = file.path(SystemTime::now());
        match file.reopen_if_moved(&path) {
            Ok(()) => Ok(file),
            Err(error) if file.has_lost_its_part() => Err(file.not_open(&path, &error)),
            // It was good before in this run, or will be by itself: no reason to give up. The loop waits for it.
            Err(error) if is_passing(&path, &error) || file.has_begun() => Ok(file),
            Err(error) => Err(Failure::fatal(explain(&path, &error))),
        }
    }

    /// Where lines belong now.
    fn path(&self, now: SystemTime) -> PathBuf {
        let path = self.folder.join(self.template.render(&self.stage, self.worker, now));
        if self.mode == Mode::Replace { Replacement::of(&path).fresh } else { path }
    }

    /// What the run remembers of the stage as a whole: its file may be another one each day.
    fn key(&self) -> Vec<u8> {
        [self.stage.as_bytes(), self.template.written().as_bytes()].join(&0)
    }

    fn has_begun(&self) -> bool {
        self.log.has_begun(&self.key()).unwrap_or(false)
    }

    /// Sees to it that what is open is what has the name now.
    fn reopen_if_moved(&mut self, path: &Path) -> io::Result<()> {
        if let Some(outlet) = &mut self.outlet {
            if outlet.is_still(path)? {
                return Ok(());
            }
            if outlet.path == path && self.mode != Mode::Replace {
                log::info!("`{}` was moved or removed: a new one is begun", path.display());
            }
            outlet.appender.undo_pending()?;
        }
        self.outlet = None;
        if self.mode == Mode::Replace {
            self.prepare()?;
        }
        let whose = [self.run.as_bytes(), self.stage.as_bytes()].join(&0);
        let outlet = Outlet::open(path, !self.template.is_constant(), &self.log, &whose)?;
        if self.has_begun() {
            // It is the run's own from now on: no worker that begins later may empty it.
            outlet.appender.begin_run(Beginning::NewLine, name(path))?;
        }
        self.outlet = Some(outlet);
        Ok(())
    }

    fn prepare(&self) -> io::Result<()> {
        let path = self.folder.join(self.template.render(&self.stage, self.worker, SystemTime::now()));
        let replacement = Replacement::of(&path);
        let goes_on = self.continues && !self.has_begun();
        if self.has_lost_its_part() {
            return Err(io::Error::other(
                "it was moved or removed while it was written, so a part is missing",
            ));
        }
        let lock = [b"prepare\0", name(&replacement.fresh)].concat();
        self.log.exclusively(&lock, || replacement.prepare(goes_on))?
    }

    /// A replacement is whole or it is none: what was written of it in this run is not there any more.
    fn has_lost_its_part(&self) -> bool {
        let is_gone =
            |path| fs::symlink_metadata(path).is_err_and(|error| error.kind() == io::ErrorKind::NotFound);
        self.mode == Mode::Replace && self.has_begun() && is_gone(self.path(SystemTime::now()))
    }

    /// Writes what is collected. What can't be written is still there afterwards.
    fn write(&mut self) -> Result<(), Failure> {
        while self.out < self.lines.len() {
            let path = self.path(SystemTime::now());
            if self.outlet.is_none() {
                self.reopen_if_moved(&path)
                    .and_then(|()| self.look_for_others())
                    .map_err(|error| self.not_open(&path, &error))?;
            }
            let Some(outlet) = &self.outlet else { break };
            let rest = &self.lines[self.out..];
            let (out, result) = match (&self.orders, &self.notes) {
                (_, Some(notes)) if outlet.is_counted() => {
                    outlet.appender.write_in_turn(self.turn(), rest, &mut self.written, notes)
                }
                (Some(orders), _) if !outlet.appender.is_file() => {
                    orders.while_blocked(|| outlet.appender.append_unless(rest, &|| orders.must_finish()))
                }
                _ => outlet.appender.append_unless(rest, &|| false),
            };
            match result.and_then(|()| outlet.is_lost()) {
                Ok(false) => self.out += out,
                Ok(true) => {
                    if self.mode != Mode::Replace {
                        log::info!("`{}` was removed: what it did not keep is written anew", path.display());
                    }
                    // All of this turn once more, into another file.
                    if outlet.is_counted() {
                        (self.out, self.written) = (0, None);
                    }
                    self.outlet = None;
                }
                Err(error) => {
                    self.out += out;
                    return Err(self.write_failure(&path, &error));
                }
            }
        }
        self.lines.clear();
        self.out = 0;
        Ok(())
    }

    fn not_open(&self, path: &Path, error: &io::Error) -> Failure {
        if self.has_lost_its_part() {
            return Failure::fatal(explain(path, error));
        }
        self.not_yet(explain(path, error), error.raw_os_error() == Some(libc::ENXIO))
    }

    /// It is to be tried again; but a stop doesn't wait for somebody to come and read.
    fn not_yet(&self, why: String, is_unread: bool) -> Failure {
        let is_stopping = self.orders.as_ref().is_some_and(Orders::must_drain);
        if is_unread && is_stopping {
            return Failure::with_reach(why, Reach::OutputClosed);
        }
        Failure::not_yet(why)
    }

    fn write_failure(&mut self, path: &Path, error: &io::Error) -> Failure {
        let shown = path.display();
        match error.kind() {
            io::ErrorKind::Interrupted => {
                Failure::with_reach("stopped while a pipe was full", Reach::Ordered)
            }
            io::ErrorKind::BrokenPipe => {
                self.outlet = None; // opened again, it is one with another reader, or with none yet
                self.not_yet(format!("can't write `{shown}`: its reader is gone"), true)
            }
            _ => Failure::not_yet(format!("can't write `{shown}`: {error}")),
        }
    }

    fn log_begin(&self, path: &Path, found: Begun) {
        let shown = path.display();
        let (length, is_emptied) = match found {
            Begun::Emptied(length) => (length, true),
            Begun::AddedTo(length) => (length, false),
            Begun::Elsewhere => {
                return log::info!("adds to `{shown}`: another machine of this run has begun with it");
            }
            Begun::Unknown => {
                return log::warn!(
                    "`{shown}` is not emptied: its file system has no extended attributes or no locks, so it can't be seen \
                     whether another machine of this run has begun with it"
                );
            }
            Begun::Before | Begun::Endless => return,
        };
        match self.mode {
            Mode::Replace => {
                let begins = if self.continues { "continues" } else { "writes" };
                log::info!("{begins} `{shown}`, which takes its place at the end of a run that went well");
            }
            Mode::Empty if length == 0 => {}
            Mode::Empty if is_emptied => {
                log::info!("`{shown}` was emptied: it held {}", counted(length, "byte"));
            }
            Mode::Empty => {
                let why = match self.continues {
                    true => "the run continues an earlier one, so it is not emptied",
                    false => "this run has begun with it before",
                };
                log::info!("adds to `{shown}`: {why}");
            }
            Mode::Append => {}
        }
    }
}

fn name(path: &Path) -> &[u8] {
    std::os::unix::ffi::OsStrExt::as_bytes(path.as_os_str())
}

impl Stage for ToFile {
    fn process(&mut self, item: &Item<'_>, _out: &mut Emitter<'_>) -> Result<(), Failure> {
        self.lines.extend_from_slice(item.bytes());
        self.lines.push(b'\n');
        Ok(())
    }

    fn flush(&mut self) -> Result<(), Failure> {
        self.write()
    }

    /// What readers are to see as a whole is on the disk before it gets its name.
    fn finish(&mut self, _out: &mut Emitter<'_>) -> Result<(), Failure> {
        if self.has_lost_its_part() {
            let gone =
                io::Error::other("it was moved or removed, so there is nothing to replace the old one with");
            return Err(self.not_open(&self.path(SystemTime::now()), &gone));
        }
        match &self.outlet {
            Some(outlet) if self.mode == Mode::Replace => Ok(outlet.appender.target().sync_data()?),
            _ => Ok(()),
        }
    }

    fn begin_turn(&mut self, now: SystemTime) -> Result<(), Failure> {
        self.count_last_turn();
        let path = self.path(now);
        let not_yet = |error: io::Error| match error.kind() {
            io::ErrorKind::InvalidData => Failure::fatal(error.to_string()),
            _ => Failure::not_yet(format!("can't write `{}`: {error}", path.display())),
        };
        self.settle().map_err(not_yet)?;
        self.reopen_if_moved(&path).map_err(|error| self.not_open(&path, &error))?;
        if self.counts.run != self.run.as_bytes() || self.counts.of(&self.name()).is_none() {
            self.begin_run(&path).map_err(not_yet)?;
        }
        self.count_from_here().map_err(not_yet)?;
        self.say_if_shared(&path);
        Ok(())
    }

    fn save(&self, state: &mut Vec<u8>) {
        self.counts_with_turn().encode(state);
    }

    /// Of an earlier version the state was a text: then nothing is counted yet.
    fn restore(&mut self, state: &[u8]) -> Result<(), Failure> {
        self.counts = Counts::decode(state).unwrap_or_default();
        self.written = None;
        Ok(())
    }
}
