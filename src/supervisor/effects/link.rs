//! The process that speaks with the broker: its start and its end.
//!
//! | killed … | left behind | why that's fine |
//! |---|---|---|
//! | the supervisor, between `open_slot` and the start | a slot with settings | the next one that gets it overwrites them |
//! | the link | what it had leased of the arena | it goes back when its slot is released, before the next one is started |
//! | the supervisor | the link, commits in the arena | the link dies with it; kept queues have the commits at the next start |

use super::performer::Performer;
use crate::hash;
use crate::link::{LinkNews, LinkOrder, LinkRequest};
use crate::model::Tuning;
use crate::queue::{DeadLetterCandidate, FailureAttribution, SlotId};
use crate::supervisor::machine::effect::StartLink;
use crate::supervisor::machine::event::Event;
use crate::supervisor::machine::state::State;
use crate::supervisor::recovery::begun_files::BegunFiles;
use crate::supervisor::recovery::membership::Names;
use crate::supervisor::runtime::children::Auxiliary;
use crate::supervisor::runtime::link::LinkProcess;
use crate::sys::process::SpawnError;
use crate::sys::wait::Exit;
use log::{Level, log};
use std::io;

impl Performer<'_> {
    pub(super) fn start_link(&mut self, start: StartLink) {
        match self.try_start_link(start) {
            Ok(link) => {
                self.children.add_auxiliary(link.pid, Auxiliary::Link);
                self.link = Some(link);
            }
            Err(error) => {
                log!(target: "mprun", Level::Error, "no process to speak with the broker: {error}");
                self.events.push_back(Event::LinkEnded(None));
            }
        }
    }

    fn try_start_link(&mut self, start: StartLink) -> Result<LinkProcess, SpawnError> {
        let StartLink { plan, spec, slot, joined_before } = start;
        let failed = |what: &str| SpawnError::preparing(&io::Error::other(what));
        let names = self.membership.clone().ok_or(failed("no name for this machine"))?;
        self.admin(|admin| admin.open_slot(slot, &Tuning::default()))
            .ok_or(failed("no place in the queues' memory"))?;
        // Who has joined a run stays in it. Before that the broker knows whether this life has begun one.
        let joined = names.run_of_life(joined_before || self.is_resumed);
        let new_run = self.run.options.new_run && !joined_before && joined.is_none();
        let Names { machine, life, .. } = names;
        let log = self.run.options.logging.clone();
        let request = LinkRequest {
            plan,
            spec,
            slot: slot.0,
            machine,
            life,
            joined,
            only: self.run.options.only_run,
            new_run,
            log,
        };
        let environment = self.launcher.helper_environment();
        let (arena, stderr) = (self.store.arena.fd(), self.log_writer.stderr());
        let link = LinkProcess::start(&request, arena, &environment, stderr, self.inbox.sender())?;
        self.admin(|admin| admin.set_pid(slot, link.pid));
        Ok(link)
    }

    /// Before the first worker: a machine that comes back to a run adds to the files that it has written for it.
    pub(super) fn note_run(&mut self, news: &LinkNews) {
        let Some(names) = &self.membership else { return };
        if let LinkNews::Up { run, begun, .. } = news {
            let number = hash::fnv1a(format!("{} {run} {begun}", self.launcher.pipeline).as_bytes());
            self.launcher.shared_run = Some(number.max(1));
        }
        let continues = match news {
            LinkNews::Up { run, begun, .. } => names.enter(*run, *begun).unwrap_or_else(|error| {
                log!(target: "mprun", Level::Warn, "the run of the shared queues can't be noted: {error}");
                false
            }),
            // Which run it is can't be asked; what is in a file is not thrown away for that.
            LinkNews::Away { .. } => !self.run.options.new_run && names.last_run().is_some(),
            _ => return,
        };
        // What earlier runs have written stays in the files, with what stands at their beginning.
        let works_off = matches!(news, LinkNews::Up { works_off: true, .. });
        self.launcher.works_off |= works_off;
        if continues || works_off {
            self.launcher.begun_files = BegunFiles::Any;
        }
    }

    /// What others may see of this machine. One that does not read it shows what it has shown.
    pub(super) fn show(&mut self, state: &State) {
        let snapshot = self.snapshot(state);
        if let Some(link) = &mut self.link {
            link.show(&snapshot);
        }
    }

    /// One that does not read its orders is of no use: another one gets them.
    pub(super) fn order_link(&mut self, order: &LinkOrder) {
        if let Some(link) = self.link.as_mut()
            && !link.order(order)
        {
            link.kill();
        }
    }

    pub(super) fn kill_link(&mut self) {
        if let Some(link) = &self.link {
            link.kill();
        }
    }

    /// What it held of the arena goes back.
    pub(super) fn link_ended(&mut self, exit: Exit) {
        let Some(link) = self.link.take() else { return };
        self.dead.in_broker = link.letters();
        self.release_slot(SlotId(link.slot));
        self.events.push_back(Event::LinkEnded(Some(exit)));
    }

    fn release_slot(&mut self, slot: SlotId) {
        let mut none = |_: DeadLetterCandidate<'_>| Err(io::ErrorKind::Other.into());
        self.admin(|admin| admin.release(slot, FailureAttribution::Nobody, 0, &mut none));
    }
}
