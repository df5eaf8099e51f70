//! What the relay's thread sleeps on, and what it does when it wakes.

use super::entry::{Entry, Found};
use super::printer::Printing;
use crate::queue::SlotId;
use crate::supervisor::runtime::inbox::{Notice, Sender};
use nix::errno::Errno;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use nix::sys::eventfd::{EfdFlags, EventFd};
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Pipes that are looked at in one go.
const EVENTS: usize = 64;

/// Between two looks at lines that are left out.
const REPORT_INTERVAL: Duration = Duration::from_secs(1);

/// What an event is about, above the slot's number.
pub(super) const STDERR: u64 = 1 << 32;
pub(super) const FAILURE: u64 = 2 << 32;
pub(super) const STDOUT: u64 = 3 << 32;
const PRINTING: u64 = 4 << 32;
const STDOUTS: u64 = 5 << 32;
const WAKE: u64 = 6 << 32;
pub(super) const NOTIFY: u64 = 7 << 32;

/// What the thread sleeps on.
pub(super) struct Watch {
    pub epoll: Epoll,
    /// What is to be printed: not looked at while nothing can be.
    pub stdouts: Epoll,
    pub wake: EventFd,
}

pub(super) struct Table {
    pub entries: BTreeMap<SlotId, Entry>,
    /// Those that are over, and where what they have printed ends: their end is told once that is out.
    pub over: BTreeMap<SlotId, u64>,
    pub printing: Printing,
    /// Those of whose lines some are left out, which is not reported yet.
    pub unreported: BTreeSet<SlotId>,
    /// `stdouts` is looked at.
    pub reads_stdouts: bool,
    /// The socket is watched for room.
    pub waits_for_room: bool,
}

pub(super) fn locked(table: &Mutex<Table>) -> MutexGuard<'_, Table> {
    table.lock().unwrap_or_else(PoisonError::into_inner)
}

pub(super) fn add(epoll: &Epoll, pipe: Option<&impl AsFd>, what: u64, slot: SlotId) -> io::Result<()> {
    let Some(pipe) = pipe else { return Ok(()) };
    Ok(epoll.add(pipe, EpollEvent::new(EpollFlags::EPOLLIN, what | u64::from(slot.0)))?)
}

impl Watch {
    pub(super) fn new(printing: BorrowedFd<'_>) -> io::Result<Watch> {
        let named = |name: &str| {
            let name = name.to_owned();
            move |errno: Errno| {
                io::Error::new(io::Error::from(errno).kind(), format!("{name}: {}", errno.desc()))
            }
        };
        let new = || Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC).map_err(named("epoll_create1"));
        let flags = EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK;
        let wake = EventFd::from_value_and_flags(0, flags).map_err(named("eventfd2"))?;
        let (epoll, stdouts) = (new()?, new()?);
        epoll.add(&wake, EpollEvent::new(EpollFlags::EPOLLIN, WAKE))?;
        epoll.add(printing, EpollEvent::new(EpollFlags::EPOLLIN, PRINTING))?;
        epoll.add(&stdouts.0, EpollEvent::new(EpollFlags::EPOLLIN, STDOUTS))?;
        Ok(Watch { epoll, stdouts, wake })
    }
}

/// The thread. It ends with the process.
pub(super) fn live(table: &Mutex<Table>, watch: &Watch, to: &Sender) {
    let mut events = [EpollEvent::empty(); EVENTS];
    let mut timeout = EpollTimeout::NONE;
    loop {
        let found = match watch.epoll.wait(&mut events, timeout) {
            Ok(found) => found,
            Err(Errno::EINTR) => continue,
            Err(_) => return,
        };
        let mut table = locked(table);
        let mut notices = Vec::new();
        for event in &events[..found] {
            table.serve(event.data(), watch, &mut notices);
        }
        table.print(watch, &mut notices);
        timeout = table.report_left_out();
        drop(table);
        for notice in notices {
            if !to.send(notice) {
                return;
            }
        }
    }
}

impl Table {
    /// Returns how long the thread may sleep until the next look.
    fn report_left_out(&mut self) -> EpollTimeout {
        let Table { unreported, entries, .. } = self;
        unreported.retain(|slot| {
            let Some(entry) = entries.get_mut(slot) else { return false };
            entry.stderr.report_after_silence();
            entry.stderr.report_at().is_some()
        });
        match unreported.is_empty() {
            true => EpollTimeout::NONE,
            false => EpollTimeout::try_from(REPORT_INTERVAL).unwrap_or(EpollTimeout::MAX),
        }
    }

