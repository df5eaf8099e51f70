//! What the supervisor holds of services, and its looks at limits that the kernel does not know.

use crate::queue::SlotId;
use crate::supervisor::machine::event::Event;
use crate::supervisor::machine::ids::{Pid, WorkerId};
use crate::supervisor::machine::reason::End;
use crate::supervisor::machine::wanted::Version;
use crate::supervisor::recovery::saved_services::{SavedService, SavedServices};
use crate::supervisor::recovery::upgrade_state::{self, Predecessor, UpgradeState};
use crate::supervisor::runtime::checker::{self, Checker};
use crate::supervisor::runtime::inbox::Inbox;
use crate::supervisor::runtime::services::identities::Identities;
use crate::supervisor::runtime::services::printer::Printing;
use crate::supervisor::runtime::services::roster::Roster;
use crate::supervisor::runtime::services::{Held, Services};
use crate::sys::wait::SignalNumber;
use crate::sys::{mark, proc_table};
use std::collections::BTreeMap;
use std::io;
use std::rc::Rc;
use std::time::{Duration, Instant};

/// Between two looks at the memory of services, and at the number of their processes.
const MEMORY_INTERVAL: Duration = Duration::from_secs(10);
const PROCESSES_INTERVAL: Duration = Duration::from_millis(100);

/// The process of a service.
#[derive(Debug)]
pub(super) struct Service {
    pub worker: WorkerId,
    /// Its stage's name.
    pub stage: String,
    pub pid: Pid,
    pub version: Rc<Version>,
    pub slot: SlotId,
}

/// All that the supervisor holds of services.
pub(crate) struct ServiceHands {
    pub(super) relay: Services,
    pub(super) roster: Roster,
    pub(super) identities: Identities,
    pub(super) checker: Checker,
    pub(super) all: BTreeMap<SlotId, Service>,
    /// How those end that we have killed for what they did.
    pub(super) verdicts: BTreeMap<SlotId, End>,
    /// The ends of those whose lines are not out yet.
    pub(super) unprinted: BTreeMap<SlotId, Event>,
    /// Those of a program before this one.
    pub(super) saved: Vec<SavedService>,
    looks: Looks,
}

impl ServiceHands {
    pub(super) fn new(before: &Predecessor, printing: Printing, inbox: &Inbox) -> io::Result<ServiceHands> {
        let saved = before.upgrade.as_ref().and_then(|state| state.services.as_ref());
        let roster = match saved.map(|services| upgrade_state::taken(services.roster)) {
            Some(Ok(fd)) => Roster::from(fd),
            Some(Err(_)) | None => Roster::new()?,
        };
        Ok(ServiceHands {
            relay: Services::new(printing, inbox.sender()),
            roster,
            identities: Identities::default(),
            checker: Checker::new(inbox.sender()),
            all: BTreeMap::new(),
            verdicts: BTreeMap::new(),
            unprinted: BTreeMap::new(),
            saved: Vec::new(),
            looks: Looks::default(),
        })
    }

    pub(super) fn resume(&mut self, state: &UpgradeState) {
        self.saved = state.services.as_ref().map(|services| services.all.clone()).unwrap_or_default();
    }

    /// For the program after this one.
    pub(super) fn save(&self, held: &Held<'_>) -> SavedServices {
        let (all, printing) = held.save();
        SavedServices { roster: upgrade_state::number(self.roster.fd()), printing, all }
    }

    /// Whether something is on its way that no other program could go on with.
    pub(super) fn are_busy(&self) -> bool {
        !self.unprinted.is_empty() || self.identities.are_asked()
    }

    /// Whether this process of this slot is a service.
    pub(super) fn is(&self, slot: SlotId, pid: u32) -> bool {
        self.all.get(&slot).is_some_and(|service| service.pid.0 == pid)
    }

    /// What asks it to end; `None`: it is no service.
    pub(super) fn stop_signal(&self, slot: SlotId, pid: Pid) -> Option<SignalNumber> {
        let service = self.all.get(&slot).filter(|service| service.pid == pid)?;
        Some(SignalNumber(service.version.work.command()?.stop_signal.0))
    }

