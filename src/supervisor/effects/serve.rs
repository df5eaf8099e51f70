//! The listeners of the control API, from the start and from one pipeline file to the next.

use super::performer::Performer;
use crate::config::{Control, Pipeline};
use crate::control::claim::Claim;
use crate::control::server::{Listeners, Server, Settings};
use crate::supervisor::runtime::control;
use nix::sys::socket::{Shutdown, shutdown};
use std::net::TcpListener;
use std::os::fd::AsRawFd;
use std::path::PathBuf;

impl Performer<'_> {
    /// Clients may connect from now on; they are answered from [`Performer::serve`] on. `inherited`: the listeners of the
    /// program before this one.
    pub(crate) fn listen(
        &self,
        pipeline: &Pipeline,
        claim: Option<&mut Claim>,
        inherited: Listeners,
    ) -> (Listeners, Option<PathBuf>) {
        let socket = claim.as_ref().map(|claim| claim.path.clone());
        let metrics = control::metrics(pipeline, inherited.metrics);
        let listeners = Listeners {
            control: claim.and_then(Claim::listener),
            missing_metrics: pipeline.metrics.filter(|_| metrics.is_none()),
            metrics,
            web: control::web(&pipeline.control, inherited.web),
        };
        (listeners, socket)
    }

    /// Answers from now on.
    pub(crate) fn serve(&mut self, listeners: Listeners, socket: Option<PathBuf>) {
        // Without copies, clients that come during an upgrade are refused.
        self.listeners = listeners.try_clone().unwrap_or_default();
        let letters = &self.launcher.dead_letters;
        self.server = control::serve(listeners, &self.served, &self.inbox, letters, socket);
    }

    /// Addresses that were taken at first, and are had by now.
    pub(super) fn adopt_late_listeners(&mut self) {
        if let Some(server) = &self.server {
            server.move_late_listeners(&mut self.listeners);
        }
    }

    /// The tokens are those that their files hold now.
    pub(super) fn read_tokens(&self) {
        self.server.iter().for_each(Server::read_tokens_again);
    }

    /// The same as another file says it. An address that stays keeps its listener, with the clients that wait there.
    pub(super) fn serve_as(&mut self, new: Control) {
        self.adopt_late_listeners();
        let Some(server) = &self.server else { return };
        if new == self.served {
            return server.read_tokens_again();
        }
        let mut before = self.listeners.web.take();
        if new.listen != self.served.listen
            && let Some(old) = before.take()
        {
            // The server's thread has it still: the new address may be the same port.
            let _ = shutdown(old.as_raw_fd(), Shutdown::Both);
        }
        let listener = control::web(&new, before);
        self.listeners.web = listener.as_ref().map(TcpListener::try_clone).and_then(Result::ok);
        server.set(Settings { control: new.clone(), listener });
        self.served = new;
    }
}