    fn serve(&mut self, what: u64, watch: &Watch, notices: &mut Vec<Notice>) {
        let slot = SlotId(what as u16);
        match what >> 32 << 32 {
            WAKE => drop(watch.wake.read()),
            STDOUTS => self.read_stdouts(watch, notices),
            NOTIFY => self.entries.get_mut(&slot).into_iter().for_each(Entry::read_notify),
            STDERR => {
                if let Some(entry) = self.entries.get_mut(&slot) {
                    if entry.read_stderr() == Found::End
                        && let Some(pipe) = entry.stderr_pipe.take()
                    {
                        let _ = watch.epoll.delete(&pipe);
                    }
                    if entry.stderr.report_at().is_some() {
                        self.unreported.insert(slot);
                    }
                }
            }
            FAILURE => {
                if let Some(entry) = self.entries.get_mut(&slot) {
                    let found = entry.read_failure();
                    if found != Found::Nothing
                        && let Some(pipe) = entry.failure_pipe.take()
                    {
                        let _ = watch.epoll.delete(&pipe);
                        notices.extend((found == Found::End).then_some(Notice::ServiceBegun(slot)));
                    }
                }
            }
            // The socket: see `print`.
            _ => {}
        }
        let entry = self.entries.get_mut(&slot).filter(|_| what >> 32 << 32 != STDOUTS);
        announce(slot, entry, notices);
    }

    fn read_stdouts(&mut self, watch: &Watch, notices: &mut Vec<Notice>) {
        let mut events = [EpollEvent::empty(); EVENTS];
        let found = watch.stdouts.wait(&mut events, EpollTimeout::ZERO).unwrap_or(0);
        for event in &events[..found] {
            let slot = SlotId(event.data() as u16);
            let Some(entry) = self.entries.get_mut(&slot).filter(|_| self.printing.has_room()) else {
                continue;
            };
            let read = entry.read_stdout();
            announce(slot, Some(entry), notices);
            if read == Found::End {
                // A half line waits for the end of the program, which says whether it counts.
                if let Some(stdout) = &entry.stdout {
                    let _ = watch.stdouts.delete(&stdout.pipe);
                }
                continue;
            }
            let lines = entry.take_lines();
            if !lines.is_empty() {
                entry.sent_to = self.printing.queue(slot, &lines);
            }
        }
    }

    /// What can be sent is sent, and what the helper has told is taken in.
    fn print(&mut self, watch: &Watch, notices: &mut Vec<Notice>) {
        self.printing.send();
        for (slot, errno) in self.printing.receive() {
            if let Some(entry) = self.entries.get_mut(&slot) {
                entry.not_printed = Some(errno);
            }
            notices.push(Notice::NotPrinted(slot, errno));
        }
        let Table { over, printing, .. } = self;
        over.retain(|slot, sent_to| {
            let is_printed = printing.is_settled(*sent_to);
            notices.extend(is_printed.then_some(Notice::Printed(*slot)));
            !is_printed
        });
        self.watch_printing(watch);
    }

    fn watch_printing(&mut self, watch: &Watch) {
        let (waits, reads) = (self.printing.waits_for_room(), self.printing.has_room());
        if waits != self.waits_for_room {
            let flags = if waits { EpollFlags::EPOLLIN | EpollFlags::EPOLLOUT } else { EpollFlags::EPOLLIN };
            let _ = watch.epoll.modify(self.printing.ours(), &mut EpollEvent::new(flags, PRINTING));
            self.waits_for_room = waits;
        }
        if reads != self.reads_stdouts {
            let _ = match reads {
                true => watch.epoll.add(&watch.stdouts.0, EpollEvent::new(EpollFlags::EPOLLIN, STDOUTS)),
                false => watch.epoll.delete(&watch.stdouts.0),
            };
            self.reads_stdouts = reads;
        }
    }
}

fn announce(slot: SlotId, entry: Option<&mut Entry>, notices: &mut Vec<Notice>) {
    let ready = entry.and_then(|entry| entry.take_ready().then_some(entry.pid));
    notices.extend(ready.map(|pid| Notice::SaysReady(slot, pid)));
}
