//! What the service manager knows, and what it is sent when. Without one nothing is: no message, and no deadline, so that an
//! idle pipeline stays asleep.

use super::effect::{Effect, Effects};
use crate::service::Message;
use std::time::{Duration, Instant};

/// How often the line with the rates is renewed, and while it starts or stops, more time is asked for.
const STATUS_INTERVAL: Duration = Duration::from_secs(5);
/// So much time is asked for, counted from each status. A loop that hangs is killed when it is over.
const TIMEOUT_EXTENSION: Duration = Duration::from_secs(20);

/// What the service manager takes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct NotifyCapabilities {
    /// It takes messages.
    pub listens: bool,
    /// It kills this process when it hears nothing for so long.
    pub watchdog: Option<Duration>,
    /// It must learn that this is the process to watch.
    pub main_pid: Option<u32>,
}

/// What the manager believes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NotifyState {
    /// There is none that listens.
    Absent,
    Starting,
    Ready,
    Reloading,
    Stopping,
}

/// When the next sign of life is due.
#[derive(Debug)]
enum Watchdog {
    Off,
    On { every: Duration, due: Option<Instant> },
}

/// Speaks to the service manager.
#[derive(Debug)]
pub(crate) struct ServiceNotifier {
    state: NotifyState,
    main_pid: Option<u32>,
    watchdog: Watchdog,
    status_due: Option<Instant>,
    /// Why the last changed file isn't what runs.
    reload_failure: Option<String>,
}

impl ServiceNotifier {
    pub(crate) fn new(capabilities: NotifyCapabilities) -> ServiceNotifier {
        let NotifyCapabilities { listens, watchdog, main_pid } = capabilities;
        ServiceNotifier {
            state: if listens { NotifyState::Starting } else { NotifyState::Absent },
            main_pid,
            watchdog: watchdog.map_or(Watchdog::Off, |every| Watchdog::On { every, due: None }),
            status_due: None,
            reload_failure: None,
        }
    }

    pub(crate) fn state(&self) -> NotifyState {
        self.state
    }

    /// Whether a status was sent already.
    pub(crate) fn has_status(&self) -> bool {
        self.status_due.is_some()
    }

    pub(crate) fn deadline(&self) -> Option<Instant> {
        let watchdog = if let Watchdog::On { due, .. } = self.watchdog { due } else { None };
        watchdog.into_iter().chain(self.status_due).min()
    }

    /// Also sent when the one before isn't over yet: it may be the answer to another request.
    pub(crate) fn begin_reload(&mut self, out: &mut Effects) {
        if matches!(self.state, NotifyState::Ready | NotifyState::Reloading) {
            self.state = NotifyState::Reloading;
            out.push(Effect::Notify(vec![Message::Reloading]));
        }
    }

    /// Sends what is due by now; whether the status is.
    pub(crate) fn pass_time(&mut self, out: &mut Effects) -> bool {
        if let Watchdog::On { every, due } = &mut self.watchdog
            && due.is_none_or(|due| due <= out.now)
        {
            *due = Some(out.now + *every / 2);
            out.push(Effect::Notify(vec![Message::Watchdog]));
        }
        let is_due = self.status_due.is_some_and(|due| due <= out.now);
        if is_due && matches!(self.state, NotifyState::Starting | NotifyState::Stopping) {
            out.push(Effect::Notify(vec![Message::ExtendTimeout(TIMEOUT_EXTENSION)]));
        }
        is_due
    }

    pub(crate) fn ready(&mut self, out: &mut Effects) {
        let is_first = self.state == NotifyState::Starting;
        let main = self.main_pid.filter(|_| is_first).map(Message::MainPid);
        self.state = NotifyState::Ready;
        out.push(Effect::Notify(main.into_iter().chain([Message::Ready]).collect()));
    }

    /// Whether that was news.
    pub(crate) fn stopping(&mut self, out: &mut Effects) -> bool {
        if matches!(self.state, NotifyState::Absent | NotifyState::Stopping) {
            return false;
        }
        self.state = NotifyState::Stopping;
        out.push(Effect::Notify(vec![Message::Stopping, Message::ExtendTimeout(TIMEOUT_EXTENSION)]));
        true
    }

    /// What became of an attempt to reload, if that was not what the file says. Whether that is news to a listener.
    pub(crate) fn reload_failed(&mut self, why: Option<String>) -> bool {
        let is_news = self.reload_failure != why;
        self.reload_failure = why;
        is_news && self.state != NotifyState::Absent
    }

    pub(crate) fn send_status(&mut self, phase: &str, out: &mut Effects) {
        self.status_due = Some(out.now + STATUS_INTERVAL);
        let failure = self.reload_failure.as_ref().map(|why| format!("{why}; still running: "));
        out.push(Effect::Status(format!("{}{phase}", failure.unwrap_or_default())));
    }
}