    /// Whether this orphan may be that of a service which lives: its mark or its environment names it, or it can't be
    /// known.
    pub(super) fn may_have(&self, orphan: u32) -> bool {
        if self.all.is_empty() {
            return false;
        }
        match mark::owner(orphan) {
            Some(owner) => self.all.values().any(|service| service.pid.0 == owner),
            None => self.may_have_by_environment(orphan),
        }
    }

    /// The same of one without a mark.
    fn may_have_by_environment(&self, orphan: u32) -> bool {
        if proc_table::variable(orphan, checker::VARIABLE).is_some() {
            return false;
        }
        let [stage, index] = ["MPRUN_STAGE", "MPRUN_WORKER"].map(|name| proc_table::variable(orphan, name));
        let (Some(stage), Some(index)) = (stage, index) else { return true };
        let is_of = |service: &Service| service.stage == stage && service.worker.index.to_string() == index;
        let Some(service) = self.all.values().find(|service| is_of(service)) else { return false };
        // One that is older was started by the process before this one. Starts are told in hundredths of a second; pids rise.
        let [own, its] = [orphan, service.pid.0].map(|pid| (proc_table::started(pid), pid));
        own >= its
    }

    /// When it is time for the next look at limits, if a service has any.
    pub(super) fn measure_at(&mut self) -> Option<Instant> {
        let (mut memory, mut processes) = (false, false);
        for service in self.all.values() {
            memory |= service.version.recycle.memory.is_some();
            processes |= service.most_processes().is_some();
        }
        self.looks.next(memory, processes, Instant::now())
    }

    /// What has gone beyond its limits, if it is time for a look.
    pub(super) fn measure(&mut self, now: Instant) -> Measured {
        let mut measured = Measured::default();
        if self.looks.memory.take_if(|at| *at <= now).is_some() {
            let is_large = |service: &&Service| {
                let most = service.version.recycle.memory;
                let has = most.and_then(|_| proc_table::private_memory(service.pid.0));
                has > most
            };
            let outgrown = self.all.values().filter(is_large).map(|service| (service.worker, service.pid));
            measured.outgrown = outgrown.collect();
        }
        if self.looks.processes.take_if(|at| *at <= now).is_some() {
            let table = proc_table::Descendants::look();
            measured.forked_too_much =
                self.all.values().filter_map(|service| service.count(&table)).collect();
            // Whatever a look costs, most of the time is for other things.
            self.looks.pause = now.elapsed() * 20;
        }
        measured
    }
}

/// What has gone beyond its limits.
#[derive(Default)]
pub(super) struct Measured {
    pub outgrown: Vec<(WorkerId, Pid)>,
    /// With what is to be said of it.
    pub forked_too_much: Vec<(SlotId, Pid, String)>,
}

/// When the next looks are due.
#[derive(Default)]
struct Looks {
    memory: Option<Instant>,
    processes: Option<Instant>,
    /// At least so long from one look at processes to the next.
    pause: Duration,
}

impl Looks {
    fn next(&mut self, memory: bool, processes: bool, now: Instant) -> Option<Instant> {
        let due = |at: Option<Instant>, wanted: bool, interval| wanted.then(|| at.unwrap_or(now + interval));
        self.memory = due(self.memory, memory, MEMORY_INTERVAL);
        self.processes = due(self.processes, processes, PROCESSES_INTERVAL.max(self.pause));
        self.memory.into_iter().chain(self.processes).min()
    }
}

impl Service {
    fn most_processes(&self) -> Option<u64> {
        self.version.work.command()?.limits.processes
    }

    fn count(&self, table: &proc_table::Descendants) -> Option<(SlotId, Pid, String)> {
        let most = self.most_processes()?;
        let has = table.with_session_of(self.pid.0) as u64;
        let why = || {
            format!(
                "its program and what that has started are {has} processes, more than {most} (limits.processes)"
            )
        };
        (has > most).then(|| (self.slot, self.pid, why()))
    }
}
