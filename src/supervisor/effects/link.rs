//! The process that speaks with the broker: its start and its end.

use super::performer::Performer;
use crate::link::{LinkPlan, LinkRequest};
use crate::supervisor::machine::event::Event;
use crate::supervisor::recovery::membership::Names;
use crate::supervisor::runtime::children::Auxiliary;
use crate::supervisor::runtime::link::LinkProcess;
use log::{Level, log};

impl Performer<'_> {
    /// A new run is begun once: whoever has joined it stays in it.
    pub(super) fn start_link(&mut self, plan: LinkPlan, joined_before: bool) {
        let Some(Names { machine, life }) = self.membership.clone() else { return };
        let new_run = self.run.options.new_run && !joined_before;
        let request = LinkRequest { plan, machine, life, new_run };
        let environment = self.launcher.helper_environment();
        let arena = self.store.arena.fd();
        let started =
            LinkProcess::start(&request, arena, &environment, self.log_writer.stderr(), self.inbox.sender());
        match started {
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

    pub(super) fn finish_link(&mut self) {
        if let Some(link) = &mut self.link {
            link.finish();
        }
    }

    pub(super) fn kill_link(&mut self) {
        if let Some(link) = self.link.take() {
            link.kill();
        }
    }
}
