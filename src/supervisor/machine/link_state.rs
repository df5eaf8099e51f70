//! What is known of the process that brings this machine's commits to the broker.

use crate::broker::Outage;
use crate::broker::link::Room;
use crate::config::Broker;
use crate::queue::SlotId;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// Pauses before another one: while none joins, twice as long each time.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// That it refuses commits is said again after this: what a machine that stood still has sent is refused in many answers.
const REPEAT_REFUSED: Duration = Duration::from_secs(60);

#[derive(Debug, Default)]
pub(super) struct LinkState {
    pub(super) process: LinkProcess,
    pub(super) broker: BrokerSight,
    /// How the process that is there was told to reach it.
    pub(super) way: Option<Broker>,
    /// The stages for whose commits it has no room, as far as that is known.
    pub(super) full: BTreeMap<String, FullSight>,
    /// Of each stage at shared queues, what the process that is there knows of it.
    pub(super) stages: BTreeMap<String, StageSight>,
    /// Of each stage whose commits the broker has refused, when that was last said.
    pub(super) refused: BTreeMap<String, Instant>,
    /// What was last said of the broker and the file.
    pub(super) warnings: Vec<String>,
    /// What `mprun drain --all` told first.
    pub(super) order: Option<crate::broker::RunOrder>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct StageSight {
    pub(super) is_off: bool,
    pub(super) is_stopped: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct FullSight {
    pub(super) since: Instant,
    /// Nothing of the stage goes through any more.
    pub(super) is_stuck: bool,
}

#[derive(Debug, Default)]
pub(super) enum LinkProcess {
    #[default]
    NotStarted,
    /// `delay`: before another one, if it does not join.
    Started {
        slot: SlotId,
        order: LinkOrder,
        delay: Duration,
    },
    Due {
        at: Instant,
        delay: Duration,
    },
    /// It has left the run, or no try helps: there is none any more.
    Over,
}

/// What it was told last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LinkOrder {
    Run,
    /// Its stages have ended.
    Finish,
    /// The pipeline stops, whether they have ended or not.
    Stop,
    Kill,
}

impl LinkOrder {
    /// Whether it is to leave the run by itself.
    pub(super) fn leaves(self) -> bool {
        matches!(self, LinkOrder::Finish | LinkOrder::Stop)
    }
}

/// What it has said of the broker.
#[derive(Debug, Default)]
pub(super) enum BrokerSight {
    #[default]
    Unknown,
    /// This run is joined.
    Up { run: u64 },
    /// It takes nothing of this machine, since then; the run that was joined before.
    Away { since: Instant, run: Option<u64>, outage: Outage },
}

/// What a log says of the broker's room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RoomNews {
    /// It has room again; since when it was full.
    There {
        since: Instant,
    },
    Short,
    /// Nothing of the stage goes through.
    Gone,
}

impl LinkState {
    pub(super) fn due(&self) -> Option<Instant> {
        if let LinkProcess::Due { at, .. } = self.process { Some(at) } else { None }
    }

    pub(super) fn is_over(&self) -> bool {
        matches!(self.process, LinkProcess::Over)
    }

    /// The order of one that is there.
    pub(super) fn order(&mut self) -> Option<&mut LinkOrder> {
        if let LinkProcess::Started { order, .. } = &mut self.process { Some(order) } else { None }
    }

    /// Whether one is to be started now, if it may be.
    pub(super) fn is_startable(&self, now: Instant) -> bool {
        match self.process {
            LinkProcess::NotStarted => true,
            LinkProcess::Due { at, .. } => at <= now,
            LinkProcess::Started { .. } | LinkProcess::Over => false,
        }
    }

    pub(super) fn start(&mut self, slot: SlotId) {
        let delay = if let LinkProcess::Due { delay, .. } = self.process { delay } else { Duration::ZERO };
        self.process = LinkProcess::Started { slot, order: LinkOrder::Run, delay };
        self.stages.clear();
    }

    /// It is gone, and another one follows.
    pub(super) fn ended(&mut self, now: Instant) {
        self.full.clear();
        let delay = if let LinkProcess::Started { delay, .. } = self.process { delay } else { FIRST_PAUSE };
        let next = (delay * 2).clamp(FIRST_PAUSE, LONGEST_PAUSE);
        self.process = LinkProcess::Due { at: now + delay, delay: next };
    }

    /// The run of the shared queues was joined. Since when the broker was away; true: for the first time.
    pub(super) fn joined(&mut self, run: u64) -> (Option<Instant>, bool) {
        if let LinkProcess::Started { delay, .. } = &mut self.process {
            *delay = Duration::ZERO;
        }
        let (since, first) = match std::mem::replace(&mut self.broker, BrokerSight::Up { run }) {
            BrokerSight::Unknown => (None, true),
            BrokerSight::Up { .. } => (None, false),
            BrokerSight::Away { since, run, .. } => (Some(since), run.is_none()),
        };
        self.full.clear();
        (since, first)
    }

    /// False: that was known.
    pub(super) fn is_away(&mut self, outage: Outage, now: Instant) -> bool {
        self.full.clear();
        let (run, since) = (self.run(), self.away_since().unwrap_or(now));
        let is_known = matches!(self.broker, BrokerSight::Away { outage: known, .. } if known == outage);
        self.broker = BrokerSight::Away { since, run, outage };
        !is_known
    }

    fn away_since(&self) -> Option<Instant> {
        if let BrokerSight::Away { since, .. } = self.broker { Some(since) } else { None }
    }

    /// What is to be said of the room for a stage's commits.
    pub(super) fn note_room(&mut self, stage: &str, room: Room, now: Instant) -> Option<RoomNews> {
        if room == Room::There {
            let since = self.full.values().map(|full| full.since).min();
            self.full.remove(stage)?;
            return since.filter(|_| self.full.is_empty()).map(|since| RoomNews::There { since });
        }
        let is_first = self.full.is_empty();
        let full = self.full.entry(stage.to_owned()).or_insert(FullSight { since: now, is_stuck: false });
        full.is_stuck = room == Room::Gone;
        match full.is_stuck {
            true => Some(RoomNews::Gone),
            false => is_first.then_some(RoomNews::Short),
        }
    }

    /// Whether it is to be said that commits of the stage were refused.
    pub(super) fn note_refused(&mut self, stage: &str, now: Instant) -> bool {
        if self.refused.get(stage).is_some_and(|said| now < *said + REPEAT_REFUSED) {
            return false;
        }
        self.refused.insert(stage.to_owned(), now);
        true
    }

    /// The run of the shared queues was joined, by this process or one before it.
    pub(super) fn was_up(&self) -> bool {
        self.run().is_some()
    }

    /// The run that was joined.
    pub(super) fn run(&self) -> Option<u64> {
        match self.broker {
            BrokerSight::Unknown => None,
            BrokerSight::Up { run } => Some(run),
            BrokerSight::Away { run, .. } => run,
        }
    }
}
