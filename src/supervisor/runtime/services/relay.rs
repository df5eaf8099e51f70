//! The thread that reads what services say.

use super::entry::{Adopted, Entry};
use super::printer::Printing;
use super::thread::{FAILURE, NOTIFY, STDERR, STDOUT, Table, Watch, add, live, locked};
use crate::config::pipeline::Probe;
use crate::queue::SlotId;
use crate::supervisor::recovery::saved_services::{SavedPrinting, SavedService};
use crate::supervisor::runtime::inbox::{Notice, Sender};
use crate::sys::process::StartFailure;
use crate::sys::threads::spawn_without_signals;
use crate::worker::StderrRelay;
use nix::errno::Errno;
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::os::fd::BorrowedFd;
use std::sync::{Arc, Mutex, MutexGuard};

/// The supervisor's side of the relay.
pub(crate) struct Services {
    table: Arc<Mutex<Table>>,
    /// From the first service on, and with it the thread.
    watch: Option<Arc<Watch>>,
    to: Sender,
}

/// What is left of a service that is over.
#[derive(Debug)]
pub(crate) struct LastWords {
    pub failure: Option<StartFailure>,
    /// Its last lines on standard error, oldest first.
    pub stderr: Vec<String>,
    /// Nothing that it has printed is on its way.
    pub is_printed: bool,
    /// Why some of it is not out.
    pub not_printed: Option<Errno>,
    /// Bytes of a line without an end that were left out.
    pub left_out: usize,
}

impl Services {
    pub(crate) fn new(printing: Printing, to: Sender) -> Services {
        let (entries, over) = (BTreeMap::new(), BTreeMap::new());
        let unreported = BTreeSet::new();
        let table = Table { entries, over, printing, unreported, reads_stdouts: true, waits_for_room: false };
        Services { table: Arc::new(Mutex::new(table)), watch: None, to }
    }

    /// The thread, from the first service on.
    pub(crate) fn prepare(&mut self) -> io::Result<()> {
        if self.watch.is_none() {
            let watch = Arc::new(Watch::new(locked(&self.table).printing.ours())?);
            let (table, to, theirs) = (Arc::clone(&self.table), self.to.clone(), Arc::clone(&watch));
            spawn_without_signals("services", move || live(&table, &theirs, &to))?;
            self.watch = Some(watch);
        }
        Ok(())
    }

    /// A service was started, or taken over.
    pub(crate) fn add(&mut self, slot: SlotId, adopted: Adopted, stderr: StderrRelay) -> io::Result<()> {
        self.prepare()?;
        let (Some(watch), entry) = (&self.watch, Entry::new(adopted, stderr)) else { return Ok(()) };
        let mut table = locked(&self.table);
        add(&watch.epoll, entry.stderr_pipe.as_ref(), STDERR, slot)?;
        add(&watch.epoll, entry.failure_pipe.as_ref(), FAILURE, slot)?;
        add(&watch.epoll, entry.notify.as_ref(), NOTIFY, slot)?;
        add(&watch.stdouts, entry.stdout.as_ref().map(|stdout| &stdout.pipe), STDOUT, slot)?;
        table.entries.insert(slot, entry);
        Ok(())
    }

    /// The program of this slot is over, and reaped. `keeps_half`: its last line counts though it has no end.
    pub(crate) fn over(&self, slot: SlotId, keeps_half: bool) -> LastWords {
        let mut table = locked(&self.table);
        let Some(mut entry) = table.entries.remove(&slot) else {
            return LastWords {
                failure: None,
                stderr: Vec::new(),
                is_printed: true,
                not_printed: None,
                left_out: 0,
            };
        };
        self.forget_pipes(&entry);
        entry.drain();
        let mut lines = entry.take_lines();
        let mut half = entry.stdout.take().map(|stdout| stdout.partial).unwrap_or_default();
        let left_out = if keeps_half { 0 } else { half.len() };
        if keeps_half && !half.is_empty() {
            lines.append(&mut half);
            lines.push(b'\n');
        }
        if !lines.is_empty() {
            entry.sent_to = table.printing.queue(slot, &lines);
            table.printing.send();
        }
        let is_printed = table.printing.is_settled(entry.sent_to);
        let (failure, not_printed) = (entry.failure, entry.not_printed);
        let stderr = entry.stderr.take_last_lines();
        if !is_printed {
            table.over.insert(slot, entry.sent_to);
            self.wake();
        }
        LastWords { failure, stderr, is_printed, not_printed, left_out }
    }

    /// By this the service in this slot says from now on that it is ready.
    pub(crate) fn listen_for(&self, slot: SlotId, probe: &Probe) {
        if let Some(entry) = locked(&self.table).entries.get_mut(&slot) {
            entry.listen_for(probe);
        }
    }

    /// What it has printed is waited for no longer.
    pub(crate) fn forget(&self, slot: SlotId) {
        locked(&self.table).over.remove(&slot);
    }

    /// The helper that prints is gone.
    pub(crate) fn helper_ended(&self) {
        let failed = locked(&self.table).printing.helper_ended();
        for (slot, errno) in failed {
            self.to.send(Notice::NotPrinted(slot, errno));
        }
        self.wake();
    }

    /// From here on the relay does nothing more, until what is returned is dropped.
    pub(crate) fn hold(&self) -> Held<'_> {
        Held(locked(&self.table))
    }
}

impl Services {
    fn wake(&self) {
        if let Some(watch) = &self.watch {
            let _ = watch.wake.write(1); // full: it wakes anyway
        }
    }

    /// Its pipes are watched no longer.
    fn forget_pipes(&self, entry: &Entry) {
        let Some(watch) = &self.watch else { return };
        for pipe in [&entry.stderr_pipe, &entry.failure_pipe, &entry.notify].into_iter().flatten() {
            let _ = watch.epoll.delete(pipe);
        }
        if let Some(stdout) = &entry.stdout {
            let _ = watch.stdouts.delete(&stdout.pipe);
        }
    }
}

/// The relay at rest: for an upgrade.
pub(crate) struct Held<'a>(MutexGuard<'a, Table>);

impl Held<'_> {
    pub(crate) fn save(&self) -> (Vec<SavedService>, SavedPrinting) {
        let services = self.0.entries.iter().map(|(slot, entry)| entry.save(slot.0));
        (services.collect(), self.0.printing.save())
    }

    /// All descriptors that go to the next program.
    pub(crate) fn descriptors(&self) -> Vec<BorrowedFd<'_>> {
        let ends = [self.0.printing.ours(), self.0.printing.theirs()];
        self.0.entries.values().flat_map(Entry::descriptors).chain(ends).collect()
    }
}
