//! What a service manager is told, and when. Without one that listens nothing is: no message, and no deadline, so that
//! an idle pipeline stays asleep.

use super::State;
use crate::service::Message;
use crate::supervisor::closing::summary::count;
use crate::supervisor::machine::effect::Effect;
use crate::supervisor::machine::effects::Effects;
use crate::supervisor::machine::restart::Stopping;
use crate::supervisor::machine::stage_state::{Fate, StageState};
use std::time::{Duration, Instant};

/// How often the line with the rates is renewed, and while it starts or stops, more time is asked for.
const STATUS_INTERVAL: Duration = Duration::from_secs(5);
/// So much time is asked for, counted from each beat. A loop that hangs is killed when it is over.
const TIMEOUT_EXTENSION: Duration = Duration::from_secs(20);

/// What the service manager wants to hear.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NotifyCapabilities {
    /// Somebody listens.
    pub listens: bool,
    /// It kills us when it hears nothing for so long.
    pub watchdog: Option<Duration>,
    /// It must be told that this is the process to watch.
    pub main_pid: Option<u32>,
}

/// What the manager believes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum NotifyState {
    #[default]
    Starting,
    Ready,
    Reloading,
    Stopping,
}

/// Speaks to the service manager.
#[derive(Debug, Default)]
pub(super) struct ServiceNotifier {
    capabilities: NotifyCapabilities,
    state: NotifyState,
    /// The file is being read: what comes of it isn't known yet.
    pub(super) loading: bool,
    /// Why the last changed file isn't what runs.
    pub(super) reload_failure: Option<String>,
    watchdog: Option<Instant>,
    beat: Option<Instant>,
}

impl ServiceNotifier {
    pub(super) fn for_audience(capabilities: NotifyCapabilities) -> ServiceNotifier {
        ServiceNotifier { capabilities, ..ServiceNotifier::default() }
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        [self.watchdog, self.beat].into_iter().flatten().min()
    }

    /// Also to be told when the one before isn't over yet: it may be the answer to another request.
    pub(super) fn begin_reload(&mut self, out: &mut Effects) {
        let up = matches!(self.state, NotifyState::Ready | NotifyState::Reloading);
        if self.capabilities.listens && up {
            self.state = NotifyState::Reloading;
            out.act(Effect::Notify(vec![Message::Reloading]));
        }
    }
}

impl State {
    /// The loop turns; time may have come for words that are due by it.
    pub(super) fn pass_notifier_time(&mut self, out: &mut Effects) {
        let notifier = &mut self.notifier;
        if let Some(every) = notifier.capabilities.watchdog
            && notifier.watchdog.is_none_or(|due| due <= out.now)
        {
            notifier.watchdog = Some(out.now + every / 2);
            out.act(Effect::Notify(vec![Message::Watchdog]));
        }
        if notifier.beat.is_some_and(|due| due <= out.now) {
            let busy = matches!(notifier.state, NotifyState::Starting | NotifyState::Stopping);
            let more = busy.then_some(Message::ExtendTimeout(TIMEOUT_EXTENSION));
            more.into_iter().for_each(|more| out.act(Effect::Notify(vec![more])));
            self.send_status(out);
        }
    }

    /// Tells what has changed since the manager last heard of it.
    pub(super) fn announce(&mut self, out: &mut Effects) {
        if !self.notifier.capabilities.listens {
            return;
        }
        let up = self.wanted.is_some() && self.reload.is_none() && !self.notifier.loading;
        match self.notifier.state {
            NotifyState::Stopping => {}
            _ if self.stop.is_some() => self.announce_stop(out),
            NotifyState::Starting | NotifyState::Reloading if up => self.announce_ready(out),
            NotifyState::Starting if self.notifier.beat.is_none() => self.send_status(out),
            NotifyState::Starting | NotifyState::Reloading | NotifyState::Ready => {}
        }
    }

    fn announce_ready(&mut self, out: &mut Effects) {
        let first = self.notifier.state == NotifyState::Starting;
        let main = self.notifier.capabilities.main_pid.filter(|_| first).map(Message::MainPid);
        self.notifier.state = NotifyState::Ready;
        out.act(Effect::Notify(main.into_iter().chain([Message::Ready]).collect()));
        self.send_status(out);
    }

    pub(super) fn announce_stop(&mut self, out: &mut Effects) {
        if self.notifier.capabilities.listens && self.notifier.state != NotifyState::Stopping {
            self.notifier.state = NotifyState::Stopping;
            out.act(Effect::Notify(vec![Message::Stopping, Message::ExtendTimeout(TIMEOUT_EXTENSION)]));
            self.send_status(out);
        }
    }

    /// What became of an attempt to reload, if that was not what the file says.
    pub(super) fn note_reload_failure(&mut self, reload_failure: Option<String>, out: &mut Effects) {
        let news = self.notifier.reload_failure != reload_failure;
        self.notifier.reload_failure = reload_failure;
        if news && self.notifier.capabilities.listens {
            self.send_status(out);
        }
    }

    fn send_status(&mut self, out: &mut Effects) {
        self.notifier.beat = Some(out.now + STATUS_INTERVAL);
        let reload_failure = self
            .notifier
            .reload_failure
            .as_ref()
            .map_or(String::new(), |why| format!("{why}; still running: "));
        out.act(Effect::Status(format!("{reload_failure}{}", self.phase())));
    }

    fn phase(&self) -> String {
        let running = || self.stages.iter().filter(|stage| stage.fate == Fate::Wanted);
        let stages = count(running().count() as u64, "stage");
        let workers: usize = running().map(|stage| stage.staying().count()).sum();
        let size = format!("{stages}, {}", count(workers as u64, "worker"));
        let restarts: u64 = self.stages.iter().map(|stage: &StageState| stage.totals.restarts).sum();
        match (self.stopping(), self.notifier.state) {
            (Stopping::Draining, _) => "draining".to_owned(),
            (Stopping::Killing, _) => "stopping".to_owned(),
            (Stopping::No, NotifyState::Starting) => format!("starting {size}"),
            (Stopping::No, _) if restarts > 0 => format!("{size}, {}", count(restarts, "restart")),
            (Stopping::No, _) => size,
        }
    }
}
