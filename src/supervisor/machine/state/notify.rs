//! What a service manager is told, and when. Without one that listens nothing is: no message, and no deadline, so that
//! an idle pipeline stays asleep.

use super::State;
use crate::service::Message;
use crate::supervisor::closing::summary::count;
use crate::supervisor::machine::effect::Action;
use crate::supervisor::machine::effects::Outbox;
use crate::supervisor::machine::restart::Stopping;
use crate::supervisor::machine::stage_state::{Fate, Stage};
use std::time::{Duration, Instant};

/// How often the line with the rates is renewed, and while it starts or stops, more time is asked for.
const BEAT: Duration = Duration::from_secs(5);
/// So much time is asked for, counted from each beat. A loop that hangs is killed when it is over.
const GRANT: Duration = Duration::from_secs(20);

/// What the service manager wants to hear.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Audience {
    /// Somebody listens.
    pub listens: bool,
    /// It kills us when it hears nothing for so long.
    pub watchdog: Option<Duration>,
    /// It must be told that this is the process to watch.
    pub main_pid: Option<u32>,
}

/// What the manager believes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Told {
    #[default]
    Starting,
    Ready,
    Reloading,
    Stopping,
}

/// Speaks to the service manager.
#[derive(Debug, Default)]
pub(super) struct Herald {
    audience: Audience,
    told: Told,
    /// The file is being read: what comes of it isn't known yet.
    pub(super) loading: bool,
    /// Why the last changed file isn't what runs.
    pub(super) trouble: Option<String>,
    watchdog: Option<Instant>,
    beat: Option<Instant>,
}

impl Herald {
    pub(super) fn for_audience(audience: Audience) -> Herald {
        Herald { audience, ..Herald::default() }
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        [self.watchdog, self.beat].into_iter().flatten().min()
    }

    /// Also to be told when the one before isn't over yet: it may be the answer to another request.
    pub(super) fn begin_reload(&mut self, out: &mut Outbox) {
        let up = matches!(self.told, Told::Ready | Told::Reloading);
        if self.audience.listens && up {
            self.told = Told::Reloading;
            out.act(Action::Notify(vec![Message::Reloading]));
        }
    }
}

impl State {
    /// The loop turns; time may have come for words that are due by it.
    pub(super) fn pass_herald_time(&mut self, out: &mut Outbox) {
        let herald = &mut self.herald;
        if let Some(every) = herald.audience.watchdog
            && herald.watchdog.is_none_or(|due| due <= out.now)
        {
            herald.watchdog = Some(out.now + every / 2);
            out.act(Action::Notify(vec![Message::Watchdog]));
        }
        if herald.beat.is_some_and(|due| due <= out.now) {
            let busy = matches!(herald.told, Told::Starting | Told::Stopping);
            let more = busy.then_some(Message::ExtendTimeout(GRANT));
            more.into_iter().for_each(|more| out.act(Action::Notify(vec![more])));
            self.tell_status(out);
        }
    }

    /// Tells what has changed since the manager last heard of it.
    pub(super) fn announce(&mut self, out: &mut Outbox) {
        if !self.herald.audience.listens {
            return;
        }
        let up = self.wanted.is_some() && self.reload.is_none() && !self.herald.loading;
        match self.herald.told {
            Told::Stopping => {}
            _ if self.stop.is_some() => self.announce_stop(out),
            Told::Starting | Told::Reloading if up => self.announce_ready(out),
            Told::Starting if self.herald.beat.is_none() => self.tell_status(out),
            Told::Starting | Told::Reloading | Told::Ready => {}
        }
    }

    fn announce_ready(&mut self, out: &mut Outbox) {
        let first = self.herald.told == Told::Starting;
        let main = self.herald.audience.main_pid.filter(|_| first).map(Message::MainPid);
        self.herald.told = Told::Ready;
        out.act(Action::Notify(main.into_iter().chain([Message::Ready]).collect()));
        self.tell_status(out);
    }

    pub(super) fn announce_stop(&mut self, out: &mut Outbox) {
        if self.herald.audience.listens && self.herald.told != Told::Stopping {
            self.herald.told = Told::Stopping;
            out.act(Action::Notify(vec![Message::Stopping, Message::ExtendTimeout(GRANT)]));
            self.tell_status(out);
        }
    }

    /// What became of an attempt to reload, if that was not what the file says.
    pub(super) fn note_trouble(&mut self, trouble: Option<String>, out: &mut Outbox) {
        let news = self.herald.trouble != trouble;
        self.herald.trouble = trouble;
        if news && self.herald.audience.listens {
            self.tell_status(out);
        }
    }

    fn tell_status(&mut self, out: &mut Outbox) {
        self.herald.beat = Some(out.now + BEAT);
        let trouble =
            self.herald.trouble.as_ref().map_or(String::new(), |why| format!("{why}; still running: "));
        out.act(Action::Status(format!("{trouble}{}", self.phase())));
    }

    fn phase(&self) -> String {
        let running = || self.stages.iter().filter(|stage| stage.fate == Fate::Wanted);
        let stages = count(running().count() as u64, "stage");
        let workers: usize = running().map(|stage| stage.staying().count()).sum();
        let size = format!("{stages}, {}", count(workers as u64, "worker"));
        let restarts: u64 = self.stages.iter().map(|stage: &Stage| stage.totals.restarts).sum();
        match (self.stopping(), self.herald.told) {
            (Stopping::Draining, _) => "draining".to_owned(),
            (Stopping::Killing, _) => "stopping".to_owned(),
            (Stopping::No, Told::Starting) => format!("starting {size}"),
            (Stopping::No, _) if restarts > 0 => format!("{size}, {}", count(restarts, "restart")),
            (Stopping::No, _) => size,
        }
    }
}
